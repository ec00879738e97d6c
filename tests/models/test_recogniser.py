"""The decoder that reads backwards: trained beside, never exported."""

import dataclasses
import functools
import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from aslx.checkpoints import stored
from aslx.export import conversion
from aslx.runs import opening
from aslx.schema import vocab
from aslx.tasks import heads, transcription
from tests import tiny
from tests.models import test_networks as networks


@networks.MODERN
def test_a_reversed_decoder_is_another_one_and_changes_no_other_weight(cfg):
    plain, both = (
        stored.flatten(dataclasses.replace(cfg, reverse=reverse).build(6, 59, rngs=nnx.Rngs(0)))
        for reverse in (False, True)
    )
    more = set(both) - set(plain)
    assert {name.split("/")[0] for name in more} == {"reverse_decoder"}
    decoder = sum(leaf.size for name, leaf in plain.items() if name.startswith("decoder/"))
    assert sum(both[name].size for name in more) == decoder
    for name, leaf in plain.items():
        np.testing.assert_array_equal(both[name], leaf)


@networks.MODERN
@pytest.mark.long
def test_every_parameter_of_both_directions_learns(cfg):
    model = networks.build(dataclasses.replace(cfg, reverse=True, ctc=False))
    head = heads.Autoregressive(reverse_weight=0.5)
    rows = {"tokens": jnp.asarray(networks.TOKENS % 59), "weight": jnp.ones(3)}

    features, mask = jnp.asarray(networks.FEATURES), jnp.asarray(networks.MASK)

    @jax.jit
    def gradient(model):
        return jax.grad(lambda m: head.loss(m, features, mask, rows, None, vocab.KAGGLE)[0])(model)

    for name, g in stored.flatten(gradient(model)).items():
        assert np.isfinite(g).all() and np.abs(g).max() > 0, name


@pytest.mark.slow
def test_the_exported_file_is_the_same_with_and_without_it(tmp_path):
    head = heads.Autoregressive(reverse_weight=0.5)
    cfg = tiny.cfg(tmp_path, task=transcription.Task(head=head, max_tokens=4))
    files = []
    for reverse in (False, True):
        model = dataclasses.replace(cfg.model, decoder_layers=1, reverse=reverse)
        of = dataclasses.replace(cfg, model=model)
        files.append(
            conversion.convert(of, jax.jit(functools.partial(opening.network, of))(), "none")
        )
    assert operator.eq(*map(len, files))


def test_a_text_that_is_not_decoded_has_no_reverse():
    with pytest.raises(ValueError, match="no decoder to reverse"):
        dataclasses.replace(networks.SQUEEZEFORMER, decoder_layers=0, reverse=True).build(
            6, 59, rngs=nnx.Rngs(0)
        )
