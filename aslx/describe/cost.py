"""The cost of a compiled program: FLOPs, bytes of memory and collectives, counted in its HLO text.

XLA's own cost analysis counts the body of a loop once. Here an instruction counts as often as the
loops around it run. A loop with an unknown number of trips counts once, and is also listed.
"""

import dataclasses
import math
import re
from typing import Any

from aslx.describe import hlo, products

_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')

COLLECTIVES = (
    "all-reduce",
    "all-gather",
    "reduce-scatter",
    "all-to-all",
    "ragged-all-to-all",
    "collective-permute",
    "collective-broadcast",
)
_FREE = {
    "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all", "partition-id",
    "replica-id", "opt-barrier", "add-dependency", "call", "async-start",
}  # fmt: skip
_SLICES = {"dynamic-slice", "slice", "gather"}
# Custom calls that only name or place an array.
_NO_WORK = ("AllocateBuffer", "AssumeGatherIndicesInBound", "ConcatBitcast")


@dataclasses.dataclass(frozen=True)
class Collective:
    """An instruction that sends arrays between chips."""

    op: str
    arrays: tuple[str, ...]
    """Such as f32[256,128]: the results of an all-gather, the operands of all others."""
    bytes: int
    """Bytes of the arrays on one chip."""
    channel: str
    """The number of the collective in the program."""


@dataclasses.dataclass
class Cost:
    """The cost of one run of a program on one chip."""

    products: dict[str, float] = dataclasses.field(default_factory=dict)
    """FLOPs of matrix products and convolutions, two for each multiplication and addition, by kind:
    bf16, and f32 with its jax.lax.Precision: f32, f32 high, f32 highest."""
    sources: dict[int, float] = dataclasses.field(default_factory=dict)
    """Bytes by the line of code that asked for them, as `hlo.sources` numbers it."""
    kernels: float = 0
    """Instructions that a GPU runs as kernels of their own, or as calls of a library."""
    collectives: dict[Collective, float] = dataclasses.field(default_factory=dict)
    """How often each collective runs."""
    unknown: "list[Cost]" = dataclasses.field(default_factory=list)
    """One trip of each loop with an unknown number of trips; the totals include this trip."""

    @property
    def flops(self) -> float:
        return sum(self.products.values())

    @property
    def bytes(self) -> float:
        """Bytes that instructions read from main memory and write to it, without a cache."""
        return sum(self.sources.values())

    def add(self, other: "Cost", times: float = 1) -> None:
        _add(self.products, other.products, times)
        _add(self.sources, other.sources, times)
        self.kernels += other.kernels * times
        for collective, count in other.collectives.items():
            # A collective that overlaps with other work appears in several fusions, and its parts
            # in loops. Its start and its end run as often as the collective.
            seen = self.collectives.get(collective, math.inf)
            self.collectives[collective] = min(seen, count * times)
        self.unknown += other.unknown


def cost(text: str) -> Cost:
    """The cost of the entry computation of a module."""
    computations, entry = hlo.parse(text)
    return _Walk(computations).cost(entry)


