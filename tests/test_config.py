"""Configs: typed, overridable, and readable again."""

import dataclasses
import json
import os
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

import aslx
from aslx import config, errors, optim
from aslx.data import plan
from aslx.models import transformer
from aslx.storage import config_json

ROOT = pathlib.Path(__file__).parent.parent
CONFIGS = sorted((ROOT / "configs").glob("*.py"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_every_config_survives_its_run_directory_and_says_how_to_run_it(path, tmp_path):
    cfg = config.load(path)
    config.save(cfg, tmp_path / "config.json")
    assert config.read(tmp_path / "config.json") == cfg
    assert f"--config configs/{path.name}" in path.read_text()
    size = list(cfg.features.source.shape)
    metadata = {"selection": "holistic130", "values": 1662, "size": size, "cutouts": True}
    cfg.features.source.field(metadata)  # One prepared data set serves all that read landmarks.


def test_overrides_reach_every_part_and_keep_its_type():
    args = ["--model.dim", "64", "--optim.peak-lr", "1", "--data.batching.frames", "100"]
    cfg = config.load(ROOT / "configs" / "quickstart.py", args)
    assert cfg.model.dim == 64 and isinstance(cfg.model, transformer.Config)
    assert cfg.optim.peak_lr == 1.0 and cfg.data.batching == plan.Bucketed(frames=100, buckets=2)


@pytest.mark.parametrize(("cores", "devices"), [(1, 1), (2, 2), (12, 8), (96, 16)])
def test_cores_are_as_many_devices_as_batches_divide_over_and_stay_so(
    monkeypatch, tmp_path, cores, devices
):
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    cfg = config.load("configs/fingerspelling_lstm.py", ("--data.batching.rows", "48"))
    cfg = config.placed(cfg, tmp_path)
    assert cfg.mesh.cpu_devices == devices
    config.claim(tmp_path, cfg)
    (tmp_path / "checkpoints" / "1").mkdir(parents=True)  # Else nothing was trained there.
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    again = config.load("configs/fingerspelling_lstm.py", ("--data.batching.rows", "48"))
    assert config.placed(again, tmp_path) == cfg
    asked = config.load("configs/fingerspelling_lstm.py", ("--mesh.cpu-devices", "3"))
    assert config.placed(asked, tmp_path) == asked


def test_a_directory_without_a_checkpoint_may_be_taken_by_another_config(tmp_path):
    cfg = config.load("configs/quickstart.py")
    other = dataclasses.replace(cfg, seed=7)
    config.claim(tmp_path, cfg, {"data.train_split": "9 records, 12ab"})
    for name in ("notes.txt", "5.orbax-checkpoint-tmp"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
        config.claim(tmp_path, other)
    assert config.read(tmp_path / "config.json") == other
    assert config.data(tmp_path / "config.json") == {}
    (tmp_path / "checkpoints" / "damaged-5").mkdir()  # Something to lose.
    with pytest.raises(errors.BadInput, match=r"another config .seed: 0 here, 7 there"):
        config.claim(tmp_path, cfg)
    config.claim(tmp_path, dataclasses.replace(other, epochs=99))


def test_what_is_noted_of_the_data_sets_is_no_field_of_the_config(tmp_path):
    cfg, path = config.load("configs/quickstart.py"), tmp_path / "config.json"
    config.save(cfg, path, {"data.train_split": "9 records, 12ab"})
    assert config.read(path) == cfg
    assert config.data(path) == {"data.train_split": "9 records, 12ab"}
    path.write_text(path.read_text().replace('"9 records, 12ab"', "[]"))
    with pytest.raises(errors.BadInput, match="data_sets cannot be"):
        config.data(path)


def test_a_config_may_be_called_by_its_name_and_one_of_the_working_directory_comes_first(
    monkeypatch, tmp_path
):
    monkeypatch.chdir(ROOT)
    whole = config.load("configs/quickstart.py")
    assert config.load("configs/quickstart") == whole
    monkeypatch.chdir(tmp_path)
    assert config.load("quickstart") == config.load("quickstart.py") == whole
    (tmp_path / "configs").mkdir()
    path = str(ROOT / "configs" / "quickstart.py")
    mine = f"from aslx import config\nget_config = lambda: config.load({path!r}, ['--seed', '7'])\n"
    for name in ("quickstart", "mine"):
        (tmp_path / "configs" / f"{name}.py").write_text(mine)
        assert config.load(name) == dataclasses.replace(whole, seed=7)
    with pytest.raises(errors.BadInput, match=r"no config file quick: .* mine, quickstart,"):
        config.load("quick")


def test_a_config_says_which_version_wrote_it_and_any_version_is_read(tmp_path):
    cfg, path = config.load("quickstart"), tmp_path / "config.json"
    config.save(cfg, path)
    form = json.loads(path.read_text())
    assert form["aslx"] == aslx.__version__
    for other in ({"aslx": "9.1"}, {"aslx": [9]}, {}):
        rest = {name: value for name, value in form.items() if name != "aslx"}
        path.write_text(json.dumps(rest | other))
        assert config.read(path) == cfg
    path.write_text(json.dumps(form | {"aslx": "9.1", "depth": 3}))
    with pytest.raises(errors.BadInput, match=r"no field depth.*'9.1' wrote the file"):
        config.read(path)


def test_a_misspelt_field_is_an_error_that_names_the_right_one(capsys):
    with pytest.raises(SystemExit) as error:
        config.load(ROOT / "configs" / "quickstart.py", ["--optim.peek-lr", "1"])
    assert error.value.code == 2 and "--optim.peak-lr" in capsys.readouterr().err


@given(st.floats(0, 1), st.integers(1, 100))
def test_what_differs_is_named_and_what_is_free_to_change_is_not(rate, save_every):
    a = config.load(ROOT / "configs" / "quickstart.py")
    b = dataclasses.replace(a, save_every=save_every, optim=optim.Config(peak_lr=rate))
    found = config.differences(config_json.to_json(a), config_json.to_json(b))
    assert all(d.startswith("optim.") for d in found)
    assert any(d.startswith("optim.peak_lr") for d in found) == (a.optim.peak_lr != rate)


def test_further_data_sets_may_move_but_not_weigh_otherwise(tmp_path):
    file = tmp_path / "mixed.py"
    file.write_text(
        "import dataclasses\nfrom aslx import config\n"
        f"plain = config.load({str(ROOT / 'configs' / 'quickstart.py')!r})\n"
        "data = dataclasses.replace(plain.data, also=(config.Source(path='here'),))\n"
        "get_config = lambda: dataclasses.replace(plain, data=data)\n"
    )
    a = config.load(file)
    config.save(a, tmp_path / "config.json")
    assert config.read(tmp_path / "config.json") == a
    moved, heavier = (
        config.load(file, args)
        for args in (["--data.also.0.path", "there"], ["--data.also.0.weight", "2"])
    )
    assert moved.data.also == (config.Source(path="there"),)
    assert not config.differences(config_json.to_json(a), config_json.to_json(moved))
    assert config.differences(config_json.to_json(a), config_json.to_json(heavier)) == [
        "data.also.weight: 1.0 here, 2.0 there"
    ]


def test_a_tilde_in_a_config_is_the_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / "mine.py"
    file.write_text(
        "import dataclasses\nfrom aslx import config\n"
        f"plain = config.load({str(ROOT / 'configs' / 'quickstart.py')!r})\n"
        "data = config.Data(path='~/set', also=(config.Source(path='~/more'),))\n"
        "get_config = lambda: dataclasses.replace(plain, data=data, weights='~/w.h5')\n"
    )
    cfg = config.load(file)
    paths = [cfg.data.path, cfg.data.also[0].path, cfg.weights]
    assert paths == [f"{tmp_path}/{name}" for name in ("set", "more", "w.h5")]


def test_a_field_that_one_config_lacks_is_named():
    cfg = config_json.to_json(config.load(ROOT / "configs" / "quickstart.py"))
    older = {k: v for k, v in cfg.items() if k != "patience"}
    assert config.differences(cfg, older) == ["patience: 0 here, nothing there"]


def test_a_file_without_a_config_is_an_error(tmp_path):
    (tmp_path / "x.py").write_text("")
    with pytest.raises(ValueError, match="no function get_config"):
        config.load(tmp_path / "x.py")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("from aslx.models import nosuch", ", line 1: ImportError: cannot import name 'nosuch'"),
        ("import nosuch", ", line 1: ModuleNotFoundError: No module named 'nosuch'"),
        ("def get_config(:", ", line 1: SyntaxError: invalid syntax"),
        ("x = 1\n\0", ", line 1: SyntaxError: source code"),
        ("# coding: nosuch", "SyntaxError: unknown encoding: nosuch"),
        ("from aslx import optim\n\nx = optim.nosuch", ", line 3: AttributeError: module 'aslx"),
        (
            "from aslx.models import transformer\ndef get_config():\n"
            "    return transformer.Config(dims=3)",
            ", line 3: TypeError: Config.__init__() got an unexpected keyword argument 'dims'",
        ),
        ("def get_config():\n    return nosuch", ", line 2: NameError: name 'nosuch' is not"),
        ("def get_config(n):\n    return n", ": TypeError: get_config() missing 1 required"),
        ("def get_config():\n    return 3", ": get_config() returns no config.Config: 3"),
        ("get_config = 3", " has no function get_config()"),
        ('{"a": true}', ", line 1: NameError: name 'true' is not defined"),
    ],
)
def test_a_fault_in_a_config_file_is_named_with_its_line(text, said, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(errors.BadInput) as error:
        config.load(path)
    assert str(error.value).startswith(str(path)) and said in str(error.value)


@pytest.mark.parametrize("call", ["json.loads('{')", "plan.Bucketed().shapes('x')"])
def test_a_fault_in_what_a_config_file_calls_may_be_a_bug(call, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(f"import json\nfrom aslx.data import plan\n\ndef get_config():\n    {call}\n")
    with pytest.raises(Exception) as error:
        config.load(path)
    assert not isinstance(error.value, errors.BadInput)


def test_the_fields_of_what_stands_in_a_config_are_options():
    cfg = config.load(ROOT / "configs" / "asl_alphabet_cnn.py", ["--augmentation.zoom", "0.3"])
    assert cfg.augmentation.zoom == 0.3
