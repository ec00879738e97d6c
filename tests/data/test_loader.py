"""The loader: a plan's batches as arrays, on any number of hosts and threads."""

import concurrent.futures
import contextlib
import dataclasses
import pathlib
import shutil
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aslx import errors
from aslx.data import framing, loader, plan, record_fields, records
from aslx.inputs import phrase_features
from aslx.schema import landmarks, vocab
from tests import tiny

WANTED = phrase_features.Modern().selection
FIELDS = (record_fields.landmarks_clip(tiny.SELECTION, WANTED), record_fields.Text(8, vocab.KAGGLE))


def batches(directory, epochs: int = 3, **changes) -> loader.Batches:
    data = records.Records(directory, "train")
    shapes = plan.Bucketed(frames=512, buckets=2).shapes(data.index.frames)
    train = plan.Train(data.index.frames, shapes, 0)
    return loader.Batches(data, train, epochs * train.steps_per_epoch, FIELDS, **changes)


def take(source: loader.Batches, n: int, start: int = 0, workers: int = 0) -> list[dict]:
    with contextlib.closing(iter(loader.stream(source, start=start, workers=workers))) as it:
        return [next(it) for _ in range(n)]


def assert_equal(a: list[dict], b: list[dict]) -> None:
    for x, y in zip(a, b, strict=True):
        assert x.keys() == y.keys()
        for name in x:
            np.testing.assert_array_equal(x[name], y[name])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_rows_of_a_batch_are_the_planned_records(dataset, data):
    found, points = records.Records(dataset, "train"), tiny.SELECTION.points
    count = data.draw(st.integers(1, 4))
    numbers = st.lists(st.integers(-1, len(found) - 1), min_size=count, max_size=count)
    first, second = (np.array(data.draw(numbers)) for _ in range(2))
    second[first == plan.NOTHING] = plan.NOTHING
    some = data.draw(st.lists(st.sampled_from(points), unique=True, min_size=1) | st.just(points))
    field = record_fields.landmarks_clip(tiny.SELECTION, landmarks.Selection("some", tuple(some)))
    one = plan.Batch(plan.Shape(120, count), first, second)
    read = (field, record_fields.SIGNER, record_fields.Text(16, vocab.KAGGLE))
    batch = loader.Batches(found, [one], 1, read)[0]
    assert batch["landmarks"].shape == (count, 120, len(some), 3)
    np.testing.assert_array_equal(batch["id"], first)
    for row, pair in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
        parsed = [found[i] for i in pair if i != plan.NOTHING]
        raw = b"".join(features["landmarks"].bytes_list.value[0] for features in parsed)
        every = np.frombuffer(raw, "<f2").reshape(-1, len(points), 3)
        clip = every[:, tiny.SELECTION.indices(*some)]
        padded = np.pad(clip, ((0, 120 - len(clip)), (0, 0), (0, 0)))
        assert batch["landmarks"][row].tobytes() == padded.tobytes()
        assert batch["length"][row] == len(clip) and batch["weight"][row] == bool(parsed)
        phrases = [features["phrase"].bytes_list.value[0].decode() for features in parsed]
        assert vocab.KAGGLE.decode(batch["tokens"][row]) == " ".join(phrases)
        signers = [features["signer"].int64_list.value[0] for features in parsed]
        assert batch["signer"][row] == (signers or [-1])[-1]


@pytest.mark.parametrize("workers", [0, 2])
def test_the_stream_can_start_anywhere(dataset, workers):
    source = batches(dataset)
    assert_equal(take(source, 9)[5:], take(source, 4, start=5, workers=workers))


@pytest.fixture
def corrupt(dataset, tmp_path) -> tuple[pathlib.Path, int]:
    """A copy with one damaged record, and its number."""
    copy = pathlib.Path(shutil.copytree(dataset, tmp_path / "copy"))
    tiny.damage(copy, "train", 7)
    return copy, 7


@pytest.mark.parametrize("workers", [0, 2])
def test_a_corrupt_record_is_an_error_that_names_file_and_offset(corrupt, workers):
    source = batches(corrupt[0], epochs=1)
    with pytest.raises(framing.CorruptRecord, match="at byte"):
        take(source, len(source), workers=workers)


