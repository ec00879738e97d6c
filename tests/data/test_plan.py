"""The plan: which records are in batch i."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aslx.data import plan

lengths = st.lists(st.integers(0, 900), min_size=1, max_size=300).map(np.array)
batchings = st.one_of(
    st.builds(
        plan.Bucketed,
        frames=st.integers(64, 8192),
        buckets=st.integers(1, 10),
        multiple=st.sampled_from([1, 2, 8]),
        cap=st.sampled_from([0, 1, 96, 384]),
    ),
    st.builds(plan.Fixed, rows=st.integers(1, 64)),
)


def real(batches: list[plan.Batch]) -> np.ndarray:
    records = np.concatenate([b.records for b in batches])
    return records[records != plan.NOTHING]


@settings(max_examples=100, deadline=None)
@given(lengths, batchings, st.integers(0, 3))
def test_an_epoch_visits_every_record_once_in_batches_of_its_length(lengths, batching, seed):
    shapes = batching.shapes(lengths)
    train = plan.Train(lengths, shapes, seed)
    batches = [train[i] for i in range(train.steps_per_epoch)]
    assert sorted(real(batches)) == list(range(len(lengths)))
    for batch in batches:
        assert batch.shape in shapes and len(batch.records) == batch.shape.rows
        held = batch.records[batch.records != plan.NOTHING]
        assert len(held) and lengths[held].max() <= batch.shape.frames


@settings(max_examples=50, deadline=None)
@given(lengths, batchings, st.integers(0, 3))
def test_rows_of_a_batch_are_sorted_by_signer_and_rows_without_a_record_come_last(
    lengths, batching, seed
):
    shapes, signers = batching.shapes(lengths), np.arange(len(lengths)) * 7 % 5 - 1
    one = plan.Train(lengths, shapes, seed, signers=signers)
    other = plan.Train(lengths, shapes, seed)
    for i in range(one.steps_per_epoch):
        records = one[i].records
        held = records[records != plan.NOTHING]
        assert (np.diff(signers[held]) >= 0).all() and (records[len(held) :] == plan.NOTHING).all()
        assert sorted(records) == sorted(other[i].records)


@settings(max_examples=50, deadline=None)
@given(lengths, batchings)
def test_evaluation_visits_every_record_once(lengths, batching):
    assert sorted(real(plan.evaluation(lengths, batching.shapes(lengths)))) == list(
        range(len(lengths))
    )


@settings(max_examples=50, deadline=None)
@given(lengths, st.integers(1, 4))
def test_no_other_choice_of_edges_pads_fewer_frames(lengths, buckets):
    edges = plan.bucket_edges(lengths, buckets)
    step = plan.FRAME_STEP
    candidates = sorted({max(step, -(-int(n) // step) * step) for n in lengths})
    assert edges[-1] == candidates[-1] and len(edges) <= buckets

    def computed(edges):
        return sum(next(e for e in edges if n <= e) for n in lengths)

    if len(candidates) <= 9:
        chosen = itertools.combinations(candidates[:-1], min(buckets, len(candidates)) - 1)
        assert computed(edges) == min(computed([*c, candidates[-1]]) for c in chosen)


def kaggle_lengths(rng: np.random.Generator) -> np.ndarray:
    """Clip lengths with the real set's mean, spread and maximum: 159.7, 84.2 and 807 frames."""
    mean, std = 159.7, 84.2
    drawn = rng.gamma((mean / std) ** 2, std**2 / mean, 67_208)
    return np.clip(drawn.round(), 1, 807).astype(int)


@pytest.mark.parametrize(("buckets", "cap"), [(12, 0), (10, 384)])
def test_at_kaggles_lengths_nine_of_ten_computed_frames_are_real(buckets, cap):
    lengths = kaggle_lengths(np.random.default_rng(0))
    shapes = plan.Bucketed(frames=16384, buckets=buckets, cap=cap).shapes(lengths)
    assert len(shapes) == buckets
    train, seen = plan.Train(lengths, shapes, 0), cap or lengths.max()
    batches = [train[i] for i in range(train.steps_per_epoch)]
    computed = sum(min(b.shape.frames, seen) * b.shape.rows for b in batches)
    assert np.minimum(lengths, seen).sum() / computed >= 0.90


def test_every_epoch_seed_and_salt_has_an_order_of_its_own():
    lengths = np.full(64, 10)
    shapes = plan.Fixed(rows=64).shapes(lengths)
    one = plan.Train(lengths, shapes, 1)
    others = plan.Train(lengths, shapes, 2), plan.Train(lengths, shapes, 1, salt=1)
    orders = [one[0], one[1], *(other[0] for other in others)]
    assert len({tuple(batch.records) for batch in orders}) == 4


def test_batches_of_all_shapes_have_about_the_same_frames():
    lengths = kaggle_lengths(np.random.default_rng(0))
    shapes = plan.Bucketed(frames=16384, buckets=6, multiple=4).shapes(lengths)
    sizes = [s.frames * s.rows for s in shapes]
    assert max(sizes) / min(sizes) < 1.3 and all(s.rows % 4 == 0 for s in shapes)


def test_a_clip_longer_than_every_shape_is_an_error():
    with pytest.raises(ValueError, match="900 frames"):
        plan.epoch(np.array([5, 900]), [plan.Shape(64, 2)], np.arange(2))
