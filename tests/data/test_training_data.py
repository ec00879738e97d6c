"""Training on several data sets: the contents of their rows, and what is refused."""

import dataclasses
import pathlib
import shutil

import numpy as np
import pytest

from aslx import config
from aslx.data import loader, plan, record_fields, records, training_data
from aslx.inputs import phrase_features
from aslx.runs import opening
from aslx.schema import landmarks, vocab
from aslx.train import setup
from tests import tiny

WANTED = phrase_features.Modern().selection


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> pathlib.Path:
    """40 clips that store other points than `dataset` does."""
    directory = tmp_path_factory.mktemp("other")
    return tiny.dataset(directory, {"train": [25, 15]}, landmarks.HANDS_ARMS, seed=1)


def cfg(dataset, **data) -> config.Config:
    plain = tiny.cfg(dataset)
    return dataclasses.replace(plain, data=dataclasses.replace(plain.data, **data))


def batches(found: training_data.Pool, count: int = 0, **options) -> loader.Batches:
    """The first `count` batches; by default those of one epoch."""
    train = found.train(found.shapes(plan.Bucketed(frames=1024, buckets=2), 0), 0)
    return found.batches(train, count or train.steps_per_epoch, **options)


def joins(source: loader.Batches, i: int) -> np.ndarray:
    """The second record of each row of batch i."""
    second = source.plan[i].second
    assert second is not None
    return second


def read(source: loader.Batches) -> list[dict]:
    return [source[i] for i in range(len(source))]


def clip_of(data: records.Records, i: int) -> np.ndarray:
    stored = landmarks.selection(data.metadata["selection"])
    raw = np.frombuffer(data[i]["landmarks"].bytes_list.value[0], "<f2")
    return raw.reshape(-1, len(stored.points), 3)[:, stored.indices(*WANTED.points)]


def phrase_of(data: records.Records, i: int) -> str:
    return data[i]["phrase"].bytes_list.value[0].decode()


def test_rows_contain_the_records_of_their_source_whatever_points_it_stores(dataset, other):
    found = opening.training(cfg(dataset, also=(config.Source(path=str(other)),)))
    splits = [records.Records(path, "train") for path in (dataset, other)]
    seen = []
    source = batches(found)
    for batch in read(source):
        for row, (number, at) in enumerate(zip(batch["source"], batch["id"], strict=True)):
            if batch["weight"][row]:
                clip = clip_of(splits[number], at)
                assert batch["length"][row] == len(clip)
                np.testing.assert_array_equal(batch["landmarks"][row, : len(clip)], clip)
                assert vocab.KAGGLE.decode(batch["tokens"][row]) == phrase_of(splits[number], at)
                seen.append((int(number), int(at)))
    assert sorted(seen) == [(0, i) for i in range(80)] + [(1, i) for i in range(40)]


def test_a_joined_row_contains_both_clips_and_both_phrases_with_a_space_between(dataset, other):
    also = (config.Source(path=str(other)),)
    found = opening.training(cfg(dataset, also=also, join=1.0))
    splits = [records.Records(path, "train") for path in (dataset, other)]
    source, joined = batches(found), 0
    for i, batch in enumerate(read(source)):
        first, second = source.plan[i].records, joins(source, i)
        for row in np.flatnonzero(second != plan.NOTHING):
            data = splits[batch["source"][row]]
            a, b = (int(x[row]) - 80 * batch["source"][row] for x in (first, second))
            assert batch["id"][row] == a and data.index.signer[a] == data.index.signer[b]
            both = np.concatenate([clip_of(data, a), clip_of(data, b)])
            assert batch["length"][row] == len(both)
            np.testing.assert_array_equal(batch["landmarks"][row, : len(both)], both)
            assert not batch["landmarks"][row, len(both) :].any()
            text = f"{phrase_of(data, a)} {phrase_of(data, b)}"
            assert vocab.KAGGLE.decode(batch["tokens"][row]) == text
            joined += 1
    assert joined > 10


