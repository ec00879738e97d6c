"""The machine on which a figure is measured: its properties, and its fastest matrix product."""

import importlib.metadata
import os
import pathlib
import platform
import re
from typing import Any

import benchmarks
from benchmarks import turns

_PACKAGES = ("jax", "jaxlib", "flax", "keras", "tensorflow-cpu", "torch", "grain", "ai-edge-litert")


def facts() -> dict[str, Any]:
    """The processor, its cores, its load, and the versions of installed packages."""
    found = {p.metadata["Name"].lower(): p.version for p in importlib.metadata.distributions()}
    return {
        "machine": f"{_processor()}, {os.cpu_count()} cores",
        "load": round(os.getloadavg()[0], 1),
        "versions": {name: found[name] for name in _PACKAGES if name in found},
    }


def _processor() -> str:
    info = pathlib.Path("/proc/cpuinfo")
    named = re.search(r"model name\s*: (.*)", info.read_text()) if info.exists() else None
    return named[1] if named else platform.machine()


def table(head: tuple[str, ...], rows: list[tuple]) -> str:
    """A Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def product(size: int = 2048, dtype: str = "float32") -> turns.Work:
    """Work that multiplies matrices so large that only the arithmetic of the device limits it."""
    import jax
    import jax.numpy as jnp

    x = jnp.ones((size, size), dtype)
    dot = jax.jit(jnp.dot)

    def run(count: int) -> None:
        jax.block_until_ready([dot(x, x) for _ in range(count)])

    return turns.Work(run, 2.0 * size**3)


if __name__ == "__main__":
    benchmarks.no_command("loader")
