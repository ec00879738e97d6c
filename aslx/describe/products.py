"""How many multiplications an instruction of a compiled program makes, and of what kind."""

import math
import re
from collections.abc import Iterator

import numpy as np

from aslx.describe import hlo

_WINDOW = re.compile(r"(\w+)=([\d_x\-]+)")
# Calls of NVIDIA's libraries.
_PRODUCTS, _CONVOLUTIONS = "__cublas", "__cudnn$conv"
# Which of its two operands and its result are a convolution's input, taps and output, forward.
_ROLES = {"__cudnn$convBackwardInput": (2, 1, 0), "__cudnn$convBackwardFilter": (0, 2, 1)}


def _target(i: hlo.Instruction) -> str:
    """The function that a custom call names."""
    found = re.search(r'custom_call_target="([^"]+)"', i.attributes)
    return found[1] if found else ""


def kind(i: hlo.Instruction, around: hlo.Computation) -> str:
    """The kind of a product: see `cost.Cost.products`."""
    if around[i.operands[0]].result[0].dtype in ("bf16", "f16"):
        return "bf16"
    given = re.search(r"operand_precision\W+(\w+)\W+(\w+)", i.attributes)
    said = {word.lower() for word in given.groups()} if given else set()
    return next((f"f32 {p}" for p in ("highest", "high") if p in said), "f32")


def multiplications(i: hlo.Instruction, around: hlo.Computation) -> int:
    """Multiplications of a product or convolution; 0 for other instructions."""
    if i.op == "dot":
        found = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", i.attributes)
        return _dot(i, around, found[1].split(",") if found else [])
    if i.op == "convolution":
        left, right = (around[name].result[0] for name in i.operands)
        return _convolution(i, left, right, i.result[0])
    if i.op != "custom-call":
        return 0
    target = _target(i)
    if target.startswith(_PRODUCTS):
        found = re.search(r'"lhs_contracting_dimensions":\[([^\]]*)\]', i.attributes)
        return _dot(i, around, re.findall(r"\d+", found[1]) if found else [])
    if target.startswith(_CONVOLUTIONS):
        # The window and the names of dimensions are those of the convolution forward.
        shapes = [*(around[name].result[0] for name in i.operands[:2]), i.result[0]]
        return _convolution(i, *(shapes[at] for at in _ROLES.get(target, (0, 1, 2))))
    return 0


def _dot(i: hlo.Instruction, around: hlo.Computation, over: list[str]) -> int:
    """Multiplications: one for each value of the result and each value of the dimensions of the
    left operand that are summed over."""
    left = around[i.operands[0]].result[0]
    summed = math.prod(left.dims[int(d)] for d in over if d)
    return math.prod(i.result[0].dims) * summed


def _convolution(i: hlo.Instruction, left: hlo.Array, right: hlo.Array, result: hlo.Array) -> int:
    """Multiplications with values of the arrays, not with padding or the zeros of dilation.

    On TPUs every product is a convolution; the batch of a batched product is a dilated dimension.
    """
    labels = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", i.attributes)
    if labels is None:
        raise ValueError(f"the convolution {i.name} does not say which dimension is which")
    lhs, rhs, out = labels.groups()
    window = re.search(r"window=\{([^}]*)\}", i.attributes)
    sides = dict(_WINDOW.findall(window[1])) if window else {}
    groups = {k: int(v) for k, v in re.findall(r"(\w+_group_count)=(\d+)", i.attributes)}
    count = left.dims[lhs.index("f")] // groups.get("feature_group_count", 1)
    count *= result.dims[out.index("f")]
    count *= left.dims[lhs.index("b")] // groups.get("batch_group_count", 1)
    for at, sizes in enumerate(_spatial(sides, sum(c.isdigit() for c in rhs))):
        size = right.dims[rhs.index(str(at))]
        count *= _meetings(
            left.dims[lhs.index(str(at))], size, result.dims[out.index(str(at))], **sizes
        )
    return count


def _spatial(sides: dict[str, str], rank: int) -> Iterator[dict[str, int]]:
    names = {"stride": "1", "lhs_dilate": "1", "rhs_dilate": "1", "pad": "0_0"}
    for at in range(rank):
        values = {k: sides[k].split("x")[at] if k in sides else v for k, v in names.items()}
        yield {k: int(v.split("_")[0]) for k, v in values.items()}


def _meetings(
    size: int, taps: int, outputs: int, *, stride: int, lhs_dilate: int, rhs_dilate: int, pad: int
) -> int:
    """Pairs of an output and a tap, along one dimension, that use a value of the input."""
    at = np.arange(outputs)[:, None] * stride + np.arange(taps) * rhs_dilate - pad
    return int(((at >= 0) & (at % lhs_dilate == 0) & (at // lhs_dilate < size)).sum())
