"""Where parameters lie, for every config: a table that a person has looked at."""

import jax
import pytest

from aslx import config, optim, sharding
from aslx.checkpoints import stored
from aslx.train import setup
from tests import golden_sharding


def test_every_parameter_lies_where_the_reviewed_table_says():
    told = golden_sharding.GOLDEN.read_text().splitlines()
    found = golden_sharding.table().splitlines()
    assert found == told, "if that is meant: python -m tests.golden_sharding, and review the table"


@pytest.mark.parametrize("fsdp", [2, 8])
def test_moments_and_the_average_lie_as_their_parameters_do(fsdp):
    cfg = config.load(golden_sharding.ROOT / "configs" / "quickstart.py")
    mesh = sharding.make_mesh(sharding.Config(fsdp=fsdp), jax.devices()[:8])
    state, _ = setup.state(cfg, mesh, optim.build(cfg.optim, 10))
    leaves = stored.flatten(state)
    model = {k.removeprefix("model/"): v for k, v in leaves.items() if k.startswith("model/")}
    for name, parameter in model.items():
        twins = [v for k, v in leaves.items() if k.endswith("/" + name)]
        assert len(twins) == 4, name  # Itself, two moments, the average.
        assert {twin.sharding for twin in twins} == {parameter.sharding}, name
