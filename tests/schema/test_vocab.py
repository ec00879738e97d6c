"""Characters and ids."""

import json
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aslx import errors
from aslx.schema import vocab

KAGGLE = vocab.KAGGLE
UKRAINIAN = vocab.Alphabet(characters="абвгґдеєжзиіїйклмнопрстуфхцчшщьюя")


@pytest.mark.parametrize("alphabet", [KAGGLE, UKRAINIAN], ids=["Kaggle's", "Ukrainian"])
@given(st.data())
def test_decoding_inverts_encoding(alphabet, data):
    phrase = data.draw(st.text(alphabet.characters, max_size=31))
    assert alphabet.decode(alphabet.encode(phrase)) == phrase


@given(st.text(KAGGLE.characters, max_size=10), st.text(KAGGLE.characters, max_size=10))
def test_nothing_after_the_end_is_decoded(phrase, rest):
    marks = [KAGGLE.start, *KAGGLE.encode(phrase), KAGGLE.pad, vocab.NONE, KAGGLE.end]
    assert KAGGLE.decode(np.array([*marks, *KAGGLE.encode(rest)])) == phrase


def test_the_ids_are_those_of_the_competition():
    assert len(KAGGLE) == 59
    # The baselines' notebooks: "a" is 32, pad 59, start 60, end 61.
    assert KAGGLE.encode("a ~")[:].tolist() == [32, 0, 58]
    assert (KAGGLE.pad, KAGGLE.blank, KAGGLE.start, KAGGLE.end, KAGGLE.size) == (59, 59, 60, 61, 62)


@pytest.mark.parametrize(
    "phrase, character", [("Abc", "A"), ("caf\u00e9", "\u00e9"), ("a\nb", "\n"), ("a😀", "😀")]
)
def test_a_foreign_character_is_named_with_its_phrase(phrase, character):
    with pytest.raises(ValueError) as error:
        KAGGLE.encode(phrase)
    assert repr(character) in str(error.value) and repr(phrase) in str(error.value)


def test_the_ids_agree_with_kaggles_map(shared):
    path = shared / "fingerspelling_sample" / "character_to_prediction_index.json"
    assert vocab.read(path) == KAGGLE


def test_ids_follow_the_order_of_the_characters_and_not_that_of_their_code_points():
    alphabet = vocab.Alphabet(characters="z😀äb")
    assert alphabet.encode("bä😀z").tolist() == [3, 2, 1, 0]
    assert hash(alphabet) == hash(vocab.Alphabet(characters="z😀äb"))


def test_a_map_decides_the_order_and_joins_letters_with_their_accents(tmp_path):
    path = tmp_path / "map.json"
    path.write_text(json.dumps({"b": 1, unicodedata.normalize("NFD", "ї"): 2, "ä": 0}))
    assert vocab.read(path).characters == "äbї"


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"a": 0, "b": 2}, "maps 'b' to 2, and no character to 1"),
        ({"a": 0, "b": 0}, "maps 'b' to 0, and no character to 1"),
        ({"a": 1}, "maps 'a' to 1, and no character to 0"),
        ({"a": True}, "is no map of characters to numbers"),
        ({"a": 0.0}, "is no map of characters to numbers"),
        (["a"], "is no map of characters to numbers"),
        ({}, "an alphabet of 0 characters: it has 1 to 1000"),
        ({"ab": 0}, "maps 'ab', which is not one character"),
        ({"ä": 0, "a\u0308": 1}, "has 'ä' twice"),
        ({"\ud800": 0}, "is no character of Unicode's NFC"),
        ({"\n": 0}, "is no character of Unicode's NFC"),
        ({chr(0x4E00 + i): i for i in range(1001)}, "an alphabet of 1001 characters"),
    ],
)
def test_a_map_that_is_no_alphabet_is_an_error_that_says_why(tmp_path, found, message):
    (tmp_path / "map.json").write_text(json.dumps(found))
    with pytest.raises(errors.BadInput, match=message) as error:
        vocab.read(tmp_path / "map.json")
    assert str(error.value).startswith(str(tmp_path)) and "\n" not in str(error.value)


def test_phrases_have_the_alphabet_of_their_characters_in_order():
    assert vocab.of_phrases(["für", "die"]).characters == "defirü"


def test_metadata_names_an_alphabet_and_else_it_is_kaggles():
    assert vocab.of_metadata({"alphabet": "ba"}) == vocab.Alphabet(characters="ba")
    assert vocab.of_metadata({}) == KAGGLE
    for damaged in (3, "", "aa", ["a"]):
        with pytest.raises(errors.BadInput):
            vocab.of_metadata({"alphabet": damaged})
