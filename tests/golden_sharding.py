"""How every config's parameters lie on meshes of eight devices, as a table for review.

python -m tests.golden_sharding     writes tests/golden/sharding.txt anew
"""

import functools
import math
import pathlib
import re
from collections.abc import Iterator

import jax

from aslx import config, sharding
from aslx.checkpoints import stored
from aslx.runs import opening

ROOT = pathlib.Path(__file__).parent.parent
GOLDEN = ROOT / "tests" / "golden" / "sharding.txt"
MESHES = {"8x1": 1, "4x2": 2, "1x8": 8}  # data x fsdp -> fsdp.
_HEAD = """\
Where the parameters of every config lie, on meshes of data x fsdp devices.
"256 x 512/8": the dimension of 512 is cut into eight; "whole": every device has all of it.
Layers of the same shapes share a line. Written by python -m tests.golden_sharding
"""


def table() -> str:
    """Needs eight devices; computes shapes alone."""
    paths = sorted((ROOT / "configs").glob("*.py"))
    return "\n".join([_HEAD, *("\n".join(section(path)) + "\n" for path in paths)])


def section(path: pathlib.Path) -> Iterator[str]:
    """A config's lines."""
    cfg = config.load(path)
    model = jax.eval_shape(functools.partial(opening.network, cfg))
    placed = {name: leaves(model, fsdp) for name, fsdp in MESHES.items()}
    shapes = {name: leaf.shape for name, leaf in placed["8x1"].items()}
    total = sum(map(math.prod, shapes.values()))
    yield f"{path.stem}: {total:,} parameters"
    held = [sum(map(local_size, of.values())) for of in placed.values()]
    rows = [("of them on a device", "", *(f"{n:,}" for n in held)), ("", "", *MESHES)]
    cells = {
        n: (size(shape), *(cut(of[n]) for of in placed.values())) for n, shape in shapes.items()
    }
    rows += grouped(cells)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        padded = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        yield ("  " + "  ".join(padded)).rstrip()


def leaves(model, fsdp: int) -> dict[str, jax.ShapeDtypeStruct]:
    mesh = sharding.make_mesh(sharding.Config(fsdp=fsdp), jax.devices()[:8])
    placed = stored.flatten(sharding.place(mesh, model))
    return {name.removesuffix("/value"): leaf for name, leaf in placed.items()}


def local_size(leaf: jax.ShapeDtypeStruct) -> int:
    return math.prod(leaf.sharding.shard_shape(leaf.shape))


def size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "scalar"


def cut(leaf: jax.ShapeDtypeStruct) -> str:
    """The shape with what each device has of it."""
    here = leaf.sharding.shard_shape(leaf.shape)
    if here == leaf.shape:
        return "whole"
    pairs = zip(leaf.shape, here, strict=True)
    return " x ".join(str(n) if n == part else f"{n}/{n // part}" for n, part in pairs)


def grouped(rows: dict[str, tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    """One row for neighbours in a list that are alike: decoder/0..1/mlp/up/kernel."""
    alike: dict[tuple, list[str]] = {}
    for name, cells in rows.items():
        alike.setdefault((re.sub(r"\d+", "#", name), *cells), []).append(name)
    for (pattern, *cells), names in alike.items():
        numbers = zip(*(re.findall(r"\d+", name) for name in names), strict=True)
        spans = (span(sorted(set(map(int, column)))) for column in numbers)
        yield re.sub("#", lambda _, spans=spans: next(spans), pattern), *cells


def span(numbers: list[int]) -> str:
    """0..3, or 0,2 where there are gaps."""
    whole = numbers == list(range(numbers[0], numbers[-1] + 1))
    if len(numbers) == 1 or not whole:
        return ",".join(map(str, numbers))
    return f"{numbers[0]}..{numbers[-1]}"


def main() -> None:
    sharding.use_cpu_devices(sharding.Config(cpu_devices=8))
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(table())
    print(f"wrote {GOLDEN.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
