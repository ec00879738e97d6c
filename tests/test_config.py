"""Configs: loading, overrides, and what run directories keep of them."""

import dataclasses
import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import aslx
from aslx import config, errors, optim
from aslx.augment import image_augment
from aslx.data import plan
from aslx.models import transformer
from aslx.storage import config_json
from tests import processes

QUICKSTART = processes.ROOT / "configs" / "quickstart.py"
# A config file that changes the config `plain`.
CHANGED = f"""
import dataclasses
from aslx import config
plain = config.load({str(QUICKSTART)!r})
get_config = lambda: dataclasses.replace(plain, CHANGES)
"""


@pytest.mark.parametrize("path", processes.CONFIGS, ids=lambda path: path.stem)
def test_every_config_is_read_as_it_was_saved_and_says_how_to_run_it(path, tmp_path):
    cfg = config.load(path)
    config.save(cfg, tmp_path / "config.json")
    assert config.read(tmp_path / "config.json") == cfg
    assert f"--config configs/{path.name}" in path.read_text()
    size = list(cfg.features.source.shape)
    # One prepared data set serves every config that reads landmarks.
    metadata = {"selection": "holistic130", "values": 1662, "size": size, "cutouts": True}
    cfg.features.source.field(metadata)


def test_overrides_reach_every_field_and_keep_its_type():
    args = ["--model.dim", "64", "--optim.peak-lr", "1", "--data.batching.frames", "100"]
    cfg = config.load("quickstart", args)
    assert isinstance(cfg.model, transformer.Config) and cfg.model.dim == 64
    assert cfg.optim.peak_lr == 1.0 and cfg.data.batching == plan.Bucketed(frames=100, buckets=2)


@pytest.mark.parametrize(("cores", "devices"), [(1, 1), (2, 2), (12, 8), (96, 16)])
def test_a_run_takes_as_many_cores_as_its_batches_divide_over_and_keeps_that_number(
    monkeypatch, tmp_path, cores, devices
):
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    plain = config.load("fingerspelling_lstm", ("--data.batching.rows", "48"))
    cfg = config.placed(plain, tmp_path)
    assert cfg.mesh.cpu_devices == devices
    config.claim(tmp_path, cfg)
    (tmp_path / "checkpoints" / "1").mkdir(parents=True)  # As after some training.
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert config.placed(plain, tmp_path) == cfg
    asked = config.load("fingerspelling_lstm", ("--mesh.cpu-devices", "3"))
    assert config.placed(asked, tmp_path) == asked


def test_another_config_may_take_a_directory_that_has_no_checkpoint(tmp_path):
    cfg = config.load("configs/quickstart.py")
    other = dataclasses.replace(cfg, seed=7)
    config.claim(tmp_path, cfg, {"data.train_split": "9 records, 12ab"})
    for name in ("notes.txt", "5.orbax-checkpoint-tmp"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
        config.claim(tmp_path, other)
    assert config.read(tmp_path / "config.json") == other
    assert config.data(tmp_path / "config.json") == {}
    (tmp_path / "checkpoints" / "damaged-5").mkdir()  # May still be of use.
    with pytest.raises(errors.BadInput, match=r"another config .seed: 0 here, 7 there"):
        config.claim(tmp_path, cfg)
    config.claim(tmp_path, dataclasses.replace(other, epochs=99))


def test_a_config_file_also_holds_the_fingerprints_of_the_data_sets(tmp_path):
    cfg, path = config.load("configs/quickstart.py"), tmp_path / "config.json"
    config.save(cfg, path, {"data.train_split": "9 records, 12ab"})
    assert config.read(path) == cfg
    assert config.data(path) == {"data.train_split": "9 records, 12ab"}
    path.write_text(path.read_text().replace('"9 records, 12ab"', "[]"))
    with pytest.raises(errors.BadInput, match="data_sets cannot be"):
        config.data(path)


def test_a_config_is_found_by_its_name_first_in_the_working_directory(monkeypatch, tmp_path):
    monkeypatch.chdir(processes.ROOT)
    whole = config.load("configs/quickstart.py")
    assert config.load("configs/quickstart") == whole
    monkeypatch.chdir(tmp_path)
    assert config.load("quickstart") == config.load("quickstart.py") == whole
    (tmp_path / "configs").mkdir()
    for name in ("quickstart", "mine"):
        (tmp_path / "configs" / f"{name}.py").write_text(CHANGED.replace("CHANGES", "seed=7"))
        assert config.load(name) == dataclasses.replace(whole, seed=7)
    with pytest.raises(errors.BadInput, match=r"no config file quick: .* mine, quickstart,"):
        config.load("quick")


def test_a_config_file_names_the_version_that_wrote_it_and_every_version_is_read(tmp_path):
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


def test_the_error_for_a_misspelt_field_names_the_right_one(capsys):
    with pytest.raises(SystemExit) as error:
        config.load("quickstart", ["--optim.peek-lr", "1"])
    assert error.value.code == 2 and "--optim.peak-lr" in capsys.readouterr().err


@settings(deadline=None)
@given(st.floats(0, 1), st.integers(1, 100))
def test_fields_that_differ_are_named_unless_a_run_may_change_them(rate, save_every):
    a = config.load("quickstart")
    b = dataclasses.replace(a, save_every=save_every, optim=optim.Config(peak_lr=rate))
    found = config.differences(config_json.to_json(a), config_json.to_json(b))
    assert all(d.startswith("optim.") for d in found)
    assert any(d.startswith("optim.peak_lr") for d in found) == (a.optim.peak_lr != rate)


def test_the_path_of_a_further_data_set_may_change_but_not_its_weight(tmp_path):
    file = tmp_path / "mixed.py"
    data = "dataclasses.replace(plain.data, also=(config.Source(path='here'),))"
    file.write_text(CHANGED.replace("CHANGES", f"data={data}"))
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


def test_a_tilde_in_a_config_means_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / "mine.py"
    data = "config.Data(path='~/set', also=(config.Source(path='~/more'),))"
    file.write_text(CHANGED.replace("CHANGES", f"data={data}, weights='~/w.h5'"))
    cfg = config.load(file)
    paths = [cfg.data.path, cfg.data.also[0].path, cfg.weights]
    assert paths == [f"{tmp_path}/{name}" for name in ("set", "more", "w.h5")]


def test_a_field_that_one_config_lacks_is_named():
    cfg = config_json.to_json(config.load("quickstart"))
    older = {k: v for k, v in cfg.items() if k != "patience"}
    assert config.differences(cfg, older) == ["patience: 0 here, nothing there"]


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
        ("", " has no function get_config()"),
        ('{"a": true}', ", line 1: NameError: name 'true' is not defined"),
    ],
)
def test_an_error_in_a_config_file_is_named_with_its_line(text, said, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(errors.BadInput) as error:
        config.load(path)
    assert str(error.value).startswith(str(path)) and said in str(error.value)


@pytest.mark.parametrize("call", ["json.loads('{')", "plan.Bucketed().shapes('x')"])
def test_an_error_inside_a_function_that_a_config_file_calls_keeps_its_traceback(call, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(f"import json\nfrom aslx.data import plan\n\ndef get_config():\n    {call}\n")
    with pytest.raises(Exception) as error:
        config.load(path)
    assert not isinstance(error.value, errors.BadInput)


def test_the_fields_of_an_augmentation_are_options():
    cfg = config.load("asl_alphabet_cnn", ["--augmentation.zoom", "0.3"])
    assert isinstance(cfg.augmentation, image_augment.Images)
    assert cfg.augmentation.zoom == 0.3
