"""The command: what it prints, what it refuses, and that its bytes depend on input and options."""

import dataclasses
import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from aslx.data import records
from aslx.prepare import __main__ as command
from tests import processes
from tests.prepare import kaggle


def test_it_prints_a_summary_and_ends_with_one_json_line(prepare, source, tmp_path):
    done = prepare(source, tmp_path / "out")
    result = done.last()
    assert not done.err
    assert result["path"] == str(tmp_path / "out") and result["dropped"] == 0
    assert result["reasons"] == {}
    assert result["clips"] == {"train": 12, "validation": 2, "test": 2}
    summary = done.out.splitlines()
    assert "16 of 16 sequences kept" in summary[0]
    assert any(line.split()[:3] == ["train", "12", "6"] for line in summary)
    assert kaggle.left(tmp_path) == ["out"]


def test_a_note_says_what_could_not_be_split(prepare, tmp_path):
    source = kaggle.write(tmp_path / "kaggle", kaggle.some(12, signers=1, frames=4))
    done = prepare(source, tmp_path / "out")
    note = "1 signer is too few for 3 parts: split by phrase alone"
    assert done.out.startswith(f"split: {note}\n")
    assert records.read_metadata(tmp_path / "out")["split"] == {
        "asked": "signer-and-phrase", "done": "phrase", "note": note,
        "validation": 0.1, "test": 0.1, "seed": 0,
    }  # fmt: skip


def test_synthetic_data_take_the_same_path(run, prepare, tmp_path):
    flags = ("--split", "none", "--seed", "3")
    a, b = tmp_path / "a", tmp_path / "b"
    made = run(command, "synthetic", "--sequences", "6", "--out", a, *kaggle.FLAGS, *flags)
    assert made.status == 0 and prepare(a / "kaggle", b, *flags).status == 0
    parquet = next((a / "kaggle" / "train_landmarks").iterdir())
    columns = {"frame", "sequence_id", *kaggle.SELECTION.columns}
    assert set(pq.read_schema(parquet).names) == columns
    assert len(records.Records(b, "train")) == 6
    for path in b.glob("*.*"):
        if path.name != "metadata.json":
            assert path.read_bytes() == (a / path.name).read_bytes(), path
    assert records.read_metadata(a)["source"].startswith("synthetic ")


def test_what_was_put_right_and_who_signs_is_told(prepare, tmp_path):
    lines = kaggle.some(12, frames=4)
    for i, phrase in enumerate([" no 1 st", "no 2 st ", "\tno 3\u00a0", "no  4"]):
        lines[i] = dataclasses.replace(lines[i], phrase=phrase)
    source = kaggle.write(tmp_path / "kaggle", lines)
    names = ["P01", "", "7.0", "Zoë"] * 3
    rows = zip(lines, names, strict=True)
    text = "".join(f'{line.path},{line.id},{name},"{line.phrase}"\n' for line, name in rows)
    (source / "train.csv").write_text(" path , sequence_id, participant_id, phrase\n" + text)
    path = source / lines[0].path
    shuffled = np.random.default_rng(0).permutation(pq.read_metadata(path).num_rows)
    pq.write_table(pq.read_table(path).take(shuffled).sort_by("sequence_id"), path)
    out = tmp_path / "out"
    done = prepare(source, out, "--split=none")
    assert done.status == 0 and not done.err
    assert "  6 clips had frames out of order: sorted\n" in done.out
    assert "  3 clips had spaces at the ends of the phrase: left out\n" in done.out
    assert "  3 clips of unknown signers, taken for one\n" in done.out
    data = records.Records(out, "train")
    found = {fields["sequence_id"].int64_list.value[0]: fields for fields in data}
    for line, name in zip(lines, names, strict=True):
        fields, known = found[line.id], {"": -1, "7.0": 7}
        (signer,) = fields["signer"].int64_list.value
        assert fields["phrase"].bytes_list.value == [line.phrase.strip().encode()]
        assert fields["landmarks"].bytes_list.value == [kaggle.half(line).tobytes()]
        assert signer == known[name] if name in known else data.metadata["signers"][str(signer)]
    assert set(data.metadata["signers"].values()) == {"P01", "Zoë"}
    report = json.loads((out / "summary.json").read_text())
    assert report["phrase length"]["max"] == max(len(line.phrase.strip()) for line in lines)
    assert report["frames"]["max"] == max(line.frames for line in lines)


