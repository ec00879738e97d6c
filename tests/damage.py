"""Damage to a file's bytes."""

import numpy as np


def damaged(raw: bytes, rng: np.random.Generator) -> bytes:
    """Cut, or with one to five bytes changed, most of them near the ends."""
    if rng.random() < 0.2:
        return raw[: rng.integers(len(raw))]
    data, near = bytearray(raw), min(len(raw), 150)
    for _ in range(rng.integers(1, 6)):
        places = rng.integers(near), -rng.integers(1, near), rng.integers(len(raw))
        values = 0, 255, rng.integers(256)
        data[places[rng.integers(3)]] = int(values[rng.integers(3)])
    return bytes(data)
