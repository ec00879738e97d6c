"""The folder of an export stands whole or not at all, and is opened as one whole or not at all."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from aslx import errors
from aslx.export import __main__ as export
from aslx.export import exported, exporting, exports
from tests import killed, trees

ROOT = pathlib.Path(__file__).parent.parent.parent

ABOUT = {
    "step": 1,
    "scores": [],
    "task": "transcription",
    "answers": ["a"],
    "input": {"kind": "keypoints", "shape": ["t", 4]},
    "web": [{"file": "web/64.tflite"}],
}


def written(out: pathlib.Path, step: int) -> None:
    killed.write(out, ABOUT, step)


def test_an_export_says_its_files_and_is_opened_with_them(tmp_path):
    written(tmp_path / "new" / "export", 7)
    found = exported.open_export(tmp_path / "new" / "export")
    assert found.about.step == 7 and not found.replaced
    assert {name: file.read() for name, file in found.files.items()} == killed.files(7)
    assert (tmp_path / "new" / "export" / "report.json").exists()


def test_what_was_opened_outlives_the_export_that_replaces_it(tmp_path):
    written(tmp_path / "export", 1)
    found = exported.open_export(tmp_path / "export")
    written(tmp_path / "export", 2)
    assert found.replaced and not exported.open_export(tmp_path / "export").replaced
    assert {name: file.read() for name, file in found.files.items()} == killed.files(1)
    assert json.loads(found.described)["step"] == 1
    assert {path.name for path in tmp_path.iterdir()} == {"export"}


def test_an_export_says_of_which_step_the_one_is_that_it_replaces(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(exporting, "_opened", lambda *_: None)
    monkeypatch.setattr(exporting.conversion, "check_versions", lambda: None)
    monkeypatch.setattr(exporting, "_evaluation", lambda *_: None)
    monkeypatch.setattr(exporting, "_converted", lambda *_: {}["ends here"])
    out = tmp_path / "export"

    def said() -> str:
        with pytest.raises(KeyError, match="ends here"):
            exporting.export_run(tmp_path, str(out))
        return capsys.readouterr().out

    assert not said()
    written(out, 7)
    assert said() == f"replacing the export of step 7 in {out}\n"
    (out / "model.json").write_text("{")
    assert said() == f"replacing a damaged export in {out}\n"


@pytest.mark.skipif(sys.platform != "linux", reason="exchanges two names at once")
@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_a_kill_at_any_line_leaves_the_old_export_or_the_new(tmp_path, step):
    words = [sys.executable, "-m", "tests.killed", str(tmp_path), str(step)]
    done = subprocess.run(words, cwd=ROOT, check=True, stdout=subprocess.PIPE)
    seen = json.loads(done.stdout)
    assert set(seen) == {1, 2} and seen == sorted(seen) and len(seen) > 50 // step


@pytest.mark.parametrize("name", ["thesis.tex", "web/notes.txt", "model.json.bak", "checkpoints/1"])
def test_a_folder_with_other_files_is_not_replaced(tmp_path, name):
    written(tmp_path, 1)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    before = trees.contents(tmp_path)
    for refused in (lambda: exports.check(tmp_path), lambda: written(tmp_path, 2)):
        with pytest.raises(errors.BadInput, match="no part of an export"):
            refused()
    assert trees.contents(tmp_path) == before


def test_an_out_that_is_no_folder_is_refused_before_anything_is_made(tmp_path):
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(errors.BadInput, match="is a file: give a folder"):
            exports.check(out)
    exports.check(tmp_path / "new" / "folder")
    assert not (tmp_path / "new").exists()


def test_a_link_to_a_folder_stays_one(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "export")
    written(tmp_path / "export", 1)
    written(tmp_path / "link", 2)
    assert (tmp_path / "link").is_symlink()
    assert exported.open_export(tmp_path / "export").about.step == 2


def test_files_of_two_exports_are_not_served(tmp_path):
    written(tmp_path / "one", 1)
    written(tmp_path / "two", 2)
    for name in ("model.tflite", "web/64.tflite", "model.json"):
        before = (tmp_path / "one" / name).read_bytes()
        (tmp_path / "one" / name).write_bytes((tmp_path / "two" / name).read_bytes())
        with pytest.raises(errors.BadInput, match=r"is not the file .* export again"):
            exported.open_export(tmp_path / "one")
        (tmp_path / "one" / name).write_bytes(before)
    (tmp_path / "one" / "web" / "64.tflite").unlink()
    with pytest.raises(errors.BadInput, match=r"64\.tflite is missing: export again"):
        exported.open_export(tmp_path / "one")


HOSTILE = {
    "a step that is text": ABOUT | {"step": "1"},
    "a name that leads out": ABOUT | {"files": {"../secret": {"bytes": 1, "sha256": ""}}},
    "a name with a root": ABOUT | {"files": {"/etc/passwd": {"bytes": 1, "sha256": ""}}},
    "a name two folders deep": ABOUT | {"files": {"a/b/c": {"bytes": 1, "sha256": ""}}},
    "a page's file that leads out": ABOUT | {"web": [{"file": "../secret"}]},
    "a page's file that is not described": ABOUT | {"web": [{"file": "web/7.tflite"}]},
    "a shape of billions": ABOUT | {"input": {"kind": "keypoints", "shape": ["t", 2**40]}},
    "an image of no size": ABOUT | {"input": {"kind": "image", "shape": ["t", 4, 3]}},
    "a clip of no frames": ABOUT | {"input": {"kind": "keypoints", "shape": [4, 4]}},
    "other columns than values": ABOUT
    | {"input": {"kind": "columns", "shape": ["t", 4], "columns": ["a"]}},
    "an unknown task": ABOUT | {"task": "os.system"},
    "answers that are no text": ABOUT | {"answers": [{}]},
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_strangers_model_json_is_data_of_a_known_form_or_refused(tmp_path, case):
    (tmp_path / "secret").write_text("s")
    written(tmp_path / "export", 1)
    path = tmp_path / "export" / "model.json"
    whole, said = json.loads(path.read_text()), HOSTILE[case]
    said = whole | said | {"files": whole["files"] | said.get("files", {})}
    path.write_text(json.dumps(said))
    with pytest.raises(errors.BadInput, match="export again") as refused:
        exported.open_export(tmp_path / "export")
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 500


def test_a_pipe_or_a_link_out_of_the_folder_is_no_file_of_an_export(tmp_path):
    written(tmp_path / "export", 1)
    labels = tmp_path / "export" / "labels.txt"
    labels.unlink()
    os.mkfifo(labels)
    with pytest.raises(errors.BadInput, match=r"labels\.txt is missing"):
        exported.open_export(tmp_path / "export")
    labels.unlink()
    labels.symlink_to("/etc/passwd")
    with pytest.raises(errors.BadInput, match="is not the file"):
        exported.open_export(tmp_path / "export")


def test_the_command_refuses_such_a_folder_before_anything_else(tmp_path, run):
    (tmp_path / "thesis.tex").write_text("mine")
    done = run(export, "--workdir", tmp_path / "none", "--out", tmp_path)
    (line,) = done.err.splitlines()
    assert done.status == 2 and line.startswith(f"error: {tmp_path} holds thesis.tex, which is no")