@pytest.mark.parametrize("hosts", [2, 4])
def test_hosts_together_read_the_same_mixture_as_one_from_any_batch_on(dataset, other, hosts):
    also = (config.Source(path=str(other), weight=0.7, one_per_phrase=True),)
    found = opening.training(cfg(dataset, also=also, join=0.5, limit=60))
    whole = [*loader.stream(batches(found, 20), start=3)]
    parts = [read(batches(found, 20, shard=i, num_shards=hosts))[3:] for i in range(hosts)]
    for one, *some in zip(whole, *parts, strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], np.concatenate([part[name] for part in some]))


def test_a_resumed_run_on_a_mixture_continues_with_the_next_batches(dataset, other):
    also = (config.Source(path=str(other), weight=0.5),)
    setups = [setup.of(cfg(dataset, also=also, join=0.3, workers=w)) for w in (0, 1)]
    with setups[0].batches(0, 1) as first, setups[1].batches(5, 1) as second:
        whole = [np.asarray(batch["landmarks"]) for batch in first]
        rest = [np.asarray(batch["landmarks"]) for batch in second]
    assert len(whole) == setups[0].steps == 2 * setups[0].steps_per_epoch
    for a, b in zip(whole[5:], rest, strict=True):
        np.testing.assert_array_equal(a, b)


def test_limited_records_are_evenly_spaced_over_the_split_and_keep_their_numbers(dataset):
    data = training_data.evenly(records.Records(dataset, "train"), 10)
    assert data.number.tolist() == list(range(0, 80, 8))
    whole = records.Records(dataset, "train")
    assert [phrase_of(data, i) for i in range(10)] == [phrase_of(whole, 8 * i) for i in range(10)]
    assert len(training_data.evenly(whole, 0)) == len(training_data.evenly(whole, 99)) == 80
    limited = opening.training(cfg(dataset, limit=10))
    ids = np.concatenate([batch["id"] for batch in read(batches(limited))])
    assert sorted(ids[ids != plan.NOTHING]) == list(range(0, 80, 8))


def test_phrases_that_a_model_read_with_less_confidence_are_left_out(dataset):
    data = records.Records(dataset, "train")
    assert (data.index.confidence == 1).all()
    sure = np.linspace(0, 1, 80, dtype=np.float32)
    data.index = dataclasses.replace(data.index, confidence=sure)
    kept = training_data.confident(data, 0.75).number
    np.testing.assert_array_equal(kept, np.flatnonzero(sure >= 0.75))
    with pytest.raises(ValueError, match=r"has the confidence 1\.1: ask for less"):
        training_data.confident(data, 1.1)


def test_a_joined_row_with_a_corrupt_half_has_weight_zero_where_it_may_be_skipped(
    dataset, tmp_path
):
    copy = pathlib.Path(shutil.copytree(dataset, tmp_path / "copy"))
    source = batches(opening.training(cfg(copy, join=1.0)), skip_corrupt=True)
    number = next(i for i in range(len(source)) if (joins(source, i) != plan.NOTHING).any())
    row = np.flatnonzero(joins(source, number) != plan.NOTHING)[0]
    tiny.damage(copy, "train", int(joins(source, number)[row]))
    weight = source[number]["weight"]
    assert weight[row] == 0
    assert weight.sum() == (source.plan[number].records != plan.NOTHING).sum() - 1


def test_impossible_mixtures_are_refused_with_the_option_at_fault(dataset, other):
    with pytest.raises(ValueError, match=rf"{other} with the weight 0\.001 is never visited"):
        opening.training(cfg(dataset, also=(config.Source(path=str(other), weight=0.001),)))
    with pytest.raises(ValueError, match=r"data\.join=2: it is a share"):
        opening.training(cfg(dataset, join=2))
    data = records.Records(dataset, "train")
    labelled = training_data.Pool(((data, (record_fields.LABEL,)),))
    with pytest.raises(ValueError, match=r"data\.join=0\.5: only phrases can be joined"):
        labelled.joining(0.5)
    data.index = dataclasses.replace(data.index, phrase=np.full(80, -1))
    with pytest.raises(ValueError, match="has no phrases to visit one record of each"):
        labelled.adding(data, (), 1.0, one_per_phrase=True)
