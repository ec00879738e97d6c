"""ELAN's .eaf files, by the package pympi-ling: what is said in a film, and when.

An .eaf is XML with tiers of annotations. A stranger's file is held to `_MOST` bytes and
`_MOST_ELEMENTS`, and may define no entities; nothing that it names is opened here.
"""

import dataclasses
import mimetypes
import os
import pathlib
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.parsers import expat

from aslx import errors
from aslx.storage import files

_MOST = 32 << 20  # Bytes: 100,000 annotations.
_MOST_ELEMENTS = 1 << 20  # They take 1 GB at most.
_DEEPEST = 100  # Tiers that belong to one another.
_LATEST = 1 << 40  # Milliseconds.
_NAMED = 10  # Tiers that an error names.
_CONFIDENCE = "Symbolic_Association"  # A tier whose annotations belong to one of another tier each.


@dataclasses.dataclass(frozen=True)
class Annotation:
    """A text and its time."""

    begin: int  # Milliseconds since the film's beginning.
    end: int
    text: str
    confidence: float | None = None


@dataclasses.dataclass(frozen=True)
class Tier:
    """A tier of a file."""

    participant: str  # ELAN's name of who signs; empty where it has none.
    media: tuple[str, ...]  # The films' names without their folders.
    annotations: tuple[Annotation, ...]  # Sorted by time, without those that have no text.


def read(path: pathlib.Path, tier: str) -> Tier:
    """A tier of a file. BadInput where there is no such tier, and it names those that are there;
    where the file is damaged, too large or defines entities; or where a text has no time."""
    eaf = _opened(path)
    if tier not in eaf.tiers:
        there = [repr(name[:40]) for name in eaf.tiers]
        more = f" and {len(there) - _NAMED} more" if len(there) > _NAMED else ""
        has = ", ".join(there[:_NAMED]) + more or "none"
        raise errors.BadInput(f"{path} has no tier {tier!r}; it has {has}")
    found = []
    for number, text in _texts(eaf, tier):
        begin, end = _times(eaf, number)
        if begin is None or end is None or not 0 <= begin < end < _LATEST:
            raise errors.BadInput(
                f"{path}: {text[:40]!r} in the tier {tier!r} has no time of its own: choose a tier "
                "that is aligned with the film"
            )
        found.append(Annotation(begin, end, text))
    found.sort(key=lambda one: (one.begin, one.end))
    media = [
        urllib.parse.unquote(one.get(name, "")).replace("\\", "/").rpartition("/")[2]
        for one in eaf.media_descriptors
        for name in ("RELATIVE_MEDIA_URL", "MEDIA_URL")
    ]
    named = tuple(dict.fromkeys(name for name in media if name))
    return Tier(eaf.tiers[tier][2].get("PARTICIPANT", "").strip(), named, tuple(found))


def _texts(eaf: Any, tier: str) -> Iterator[tuple[str, str]]:
    """The ids of the annotations that have a text, and the texts."""
    aligned, referring, *_ = eaf.tiers[tier]
    texts = {number: row[2] for number, row in aligned.items()}
    texts |= {number: row[1] for number, row in referring.items()}
    yield from ((number, text.strip()) for number, text in texts.items() if text.strip())


def _times(eaf: Any, number: str) -> tuple[int | None, int | None]:
    """Begin and end of an annotation, or of the one that it belongs to; None where unknown.

    pympi's own function never ends where annotations of a stranger's file belong to each other."""
    for _ in range(_DEEPEST):
        aligned, referring, *_ = eaf.tiers.get(eaf.annotations.get(number), ({}, {}))
        if number in aligned:
            begin, end, *_ = aligned[number]
            return eaf.timeslots.get(begin), eaf.timeslots.get(end)
        if number not in referring:
            break
        number = referring[number][0]
    return None, None


def _opened(path: pathlib.Path) -> Any:
    """pympi's Eaf of a file that was found harmless."""
    from pympi import Elan  # Of an extra, so not imported with the module.

    with files.given(path):
        if (size := path.stat().st_size) > _MOST:
            raise errors.BadInput(
                f"{path} has {size >> 20} MiB, and at most {_MOST >> 20} are read: is it an .eaf?"
            )
        raw = path.read_bytes()
    _check(path, raw)
    try:
        return Elan.Eaf(path, suppress_version_warning=True)
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise errors.BadInput(
            f"{path} is not what ELAN writes ({type(error).__name__}: {str(error)[:80]}): save it "
            "with ELAN"
        ) from error


def _check(path: pathlib.Path, raw: bytes) -> None:
    """BadInput unless the bytes are XML of few elements, without a document type, whose entities
    could grow without end or name other files."""
    elements = 0

    def declared(*_: object) -> None:
        raise errors.BadInput(
            f"{path} has a document type, which no .eaf has: save it again with ELAN"
        )

    def begun(name: str, _: object) -> None:
        nonlocal elements
        elements += 1
        if elements == 1 and name != "ANNOTATION_DOCUMENT":
            raise errors.BadInput(f"{path} is XML, and no .eaf: it begins with {name[:40]!r}")
        if elements > _MOST_ELEMENTS:
            raise errors.BadInput(f"{path} has more than {_MOST_ELEMENTS} elements: split it")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartDoctypeDeclHandler = declared
    parser.StartElementHandler = begun
    try:
        parser.Parse(raw, True)
    except errors.BadInput:
        raise
    except (expat.ExpatError, LookupError, ValueError) as error:  # Some of unknown encodings.
        raise errors.BadInput(f"{path} is damaged, or no .eaf: {error}") from error


def write(
    path: files.Path, film: pathlib.Path | None, tiers: Mapping[str, Sequence[Annotation]]
) -> None:
    """Writes tiers of annotations of a film, sorted by time and without overlaps. A second tier,
    `NAME confidence`, belongs to a tier that has any confidence. The file appears when whole."""
    from pympi import Elan

    eaf = Elan.Eaf(author="aslx")
    eaf.remove_tier("default")
    eaf.add_linguistic_type("confidence", _CONFIDENCE, timealignable=False)
    if film is not None:
        kind = mimetypes.guess_type(film.name)[0] or "video/mp4"
        near = pathlib.PurePath(os.path.relpath(film, path.parent)).as_posix()
        eaf.add_linked_file(film.resolve().as_uri(), f"./{near}", kind)
    for name, annotations in tiers.items():
        eaf.add_tier(name)
        for one in annotations:
            eaf.add_annotation(name, one.begin, one.end, one.text)
        sure = [one for one in annotations if one.confidence is not None]
        if sure:
            eaf.add_tier(f"{name} confidence", "confidence", name)
        for one in sure:
            middle = (one.begin + one.end) // 2  # The end of one may be the beginning of the next.
            eaf.add_ref_annotation(f"{name} confidence", name, middle, f"{one.confidence:.4f}")
    text = Elan.to_string(eaf)
    files.write(path, f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n')
