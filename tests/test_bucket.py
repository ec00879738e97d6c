"""A run in a gs:// bucket, through the real gcsfs and TensorStore, on a storage server of this
machine."""

import json
import urllib.request

import pytest
from gcp_storage_emulator import server

from tests import processes, tiny, trees
from tests.train import test_lock


@pytest.fixture(scope="module")
def environment():
    """Variables that send both clients to an empty storage server with the bucket "bucket"."""
    port = processes.free_port()
    storage = server.create_server("127.0.0.1", port, in_memory=True, default_bucket="bucket")
    storage.start()
    url = f"http://127.0.0.1:{port}"
    yield processes.environment(
        STORAGE_EMULATOR_HOST=url,
        FSSPEC_GS_TOKEN="anon",
        GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT="false",
        NO_GCE_CHECK="true",
        TENSORSTORE_GCS_HTTP_URL=url,
        GOOGLE_AUTH_TOKEN_FOR_TESTING="anonymous",
    )
    storage.stop()


def script(code: str, environment: dict) -> processes.Done:
    environment = environment | {"EPATH_USE_TF": "0"}
    return processes.run(processes.python("-c", code), env=environment, timeout=300)


def listed(environment: dict) -> dict[str, str]:
    """The link of every object in the bucket, by its name."""
    url = environment["STORAGE_EMULATOR_HOST"] + "/storage/v1/b/bucket/o"
    with urllib.request.urlopen(url) as answer:
        return {item["name"]: item["mediaLink"] for item in json.load(answer)["items"]}


@pytest.mark.slow
def test_a_run_in_a_bucket_is_stopped_goes_on_and_is_evaluated(environment, dataset, tmp_path):
    config = tmp_path / "tiny.py"
    tiny.config_file(config, dataset, tiny.small, save_every=3, epochs=2)

    def run(module: str, *args: object) -> dict:
        done = processes.ran(module, "--workdir", "gs://bucket/run", *args, env=environment)
        assert "tensorflow" not in done.err.lower()
        return done.last()

    first = run("train", "--config", config)
    assert run("train", "--config", config)["score"] == first["score"]
    evaluated = run("evaluate", "--split", "validation")["score"]
    objects = listed(environment)
    assert {"run/config.json", "run/samples.txt", "run/plots/loss.png"} <= objects.keys()
    with urllib.request.urlopen(objects["run/metrics.jsonl"]) as answer:
        lines = [json.loads(line) for line in answer]
    steps = [line["step"] for line in lines]
    assert set(steps) == set(range(1, max(steps) + 1))
    # The best checkpoint is evaluated.
    assert evaluated == max(line["score"] for line in lines if "score" in line)
    assert not (processes.ROOT / "gs:").exists()


def test_a_second_trainer_in_a_bucket_is_refused_and_a_killed_one_leaves_no_lock(environment):
    first = test_lock.holder("gs://bucket/locked", environment)
    assert test_lock.holds(first)
    second = test_lock.holder("gs://bucket/locked", environment)
    _, err = second.communicate(timeout=60)
    assert second.returncode == 2
    words = f"error: gs://bucket/locked is trained in already, by process {first.pid} on "
    assert err.splitlines()[-1].startswith(words)
    first.kill()
    first.communicate()
    third = test_lock.holder("gs://bucket/locked", environment)
    assert test_lock.holds(third)
    _, err = third.communicate(timeout=60)
    assert third.returncode == 0 and "waiting 2 s for a sign of life" in err
    assert not [name for name in listed(environment) if name.startswith("locked")]


CHECKPOINTS = """
import jax.numpy as jnp
from etils import epath
from aslx.checkpoints import checkpoint, checkpoint_list

folder = epath.Path("gs://bucket/other/checkpoints")
with checkpoint.Checkpoints(folder) as saved:
    for step in range(1, 7):
        saved.save(step, {"step": jnp.int32(step)}, checkpoint.Progress(), 1 / step)
assert sorted(checkpoint_list.names(folder)) == ["1", "5", "6"]
(folder / "6" / "commit_success.txt").unlink()  # As by an accident.
(folder / "5" / "state" / "manifest.ocdbt").write_bytes(b"no manifest")
(folder / "7" / "state" / "part").write_text("of a save that was cut short")
(folder / "old" / "7" / "notes").write_text("a user's")
assert checkpoint_list.best(folder)[0].step == 1
with checkpoint.Checkpoints(folder) as saved:
    state, _ = saved.restore_latest({"step": jnp.int32(0)})
assert int(state["step"]) == 1
assert sorted(checkpoint_list.names(folder)) == ["1", "damaged-5", "damaged-6", "old"]
assert (folder / "damaged-6" / "state" / "manifest.ocdbt").exists()
assert (folder / "old" / "7" / "notes").read_text() == "a user's"
"""


