"""A linear reader of single hands: how far letters of one source are read where another trained.

It has no network to tune: what it reads of real hands after synthetic ones is the generator's.
"""

import numpy as np
from scipy import optimize

import benchmarks
from aslx.prepare.many_hands import camera as many_hands
from aslx.prepare.many_hands import signers as many_people
from aslx.prepare.synthetic_hand import body, handshapes, kinematics, strokes
from aslx.prepare.synthetic_hand import signers as people
from aslx.schema import vocab

AZ = "abcdefghijklmnopqrstuvwxyz"
_DECAY, _STEPS = 5e-4, 60


def letters(
    count: int, *, generator: str = "1.0.0", signers: int = 0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Still right hands of a generator: landmarks float32[count, 21, 3] in fractions of the image,
    and int[count] positions in `AZ`. Each hand is of one of `signers` people, as many as are worth
    drawing where 0."""
    rng = np.random.default_rng((seed, 2))
    if generator == "2.0.0":
        crowd = many_people.draw(rng, signers or 600)
        label = rng.integers(len(AZ), size=count)
        return many_hands.stills(rng, crowd, vocab.KAGGLE.encode(AZ).astype(int)[label]), label
    return _first_letters(rng, count, signers or 200)


def _first_letters(
    rng: np.random.Generator, count: int, signers: int
) -> tuple[np.ndarray, np.ndarray]:
    """Of generator 1.0.0. A letter that moves is shown anywhere along its stroke."""
    crowd = people.draw(rng, signers)
    who, label = rng.integers(signers, size=count), rng.integers(len(AZ), size=count)
    char = vocab.KAGGLE.encode(AZ).astype(int)[label]
    stroke = handshapes.STROKES[char, rng.integers(strokes.STEPS, size=count)]
    angles = crowd.angles[who, char] + np.radians(3.5) * rng.normal(size=(count, handshapes.JOINTS))
    palms = crowd.palms[who, char] + np.radians(4) * rng.normal(size=(count, 3))
    tilt = kinematics.quaternions(stroke[:, [4, 3, 5]])
    turn = kinematics.multiply(tilt, kinematics.quaternions(palms))
    hand = kinematics.hand(angles.astype(np.float32), crowd.bones[who])
    hand = hand @ kinematics.matrices(turn).transpose(0, 2, 1) + stroke[:, None, :3]
    hand = hand + 0.01 * rng.normal(size=hand.shape) * crowd.jitter[who][:, None, None]
    world = crowd.wrist[who][:, None] + crowd.palm[who][:, None, None] * hand
    views = people.cameras(rng, count)
    image = body.project(world, views, kinematics.matrices(kinematics.quaternions(views.rotation)))
    image[..., 2] -= image[:, :1, 2]
    image[..., 2] *= (views.scale[:, 0] * views.depth)[:, None]
    return image.astype(np.float32), label


def features(hands: np.ndarray) -> np.ndarray:
    """[n, 41]: x and y of 20 points from the wrist, each scaled because the camera's aspect is
    unknown, and a one."""
    about = hands[:, 1:, :2] - hands[:, :1, :2]
    about = about / about.std(1, keepdims=True)
    return np.column_stack([about.reshape(len(hands), -1), np.ones(len(hands))])


def fit(hands: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Multinomial logistic regression with a little weight decay: [features, letters]."""
    x, rows = features(hands), np.arange(len(hands))

    def loss(flat):
        w = flat.reshape(x.shape[1], len(AZ))
        z = x @ w
        z -= z.max(1, keepdims=True)
        p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
        value = -np.log(p[rows, label] + 1e-12).mean() + _DECAY * (w**2).sum()
        p[rows, label] -= 1
        return value, (x.T @ p / len(x) + 2 * _DECAY * w).ravel()

    start = np.zeros(x.shape[1] * len(AZ))
    found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": _STEPS})
    return found.x.reshape(x.shape[1], len(AZ))


def read(weights: np.ndarray, hands: np.ndarray) -> np.ndarray:
    """The letter of each hand, of `AZ`."""
    return np.array(list(AZ))[(features(hands) @ weights).argmax(1)]


if __name__ == "__main__":
    benchmarks.no_command("real_hands")
