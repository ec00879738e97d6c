"""Which form of each kernel a network computes with."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax

from aslx.kernels import (
    attention,
    blocks,
    ctc,
    depthwise,
    fft_convolution,
    images,
    linear,
    lstm,
    storing,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mode:
    """One form of each function. The default is the plain form, which defines the function. A tuned
    form gives the same values and gradients, except for rounding."""

    attention: Callable[..., jax.Array] = attention.plain
    ctc: Callable[..., jax.Array] = ctc.plain
    linear: Callable[[jax.Array, jax.Array], jax.Array] = linear.plain
    depthwise_within: Callable[[jax.Array, jax.Array], jax.Array] = depthwise.plain_within
    depthwise: Callable[[jax.Array, jax.Array], jax.Array] = depthwise.plain
    convolution: Callable[[jax.Array, jax.Array], jax.Array] = fft_convolution.plain
    """Over time."""
    image_convolution: Callable[[jax.Array, jax.Array, int], jax.Array] = images.plain_convolution
    halve_image: Callable[[jax.Array], jax.Array] = images.plain_halve
    recur: Callable[..., tuple[jax.Array, lstm.Carry]] = lstm.plain
    scan: Callable[..., jax.Array] = blocks.scan
    store: Callable[[Any], Any] = storing.plain


PLAIN = Mode()
ACCELERATOR = Mode(
    ctc=ctc.accelerator,
    depthwise=depthwise.accelerator,
    depthwise_within=functools.partial(depthwise.within, depthwise.accelerator),
    recur=lstm.accelerator,
)
EXPORT = Mode(scan=blocks.unroll)
CPU = Mode(
    attention=attention.cpu,
    ctc=ctc.cpu,
    linear=linear.cpu,
    depthwise=depthwise.cpu,
    depthwise_within=functools.partial(depthwise.within, depthwise.cpu),
    convolution=fft_convolution.cpu,
    image_convolution=images.cpu_convolution,
    halve_image=images.cpu_halve,
    recur=lstm.cpu,
    store=storing.cpu,
)


def of(platform: str) -> Mode:
    """The mode for a platform: "cpu", "gpu" or "tpu"."""
    return CPU if platform == "cpu" else ACCELERATOR
