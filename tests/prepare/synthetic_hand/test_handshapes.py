"""The 59 handshapes, their kinematics and the phrases."""

import numpy as np
import pytest

from aslx.prepare.synthetic_hand import handshapes, kinematics, phrases, signers
from aslx.schema import landmarks, vocab


def _drawn() -> np.ndarray:
    """[59, STEPS, 21, 3]: every character along its stroke, as the viewer sees it."""
    hands = kinematics.hand(handshapes.ANGLES, np.ones((1, 5, 3), np.float32))
    palms = kinematics.quaternions(handshapes.PALMS)[:, None]
    tilts = kinematics.quaternions(handshapes.STROKES[..., [4, 3, 5]])
    turns = kinematics.matrices(kinematics.multiply(tilts, palms))
    turned = np.einsum("csij,cpj->cspi", turns, hands)
    return (turned + handshapes.STROKES[:, :, None, :3])[: len(vocab.KAGGLE.characters)]


def test_every_character_has_a_shape_of_its_own():
    drawn = _drawn()
    apart = np.sqrt(((drawn[:, None] - drawn[None]) ** 2).sum(-1).mean((-1, -2)))
    apart[np.diag_indices(len(apart))] = np.inf
    a, b = np.unravel_index(apart.argmin(), apart.shape)
    assert apart.min() > 0.07, (vocab.KAGGLE.characters[a], vocab.KAGGLE.characters[b])


def test_bones_keep_their_length_however_the_hand_bends():
    rng = np.random.default_rng(0)
    bones = rng.uniform(0.9, 1.1, (50, 5, 3)).astype(np.float32)
    points = kinematics.hand(rng.uniform(-0.3, 1.8, (50, 20)).astype(np.float32), bones)
    lengths = (kinematics.THUMB_BONES, *kinematics.BONES)
    for finger, (ids, length) in enumerate(zip(landmarks.FINGERS.values(), lengths, strict=True)):
        bone = np.linalg.norm(np.diff(points[:, ids], axis=1), axis=-1)
        np.testing.assert_allclose(bone, length * bones[:, finger], rtol=1e-4)


def test_a_palm_turns_as_documented():
    def turned(*angles):
        return kinematics.matrices(kinematics.quaternions(np.radians([angles])))[0]

    fingers, palm = np.array([0, 1, 0]), np.array([0, 0, 1])
    np.testing.assert_allclose(turned(90, 0, 0) @ palm, [1, 0, 0], atol=1e-6)  # Signer's left.
    np.testing.assert_allclose(turned(0, 90, 0) @ fingers, [0, 0, 1], atol=1e-6)  # To the viewer.
    np.testing.assert_allclose(turned(0, 0, -90) @ fingers, [1, 0, 0], atol=1e-6)  # Clockwise.


def test_rotations_blend_the_shorter_way():
    a, b = kinematics.quaternions(np.radians([[0, 0, 10], [0, 0, 50]]))
    half = kinematics.matrices(kinematics.blend(a[None], -b[None], np.array([0.5])))
    middle = kinematics.matrices(kinematics.quaternions(np.radians([[0, 0, 30]])))
    np.testing.assert_allclose(half, middle, atol=1e-6)


def test_a_fist_is_shorter_than_an_open_hand():
    hands = kinematics.hand(handshapes.ANGLES, np.ones((1, 5, 3), np.float32))
    reach = {c: hands[i, 8:21:4, 1] for i, c in enumerate(vocab.KAGGLE.characters)}
    assert (reach["b"] > 1.5).all() and (reach["s"] < 1.0).all()


@pytest.mark.parametrize("n", [4, 20, 94])
def test_about_a_fifth_of_the_spelling_is_left_handed(n):
    crowd = signers.draw(np.random.default_rng(n), n)
    share = crowd.weight[crowd.left].sum()
    assert abs(share - signers.LEFT_SHARE) < 1 / n
    assert len(set(crowd.participant.tolist())) == n


def test_phrases_are_kaggles_kinds_in_kaggles_alphabet():
    texts = [phrases.phrase((0, i)) for i in range(4000)]
    assert set("".join(texts)) == set(vocab.KAGGLE.characters)
    assert min(map(len, texts)) >= 1 and max(map(len, texts)) == phrases.LONGEST
    assert any(t.startswith("www.") for t in texts) and any(t[0].isdigit() for t in texts)


def test_sentences_are_letters_and_spaces():
    texts = {phrases.sentence((0, i)) for i in range(530)}
    assert set("".join(texts)) <= set("abcdefghijklmnopqrstuvwxyz ")
    assert 450 < len(texts) <= 530 and max(map(len, texts)) <= phrases.LONGEST
