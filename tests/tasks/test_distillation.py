"""What a network learns from another."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from aslx.tasks import distillation

RNG = np.random.default_rng(0)
CFG = distillation.Config(teacher="x", weight=0.25, temperature=2.0)


def times(frames, real=None) -> distillation.Times:
    at = jnp.asarray(frames, jnp.float32)
    return distillation.Times(at, jnp.ones(at.shape, bool) if real is None else jnp.asarray(real))


def divergence(teacher, student, temperature) -> float:
    """The reference: sum of p log(p / q), in NumPy."""

    def softmax(x):
        e = np.exp((x - x.max()) / temperature)
        return e / e.sum()

    p, q = softmax(teacher), softmax(student)
    return float((p * np.log(p / q)).sum()) * temperature**2


def test_a_position_learns_from_the_teachers_nearest_one_in_time():
    theirs, ours = RNG.normal(size=(1, 3, 5)), RNG.normal(size=(1, 2, 5))
    # The teacher left out the frames before the 10th; each of its positions is a frame.
    teachers = times([[10.0, 20.0, 30.0]])
    learners = times([[8.0, 9.0, 28.0, 29.0]])  # Two positions of two frames: at 8 and at 28.
    said = distillation.Said(ctc=jnp.asarray(theirs), mask=jnp.ones((1, 3), bool))
    taught = distillation.Taught(CFG, said, teachers, learners)
    expected = sum(divergence(theirs[0, n], ours[0, m], 2.0) for m, n in ((0, 0), (1, 2)))
    found = taught.ctc(jnp.asarray(ours), jnp.ones((1, 2), bool))
    np.testing.assert_allclose(found, [expected], rtol=1e-4)
    late = distillation.Config(teacher="x", temperature=2.0, delay=10.0)
    taught = distillation.Taught(late, said, teachers, learners)
    expected = sum(divergence(theirs[0, n], ours[0, m], 2.0) for m, n in ((0, 0), (1, 1)))
    found = taught.ctc(jnp.asarray(ours), jnp.ones((1, 2), bool))
    np.testing.assert_allclose(found, [expected], rtol=1e-4)


def test_padding_and_clips_in_which_the_teacher_sees_nothing_teach_nothing():
    theirs, ours = (jnp.asarray(RNG.normal(size=(2, 3, 5))) for _ in range(2))
    mask = jnp.array([[True, True, False], [False] * 3])
    frames = times([[0.0, 1.0, 2.0]] * 2, mask)
    taught = distillation.Taught(CFG, distillation.Said(ctc=theirs, mask=mask), frames, frames)

    def loss(logits):
        return taught.ctc(logits, jnp.array([[True, True, False], [True] * 3])).sum()

    grads = np.asarray(jax.grad(loss)(ours))
    assert np.isfinite(grads).all() and (grads[0, :2] != 0).all()
    assert not grads[0, 2].any() and not grads[1].any()


def test_a_network_that_says_what_its_teacher_says_has_no_loss_and_no_gradient():
    logits = jnp.asarray(RNG.normal(size=(2, 3, 5)))
    frames = times([[0.0, 1.0, 2.0]] * 2)
    said = distillation.Said(ctc=logits, mask=jnp.ones((2, 3), bool), decoder=logits)
    taught = distillation.Taught(CFG, said, frames, frames)
    for of in (lambda x: taught.ctc(x, jnp.ones((2, 3), bool)), taught.decoder):
        value, grads = jax.value_and_grad(lambda x, of=of: of(x).sum())(logits)
        assert abs(float(value)) < 1e-5 and float(jnp.abs(grads).max()) < 1e-6


@pytest.mark.parametrize(("weight", "expected"), [(0.0, 8.0), (0.25, 7.0), (1.0, 4.0)])
def test_the_weight_is_the_teachers_share(weight, expected):
    cfg, frames = distillation.Config(teacher="x", weight=weight), times([[0.0]])
    taught = distillation.Taught(cfg, distillation.Said(), frames, frames)
    assert float(taught.mixed(jnp.array(8.0), jnp.array(4.0))) == expected
