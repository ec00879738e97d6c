"""Csv files that list a data set.

All are read here, so that every error names the file, the line and the fault in the same words.
"""

import csv
import dataclasses
import hashlib
import io
import math
import posixpath
from collections.abc import Iterator, Sequence

from aslx import errors
from aslx.storage import files

UNKNOWN = -1  # The number of an unknown signer.
_NAMED = 2**30  # The lowest number that stands for a name; records hold int32.
_AS_UTF_8 = "save it as UTF-8 (in Excel: CSV UTF-8)"


@dataclasses.dataclass(frozen=True)
class Line:
    """A line below the header: the text of each column."""

    where: str  # The file and the line's number, for errors.
    values: dict[str, str]

    def __contains__(self, column: str) -> bool:
        return column in self.values

    def __getitem__(self, column: str) -> str:
        """The text without spaces at its ends."""
        return self.values[column].strip()

    def integer(self, column: str) -> int:
        """A whole number of 64 bits, perhaps written "7.0" as pandas does; else BadInput."""
        number = _integer(self[column])
        if number is None or not -(2**63) <= number < 2**63:
            raise self._no(column, "whole number")
        return number

    def number(self, column: str) -> float:
        """A finite number; else BadInput."""
        try:
            number = float(self[column])
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise self._no(column, "number")
        return number

    def _no(self, column: str, kind: str) -> errors.BadInput:
        return errors.BadInput(
            f"{self.where}: {column} is {self[column][:40]!r}, and no {kind}: correct or remove "
            "the line"
        )

    def path(self, column: str = "path") -> str:
        """A path inside the data's folder; BadInput where it is empty or leads out of it."""
        text = self[column]
        if not text:
            raise errors.BadInput(f"{self.where}: an empty {column}; correct or remove the line")
        if posixpath.isabs(text) or posixpath.normpath(text).split("/")[0] == "..":
            raise errors.BadInput(
                f"{self.where}: {text!r} leads out of the folder of the data: name a file inside it"
            )
        return text


def read(path: files.Path, columns: Sequence[str]) -> Iterator[Line]:
    """The lines below the header, which must name these columns and may name others.

    BadInput names the file, the line and the fault."""
    found = rows(path)
    _, names = next(found, (0, []))
    names = [name.strip() for name in names]
    _check_header(path, names, columns)
    for number, values in found:
        where = f"{path} line {number}"
        while len(values) > len(names) and not values[-1].strip():
            values = values[:-1]
        if len(values) != len(names):
            raise errors.BadInput(
                f"{where} has {len(values)} values, and the header names {len(names)} columns: "
                "quote a value that holds a comma, or correct the line"
            )
        yield Line(where, dict(zip(names, values, strict=True)))


def rows(path: files.Path) -> Iterator[tuple[int, list[str]]]:
    """The number of each line that is not empty, from 1, and its values; BadInput as `read`."""
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        for values in reader:
            if values and any(value.strip() for value in values):
                yield reader.line_num, values
    except csv.Error as error:
        raise errors.BadInput(f"{path} line {reader.line_num} is no csv: {error}") from None


def _text(path: files.Path) -> str:
    with files.given(path):
        data = path.read_bytes()
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise errors.BadInput(f"{path} is UTF-16: {_AS_UTF_8}")
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise errors.BadInput(f"{path} line {line} holds a zero byte: {_AS_UTF_8}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise errors.BadInput(
            f"{path} line {line} is no UTF-8 (byte {data[error.start]:#04x}): {_AS_UTF_8}"
        ) from None


def _check_header(path: files.Path, names: Sequence[str], columns: Sequence[str]) -> None:
    lacking = [column for column in columns if column not in names]
    if lacking:
        for separator, word in ((";", "semicolons"), ("\t", "tabs")):
            if any(separator in name for name in names):
                raise errors.BadInput(f"{path} parts its values by {word}: save it with commas")
        has = ", ".join(names) or "nothing"
        raise errors.BadInput(f"{path} has no column {lacking[0]!r}; it has {has}")
    twice = [name for name in names if name and names.count(name) > 1]
    if twice:
        raise errors.BadInput(f"{path} has the column {twice[0]!r} more than once")


def signers(names: Sequence[str]) -> tuple[list[int], dict[int, str]]:
    """A number for each name of a signer, and the names that numbers stand for.

    A number of 31 bits stands for itself, "129.0" for 129, and an empty name for `UNKNOWN`. The
    number of any other name depends on the name alone, so it is the same in every data set.
    BadInput where two names would share one.
    """
    names = [name.strip() for name in names]
    numbers: dict[str, int] = {}
    stands_for: dict[int, str] = {}
    for name in dict.fromkeys(names):
        numbers[name], named = _signer(name)
        if named and stands_for.setdefault(numbers[name], name) != name:
            raise errors.BadInput(
                f"the participants {stands_for[numbers[name]]!r} and {name!r} would share a "
                "number: rename one"
            )
    return [numbers[name] for name in names], stands_for


def number_of(name: str) -> int:
    """A number of 56 bits for what has none, a function of the name alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:7])


def _signer(name: str) -> tuple[int, bool]:
    """The number, and whether it stands for a name."""
    number = _integer(name) if name else UNKNOWN
    if number is not None and UNKNOWN <= number < 2**31:
        return number, False
    return _NAMED + int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) % _NAMED, True


def _integer(text: str) -> int | None:
    try:
        return int(text.removesuffix(".0"))
    except ValueError:
        return None
