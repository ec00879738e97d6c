"""The picture of what augmentation does."""

import dataclasses
import pathlib
from typing import NamedTuple

import matplotlib.colors
import matplotlib.figure
import numpy as np
import pytest
from PIL import Image

from aslx import errors
from aslx.augment import clip_augment, input_dropout
from aslx.describe import augmentation_figure
from aslx.figures import drawing, plots
from aslx.inputs import clip_features, phrase_features
from aslx.models import keypoints
from aslx.tasks import classification, heads, pretraining, transcription
from tests import tiny

pytestmark = pytest.mark.long


class Drawn(NamedTuple):
    """A figure and the file that it was saved to."""

    figure: matplotlib.figure.Figure
    path: pathlib.Path


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Drawn:
    """Every augmentation on hands, face and pose; the config mirrors half of the clips."""
    folder, saved = tmp_path_factory.mktemp("drawn"), []

    def save(figure: matplotlib.figure.Figure, path: pathlib.Path) -> None:
        saved.append(Drawn(figure, path))
        written(figure, path)

    every = phrase_features.Modern(max_frames=32, parts=("right_hand", "face", "pose"))
    clips = clip_augment.Clips(mirror=clip_augment.Mirror(rate=0.5))
    cfg = tiny.cfg(tiny.dataset(folder), features=every, augmentation=clips)
    written = plots.save
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "save", save)
        augmentation_figure.draw(cfg, folder / "augment.png")
    (found,) = saved
    return found


def test_every_augmentation_is_drawn_on_a_clip_of_the_training_split(drawn):
    with Image.open(drawn.path) as image:
        plain = image.convert("RGB")
    panels = len(dataclasses.fields(clip_augment.Clips)) + 1  # And two clips joined.
    assert plain.height > panels // 2 * 150
    assert (213, 216, 220) in {colour for _, colour in plain.getcolors(2**24) or ()}


@pytest.mark.parametrize("name", ["face_drop", "pose_drop"])
def test_points_that_are_no_hands_are_pale_where_they_are_dropped(drawn, name):
    (panel,) = (each for each in drawn.figure.subfigs if name in (each.get_suptitle() or ""))
    shown = [{tuple(c) for part in ax.collections for c in part.get_ec()} for ax in panel.axes]
    pale = matplotlib.colors.to_rgba(drawing.PALE)
    assert [pale in colours for colours in shown] == [False, True]


def test_titles_say_what_is_drawn_and_what_the_config_does(drawn):
    titles = [panel.get_suptitle() or "" for panel in drawn.figure.subfigs]
    assert not any("rate" in title for title in titles)
    (mirror,) = (title for title in titles if title.startswith("mirror applied"))
    (joined,) = (title for title in titles if title.startswith("data.join: two clips joined"))
    assert "in the config: 50% of the clips" in mirror and "in the config: off" in joined


@pytest.mark.slow
def test_strengths_are_the_configs(tmp_path):
    cfg = tiny.cfg(tiny.dataset(tmp_path))
    pictures = []
    for share in (0.1, 1.0):
        clips = clip_augment.Clips(time_mask=input_dropout.TimeMask(share=share))
        path = tmp_path / f"{share}.png"
        augmentation_figure.draw(dataclasses.replace(cfg, augmentation=clips), path)
        pictures.append(path.read_bytes())
    assert pictures[0] != pictures[1]


def test_a_clip_is_joined_with_another_where_both_phrases_fit(tmp_path):
    path = tiny.dataset(tmp_path)
    for most, more in ((20, True), (5, False)):
        task = transcription.Task(head=heads.CTC(), max_tokens=most)
        alone, joined = augmentation_figure.sample(tiny.cfg(path, task=task))
        assert (joined["length"][0] > alone["length"][0]) == more
        np.testing.assert_array_equal(joined["length"][1:], alone["length"][1:])


def test_a_config_without_landmarks_or_texts_is_refused(tmp_path):
    task, features = classification.Task(classes=2), clip_features.Keypoints()
    clips = {"task": task, "features": features, "model": keypoints.Config()}
    for changes, words in (
        (clips, "clips with classes"),
        ({"task": pretraining.Task()}, "landmarks without texts"),
    ):
        said = f"--augment draws clips of landmarks with texts, .* this config reads {words}"
        with pytest.raises(errors.BadInput, match=said):
            augmentation_figure.draw(tiny.cfg(tmp_path, **changes), tmp_path / "augment.png")
