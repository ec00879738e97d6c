"""The Squeezeformer in PyTorch, compared with that of aslx."""

import jax
import pytest

from aslx import config
from aslx.describe import __main__ as describe
from aslx.runs import opening

torch_peers = pytest.importorskip("benchmarks.torch_peers", exc_type=ImportError)


@pytest.mark.parametrize("name", ["squeezeformer_small", "squeezeformer", "squeezeformer_large"])
def test_both_have_the_same_number_of_parameters(name):
    cfg = config.load(name)
    theirs = torch_peers.Squeezeformer(cfg.model)
    ours = describe.sizes(jax.eval_shape(lambda: opening.network(cfg)))
    assert sum(p.numel() for p in theirs.parameters()) == ours


def test_its_step_trains_both_heads(monkeypatch):
    torch = torch_peers.torch
    seen = []
    monkeypatch.setattr(torch, "compile", lambda model, **_: seen.append(model) or model)
    small = "--model.dim 64 --model.num-heads 2 --model.num-layers 2 --model.halve-after 1"
    work = torch_peers.build(f"squeezeformer {small}", rows=2, frames=160)
    before = [p.detach().clone() for p in seen[0].parameters()]
    work.run(2)
    after = list(seen[0].parameters())
    assert all(torch.isfinite(p).all() for p in after)
    assert not any(torch.equal(p, q) for p, q in zip(before, after, strict=True))
