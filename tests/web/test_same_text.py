"""The same text from the page, the interpreter and JAX; and a file opened in the page gives what
aslx.predict prints."""

import csv
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aslx.export import tflite
from aslx.runs import evaluator, trained_run
from aslx.schema import landmarks, vocab
from tests import processes, tiny
from tests.web import conftest

pytestmark = pytest.mark.long

READ = """
  const models = await import("/web/reader/model.js");
  const { characters, text } = await import("/web/reader/text.js");
  window.reading ??= await models.open("/model/", "/vendor/");
  const model = window.reading;
  const values = model.about.input.shape[1];
  const clip = given.map((row) => Float32Array.from(row, (x) => x ?? NaN));
  return text({ done: characters(await model.clip(clip), model.about.answers) });
"""


def rows(clip: np.ndarray) -> list[list]:
    """Of JSON; NaN as null."""
    return [[None if np.isnan(x) else float(x) for x in row] for row in clip]


def test_50_clips_have_the_same_text_in_the_page_in_python_and_in_jax(run, browser, transcriber):
    evaluation = evaluator.Evaluation(run.cfg, run.mesh, "test", limit=50)
    of_jax = [answer.text for answer in evaluation.run(run.model)[0]]
    model = (run.workdir / "export" / "model.tflite").read_bytes()
    interpreter = tflite.runner(model)
    clips = [landmarks.columns(clip) for clip in evaluation.clips()]
    of_python = [vocab.KAGGLE.of_rows(interpreter(inputs=clip)["outputs"]) for clip in clips]
    with conftest.visit(browser, transcriber) as page:
        of_page = [conftest.ran(page, READ, rows(clip)) for clip in clips]
    assert len(of_page) == 50 and len(set(of_page)) > 20
    assert of_page == of_python == of_jax


def test_a_clip_of_any_length_has_the_same_text_in_the_page(run, browser, transcriber):
    interpreter = tflite.runner((run.workdir / "export" / "model.tflite").read_bytes())
    clips = evaluator.Evaluation(run.cfg, run.mesh, "test", limit=50).clips()
    stream = np.concatenate([landmarks.columns(clip) for clip in clips])
    with conftest.visit(browser, transcriber) as page:
        for frames in (0, 1, 5, 63, 64, 65, 200, 512):
            text = conftest.ran(page, READ, rows(stream[:frames]))
            assert text == vocab.KAGGLE.of_rows(interpreter(inputs=stream[:frames])["outputs"]), (
                frames
            )
        # A longer one keeps as many frames as the page's longest model holds, evenly.
        kept = stream[((np.arange(512) + 0.5) * 900 / 512).astype(int)]
        text = conftest.ran(page, READ, rows(stream[:900]))
        assert text == vocab.KAGGLE.of_rows(interpreter(inputs=kept)["outputs"])


def learned(run: trained_run.Run, path: pathlib.Path) -> dict[str, str]:
    """Writes clips like those that the run has learned to read into a parquet; their phrases."""
    evaluation, tables = evaluator.Evaluation(run.cfg, run.mesh, "test", limit=50), []
    phrases = dict(zip(map(str, range(len(evaluation.targets))), evaluation.targets, strict=True))
    names = tiny.selection(run.cfg).columns
    for number, clip in enumerate(evaluation.clips()):
        columns = dict(zip(names, landmarks.columns(clip).T, strict=True))
        frames = {"frame": np.arange(len(clip)), "sequence_id": np.full(len(clip), number)}
        tables.append(pa.table(frames | columns))
    pq.write_table(pa.concat_tables(tables), path)
    return phrases


def test_an_opened_parquet_gives_letter_for_letter_what_predict_prints(
    run, browser, transcriber, shared, tmp_path
):
    folder = shared / "fingerspelling_sample"
    files = [next(folder.glob(f"*/{name}.parquet")) for name in ("5414472", "33432165")]
    files.append(tmp_path / "learned.parquet")
    phrases = learned(run, files[-1])
    printed = processes.ran("predict", "--workdir", run.workdir, *files).lines()
    with conftest.visit(browser, transcriber) as page:
        names, texts = [], []
        for file in files:
            conftest.read(page, file)
            names += page.locator("#results .name").all_text_contents()
            texts += page.locator("#results .read").all_text_contents()
    assert len(names) == len(printed) == 28 + len(phrases)
    read = dict(zip(names, texts, strict=True))
    assert read == {str(line["sequence_id"]): line["text"] for line in printed}
    # The model has not learned the hands of the sample, and may read the same in all of them. Of
    # what it has learned to read, a third is read right: no two clips were mixed up.
    right = [read[name] == phrase for name, phrase in phrases.items()]
    assert np.mean(right) > 0.15 and len({read[name] for name in phrases}) > 20


@pytest.mark.parametrize(
    ("plain", "other"),
    [
        ("frames_out_of_order/base3", "frames_out_of_order/frames_out_of_order"),
        ("zeros_for_lost/nan", "zeros_for_lost/zeros"),
    ],
)
def test_a_parquet_of_shuffled_frames_or_zeros_has_the_text_of_the_plain_one(
    browser, transcriber, shared, plain, other
):
    with conftest.visit(browser, transcriber) as page:
        found = []
        for name in (plain, other):
            file = shared / "reported" / f"{name}.parquet"
            conftest.read(page, file)
            found.append(page.locator("#results button").all_inner_texts())
    assert found[0] == found[1] and len(found[0]) > 1


def test_a_file_that_is_no_clip_is_refused_in_words(browser, transcriber, shared, tmp_path):
    source = shared / "asl_signs_sample"
    with open(source / "train.csv", newline="") as f:
        other = source / next(csv.DictReader(f))["path"]
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(b"PAR1 and nothing")
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no film")
    said = {
        other: "no column sequence_id and 126 more, which the model reads",
        damaged: "parquet file invalid",
        broken: "This browser cannot play it",
    }
    with conftest.visit(browser, transcriber) as page:
        for file, words in said.items():
            page.set_input_files("#file", str(file))
            page.wait_for_selector("#card.problem")
            assert f"{file.name} cannot be read" in page.inner_text("#card-title")
            assert words in page.inner_text("#card-help")
