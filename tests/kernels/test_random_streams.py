"""Streams of random numbers that have names."""

import jax

from aslx.kernels import random_streams


def test_streams_differ_by_name_and_from_the_numbered_keys_of_the_same_key():
    key, data = jax.random.key(0), lambda key: tuple(jax.random.key_data(key).tolist())
    named = {data(random_streams.named(key, name)) for name in ("parameters", "steps", "model")}
    numbered = {data(jax.random.fold_in(key, i)) for i in range(100)}
    assert len(named) == 3 and not named & {
        data(key),
        *numbered,
        *map(data, jax.random.split(key, 9)),
    }
    assert data(random_streams.named(jax.random.key(0), "steps")) in named
