"""Characters and ids."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aslx.schema import vocab


@given(st.text(vocab.CHARACTERS, max_size=31))
def test_decoding_inverts_encoding(phrase):
    assert vocab.decode(vocab.encode(phrase)) == phrase


@given(st.text(vocab.CHARACTERS, max_size=10), st.text(vocab.CHARACTERS, max_size=10))
def test_nothing_after_the_end_is_decoded(phrase, rest):
    ids = [vocab.START, *vocab.encode(phrase), vocab.PAD, vocab.END, *vocab.encode(rest)]
    assert vocab.decode(np.array(ids)) == phrase


def test_the_ids_are_those_of_the_competition():
    assert len(vocab.CHARACTERS) == 59
    # The baselines' notebooks: "a" is 32, pad 59, start 60, end 61.
    assert vocab.encode("a ~")[:].tolist() == [32, 0, 58]
    assert (vocab.PAD, vocab.START, vocab.END) == (59, 60, 61)


@pytest.mark.parametrize(
    "phrase, character", [("Abc", "A"), ("caf\u00e9", "\u00e9"), ("a\nb", "\n")]
)
def test_a_foreign_character_is_named_with_its_phrase(phrase, character):
    with pytest.raises(ValueError) as error:
        vocab.encode(phrase)
    assert repr(character) in str(error.value) and repr(phrase) in str(error.value)


def test_the_ids_agree_with_kaggles_map(shared):
    vocab.check(shared / "fingerspelling_sample" / "character_to_prediction_index.json")


def test_a_map_that_differs_is_an_error_that_names_the_character(tmp_path):
    theirs = {c: i for i, c in enumerate(vocab.CHARACTERS)} | {"q": 3}
    (tmp_path / "map.json").write_text(json.dumps(theirs))
    with pytest.raises(ValueError, match="maps 'q' to 3, not 48"):
        vocab.check(tmp_path / "map.json")
