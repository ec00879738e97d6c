"""The picture of what augmentation does."""

import dataclasses

import pytest
from PIL import Image

from aslx import augment, augmented, clip_features, masks
from aslx.models import keypoints
from aslx.tasks import classification
from tests import tiny


def test_every_way_is_drawn_on_a_clip_of_the_training_split(tmp_path):
    path = tmp_path / "augment.png"
    augmented.draw(tiny.cfg(tiny.dataset(tmp_path)), path)
    with Image.open(path) as image:
        plain = image.convert("RGB")
    ways = len(dataclasses.fields(augment.Clips))
    assert plain.height > ways // 2 * 150
    assert (213, 216, 220) in {colour for _, colour in plain.getcolors(2**24) or ()}


def test_strengths_are_the_configs(tmp_path):
    cfg = tiny.cfg(tiny.dataset(tmp_path))
    pictures = []
    for share in (0.1, 1.0):
        ways = augment.Clips(time_mask=masks.TimeMask(share=share))
        path = tmp_path / f"{share}.png"
        augmented.draw(dataclasses.replace(cfg, augmentation=ways), path)
        pictures.append(path.read_bytes())
    assert pictures[0] != pictures[1]


def test_inputs_without_landmarks_are_refused(tmp_path):
    cfg = tiny.cfg(
        tmp_path,
        task=classification.Task(classes=2),
        features=clip_features.Keypoints(),
        model=keypoints.Config(),
    )
    with pytest.raises(ValueError, match="--augment draws clips of landmarks"):
        augmented.draw(cfg, tmp_path / "augment.png")