def rewrite(path, *replacements):
    text = path.read_text()
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)


def foreign(source):
    lines = [dataclasses.replace(line) for line in kaggle.some(16, frames=9)]
    lines[3] = dataclasses.replace(lines[3], phrase="café 7")
    kaggle.write_csv(source / "train.csv", lines)


def truncated(source):
    path = source / "train_landmarks" / "1.parquet"
    path.write_bytes(path.read_bytes()[:-1000])


def narrow(source):
    path = source / "train_landmarks" / "2.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["y_pose_15"]), path)


def twice(source):
    lines = kaggle.some(16)
    kaggle.write_csv(source / "train.csv", [*lines, lines[5]])


def empty(source):
    kaggle.write_csv(source / "train.csv", [])


def unlisted(source):
    lines = [dataclasses.replace(line, id=line.id + 1) for line in kaggle.some(16)]
    kaggle.write_csv(source / "train.csv", lines)


FAULTS = {
    "a phrase with a foreign character": (
        foreign, (), "train.csv line 5, sequence 1021: phrase 'café 7' has the character 'é'"),
    "no csv": (lambda s: (s / "train.csv").unlink(), (), "has no train.csv and no supplemental_m"),
    "no csv wanted": (lambda s: None, ("--no-train", "--no-supplemental"), "has no csv left"),
    "an empty csv": (empty, (), "train.csv list no sequence"),
    "a csv that lacks a column": (
        lambda s: rewrite(s / "train.csv", ("participant_id", "person")), (),
        "has no column 'participant_id'; it has path, file_id, sequence_id, person, phrase"),
    "a sequence_id that is no number": (
        lambda s: rewrite(s / "train.csv", (",1007,", ",x,")), (), 
        "train.csv line 3: sequence_id is 'x', and no whole number"),
    "a line that ends early": (
        lambda s: rewrite(s / "train.csv", (",1007,1,no", ",1007\nno")), (), "train.csv line 3"),
    "an encoding that is not UTF-8": (
        lambda s: (s / "train.csv").write_bytes((s / "train.csv").read_bytes() + b"\xff,\xfe"), (),
        "train.csv line 18 is no UTF-8 (byte 0xff): save it as UTF-8"),
    "a csv of semicolons": (
        lambda s: rewrite(s / "train.csv", (",", ";")), (), "train.csv parts its values by semic"),
    "a path out of the folder": (
        lambda s: rewrite(s / "train.csv", ("train_landmarks/2", "../kaggle/train_landmarks/2")),
        (), "train.csv line 10: '../kaggle/train_landmarks/2.parquet' leads out of the folder"),
    "a phrase of spaces": (
        lambda s: rewrite(s / "train.csv", (",0,no", ',0,"  "\n,,,,no')), (),
        "train.csv line 2, sequence 1000: an empty phrase; correct or remove the line"),
    "a map that is no object": (
        lambda s: (s / "character_to_prediction_index.json").write_text("[1]"), (),
        "character_to_prediction_index.json is no map of characters"),
    "a map that is no JSON": (
        lambda s: (s / "character_to_prediction_index.json").write_bytes(b"\xff{"), (),
        "character_to_prediction_index.json is damaged, it is no JSON"),
    "a sequence listed twice": (twice, (), "lists sequence 1035 of train_landmarks/1.parquet 2 ti"),
    "a missing parquet": (
        lambda s: (s / "train_landmarks" / "2.parquet").unlink(), (), "2.parquet is missing"),
    "a truncated parquet": (truncated, (), "1.parquet is damaged or no parquet file"),
    "a parquet that lacks a column": (narrow, (), "2.parquet has no column 'y_pose_15', which"),
    "a parquet of other sequences": (unlisted, (), "nothing to train on: 16 dropped: no frames"),
    "another map of characters": (
        lambda s: rewrite(s / "character_to_prediction_index.json", ('"a": 32', '"a": 33')), (),
        "maps 'a' to 33, and no character to 32"),
    "an unknown selection": (
        lambda s: None, ("--selection", "hands"), "no selection 'hands'; there are hands_arms"),
    "a share that cannot be": (
        lambda s: None, ("--test", "0.95"), "validation 0.1 and test 0.95 leave no share"),
    "no process": (lambda s: None, ("--processes", "0"), "--processes 0: needs 1 or more"),
    "a negative seed": (lambda s: None, ("--seed", "-1"), "--seed -1: needs 0 or more"),
    "a truncated parquet on an engine": (
        truncated, ("--beam=--runner=DirectRunner",), "1.parquet is damaged or no parquet file"),
    "an option that the engine does not know": (
        lambda s: None, ("--beam=--runner=DirectRunner --direct_worker=2",),
        "--beam '--runner=DirectRunner --direct_worker=2': Beam has no option --direct_worker"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_input_is_one_clear_line_and_leaves_nothing(fault, prepare, source, tmp_path):
    spoil, flags, words = FAULTS[fault]
    spoil(source)
    assert words in prepare(source, tmp_path / "out", *flags).refusal()
    assert kaggle.left(tmp_path) == []


def test_a_source_that_is_not_there_is_named(prepare, tmp_path):
    said = prepare(tmp_path / "x", tmp_path / "out").refusal()
    assert said == f"error: --source {tmp_path / 'x'} is no folder\n"


@pytest.mark.long
def test_the_bytes_depend_on_input_and_options_alone(prepare, source, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    words = ("fingerspelling", "--source", source, "--out", there, *kaggle.FLAGS[:2])
    plain = processes.environment(NO_COLOR="1")
    done = processes.ran("prepare", *words, "--processes", 2, env=plain)
    assert done.last()["clips"]["train"] == 12 and not done.err
    assert prepare(source, here).status == 0
    assert len(same_files(here, there)) > 12


def same_files(here, there):
    """The files of two folders, which are the same."""
    files, others = (
        {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
        for folder in (here, there)
    )
    assert files == others
    for name in files:
        assert (there / name).read_bytes() == (here / name).read_bytes(), name
    return files


@pytest.mark.parametrize(
    ("what", "workers"),
    [
        pytest.param(
            "fingerspelling",
            "--direct_num_workers=2 --direct_running_mode=multi_processing",
            marks=pytest.mark.slow,
        ),
        ("synthetic", "--direct_num_workers=1"),
    ],
)
def test_an_engine_writes_the_same_bytes(what, workers, run, source, tmp_path):
    options = ("--source", source) if what == "fingerspelling" else ("--sequences", "24")
    arguments = (what, *options, *kaggle.FLAGS, "--shards", "3")
    beam = f"--runner=DirectRunner {workers}"
    here, there = tmp_path / "here", tmp_path / "there"
    done = run(command, *arguments, "--out", here)
    by_engine = run(command, *arguments, "--out", there, f"--beam={beam}")
    assert done.status == 0 and by_engine.status == 0
    assert by_engine.out.splitlines()[:-2] == done.out.splitlines()[:-2]
    names = {path.name for path in same_files(here, there)}
    assert {"metadata.json", "index-train.npz", "summary.json", "clips.gif"} < names
    assert sum("train.tfrecord" in name for name in names) == 3
    assert kaggle.left(tmp_path) == ["here", "there"]


def test_it_refuses_what_it_does_not_know(run, prepare):
    refused = run(command, "fingerspelling", "--sauce", "x", "--out", "y")
    assert refused.status == 2 and "--source" in refused.err
    refused = prepare("x", "y", "--split", "half")
    assert refused.status == 2 and "signer-and-phrase" in refused.err


def test_a_kind_that_is_misspelt_is_one_line_with_the_nearest_first(run):
    said = run(command, "imagefolder", "--source", "a", "--out", "b").refusal()
    assert said.startswith(
        "error: there is no kind of data 'imagefolder': did you mean image_folder?"
    )
    assert all(kind in said for kind in command.KINDS)
    assert "none is near" in run(command, "x").refusal()


@pytest.mark.parametrize("kind", command.KINDS)
def test_a_kind_is_called_by_one_name_and_taken_with_hyphens_too(run, kind):
    shown = run(command, kind.replace("_", "-"), "--help")
    assert shown.status == 0 and f"usage: command {kind} [-h]" in shown.out
