"""How soon a streaming network writes, as `evaluate` tells it."""

import jax
import numpy as np
import pytest

from aslx import evaluate
from aslx.decode import decoding_options
from aslx.export import stream_graph, stream_reading
from aslx.runs import evaluator, stream_delays, trained_run
from aslx.tasks import metrics


@pytest.fixture(scope="module")
def streamed(learned) -> trained_run.Run:
    return learned("streaming")


def test_delays_are_those_of_the_stream_frame_by_frame(streamed):
    evaluation = evaluator.Evaluation(streamed.cfg, streamed.mesh, "test", limit=40)
    found = stream_delays.measured(streamed, evaluation)
    stream = stream_graph.of(streamed.cfg, streamed.model)
    names, rests = streamed.cfg.task.alphabet.characters, decoding_options.Rests(hand=0, pause=0)
    given = stream.start, jax.jit(stream.step), stream.chunk, names, rests.frames(stream.rate)
    delays, early = [], 0
    for i, clip in enumerate(evaluation.clips()):
        reader, frames = stream_reading.StreamReader(*given), list(streamed.source.pack(clip))
        read = [*reader.add(frames), *reader.end()]
        at = [(w.character, r.frames - 1) for r in read for w in r.written]
        holds = np.frombuffer(evaluation.data[i]["holds"].bytes_list.value[0], "<i4").reshape(-1, 2)
        early += sum(frame < holds[0, 0] for _, frame in at)
        ends, mine = iter(holds[:, 1]), iter(at)
        for wanted, got in metrics.align(evaluation.targets[i], "".join(c for c, _ in at)):
            end = next(ends) if wanted else 0
            frame = next(mine)[1] if got else 0
            if wanted and wanted == got:
                delays.append((frame - end) / 30 * 1000)
    assert found["delays"] == len(delays) > 20 and found["false_starts"] == early
    np.testing.assert_allclose(
        [found["delay_ms_p50"], found["delay_ms_p95"]], np.quantile(delays, [0.5, 0.95]), atol=0.1
    )


@pytest.mark.long
def test_evaluate_writes_the_delays_of_a_streaming_network_alone(run, streamed, learned, tmp_path):
    done = run(evaluate, "--workdir", streamed.workdir, "--out", tmp_path / "streamed")
    assert done.last()["delays"] > 20 and "ms after the last frame in which it is held" in done.out
    others = "--workdir", learned("ctc").workdir, "--out", tmp_path / "whole"
    assert "delays" not in run(evaluate, *others).last()
