"""Accelerators: what their makers publish of them."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chip:
    """Published peaks of a chip."""

    platform: str
    """tpu or cuda."""
    name: str
    """As JAX's devices of the kind call themselves."""
    flops: dict[str, float]
    """FLOP/s of each kind of product, bf16, f32, and f32 of the precisions high and highest."""
    bandwidth: float
    """Bytes/s of main memory."""
    usable: int
    """Bytes of main memory that a program may use."""
    link: float
    """Bytes/s to a neighbour, one way: of a TPU's four in a plane; of a GPU to the others of its
    host together."""
    network: float = 0.0
    """Bytes/s of a GPU to other hosts."""
    launch: float = 0.0
    """Seconds that no kernel is shorter than; an estimate."""

    def compute_seconds(self, products: dict[str, float]) -> float:
        """The least time of these FLOPs."""
        return sum(n / self.flops[kind] for kind, n in products.items())


def _tpu(name: str, bf16: float, bandwidth: float, gib: float, link: float) -> Chip:
    # A product of float32 is made of products of bfloat16: three with precision high, six with
    # highest (jax.lax.Precision).
    passes = {"bf16": 1, "f32": 1, "f32 high": 3, "f32 highest": 6}
    return Chip(
        platform="tpu",
        name=name,
        flops={kind: bf16 / n for kind, n in passes.items()},
        bandwidth=bandwidth,
        usable=int(gib * 2**30),
        link=link,
    )


def _gpu(name: str, bandwidth: float, memory: float) -> Chip:
    # Of both: NVIDIA's data sheets of the SXM parts, dense products. TF32 is half of bfloat16;
    # float32 of the highest precision is computed by CUDA cores.
    peaks = {"bf16": 989e12, "f32": 494.5e12, "f32 high": 494.5e12 / 3, "f32 highest": 67e12}
    return Chip(
        platform="cuda",
        name=name,
        flops=peaks,
        bandwidth=bandwidth,
        usable=int(0.95 * memory),  # A driver's context takes the rest; an estimate.
        link=450e9,  # NVLink 4: 900 GB/s in both ways together.
        network=50e9,  # One port of 400 Gbit/s for each GPU.
        launch=2e-6,
    )


CHIPS = {
    # cloud.google.com/tpu/docs/v5e: 197 TFLOPs, 16 GB, 819 GBps. Links of both chips:
    # jax-ml.github.io/scaling-book, "How to Think About TPUs". The usable memory is from the
    # compiler's message for a program that does not fit ("exceeds available HBM (15.75G)").
    "v5e": _tpu("TPU v5 lite", 197e12, 819e9, 15.75, 45e9),
    # cloud.google.com/tpu/docs/v6e: 918 TFLOPs, 32 GB, 1638 GBps.
    "v6e": _tpu("TPU v6 lite", 918e12, 1638e9, 31.25, 90e9),
    "h100": _gpu("NVIDIA H100 80GB HBM3", 3.35e12, 80e9),
    "h200": _gpu("NVIDIA H200", 4.8e12, 141e9),
}


def of(kind: str) -> Chip | None:
    """The chip whose devices JAX names `kind`; None for one that is not in the list."""
    return next((chip for chip in CHIPS.values() if chip.name == kind), None)
