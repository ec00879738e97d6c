"""A run's config.json: a form to fill in, of which nothing is called, imported or built that no
config has."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import pytest

from aslx import config, errors
from aslx.storage import config_json
from aslx.tasks import heads

ROOT = pathlib.Path(__file__).parent.parent.parent
CONFIGS = sorted((ROOT / "configs").glob("*.py"))
# Of each what a stranger could hope for: calls, imports, types that build or open something.
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
    """The path of every field, those inside of fields too."""
    found = []
    for name, inner in value.items():
        found.append((*at, name))
        if isinstance(inner, dict):
            found += places(inner, (*at, name))
    return found


def put(value: dict, place: tuple, new: object) -> dict:
    value = json.loads(json.dumps(value))
    inner = value
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = new
    return value


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_every_config_is_read_as_it_was_written(path):
    cfg = config.load(path)
    assert config_json.from_json(written(cfg), config.Config) == cfg


@pytest.mark.parametrize("name", ["quickstart", "asl_alphabet_cnn", "isolated_signs"])
def test_a_hostile_value_is_refused_in_every_field(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain, before = written(config.load(ROOT / "configs" / f"{name}.py")), set(sys.modules)
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
    plain = written(config.load(ROOT / "configs" / "quickstart.py"))
    with pytest.raises(errors.BadInput, match=said):
        config_json.from_json(put(plain, place, value), config.Config)


def test_a_field_that_is_missing_has_its_default_or_is_named():
    cfg = config.load(ROOT / "configs" / "quickstart.py")
    plain = written(cfg)
    older = {k: v for k, v in plain.items() if k != "seed"}
    assert config_json.from_json(older, config.Config) == dataclasses.replace(cfg, seed=0)
    with pytest.raises(errors.BadInput, match="no field model"):
        config_json.from_json({k: v for k, v in plain.items() if k != "model"}, config.Config)


def test_each_field_of_a_union_takes_what_it_declares():
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
        (None, "is not there"),
    ],
)
def test_a_file_that_is_no_config_is_named(tmp_path, text, said):
    path = tmp_path / "config.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(errors.BadInput, match=f"{path}.*{said}"):
        config.read(path)


@pytest.mark.parametrize(
    "command",
    [
        ("evaluate", "--workdir", "RUN"),
        ("predict", "--workdir", "RUN", "x.parquet"),
        ("export", "--workdir", "RUN"),
        ("label", "--workdir", "RUN", "--source", ".", "--out", "read.csv"),
        ("serve", "--workdir", "RUN"),
        ("train", "--config", "CONFIG", "--workdir", "RUN"),
        ("train", "--config", "CONFIG", "--workdir", "new", "--weights", "RUN",
         "--data.path", "DATA"),
    ],
    ids=lambda words: "-".join(w.strip("-") for w in words[:1] + words[5:6]),
)  # fmt: skip
def test_every_command_refuses_a_hostile_run_before_anything_happens(command, dataset, tmp_path):
    config_file = ROOT / "configs" / "quickstart.py"
    plain = written(config.load(config_file))
    run = tmp_path / "RUN"
    (run / "checkpoints" / "1").mkdir(parents=True)
    bait = tmp_path / "bait"
    hostile = {"type": "aslx.storage.files.write", "path": str(bait), "data": "x"}
    (run / "config.json").write_text(json.dumps(put(plain, ("data", "batching"), hostile)))
    known = {"RUN": str(run), "CONFIG": str(config_file), "DATA": str(dataset)}
    words = [known.get(w, w) for w in command]
    done = subprocess.run(
        [sys.executable, "-m", f"aslx.{words[0]}", *words[1:]],
        cwd=tmp_path, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "data.batching cannot be of type 'aslx.storage.files.write'" in done.stderr
    assert not bait.exists() and "Traceback" not in done.stderr
    assert sorted(p.name for p in run.iterdir()) == ["checkpoints", "config.json"]
