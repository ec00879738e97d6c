"""`predict --stream`: a line for each character, as the hand spells."""

import itertools

import numpy as np
import pytest

from aslx.predict import __main__ as predict
from aslx.runs import evaluator, trained_run
from tests import tiny


@pytest.fixture(scope="module")
def streamed(learned) -> trained_run.Run:
    return learned("streaming")


@pytest.fixture(scope="module")
def clips(streamed) -> list[np.ndarray]:
    test = evaluator.Evaluation(streamed.cfg, streamed.mesh, "test")
    return list(itertools.islice(test.clips(), 20))


def test_predict_prints_the_text_as_it_grows(run, streamed, clips, tmp_path):
    tiny.parquet(tmp_path / "clip.parquet", {7: clips[0]}, streamed.source.selection)
    options = ("--workdir", streamed.workdir, "--stream")
    *grown, last = run(predict, tmp_path / "clip.parquet", *options).lines()
    assert [line["text"] for line in grown] == [last["text"][: i + 1] for i in range(len(grown))]
    assert len(grown) == len(last["text"]) > 0
    seconds = [line["seconds"] for line in grown]
    assert seconds == sorted(seconds) and seconds[-1] <= round(len(clips[0]) / 30, 2)


@pytest.fixture(scope="module")
def unstreamed(learned) -> trained_run.Run:
    return learned("ctc")


def test_a_network_of_whole_clips_has_no_stream(run, unstreamed, clips, streamed, tmp_path):
    tiny.parquet(tmp_path / "clip.parquet", {7: clips[0]}, streamed.source.selection)
    options = ("--workdir", unstreamed.workdir, "--stream")
    said = "this network reads whole clips: train a streaming config first"
    assert said in run(predict, tmp_path / "clip.parquet", *options).refusal()