def test_a_corrupt_record_has_weight_zero_where_it_may_be_skipped(corrupt, caplog):
    directory, number = corrupt
    source = batches(directory, epochs=1, skip_corrupt=True)
    epoch = take(source, len(source))
    ids = np.concatenate([b["id"] for b in epoch])
    weights = np.concatenate([b["weight"] for b in epoch])
    np.testing.assert_array_equal(weights == 0, (ids == number) | (ids == plan.NOTHING))
    assert "damaged payload" in caplog.text
    for batch in epoch:  # And nothing of its clip remains.
        assert not batch["landmarks"][batch["weight"] == 0].any()


def test_phrases_of_another_alphabet_are_read_and_longer_ones_are_marked(tmp_path):
    letters = "їжґ"
    data = records.Records(tiny.dataset(tmp_path, alphabet=letters), "train")
    alphabet = vocab.of_metadata(data.metadata)
    text = record_fields.Text(3, alphabet)
    text.check(data)
    assert alphabet.characters == letters and text.between == ""
    batch, rows = text.allocate(80, 1), np.arange(80)
    text.write(batch, rows, data, rows)
    long = 0
    for i in range(len(data)):
        phrase = data[i]["phrase"].bytes_list.value[0].decode()
        assert data.index.characters[i] == len(phrase)
        long += len(phrase) > 3
        if len(phrase) > 3:
            assert (batch["tokens"][i] == vocab.LONG).all()
        else:
            assert alphabet.decode(batch["tokens"][i]) == phrase
    assert 0 < long == text.long(data).sum() < 80
    joined = record_fields.Text(10, alphabet)
    batch = joined.allocate(1, 1)
    for i in (0, 1):
        joined.write(batch, np.array([0]), data, np.array([i]))
    both = b"".join(data[i]["phrase"].bytes_list.value[0] for i in (0, 1)).decode()
    assert alphabet.decode(batch["tokens"][0]) == both


def test_a_character_outside_of_the_alphabet_is_named_with_both_sizes(tmp_path):
    data = records.Records(tiny.dataset(tmp_path, alphabet="abї"), "train")
    message = (
        r"^train in .* has phrases with 'ї': its alphabet has 3 characters, and the model's 59 are "
        r"without it: [^\n]*$"
    )
    with pytest.raises(errors.BadInput, match=message):
        record_fields.Text(8, vocab.KAGGLE).check(data)


def test_too_long_phrases_are_an_error_that_names_their_number_the_longest_and_the_option(dataset):
    records = batches(dataset).records
    record_fields.Text(5, vocab.KAGGLE).check_fits(records)
    message = r"^\d+ of the 80 phrases of train in .*=1, the longest has 5 .* --task.max-tokens 5$"
    with pytest.raises(ValueError, match=message):
        record_fields.Text(1, vocab.KAGGLE).check_fits(records)


@pytest.mark.parametrize(
    ("field", "column", "name"),
    [
        (record_fields.Text(8, vocab.KAGGLE), "characters", "phrase"),
        (record_fields.LABEL, "label", "label"),
    ],
)
def test_records_that_lack_what_the_task_needs_are_an_error(dataset, field, column, name):
    records = batches(dataset).records
    values = np.full(80, 3)
    values[[7, 9]] = -1
    records.index = dataclasses.replace(records.index, **{column: values})
    with pytest.raises(ValueError, match=rf"^2 of the 80 records of train in .* have no {name}: "):
        field.check(records)


def test_a_negative_number_of_threads_is_refused(dataset):
    with pytest.raises(errors.BadInput, match=r"data\.workers -1: give 0 or more"):
        loader.stream(batches(dataset), workers=-1)


def test_threads_that_ask_at_once_are_answered_as_one_that_asks_in_order(dataset):
    source, again = batches(dataset, epochs=6), batches(dataset, epochs=6)
    order = np.random.default_rng(0).permutation(len(source)).tolist()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = dict(zip(order, pool.map(source.__getitem__, order), strict=True))
    assert_equal(
        [found[i] for i in range(len(source))], [*map(again.__getitem__, range(len(again)))]
    )


def test_a_checksum_lets_other_threads_run():
    large, seen = bytes(1 << 28), 0
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        done = pool.submit(framing.masked_crc, large)
        while not done.done():
            time.sleep(0.001)
            seen += 1
    assert seen > 2  # A thread that kept Python's lock would have been seen once, at its end.


def test_points_that_no_record_stores_are_an_error():
    with pytest.raises(ValueError, match="lacks pose_11"):
        record_fields.landmarks_clip(landmarks.HANDS_ARMS, landmarks.HOLISTIC130)
