"""The JobSet manifest, its image, and their description in docs/scale.md."""

import json
import math
import re
import shlex
import string

import jsonschema
import yaml

from tests import processes

LAUNCH = processes.ROOT / "launch"
VARIABLES = {"IMAGE": "i:1", "BUCKET": "b", "SET": "fs", "CONFIG": "configs/x.py", "RUN": "r"}
TRAIN = "python -m aslx.train --distributed --config configs/x.py --workdir gs://b/runs/r"


def manifest() -> dict:
    text = (LAUNCH / "gke_jobset.yaml").read_text()
    return yaml.safe_load(string.Template(text).substitute(VARIABLES))


def job() -> dict:
    return manifest()["spec"]["replicatedJobs"][0]["template"]["spec"]


def container(kind: str) -> dict:
    return job()["template"]["spec"][kind][0]


def test_the_manifest_has_the_fields_and_values_of_jobset_v1alpha2():
    schema = json.loads((processes.ROOT / "tests" / "jobset_v1alpha2.schema.json").read_text())
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    assert [error.message for error in validator.iter_errors(manifest())] == []
    for path, wrong in (("kind", "Job"), ("spec", {}), ("sepc", {}), ("metadata", {"name": "A_b"})):
        assert not validator.is_valid(manifest() | {path: wrong}), path


def test_the_manifest_asks_for_all_hosts_of_its_slice():
    pod = job()["template"]["spec"]
    topology = pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"]
    chips = container("containers")["resources"]["limits"]["google.com/tpu"]
    assert math.prod(map(int, topology.split("x"))) == job()["parallelism"] * chips == 256
    assert job()["parallelism"] == job()["completions"]


def what_becomes(exit_code: int, conditions: tuple[str, ...] = ()) -> str:
    """What JobSet does after a pod has failed. The first matching rule of the Job's
    podFailurePolicy decides the message of its failure, and the message decides the action."""
    message = "Job has reached the specified backoff limit"
    for index, rule in enumerate(job()["podFailurePolicy"]["rules"]):
        codes = rule.get("onExitCodes", {"values": []})
        asked = {condition["type"] for condition in rule.get("onPodConditions", ())}
        if exit_code in codes["values"] or asked & set(conditions):
            assert rule["action"] == "FailJob" and codes.get("operator", "In") == "In"
            said = f"Container train for pod default/r-0 failed with exit code {exit_code}"
            message = f"{said} matching FailJob rule at index {index}"
            break
    for rule in manifest()["spec"]["failurePolicy"]["rules"]:
        if any(re.search(words, message) for words in rule["onJobFailureMessagePatterns"]):
            return rule["action"]
    return "RestartJobSet"


def test_the_jobset_restarts_three_times_after_failures_and_always_after_preemption():
    assert manifest()["spec"]["failurePolicy"]["maxRestarts"] == 3
    assert job()["backoffLimit"] == 0  # One lost pod ends the job, and JobSet decides.
    for status in (2, 130):
        assert what_becomes(status) == "FailJobSet"
    for status in (1, 75, 134, 137, 139, 255):
        assert what_becomes(status) == "RestartJobSet"
        assert what_becomes(status, ("DisruptionTarget",)) == "RestartJobSetAndIgnoreMaxRestarts"
    assert what_becomes(143) == "RestartJobSetAndIgnoreMaxRestarts"
    pod = job()["template"]["spec"]
    for rule in job()["podFailurePolicy"]["rules"][:2]:
        assert rule["onExitCodes"]["containerName"] == container("containers")["name"]
    assert pod["restartPolicy"] == "Never"  # A podFailurePolicy requires it.
    assert pod["terminationGracePeriodSeconds"] >= 60


def test_the_jobset_ends_in_the_training_command_after_copying_the_shards():
    assert " ".join(container("containers")["command"]) == TRAIN
    assert "gs://b/fs/', 'data/fs/'" in container("initContainers")["command"][-1]
    mounts = [container(k)["volumeMounts"] for k in ("initContainers", "containers")]
    assert mounts[0] == mounts[1]
    (home,) = re.findall(r"^WORKDIR (\S+)$", (LAUNCH / "Dockerfile").read_text(), re.MULTILINE)
    assert mounts[0][0]["mountPath"] == f"{home}/data"


def test_the_page_names_every_variable_and_its_xpk_command_is_that_of_the_jobset():
    page = (LAUNCH.parent / "docs" / "scale.md").read_text()
    launchers = [p for p in LAUNCH.iterdir() if p.suffix in (".sh", ".sbatch", ".yaml")]
    assert len(launchers) == 5
    for name in (*(path.name for path in launchers), *(f"`{v}`" for v in VARIABLES), "--dry-run"):
        assert name in page, name
    (text,) = re.findall(r"^    (xpk workload create (?:.*\\\n)*.*)$", page, re.MULTILINE)
    script = f"xpk() {{ printf '%s\\n' \"$@\"; }}; {text}"
    printed = processes.run(["bash", "-c", script], env=VARIABLES).out.split("--command\n")
    copy, train = re.sub(r"\s+", " ", printed[1]).strip().split(" && ")
    assert train == " ".join(container("containers")["command"])
    assert shlex.split(copy) == container("initContainers")["command"]


def test_the_dockerfile_copies_existing_files_pins_versions_and_does_not_run_as_root():
    text = (LAUNCH / "Dockerfile").read_text()
    copied = set(" ".join(re.findall(r"^COPY (.*) \S+$", text, re.MULTILINE)).split())
    ignored = (LAUNCH / "Dockerfile.dockerignore").read_text().split()
    assert copied == {line[1:] for line in ignored if line[0] == "!"}
    assert all((processes.ROOT / name).exists() for name in copied)
    assert re.findall(r"^FROM (.*)$", text, re.MULTILINE) == ["python:${PYTHON}-slim"]
    assert "ARG PYTHON=3.11\n" in text and "--build-arg PYTHON=3.12 --build-arg EXTRAS=cuda" in text
    assert "-c constraints.txt" in text
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["1000"]
    assert not re.search(r"https?://|\b[\w-]+\.(io|com|org|dev)\b", text)
