"""config.json of a run that a stranger made: reading it calls, imports and builds nothing but the
dataclasses of configs."""

import dataclasses
import json
import sys

import pytest

from aslx import config, errors, evaluate, label
from aslx.export import __main__ as export
from aslx.predict import __main__ as predict
from aslx.serve import __main__ as serve
from aslx.storage import config_json
from aslx.tasks import heads
from aslx.train import __main__ as training

# Attacks of every kind: calls, imports, and types that open or create something.
HOSTILE = (
    {"type": "os.system", "command": "touch HERE"},
    {"type": "aslx.storage.files.write", "path": "HERE", "data": "x"},
    {"type": "aslx.config.load", "path": "HERE"},
    {"type": "aslx.config.importlib.import_module", "name": "antigravity"},
    {"type": "importlib.import_module", "name": "antigravity"},
    {"type": "subprocess.Popen", "args": "touch HERE", "shell": True},
    {"type": "pathlib.Path", "args": ["HERE"]},
    {"type": "aslx.train.setup.Setup", "cfg": None},
    {"type": "aslx.runs.trained_run.Run", "workdir": "HERE"},
    {"type": "aslx.decode.ngrams.Prior", "order": 2},
    {"type": "aslx.kernels.lstm.Activation", "name": "relu"},
    {"type": "aslx.models.transformer.nnx.Linear"},
    {"type": "aslx.models.transformer.dataclasses.make_dataclass", "cls_name": "x", "fields": []},
    {"type": "aslx.data.records.Records", "directory": "HERE", "split": "train"},
    {"type": ["aslx.optim.Config"]},
    {"type": None},
    {},
)


def written(cfg: config.Config) -> dict:
    return json.loads(json.dumps(config_json.to_json(cfg)))


def places(value: dict, at: tuple = ()) -> list[tuple]:
    """The path of every field, nested ones too."""
    found = []
    for name, inner in value.items():
        found.append((*at, name))
        if isinstance(inner, dict):
            found += places(inner, (*at, name))
    return found


def put(value: dict, place: tuple, new: object) -> dict:
    """A copy in which the field at a path is `new`."""
    value = json.loads(json.dumps(value))
    inner = value
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = new
    return value


@pytest.mark.parametrize("name", ["quickstart", "asl_alphabet_cnn", "isolated_signs"])
def test_a_hostile_value_is_refused_in_every_field(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config.load("asl_alphabet_cnn")  # What augments images imports more of JAX than others do.
    plain, before = written(config.load(name)), set(sys.modules)
    for hostile in HOSTILE:
        for place in [(), *places(plain)]:
            for value in (hostile, [hostile]):
                changed = put(plain, place, value) if place else value
                with pytest.raises(errors.BadInput):
                    config_json.from_json(changed, config.Config)
    assert set(sys.modules) - before <= {n for n in sys.modules if n.startswith("aslx.")}
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("optim", "peak_lr"), "1e-3", r"optim\.peak_lr cannot be '1e-3'"),
        (("epochs",), 1.5, "epochs cannot be 1.5"),
        (("epochs",), True, "epochs cannot be True"),
        (("data", "path"), None, r"data\.path cannot be None"),
        (("data", "also"), ["elsewhere"], r"data\.also\.0 cannot be 'elsewhere'"),
        (("model",), None, "model cannot be None"),
        (("model", "dims"), 3, r"no field model\.dims"),
        (("task", "head"), {"type": "aslx.optim.Config"}, r"task\.head cannot be of type"),
        (("model",), {"type": "aslx.optim.Config"}, "model cannot be of type"),
    ],
)
def test_a_value_of_another_type_names_its_field(place, value, said):
    plain = written(config.load("quickstart"))
    with pytest.raises(errors.BadInput, match=said):
        config_json.from_json(put(plain, place, value), config.Config)


def test_a_missing_field_has_its_default_or_is_named():
    cfg = config.load("quickstart")
    plain = written(cfg)
    older = {k: v for k, v in plain.items() if k != "seed"}
    assert config_json.from_json(older, config.Config) == dataclasses.replace(cfg, seed=0)
    with pytest.raises(errors.BadInput, match="no field model"):
        config_json.from_json({k: v for k, v in plain.items() if k != "model"}, config.Config)


def test_a_field_of_a_union_takes_every_type_of_it():
    for head in (heads.CTC(), heads.Autoregressive(), heads.PerPosition()):
        declared = heads.PerPosition | heads.Autoregressive | heads.CTC
        assert config_json.from_json(config_json.to_json(head), declared, "head") == head


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no JSON"),
        ("{}", "cannot be of type None"),
        ("[" * 100_000, "no JSON"),
        ("nothing", "no JSON"),
    ],
)
def test_a_file_that_is_no_config_is_named(tmp_path, text, said):
    path = tmp_path / "config.json"
    with pytest.raises(errors.BadInput, match=f"{path} is not there"):
        config.read(path)
    path.write_text(text)
    with pytest.raises(errors.BadInput, match=f"{path}.*{said}"):
        config.read(path)


INTO = ("--config", "quickstart", "--workdir")


@pytest.mark.usefixtures("train")  # It lets the command train in this process.
@pytest.mark.parametrize(
    ("command", "words"),
    [
        (evaluate, ("--workdir", "RUN")),
        (predict, ("--workdir", "RUN", "x.parquet")),
        (export, ("--workdir", "RUN")),
        (label, ("--workdir", "RUN", "--source", ".", "--out", "read.csv")),
        (serve, ("--workdir", "RUN")),
        (training, (*INTO, "RUN")),
        (training, (*INTO, "x", "--weights", "RUN", "--data.path", "DATA")),
    ],
    ids=["evaluate", "predict", "export", "label", "serve", "train", "train-weights"],
)
def test_every_command_refuses_a_hostile_run_before_anything_happens(
    command, words, dataset, tmp_path, monkeypatch, run
):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "RUN"
    (folder / "checkpoints" / "1").mkdir(parents=True)
    bait = tmp_path / "bait"
    hostile = {"type": "aslx.storage.files.write", "path": str(bait), "data": "x"}
    changed = put(written(config.load("quickstart")), ("data", "batching"), hostile)
    (folder / "config.json").write_text(json.dumps(changed))
    known = {"RUN": folder, "DATA": dataset}
    done = run(command, *(known.get(word, word) for word in words))
    assert done.status == 2 and "Traceback" not in done.err, done.err
    assert "data.batching cannot be of type 'aslx.storage.files.write'" in done.err
    assert not bait.exists()
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoints", "config.json"]
