"""Hands before a camera that stands still: in a drawn room, and in real photographs."""

import functools
import pathlib

import numpy as np
import pytest
from scipy import ndimage

from aslx.prepare import cutouts, workers
from aslx.readers import images

SAMPLE = pathlib.Path(__file__).parents[3] / "shared" / "data" / "asl_alphabet_sample"
HERE = functools.partial(workers.run, processes=1)


def drawn(count: int = 48, size: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images of a disc before a wall with a beam, by day and by night; the images without the disc;
    and where it is."""
    rng = np.random.default_rng(0)
    wall = np.full((size, size, 3), 150.0)
    wall[:6] = (90, 60, 40)
    behind = np.stack([wall * (1.0 if i % 2 else 0.4) for i in range(count)])
    at = np.mgrid[:size, :size][:, None] - rng.uniform(8, size - 8, (2, count, 1, 1))
    hands = np.hypot(*at) < rng.uniform(4, 8, (count, 1, 1))
    shade = np.array([200.0, 120.0, 100.0]) * np.where(np.arange(count) % 2, 1.0, 0.5)[:, None]
    shown = np.where(hands[..., None], shade[:, None, None], behind)
    shown = shown + rng.normal(0, 2, shown.shape)
    return shown.clip(0, 255).astype(np.uint8), behind.astype(np.uint8), hands


def assert_found(found: np.ndarray, hands: np.ndarray) -> None:
    """All of each hand, and what is blurred into its edge."""
    assert (found & hands).sum() > 0.98 * hands.sum()
    near = np.stack([ndimage.binary_dilation(hand, iterations=4) for hand in hands])
    assert not found[near == 0].any()


def test_the_hand_is_what_differs_from_the_room_in_the_same_light():
    shown, _, hands = drawn()
    scene = cutouts.scene(shown, HERE)
    assert_found(scene.hidden, hands)
    new, room, hand = (x[48:] for x in drawn(60))
    cut = [scene.cut(image) for image in new]
    assert_found(np.stack([found for _, found in cut]), hand)
    away = np.stack([found for found, _ in cut]).astype(int) - room
    assert np.abs(away).max() < 12 and np.abs(away).mean() < 2


def test_an_image_without_a_hand_has_none_and_is_its_own_background():
    shown, behind, _ = drawn()
    found, hand = cutouts.scene(shown, HERE).cut(behind[0])
    assert not hand.any()
    assert np.abs(found.astype(int) - behind[0]).max() < 8


def test_cutouts_are_the_same_in_any_number_of_processes():
    shown, _, _ = drawn(40)
    two = functools.partial(workers.run, processes=2)
    np.testing.assert_array_equal(
        cutouts.scene(shown, HERE).hidden, cutouts.scene(shown, two).hidden
    )


@pytest.mark.parametrize(("height", "width"), [(20, 20), (33, 47), (100, 64), (8, 30)])
def test_cells_of_any_size_have_their_pixels_mean(height, width):
    image = np.random.default_rng(0).random((1, height, width, 2), np.float32)
    rows, columns = min(20, height), min(20, width)
    found = cutouts._coarse(image)[0].reshape(rows, columns, 2)
    up = np.append(np.arange(rows) * height // rows, height)
    along = np.append(np.arange(columns) * width // columns, width)
    for i, j in ((0, 0), (7, 19), (rows - 1, 3)):
        cell = image[0, up[i] : up[i + 1], along[j] : along[j + 1]]
        np.testing.assert_allclose(found[i, j], cell.mean((0, 1)), rtol=1e-5)


@pytest.mark.skipif(not SAMPLE.exists(), reason="needs the sample of ASL Alphabet")
@pytest.mark.slow
def test_of_real_photographs_of_letters_nine_tenths_show_a_hand():
    paths = sorted(SAMPLE.glob("*/*.jpg"))
    shown = np.stack([images.read(path, (100, 100, 3)) for path in paths[::2]])
    scene = cutouts.scene(shown, functools.partial(workers.run, processes=workers.usable()))
    share = scene.hidden.mean((1, 2))
    nothing = np.array([path.parent.name == "nothing" for path in paths[::2]])
    found = (share > 0.02) & (share < 0.6)
    assert found[~nothing].mean() > 0.9