class _Walk:
    def __init__(self, computations: dict[str, hlo.Computation]):
        self._computations = computations
        self._costs: dict[tuple[str, bool], Cost] = {}

    def cost(self, name: str, fused: bool = False) -> Cost:
        """The cost of one run of a computation; fused computations move no bytes themselves."""
        if (name, fused) not in self._costs:
            total = Cost()
            for instruction in self._computations[name].values():
                total.add(self._one(instruction, self._computations[name], fused))
            if name.startswith("all-reduce-scatter"):  # The TPU compiler's form.
                total.collectives = {
                    dataclasses.replace(collective, op="reduce-scatter"): count
                    for collective, count in total.collectives.items()
                }
            self._costs[name, fused] = total
        return self._costs[name, fused]

    def _one(self, i: hlo.Instruction, around: hlo.Computation, fused: bool) -> Cost:
        if i.op == "while":
            return self._loop(i, around)
        total = Cost()
        if i.op == "conditional":
            total.add(max((self.cost(c, fused) for c in i.called), key=lambda c: c.bytes))
            return total
        if i.op == "fusion" or i.op == "call" or (i.op.endswith("-start") and i.called):
            for name in i.called:
                total.add(self.cost(name, fused or i.op == "fusion"))
        if count := products.multiplications(i, around):
            _add(total.products, {products.kind(i, around): 2.0 * count})
        if i.op.removesuffix("-start") in COLLECTIVES:
            total.collectives[_collective(i, around)] = 1
        if not fused and (moved := self._bytes(i, around)):
            _add(total.sources, {i.frame: moved})
            total.kernels += 1
        return total

    def _loop(self, i: hlo.Instruction, around: hlo.Computation) -> Cost:
        trip, total = Cost(), Cost()
        for name in i.called:
            trip.add(self.cost(name))
        trips = self._trips(i, around)
        total.add(trip, 1 if trips is None else trips)
        if trips is None:
            total.unknown.append(trip)
        return total

    def _trips(self, i: hlo.Instruction, around: hlo.Computation) -> int | None:
        """The trips of a loop that counts from one constant to another; None for other loops.

        The compiler for CPUs writes the number down, the one for TPUs does not.
        """
        known = _TRIPS.search(i.attributes)
        if known:
            return int(known[1])
        names = dict(re.findall(r"\b(condition|body)=%([\w.\-]+)", i.attributes))
        condition, body = (self._computations[names[k]] for k in ("condition", "body"))
        test = hlo.root(condition)
        if test.op != "compare" or "direction=LT" not in test.attributes:
            return None
        counter = condition[test.operands[0]]
        if counter.op != "get-tuple-element":
            return None
        at = hlo.index(counter)
        first = hlo.constant(around, around[i.operands[0]].operands[at])
        last = hlo.constant(condition, test.operands[1])
        increment = body[hlo.root(body).operands[at]]
        steps = [hlo.constant(body, name) for name in increment.operands]
        by = [s for s in steps if s is not None]
        if first is None or last is None or increment.op != "add" or len(by) != 1:
            return None
        return max(0, -(-(last - first) // by[0]))

    def _bytes(self, i: hlo.Instruction, around: hlo.Computation) -> float:
        """Bytes of main memory that an instruction reads and writes."""
        if i.op in _FREE or i.op.endswith(("-done", "-update")):
            return 0
        if i.op.endswith("-start") and i.called:  # What it starts counts by itself.
            return 0
        if i.op == "custom-call" and any(f'"{name}"' in i.attributes for name in _NO_WORK):
            return 0
        if i.op == "fusion":
            inner = self._computations[i.called[0]]
            parameters = [p for p in inner.values() if p.op == "parameter"]
            reads = sum(
                min(self._read(inner, p.name), _stored(around, i.operands[hlo.number(p)]))
                for p in parameters
            )
            return reads + self._written(i, inner)
        given = [_stored(around, name) for name in i.operands]
        if i.op == "custom-call" and products.multiplications(i, around):
            return sum(given) + _total(i.result[:-1] if _has_scratch(i) else i.result)
        if i.op == "slice-start":  # The result is the operand, the slice and a flag.
            return min(i.result[1].tiled, given[0]) + i.result[1].stored
        if i.op == "copy-start":  # The result is the target, the source and a flag.
            return _total(i.result[:2])
        if i.op in _SLICES:
            return min(i.result[0].tiled, given[0]) + sum(given[1:]) + _total(i.result)
        if i.op == "dynamic-update-slice":
            update = around[i.operands[1]].result[0]
            return update.stored + min(update.tiled, i.result[0].stored)
        return _total(i.result) + sum(given)

    def _read(self, inside: hlo.Computation, name: str) -> float:
        """Bytes of an array that a fused computation reads; if it only slices, the slices."""
        total = 0.0
        for user in inside.values():
            if name not in user.operands:
                continue
            first = user.operands.index(name) == 0
            if user.op in _SLICES and first:
                total += user.result[0].tiled
            elif user.op == "bitcast":
                total += self._read(inside, user.name)
            elif user.op == "fusion":
                deeper = self._computations[user.called[0]]
                at = user.operands.index(name)
                total += sum(
                    self._read(deeper, p.name)
                    for p in deeper.values()
                    if p.op == "parameter" and hlo.number(p) == at
                )
            elif not (user.op == "dynamic-update-slice" and first):  # This writes in place.
                return math.inf
        return total

    def _written(self, i: hlo.Instruction, inner: hlo.Computation) -> float:
        """Bytes that a fusion writes; if it ends in updates of slices, the slices alone."""
        root = hlo.root(inner)
        names = root.operands if root.op == "tuple" else (root.name,)
        total = 0.0
        calls = any(part.op == "custom-call" for part in inner.values())
        results = i.result[:-1] if calls and _has_scratch(i) else i.result
        for array, name in zip(results, names, strict=False):
            end = inner[name]
            while end.op == "bitcast":
                end = inner[end.operands[0]]
            update = end.op == "dynamic-update-slice"
            part = inner[end.operands[1]].result[0].tiled if update else math.inf
            total += min(part, array.stored)
        return total


def _total(arrays: tuple[hlo.Array, ...]) -> int:
    return sum(a.stored for a in arrays)


def _stored(around: hlo.Computation, name: str) -> int:
    return _total(around[name].result)


def _collective(i: hlo.Instruction, around: hlo.Computation) -> Collective:
    moved = tuple(a for name in i.operands for a in around[name].result)
    op = i.op.removesuffix("-start")
    if op == "all-gather":
        # The result of a start begins with the operands.
        moved = i.result[len(moved) :] if op != i.op else i.result
    channel = re.search(r"channel_id=(\d+)", i.attributes)
    return Collective(
        op,
        tuple(f"{a.dtype}[{','.join(map(str, a.dims))}]" for a in moved),
        sum(a.bytes for a in moved),
        channel[1] if channel else i.name,
    )


def _add(totals: dict[Any, float], more: dict[Any, float], times: float = 1) -> None:
    for name, count in more.items():
        totals[name] = totals.get(name, 0.0) + count * times


def _has_scratch(i: hlo.Instruction) -> bool:
    """Whether the last result is scratch memory, as of calls of NVIDIA's libraries."""
    last = i.result[-1]
    return len(i.result) > 1 and last.dtype in ("s8", "u8") and len(last.dims) == 1
