"""ELAN's files are read and written as pympi does; a stranger's file does no harm."""

import time

import pytest

from aslx import errors
from aslx.readers import eaf_files

Elan = pytest.importorskip("pympi.Elan")
Annotation = eaf_files.Annotation
READ = [Annotation(100, 900, "hello", 0.75), Annotation(900, 1500, "<&> ґ", 0.5)]
XSI = "xsi:noNamespaceSchemaLocation='x'"
SCHEMA = "http://www.w3.org/2001/XMLSchema-instance"
HEAD = f"<ANNOTATION_DOCUMENT VERSION='3.0' xmlns:xsi='{SCHEMA}' {XSI}>"


def _file(path, participant=None):
    """A linguist's file: a tier of texts, one that belongs to it, and one without annotations."""
    eaf = Elan.Eaf(author="")
    eaf.add_linguistic_type("gloss", "Symbolic_Association", timealignable=False)
    eaf.add_tier("spelling", part=participant)
    eaf.add_tier("translation", "gloss", "spelling")
    eaf.add_annotation("spelling", 2000, 3000, " world ")
    eaf.add_annotation("spelling", 500, 1200, "hello")
    eaf.add_annotation("spelling", 1300, 1400, "  ")
    eaf.add_ref_annotation("translation", "spelling", 800, "hallo")
    eaf.add_linked_file("file:///C:/films/my%20film.mp4", "./my%20film.mp4", "video/mp4")
    eaf.to_file(path)
    return path


def test_a_tier_is_read_in_the_order_of_time_with_participant_and_film(tmp_path):
    tier = eaf_files.read(_file(tmp_path / "a.eaf", "Ada"), "spelling")
    assert tier.annotations == (Annotation(500, 1200, "hello"), Annotation(2000, 3000, "world"))
    assert tier.participant == "Ada" and tier.media == ("my film.mp4",)


def test_a_text_of_another_tier_has_the_time_of_what_it_belongs_to(tmp_path):
    tier = eaf_files.read(_file(tmp_path / "a.eaf"), "translation")
    assert tier.annotations == (Annotation(500, 1200, "hallo"),) and tier.participant == ""


def test_without_the_tier_the_tiers_that_are_there_are_named(tmp_path):
    with pytest.raises(errors.BadInput) as found:
        eaf_files.read(_file(tmp_path / "a.eaf"), "text")
    words = "a.eaf has no tier 'text'; it has 'default', 'spelling', 'translation'"
    assert str(found.value).endswith(words)


def test_what_is_written_is_read_by_pympi_and_read_back(tmp_path):
    path = tmp_path / "new" / "out.eaf"
    film = tmp_path / "film ä.mp4"
    eaf_files.write(path, film, {"text": READ, "characters": []})
    eaf = Elan.Eaf(path)
    assert eaf.get_tier_names() and set(eaf.get_tier_names()) == {
        *("text", "text confidence", "characters"),
    }
    data = eaf.get_annotation_data_for_tier("text")
    assert data == [(one.begin, one.end, one.text) for one in READ]
    sure = eaf.get_ref_annotation_data_for_tier("text confidence")
    assert sure == [(one.begin, one.end, f"{one.confidence:.4f}", one.text) for one in READ]
    (linked,) = eaf.get_linked_files()
    assert linked["MEDIA_URL"] == film.as_uri() and linked["MIME_TYPE"] == "video/mp4"
    assert linked["RELATIVE_MEDIA_URL"] == "./../film ä.mp4"
    tier = eaf_files.read(path, "text")
    assert tier.media == ("film ä.mp4",)
    assert [(a.begin, a.end, a.text) for a in tier.annotations] == data


def _tier(annotations: str, attributes: str = "", slots: str = "") -> str:
    """The XML of a file whose tier t has these annotations."""
    slots = slots or "".join(
        f"<TIME_SLOT TIME_SLOT_ID='ts{i}' {value}/>"
        for i, value in enumerate(("TIME_VALUE='5'", "", "TIME_VALUE='-5'"))
    )
    tier = f"<TIER TIER_ID='t' {attributes}>{annotations}</TIER>"
    return f"{HEAD}<TIME_ORDER>{slots}</TIME_ORDER>{tier}</ANNOTATION_DOCUMENT>"