@pytest.mark.slow
def test_no_checkpoint_is_lost_in_a_bucket(environment):
    script(CHECKPOINTS, environment).succeeded()


@pytest.mark.slow
def test_data_are_prepared_in_a_bucket_as_on_a_disk(environment, tmp_path):
    def prepare(*arguments: object) -> None:
        processes.ran("prepare", *arguments, "--shards", 2, env=environment).last()

    engine = "--beam=--runner=DirectRunner"
    prepare("synthetic", "--sequences", 8, "--split", "none", "--out", tmp_path / "set")
    prepare("synthetic", "--sequences", 8, "--split", "none", "--out", "gs://bucket/set", engine)
    source = ("--source", "gs://bucket/set/kaggle", "--processes", 1)
    prepare("fingerspelling", *source, "--split", "none", "--out", "gs://bucket/again")
    here = {f"set/{name}": data for name, data in trees.contents(tmp_path / "set").items()}
    there = {}
    for name, link in listed(environment).items():
        if name.startswith(("set/", "again/")):
            with urllib.request.urlopen(link) as data:
                there[name] = data.read()
        else:  # No temporary folder is left.
            assert name.startswith(("run/", "sets/", "other/"))
    assert {name for name in there if name.startswith("set/")} == here.keys()
    assert [name for name in here if there[name] != here[name]] == []
    for name in ("fingerspelling-train.tfrecord-00001-of-00002", "index-train.npz", "summary.json"):
        assert there[f"again/{name}"] == here[f"set/{name}"]


OVERWRITTEN = """
import fsspec
from etils import epath
from aslx.prepare import building
from aslx.storage import files, remote_files

out = epath.Path("gs://bucket/sets/set")

def fill(text, overwrite=True):
    with building.scratch(out, overwrite=overwrite) as scratch:
        for name in ("metadata.json", "dataset_info.json", f"shards/{text}"):
            files.write(scratch / "out" / name, text)

def contents():
    names = sorted(path.name for path in out.parent.iterdir())
    assert names == [killed.name, "set"], names
    fs, top = fsspec.url_to_fs(str(out))
    names = [name.removeprefix(f"{top}/") for name in fs.find(top)]
    return sorted(names), (out / "metadata.json").read_text()

def whole(text):
    return (["dataset_info.json", "metadata.json", f"shards/{text}"], text)

killed = out.parent / ".set.incomplete-killed"
files.write(killed / "out" / "a", "of another run")
fill("old", overwrite=False)
assert contents() == whole("old")
copy = remote_files.copy
for place in range(1, 4):  # The first copy fails, then the second; there is no third.
    calls = []
    def failing(source, target, last):
        calls.append(target)
        if len(calls) == place:
            copy(source, target, last="nothing")
            raise ConnectionResetError("the storage is away")
        copy(source, target, last)
    remote_files.copy = failing
    try:
        fill("new")
    except ConnectionResetError:
        assert contents() == whole("old"), (place, contents())
    else:
        assert place == 3
assert contents() == whole("new")
remote_files.copy = copy
try:
    with files.writing(out / "half") as f:
        f.write(b"half")
        raise KeyboardInterrupt
except KeyboardInterrupt:
    assert not (out / "half").exists()
for keeping, left in ((True, ["a", "b/c", "d"]), (False, ["b/c", "d"])):
    files.write(out.parent / "export" / "a", "a")
    with files.replacing_folder(out.parent / "export", keeping=keeping) as folder:
        files.write(folder / "b" / "c", "c")
        (folder / "d").write_text("d")
    fs, top = fsspec.url_to_fs(str(out.parent / "export"))
    assert [name.removeprefix(f"{top}/") for name in fs.find(top)] == left
assert (killed / "out" / "a").exists()
"""


def test_a_data_set_in_a_bucket_is_replaced_only_by_a_whole_one_whatever_fails(environment):
    done = script(OVERWRITTEN, environment)
    killed = "gs://bucket/sets/.set.incomplete-killed"
    assert {*done.err.splitlines()} == {f"{killed} is of another run that works or was killed"}
    done.succeeded()
