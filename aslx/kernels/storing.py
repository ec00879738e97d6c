"""Intermediate results that a CPU computes once.

XLA's CPU compiler fuses whatever is element-wise into each of its readers, and computes it again in
each. A barrier stops it, but only where the compiler is told to keep barriers.
"""

from typing import Any

import jax

# By default the CPU's compiler drops optimisation barriers before it fuses.
DISABLED_PASS = "cse_barrier_expander"


def plain(x: Any) -> Any:
    return x


def cpu(x: Any) -> Any:
    """The same arrays, stored in memory in a program compiled without `DISABLED_PASS`."""
    return jax.lax.optimization_barrier(x)