def _aligned(begin: str, end: str) -> str:
    where = f"ANNOTATION_ID='a1' TIME_SLOT_REF1='{begin}' TIME_SLOT_REF2='{end}'"
    value = "<ANNOTATION_VALUE>x</ANNOTATION_VALUE>"
    return f"<ANNOTATION><ALIGNABLE_ANNOTATION {where}>{value}</ALIGNABLE_ANNOTATION></ANNOTATION>"


ITSELF = (
    "<ANNOTATION><REF_ANNOTATION ANNOTATION_ID='a1' ANNOTATION_REF='a1'><ANNOTATION_VALUE>x"
    "</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>"
)
LAUGHS = "".join(f'<!ENTITY l{i + 1} "{f"&l{i};" * 10}">' for i in range(30))
HOSTILE = {
    "nothing": ("", "is damaged, or no .eaf: no element found"),
    "a picture": ("\x89PNG", "is damaged, or no .eaf"),
    "cut off": (_tier("")[:-9], "is damaged, or no .eaf"),
    "a page": ("<html><body/></html>", "is XML, and no .eaf: it begins with 'html'"),
    "entities": (f'<!DOCTYPE x [<!ENTITY l0 "ha">{LAUGHS}]><x>&l30;</x>', "has a document type"),
    "a file": ('<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>', "document type"),
    "another document type": ('<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd"><x/>', "document typ"),
    "an unknown encoding": ('<?xml version="1.0" encoding="x-none"?><a/>', "is damaged, or no"),
    "no schema": (f"{HEAD[: -len(XSI) - 1]}></ANNOTATION_DOCUMENT>", "is not what ELAN writes"),
    "a slot without a number": (_tier("", slots="<TIME_SLOT TIME_SLOT_ID='x'/>"), "not what ELAN"),
    "a long number": (
        _tier("", slots=f"<TIME_SLOT TIME_SLOT_ID='1' TIME_VALUE='{'9' * 5000}'/>"),
        "is not what ELAN writes (ValueError",
    ),
    "no time": (_tier(_aligned("ts0", "ts1")), "'x' in the tier 't' has no time of its own"),
    "a time before the film": (_tier(_aligned("ts2", "ts0")), "has no time of its own"),
    "an unknown time": (_tier(_aligned("ts7", "ts8")), "has no time of its own"),
    "a text of itself": (_tier(ITSELF, "PARENT_REF='t'"), "has no time of its own"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_strangers_file_is_refused_in_one_line_and_at_once(tmp_path, name):
    text, words = HOSTILE[name]
    path, begun = tmp_path / "x.eaf", time.process_time()
    path.write_text(text)
    with pytest.raises(errors.BadInput) as found:
        eaf_files.read(path, "t")
    assert words in str(found.value) and "x.eaf" in str(found.value)
    assert "\n" not in str(found.value) and len(str(found.value)) < 300
    assert time.process_time() - begun < 2


def test_a_document_type_is_found_in_every_encoding(tmp_path):
    path = tmp_path / "x.eaf"
    path.write_bytes(HOSTILE["a file"][0].encode("utf-16"))
    with pytest.raises(errors.BadInput, match="document type"):
        eaf_files.read(path, "t")


def test_a_file_of_too_many_bytes_or_elements_is_refused(tmp_path):
    path = tmp_path / "x.eaf"
    path.write_text(_tier("<ANNOTATION/>" * (1 << 20)))
    with pytest.raises(errors.BadInput, match="more than 1048576 elements"):
        eaf_files.read(path, "t")
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(errors.BadInput, match="has 1048576 MiB, and at most 32"):
        eaf_files.read(path, "t")
    with pytest.raises(errors.BadInput, match=r"none\.eaf is not there"):
        eaf_files.read(tmp_path / "none.eaf", "t")
