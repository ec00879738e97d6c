"""The files for other runtimes answer as model.tflite does."""

import numpy as np
import pytest

from aslx.export import __main__ as export
from aslx.export import formats
from aslx.runs import evaluator, trained_run
from benchmarks import runtimes
from tests import tiny_runs


@pytest.fixture(scope="module")
def opened(learned) -> trained_run.Run:
    return learned("ctc")


@pytest.fixture(scope="module")
def clips(opened) -> list[np.ndarray]:
    evaluation = evaluator.Evaluation(opened.cfg, opened.mesh, "test")
    return [opened.source.pack(clip) for clip in evaluation.clips()]


@pytest.fixture(scope="module")
def expected(opened, clips) -> list[np.ndarray]:
    data = (opened.workdir / "export" / "model.tflite").read_bytes()
    return list(map(runtimes.tflite(data), clips))


@pytest.fixture(scope="module", params=formats.NAMES)
def answer(request, opened) -> runtimes.Runner:
    data = formats.written(request.param, opened.cfg, opened.model)
    return runtimes.RUNTIMES[formats.NAMES[request.param]](data)


def assert_same(opened, answer, clips, expected) -> None:
    texts = set()
    # They compile a program for each length of clip.
    for clip, outputs in zip(runtimes.padded(clips), expected, strict=True):
        found = answer(clip)
        assert found.shape == outputs.shape
        texts.add(opened.cfg.task.report.text(opened.cfg.task.read(outputs)))
        assert opened.cfg.task.read(found).text == opened.cfg.task.read(outputs).text
    assert len(texts) > len(clips) // 3


def test_another_runtime_reads_the_same_texts(opened, answer, clips, expected):
    assert_same(opened, answer, clips[:10], expected[:10])


def test_another_runtime_takes_any_number_of_frames(opened, answer, clips):
    stream = np.concatenate(clips)
    for frames in (1, 2, 500):
        found = answer(stream[:frames])
        assert np.isfinite(found).all() and found.shape[1] == len(opened.cfg.task.alphabet) + 1


@pytest.mark.slow
def test_another_runtime_reads_200_clips_the_same(opened, answer, clips, expected):
    assert len(clips) == tiny_runs.CLIPS
    assert_same(opened, answer, clips, expected)


@pytest.mark.slow
def test_an_export_has_the_formats_and_the_lengths_that_were_asked_for(run, opened, tmp_path):
    out = tmp_path / "export"
    words = ("--workdir", opened.workdir, "--out", out, "--clips", 0, "--fixed", 16, 64)
    run(export, *words, "--format", "tflite", *formats.NAMES).succeeded()
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert names >= {"model.tflite", *formats.NAMES.values(), "fixed/16.tflite", "fixed/64.tflite"}


@pytest.mark.parametrize("lengths", [(64, 16), (0, 8), (8, 8)])
def test_lengths_that_are_not_in_order_are_refused_before_the_run_is_opened(run, tmp_path, lengths):
    refusal = run(export, "--workdir", tmp_path, "--fixed", *lengths).refusal()
    assert f"--fixed {lengths[0]} {lengths[1]}: give lengths of 1 and more" in refusal
