"""An exported file answers as JAX does, and in the form that Kaggle asks for."""

import csv
import json
import pathlib
import subprocess
import sys
import venv
import zipfile
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ai_edge_litert import schema_py_generated as schema

from aslx import errors
from aslx.export import comparison, conversion, exporting, float16_weights, tflite
from aslx.export import exported as exported_lib
from aslx.models import fingerspelling_lstm
from aslx.runs import evaluator, opening, trained_run
from aslx.schema import landmarks, vocab
from tests import tiny, tiny_runs

ROOT = pathlib.Path(__file__).parent.parent.parent
HOSTILE = (0, 1, 2, 5, 31, 32, 33, 128, 807, 2000)


@pytest.fixture(
    scope="module",
    params=[
        "ctc",
        *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("decoder", "positions")),
    ],
)
def run(request, learned) -> trained_run.Run:
    return learned(request.param)


@pytest.fixture(scope="module")
def exported(run) -> bytes:
    return (run.workdir / "export" / "model.tflite").read_bytes()


@pytest.fixture(scope="module")
def columns(run) -> list[str]:
    return list(run.cfg.features.selection.columns)


@pytest.fixture(scope="module")
def submission(run, exported, tmp_path_factory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("export") / "submission.zip"
    path.write_bytes(exporting.submission(exported, run.cfg.features.source.submission))
    return path


def compared(run, models) -> dict:
    evaluation = evaluator.Evaluation(run.cfg, run.mesh, "test")
    return comparison.compare(evaluation, run.cfg, run.model, models)


def test_the_exported_text_is_jaxs_on_200_clips(run, exported):
    report = compared(run, {"none": exported})["none"]
    assert report["clips"] == tiny_runs.CLIPS and report["same_text"] == 1.0
    assert report["score"] == report["score_jax"]


def test_float16_weights_change_one_text_in_a_hundred_at_most(run, exported):
    models = {"float16": float16_weights.halved(exported)}
    report = compared(run, models)["float16"]
    assert report["same_text"] >= 0.99


def test_int8_weights_make_a_file_that_answers_and_names_the_runtime_it_needs(
    run, exported, columns
):
    model = conversion.convert(run.cfg, run.model, "int8")
    assert len(model) < len(exported)
    assert conversion.runtime(exported) < "2.14" < conversion.runtime(model) < "3"
    outputs = tflite.runner(model)(inputs=np.zeros((20, len(columns)), np.float32))["outputs"]
    assert outputs.shape[1] == vocab.KAGGLE.pad + 1


def test_int8_activations_score_as_float_ones(run, exported):
    validation = evaluator.Evaluation(run.cfg, run.mesh, "validation")
    samples = [run.source.pack(clip) for clip in validation.clips()]
    model = conversion.convert(run.cfg, run.model, "int8_static", samples=samples)
    assert len(model) < len(exported)
    codes: Any = schema.ModelT.InitFromPackedBuf(model, 0)
    found = {code.builtinCode for code in codes.operatorCodes}
    assert schema.BuiltinOperator.QUANTIZE in found  # What makes activations int8.
    assert conversion.runtime(model) == "unknown"
    report = compared(run, {"int8_static": model})["int8_static"]
    assert report["score"] > report["score_jax"] - 0.01


@pytest.mark.parametrize("kind", ["nan", "zeros", "random", "huge"])
def test_hostile_clips_of_any_length_are_answered_with_characters(exported, columns, kind):
    answer, rng = tflite.runner(exported), np.random.default_rng(0)
    clips = {
        "nan": lambda shape: np.full(shape, np.nan),
        "zeros": np.zeros,
        "random": lambda shape: np.where(rng.random(shape) < 0.1, np.nan, rng.random()),
        "huge": lambda shape: rng.normal(size=shape) * 1e4,
    }
    for t in HOSTILE:
        outputs = answer(inputs=clips[kind]((t, len(columns))).astype(np.float32))["outputs"]
        assert np.isfinite(outputs).all() and outputs.shape[1] == vocab.KAGGLE.pad + 1
        assert set(vocab.KAGGLE.of_rows(outputs)) <= set(vocab.KAGGLE.characters)


@pytest.mark.parametrize("rows", tiny_runs.FIXED)
def test_a_model_of_fixed_length_reads_every_shorter_clip_as_the_other_does(
    run, exported, columns, rows
):
    whole, rng = tflite.runner(exported), np.random.default_rng(0)
    fixed = tflite.runner((run.workdir / "export" / "fixed" / f"{rows}.tflite").read_bytes())
    test = evaluator.Evaluation(run.cfg, run.mesh, "test").clips()
    stream = np.concatenate([landmarks.columns(clip) for clip in test])
    texts = set()
    for t in range(rows + 1) if rows < 100 else (0, 1, 65, 128, 500, rows - 1, rows):
        start = int(rng.integers(len(stream) - t))
        clip, frames = stream[start : start + t], np.array([t], np.int32)
        expected = whole(inputs=clip)["outputs"]
        for padding in (np.nan, 0.7):
            inputs = np.full((rows, len(columns)), padding, np.float32)
            inputs[:t] = clip
            found = fixed(inputs=inputs, frames=frames)["outputs"]
            assert vocab.KAGGLE.of_rows(found) == vocab.KAGGLE.of_rows(expected), t
        texts.add(vocab.KAGGLE.of_rows(expected))
    # The published LSTM says much the same of every clip.
    assert len(texts) > 5 or isinstance(run.cfg.model, fingerspelling_lstm.Config)


def test_model_json_describes_inputs_and_outputs(run, columns):
    cfg = run.cfg
    scores = [{"name": "score", "value": 0.5, "on": "validation"}]
    said = json.loads(json.dumps(exporting.about(cfg, run.step, scores, None)))
    assert said == {
        "step": run.step,
        "scores": scores,
        "input": {
            "kind": "columns",
            "shape": ["t", len(columns)],
            "columns": columns,
        },
        "max_frames": cfg.features.max_frames,
        "task": "transcription",
        "answers": list(vocab.KAGGLE.characters),
    }
    said = exporting.about(cfg, run.step, [], (64, 512))
    assert said["web"][0] == {"frames": 64, "file": "fixed/64.tflite"}


@pytest.fixture(scope="module")
def competition(run, columns, tmp_path_factory) -> pathlib.Path:
    """The test split in the layout of the competition."""
    source = tmp_path_factory.mktemp("competition")
    evaluation = evaluator.Evaluation(run.cfg, run.mesh, "test")
    rows, tables = [], []
    for i, clip in enumerate(evaluation.clips()):
        sequence = int(evaluation.data[i]["sequence_id"].int64_list.value[0])
        rows.append(("clips.parquet", sequence, evaluation.targets[i]))
        index = pd.Index([sequence] * len(clip), name="sequence_id")
        tables.append(pd.DataFrame(landmarks.columns(clip), index, columns))
    pd.concat(tables).to_parquet(source / "clips.parquet")
    with open(source / "train.csv", "w", newline="") as f:
        csv.writer(f).writerows([("path", "sequence_id", "phrase"), *rows])
    index = {c: i for i, c in enumerate(vocab.KAGGLE.characters)}
    (source / "character_to_prediction_index.json").write_text(json.dumps(index))
    return source


def kaggle_evaluator(python: str, submission: pathlib.Path, source: pathlib.Path) -> dict:
    script = ROOT / "tests" / "kaggle_evaluator.py"
    done = subprocess.run(
        [python, str(script), str(submission), str(source)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def scored(submission, competition) -> dict:
    """The zip's results in Kaggle's evaluator."""
    return kaggle_evaluator(sys.executable, submission, competition)


def test_kaggles_evaluator_scores_the_zip_as_we_score_the_run(run, scored):
    evaluation = evaluator.Evaluation(run.cfg, run.mesh, "test")
    answers, _ = evaluation.run(run.model)
    assert list(scored["texts"].values()) == [answer.text for answer in answers]
    assert scored["score"] == evaluation.score(answers)["score"]


@pytest.fixture(scope="session")
def tflite_runtime() -> str:
    """The Python of an environment with tflite-runtime 2.14, which Kaggle's evaluator used."""
    if sys.version_info[:2] != (3, 11) or sys.platform != "linux":
        pytest.skip("tflite-runtime 2.14 has wheels for Python 3.11 on Linux at the latest")
    home = ROOT / ".cache" / "tflite-runtime"
    python = str(home / "bin" / "python")
    if not (home / "ready").exists():
        venv.create(home, clear=True)
        pins = ["tflite-runtime==2.14.0", "numpy==1.26.4", "pandas==2.2.3", "pyarrow==18.1.0"]
        pip = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-compile"]
        subprocess.run([*pip, *pins], check=True)
        (home / "ready").touch()
    return python


@pytest.mark.long
def test_tflite_runtime_answers_a_clip_of_no_frames(tflite_runtime, exported, tmp_path):
    (tmp_path / "model.tflite").write_bytes(exported)
    code = (
        "import sys, numpy as np\n"
        "from tflite_runtime.interpreter import Interpreter\n"
        "run = Interpreter(model_path=sys.argv[1]).get_signature_runner('serving_default')\n"
        "columns = run.get_input_details()['inputs']['shape_signature'][1]\n"
        "assert len(run(inputs=np.zeros((0, columns), np.float32))['outputs'])\n"
    )
    subprocess.run([tflite_runtime, "-c", code, str(tmp_path / "model.tflite")], check=True)


@pytest.mark.long
def test_tflite_runtime_answers_the_same(tflite_runtime, submission, competition, scored):
    theirs = kaggle_evaluator(tflite_runtime, submission, competition)
    assert theirs["runtime"] == "tflite_runtime" and theirs["texts"] == scored["texts"]


def test_the_zip_holds_the_model_and_its_columns_and_no_date(columns, submission, exported):
    with zipfile.ZipFile(submission) as z:
        assert sorted(z.namelist()) == ["inference_args.json", "model.tflite"]
        assert json.loads(z.read("inference_args.json")) == {"selected_columns": columns}
        assert z.read("model.tflite") == exported
        assert {i.date_time for i in z.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_a_zip_that_kaggle_would_refuse_is_not_made(monkeypatch):
    monkeypatch.setattr(exporting, "MAX_ZIP", 1000)
    noise = np.random.default_rng(0).bytes(5000)
    with pytest.raises(errors.BadInput, match="--quantize float16 or int8"):
        exporting.submission(noise, {})


@pytest.mark.long
def test_another_alphabet_is_exported_with_its_characters_and_without_a_submission(
    tmp_path, capsys
):
    (tmp_path / "data").mkdir()
    data = tiny.dataset(tmp_path / "data", {"train": [2], "test": [3]}, alphabet="їжґ")
    workdir = tiny_runs.untrained(opening.settled(tiny.cfg(data)), tmp_path / "run")
    done = exporting.export_run(workdir)
    assert "no submission.zip: the competition reads 59 characters" in capsys.readouterr().out
    assert done.file == "model.tflite" and not (done.folder / "submission.zip").exists()
    export = exported_lib.open_export(str(done.folder))
    assert export.about.answers == ["ї", "ж", "ґ"]
    run = trained_run.open_run(workdir)
    clips = list(evaluator.Evaluation(run.cfg, run.mesh, "test").clips())
    for outputs in export.answers(clips):
        assert outputs.shape[1] == 4 and set(export.report(outputs)["text"]) <= set("їжґ")
