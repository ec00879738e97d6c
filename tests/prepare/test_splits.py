"""Parts of a split share nothing, and lose few clips."""

import collections
from typing import get_args

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from aslx.prepare import splits

TABLES = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 40), st.integers(0, 9)), min_size=1, max_size=120
)


def assigned(method, table, **options):
    signers, phrases, files = zip(*table, strict=True)
    return splits.assign(method, signers=signers, phrases=phrases, files=files, **options)


def sharing(split, column):
    """Values of a column that are in more than one part."""
    parts = collections.defaultdict(set)
    for part, value in zip(split.parts, column, strict=True):
        if part:
            parts[value].add(part)
    return [value for value, names in parts.items() if len(names) > 1]


@hypothesis.given(TABLES, st.integers(0, 99))
def test_parts_share_no_signer_and_no_phrase(table, seed):
    split = assigned("signer-and-phrase", table, seed=seed)
    signers, phrases, _ = zip(*table, strict=True)
    if split.method in ("signer-and-phrase", "signer"):
        assert not sharing(split, signers)
    if split.method in ("signer-and-phrase", "phrase"):
        assert not sharing(split, phrases)
    assert (split.method == "signer-and-phrase") == (not split.note)


@hypothesis.given(TABLES, st.sampled_from(["signer", "phrase"]), st.integers(0, 99))
def test_a_split_by_signer_or_by_phrase_drops_nothing(table, method, seed):
    split = assigned(method, table, seed=seed)
    column = [row[0] if method == "signer" else row[1] for row in table]
    assert None not in split.parts
    assert not sharing(split, column)
    if split.method == method:
        assert set(split.parts) == set(splits.PARTS)
    else:
        assert len(set(column)) < 3 and split.method == "none" and split.note


@hypothesis.given(TABLES, st.sampled_from(get_args(splits.Method)), st.integers(0, 99))
def test_the_same_seed_gives_the_same_split(table, method, seed):
    assert assigned(method, table, seed=seed) == assigned(method, table, seed=seed)


@hypothesis.given(st.integers(0, 99))
def test_unique_phrases_lose_no_clip(seed):
    rng = np.random.default_rng(seed)
    table = [(signer, phrase, 0) for phrase, signer in enumerate(rng.integers(0, 30, 600).tolist())]
    split = assigned("signer-and-phrase", table, seed=seed)
    shares = collections.Counter(split.parts)
    assert split.method == "signer-and-phrase" and shares[None] == 0
    assert 40 <= shares["validation"] <= 80 and 40 <= shares["test"] <= 80


def test_few_phrases_by_all_signers_are_still_held_out():
    table = [(signer, phrase, 0) for signer in range(20) for phrase in range(50)]
    split = assigned("signer-and-phrase", table)
    # 16 signers keep 40 phrases, 2 and 2 keep 5 and 5: the most that two apart allow.
    assert collections.Counter(split.parts) == {
        "train": 640, "validation": 10, "test": 10, None: 340
    }  # fmt: skip


@pytest.mark.parametrize(
    ("table", "method", "words"),
    [
        ([(i % 2, i, 0) for i in range(40)], "phrase", "2 signers are too few for 3 parts"),
        ([(7, i, 0) for i in range(40)], "phrase", "1 signer is too few for 3 parts"),
        ([(i, i % 2, 0) for i in range(40)], "signer", "2 phrases are too few for 3 parts"),
        ([(1, 1, 0)] * 4, "none", "1 signer and 1 phrase are too few for 3 parts: everything"),
    ],
)
def test_what_is_too_little_to_divide_is_said(table, method, words):
    split = assigned("signer-and-phrase", table)
    assert split.method == method and words in split.note


def test_files_are_cut_as_the_baselines_cut_them():
    table = [(0, 0, file) for file in range(68) for _ in range(3)]
    three = assigned("file-70-15-15", table)
    two = assigned("file-80-20", table)
    assert collections.Counter(three.parts) == {"train": 141, "validation": 30, "test": 33}
    assert collections.Counter(two.parts) == {"train": 162, "validation": 42}
    assert three.parts == ("train",) * 141 + ("validation",) * 30 + ("test",) * 33
    assert "too few for a validation part" in assigned("file-70-15-15", table[:9]).note
    assert assigned("file-80-20", table[:3]).method == "none"


def test_a_part_without_a_fraction_stays_empty():
    table = [(i, i, 0) for i in range(30)]
    assert set(assigned("signer-and-phrase", table, test=0.0).parts) == {"train", "validation"}
    assert set(assigned("phrase", table, validation=0.0, test=0.0).parts) == {"train"}
    assert set(assigned("none", table).parts) == {"train"}


def test_fractions_that_leave_nothing_to_train_on_are_refused():
    with pytest.raises(ValueError, match=r"validation 0\.5 and test 0\.5 leave no share"):
        assigned("phrase", [(0, 0, 0)], validation=0.5, test=0.5)
    with pytest.raises(ValueError, match="no split 'sinner'; there are signer-and-phrase"):
        assigned("sinner", [(0, 0, 0)])


def test_a_stratified_split_has_every_class_in_its_share():
    labels = ["a"] * 50 + ["b"] * 20 + ["c"] * 2
    parts = splits.stratified(labels, 0.1, 0.2, seed=1)
    counts = {x: [parts[i] for i in range(72) if labels[i] == x] for x in "abc"}
    assert counts["a"].count("test") == 10 and counts["a"].count("validation") == 5
    assert counts["b"].count("test") == 4 and "train" in counts["c"]
    assert parts == splits.stratified(labels, 0.1, 0.2, seed=1)
    assert parts != splits.stratified(labels, 0.1, 0.2, seed=2)
