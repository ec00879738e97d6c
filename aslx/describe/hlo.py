"""A parser of compiled programs (HLO text): computations, instructions, and arrays in memory."""

import dataclasses
import functools
import math
import pathlib
import re
from collections.abc import Iterator

_BITS = {"pred": 8, "bf16": 16, "token": 0, "opaque": 0}
_ARRAY = re.compile(r"([a-z]\w*)\[([\d,<= ]*)\](?:\{([\d,]*)(?::([^}]*))?\})?")
_TILE = re.compile(r"T\(([\d,]*)\)")
_SPACE = re.compile(r"S\((\d+)\)")
_NAME = re.compile(r"%([\w.\-]+)")
_CALLED = re.compile(
    r"\b(?:calls|to_apply|body|condition|true_computation|false_computation)=%([\w.\-]+)"
)
_FRAME = re.compile(r"stack_frame_id=(\d+)")
# The tables of a program's text that say which line of which file made an instruction.
_TABLES = ("FileNames", "FileLocations", "StackFrames")
_PACKAGE = f"/{pathlib.Path(__file__).parents[1].name}/"


@dataclasses.dataclass(frozen=True)
class Array:
    """An array and its layout in memory."""

    dtype: str
    dims: tuple[int, ...]
    minor_to_major: tuple[int, ...] = ()
    tile: tuple[int, ...] = ()
    space: int = 0
    """0 is the main memory of the chip; others are memories of the core."""

    @property
    def bytes(self) -> int:
        """Bytes of the values."""
        return math.prod(self.dims) * self._bits // 8

    @property
    def tiled(self) -> int:
        """Bytes of whole tiles."""
        dims = list(self.dims)
        for dim, tile in zip(self.minor_to_major, reversed(self.tile), strict=False):
            dims[dim] = -(-dims[dim] // tile) * tile
        return math.prod(dims) * self._bits // 8

    @property
    def stored(self) -> int:
        """Bytes in main memory."""
        return 0 if self.space else self.tiled

    @property
    def _bits(self) -> int:
        return _BITS.get(self.dtype) or int(re.sub(r"^[a-z]+(\d*).*", r"\1", self.dtype) or 0)


@dataclasses.dataclass(frozen=True)
class Instruction:
    name: str
    op: str
    result: tuple[Array, ...]
    operands: tuple[str, ...]
    inside: str
    """The text between the parentheses, such as the number of a parameter."""
    attributes: str
    root: bool

    @property
    def frame(self) -> int:
        """The number of its line of code; 0 where the compiler made it."""
        found = _FRAME.search(self.attributes)
        return int(found[1]) if found else 0

    @functools.cached_property
    def called(self) -> list[str]:
        branches = re.search(r"branch_computations=\{([^}]*)\}", self.attributes)
        return _CALLED.findall(self.attributes) + _NAME.findall(branches[1] if branches else "")


Computation = dict[str, Instruction]


def arrays(text: str) -> tuple[Array, ...]:
    """The arrays of a shape; a tuple has several."""
    found = []
    for dtype, dims, order, layout in _ARRAY.findall(text):
        tile, space = _TILE.search(layout), _SPACE.search(layout)
        found.append(
            Array(
                dtype,
                tuple(int(d.strip("<= ")) for d in dims.split(",") if d),
                tuple(map(int, filter(None, order.split(",")))),
                tuple(map(int, filter(None, tile[1].split(",")))) if tile else (),
                int(space[1]) if space else 0,
            )
        )
    return tuple(found)


def parse(text: str) -> tuple[dict[str, Computation], str]:
    """The computations by name, and the name of the entry computation."""
    computations: dict[str, Computation] = {}
    entry, current = "", None
    for line in text.splitlines():
        head = re.match(r"(ENTRY )?%([\w.\-]+) \(.*\{$", line)
        if head:
            current = computations.setdefault(head[2], {})
            entry = head[2] if head[1] else entry
        elif line.startswith("}"):
            current = None
        elif current is not None and " = " in line:
            instruction = _instruction(line)
            current[instruction.name] = instruction
    if not entry:
        raise ValueError("the text is no HLO module: it has no ENTRY computation")
    return computations, entry


def sources(text: str) -> dict[int, str]:
    """The innermost line of this package, such as models/cnn.py:12, of each number of a frame;
    frames without one are left out."""
    tables = {name: dict(_entries(text, name)) for name in _TABLES}

    def number(entry: str, name: str) -> int:
        found = re.search(rf"\b{name}=(\d+)", entry)
        return int(found[1]) if found else 0

    found: dict[int, str] = {}
    for frame, entry in tables["StackFrames"].items():
        place = tables["FileLocations"].get(number(entry, "file_location_id"), "")
        file = tables["FileNames"].get(number(place, "file_name_id"), "").strip('"')
        _, ours, path = file.rpartition(_PACKAGE)
        outer = number(entry, "parent_frame_id") - 1  # 1 more than the number, and 1 for none.
        if ours:
            found[frame] = f"{path}:{number(place, 'line')}"
        elif outer in found:  # A frame stands after the one that called it.
            found[frame] = found[outer]
    return found


def _entries(text: str, name: str) -> Iterator[tuple[int, str]]:
    table = re.search(rf"^{name}\n((?:\d+ .*\n)+)", text, re.MULTILINE)
    for line in table[1].splitlines() if table else ():
        number, entry = line.split(" ", 1)
        yield int(number), entry


def _instruction(line: str) -> Instruction:
    left, right = re.sub(r"/\*.*?\*/", "", line).split(" = ", 1)
    end = _closing(right, 0) if right.startswith("(") else right.index(" ")
    shape, rest = right[:end], right[end:].strip()
    op, _ = rest.split("(", 1)
    end = _closing(rest, len(op))
    return Instruction(
        name=_NAME.findall(left)[0],
        op=op,
        result=arrays(shape),
        operands=tuple(_NAME.findall(rest[len(op) : end])),
        inside=rest[len(op) + 1 : end - 1],
        attributes=rest[end:],
        root=left.strip().startswith("ROOT"),
    )


def _closing(text: str, start: int) -> int:
    """The place after the parenthesis that closes the one at `start`."""
    depth = 0
    for i in range(start, len(text)):
        depth += (text[i] == "(") - (text[i] == ")")
        if not depth:
            return i + 1
    raise ValueError(f"a parenthesis is not closed: {text[:80]}")


def root(computation: Computation) -> Instruction:
    return next(i for i in computation.values() if i.root)


def index(element: Instruction) -> int:
    found = re.search(r"index=(\d+)", element.attributes)
    return int(found[1]) if found else 0


def constant(computation: Computation, name: str) -> int | None:
    """The integer that an instruction always returns, if there is one."""
    i = computation[name]
    while i.op in ("copy", "bitcast", "convert"):
        i = computation[i.operands[0]]
    return int(i.inside) if i.op == "constant" and re.fullmatch(r"-?\d+", i.inside) else None


def number(parameter: Instruction) -> int:
    """The position of a parameter among the arguments of its computation."""
    return int(parameter.inside)
