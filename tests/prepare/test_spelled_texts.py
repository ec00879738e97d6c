"""Texts as people fingerspell: words that exist, every letter often enough, one text a seed."""

import collections
import string

import pytest

from aslx.prepare import spelled_texts
from aslx.prepare.synthetic_hand import phrases
from aslx.schema import vocab


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return [spelled_texts.text((0, 3, i)) for i in range(2000)]


def test_texts_are_short_and_of_kaggles_characters(texts):
    assert all(0 < len(text) <= phrases.LONGEST for text in texts)
    assert set("".join(texts)) <= set(vocab.KAGGLE.characters)
    assert all(text == text.strip() and "  " not in text for text in texts)


def test_a_seed_has_one_text_and_seeds_have_others(texts):
    assert spelled_texts.text((0, 3, 7)) == texts[7]
    assert len(set(texts)) > 0.9 * len(texts)


def test_no_letter_is_as_rare_as_in_english(texts):
    counts = collections.Counter("".join(texts))
    total = sum(counts[letter] for letter in string.ascii_lowercase)
    # In English text q, j, x and z are a letter in 500 to 1,000.
    assert min(counts[letter] for letter in string.ascii_lowercase) > total / 400


def test_most_words_exist_and_some_texts_have_several(texts):
    assert {"portugal", "discuss", "jerky"} <= set(texts)
    spaces = sum(" " in text for text in texts)
    assert 0.25 * len(texts) < spaces < 0.45 * len(texts)
