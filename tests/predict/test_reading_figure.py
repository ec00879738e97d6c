"""Pictures of a reading show what the model did, and when."""

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from PIL import GifImagePlugin, Image

from aslx.inputs import clip_features, phrase_features
from aslx.models import (
    attention,
    fingerspelling_lstm,
    fingerspelling_transformer,
    keypoints,
    layers,
    transformer,
)
from aslx.predict import __main__ as predict
from aslx.predict import reading_figure
from aslx.runs import trained_run
from aslx.schema import landmarks, vocab
from aslx.tasks import heads, transcription
from tests import tiny, tiny_runs
from tests.models import test_networks as networks
from tests.predict import test_predict

pytestmark = pytest.mark.long

SELECTION = tiny.SELECTION
AUTOREGRESSIVE = transcription.Task(head=heads.Autoregressive(), max_tokens=8)


@jax.jit
def attended(model, tokens):
    memory, mask = model.encode(networks.FEATURES, networks.MASK)
    return model.attention(tokens, memory, mask), mask


@networks.AUTOREGRESSIVE
def test_attention_sums_to_one_over_the_real_frames(cfg):
    model = networks.build(cfg)
    shares_BTM, mask = jax.device_get(attended(model, networks.TOKENS))
    assert shares_BTM.shape == (*networks.TOKENS.shape, mask.shape[1])
    np.testing.assert_allclose(np.where(mask[:, None], shares_BTM, 0).sum(-1)[:2], 1, atol=1e-5)
    assert shares_BTM.min() >= 0 and shares_BTM[0].std() > 1e-3  # Not uniform.


@pytest.mark.parametrize("places", [3, 8, 21])  # Fewer than the width of a head, as many, more.
def test_shares_are_those_by_which_attention_mixes(places):
    rngs, rng = layers.nnx.Rngs(0), np.random.default_rng(0)
    mixer = attention.Attention(8, 1, dtype=jnp.dtype("float32"), rngs=rngs)
    x_BTD, y_BSD = (jnp.asarray(rng.normal(size=(4, n, 8))) for n in (2, places))
    mask_BTS = jnp.arange(places) < jnp.array([places, places, 2, 2])[:, None, None]
    k_BSNH, v_BSNH = mixer.keys_values(y_BSD)
    shares_BTS = mixer.shares(x_BTD, k_BSNH, mask_BTS)
    mixed = mixer.out(jnp.einsum("bts,bsnh->btnh", shares_BTS, v_BSNH))
    expected = mixer.attend(x_BTD, (k_BSNH, v_BSNH), mask_BTS)
    np.testing.assert_allclose(mixed, expected, atol=1e-5)


def test_attention_is_that_of_the_text_that_the_decoder_wrote_itself():
    task, model = AUTOREGRESSIVE, networks.build(networks.TRANSFORMER)
    found = jax.jit(task.evidence)(model, networks.FEATURES, networks.MASK)
    read = functools.partial(
        task.head.read, alphabet=task.alphabet, max_tokens=task.max_tokens, beams=1, prior=None
    )
    tokens_BL, _ = jax.jit(read)(model, networks.FEATURES, networks.MASK)
    np.testing.assert_array_equal(found["tokens"], tokens_BL)
    before_BL = np.pad(tokens_BL, ((0, 0), (1, 0)), constant_values=vocab.KAGGLE.start)[:, :-1]
    expected, _ = attended(model, before_BL)
    np.testing.assert_allclose(found["attention"], expected, atol=1e-5)


def a_clip(frames: int, lost: list[int], points: tuple[str, ...] = SELECTION.points) -> np.ndarray:
    """f32[frames, N, 3] with the right hand alone, which is lost in some frames."""
    clip_TN3 = tiny.clip(np.random.default_rng(0), "abc", frames)
    right, left = SELECTION.part("right_hand"), SELECTION.part("left_hand")
    clip_TN3[:, right] = np.nan_to_num(clip_TN3[:, right], nan=0.5)
    clip_TN3[:, left] = np.nan
    for frame in lost:
        clip_TN3[frame, right] = np.nan
    return clip_TN3[:, SELECTION.indices(*points)]


@pytest.mark.parametrize("frames", [9, 40])
def test_moments_are_the_frames_that_the_model_sees(frames):
    def moments(features: Any) -> np.ndarray:
        clip_TN3 = a_clip(frames, [0, 1, 5], features.selection.points)
        return np.asarray(features.moments(jnp.asarray(clip_TN3[None]), jnp.array([frames])))[0]

    kept = np.setdiff1d(np.arange(frames), [0, 1, 5])
    at = moments(phrase_features.Modern(max_frames=64))
    np.testing.assert_allclose(at[: len(kept)], kept, atol=1e-4)
    at = moments(phrase_features.Modern(max_frames=4))
    assert (np.diff(at) > 0).all() and kept[0] <= at[0] and at[-1] <= kept[-1]
    np.testing.assert_allclose(
        moments(phrase_features.Baseline())[:frames], np.arange(frames), atol=1e-4
    )


def test_a_position_stands_in_the_middle_of_its_frames_and_padding_after_them():
    shown, real = np.array([2.0, 3, 7, 0, 0, 0, 0, 0]), np.arange(8) < 3
    np.testing.assert_allclose(reading_figure.places(shown, real, 4), [2.5, 7, 9, 11])


CTC = transformer.Config(dim=16, num_layers=1, num_heads=2, decoder_layers=0, stride=2, kernel=3)
SLOW = pytest.mark.slow
TRANSCRIBERS = {
    "ctc": {"model": CTC, "task": transcription.Task(head=heads.CTC(), max_tokens=8)},
    "decoder": {"model": networks.TRANSFORMER, "task": AUTOREGRESSIVE},
    "both": {
        "model": networks.LSTM,
        "task": transcription.Task(head=heads.Autoregressive(ctc_weight=0.3), max_tokens=8),
    },
    "baseline": {
        "model": fingerspelling_transformer.Config(),
        "task": AUTOREGRESSIVE,
        "features": phrase_features.Baseline(),
    },
    "positions": {
        "model": fingerspelling_lstm.Config(),
        "task": transcription.Task(head=heads.PerPosition(), max_tokens=8),
        "features": phrase_features.Baseline(),
    },
}  # fmt: skip


def drawn(name, dataset, folder, frames, lost) -> tuple[reading_figure.Reading, Any]:
    """The reading of a clip, drawn into clip.png, and the answer."""
    cfg = tiny.cfg(dataset, **TRANSCRIBERS[name])
    run = trained_run.open_run(tiny_runs.untrained(cfg, folder / "run"))
    clip_TN3 = a_clip(frames, lost, tiny.selection(cfg).points)
    (answer,) = run.answers([clip_TN3])
    reading = reading_figure.read(run, clip_TN3, answer, None)
    reading_figure.draw(run, reading, "clip", folder / "clip.png")
    return reading, answer


@pytest.mark.parametrize(
    "name",
    ["ctc", "both", "positions", *(pytest.param(n, marks=SLOW) for n in ("decoder", "baseline"))],
)
def test_the_text_grows_to_the_answer_and_the_picture_shows_it(name, dataset, tmp_path):
    reading, answer = drawn(name, dataset, tmp_path, 41, [0, 1, 20])
    texts = [reading.text(frame) for frame in range(41 + 128)]
    assert texts[-1] == answer.text and all(b.startswith(a) for a, b in itertools.pairwise(texts))
    assert reading.seen.sum() == 38 and not reading.seen[[0, 1, 20]].any()
    if "mask" in reading.evidence and name != "baseline":  # That network reads its padding, too.
        at = reading.at[reading.evidence["mask"]]
        assert (np.diff(at) > 0).all() and at[0] >= 2 and at[-1] <= 40
    panels = 1 + sum(key in reading.evidence for key in ("attention", "posteriors"))
    with Image.open(tmp_path / "clip.png") as image:
        assert image.width > 1000 and image.height > 110 * (1 + panels)


@pytest.mark.parametrize("name", ["ctc", "decoder"])
def test_a_clip_without_hands_is_drawn(name, dataset, tmp_path):
    reading, _ = drawn(name, dataset, tmp_path, 9, list(range(9)))
    assert not reading.seen.any() and (tmp_path / "clip.png").exists()


def test_draw_writes_a_picture_and_an_animation_of_every_clip(run, dataset, tmp_path):
    workdir = tiny_runs.untrained(tiny.cfg(dataset), tmp_path / "run")
    tables = [
        pd.DataFrame(
            landmarks.columns(a_clip(frames, [])),
            pd.Index([i] * frames, name="sequence_id"),
            list(SELECTION.columns),
        )
        for i, frames in ((7, 30), (8, 12))
    ]
    assert set(SELECTION.columns) <= set(landmarks.ALL.columns)
    pd.concat(tables).to_parquet(tmp_path / "clips.parquet")
    run(predict, "--workdir", workdir, tmp_path / "clips.parquet", "--draw").lines()
    drawn = sorted(path.name for path in (workdir / "drawings").iterdir())
    stem = f"{tmp_path.name}-clips"
    assert drawn == [f"{stem}-{i}.{kind}" for i in (7, 8) for kind in ("gif", "png")]
    with Image.open(workdir / "drawings" / f"{stem}-7.gif") as image:
        assert isinstance(image, GifImagePlugin.GifImageFile)
        assert image.n_frames == 10  # Every third of 30.
        durations = []
        for i in range(image.n_frames):
            image.seek(i)
            durations.append(image.info["duration"])
    assert sum(durations) == 1000


def test_a_classifiers_probabilities_are_drawn_as_the_clip_grows(run, dataset, tmp_path):
    workdir = test_predict.classifier(
        dataset, tmp_path / "run", features=clip_features.Keypoints(), model=keypoints.Config()
    )
    np.save(tmp_path / "clip.npy", np.random.default_rng(0).random((20, 1662), np.float32))
    drawn = ("--draw", "--drawings", tmp_path / "out")
    (line,) = run(predict, "--workdir", workdir, tmp_path / "clip.npy", *drawn).lines()
    assert line["class"] in test_predict.NAMES
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".png", ".gif"}


def test_an_image_is_drawn_beside_its_likeliest_classes(run, dataset, tmp_path):
    workdir = test_predict.of_images(dataset, tmp_path / "run")
    Image.new("RGB", (20, 20), "red").save(tmp_path / "hand.png")
    drawn = ("--draw", "--drawings", tmp_path / "out")
    run(predict, "--workdir", workdir, tmp_path / "hand.png", *drawn).lines()
    (path,) = (tmp_path / "out").iterdir()
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3).tolist()
    assert [255, 0, 0] in pixels and path.suffix == ".png"


def test_landmarks_of_the_keypoint_baseline_come_in_kaggles_order():
    values_TD = np.arange(2 * 1662, dtype=np.float32).reshape(2, 1662)
    points = landmarks.holistic(values_TD)
    first = landmarks.ALL.indices("pose_1", "face_0", "left_hand_0", "right_hand_20")
    np.testing.assert_array_equal(points[0, first, 0], [4, 132, 132 + 1404, 1662 - 3])
    short = landmarks.holistic(np.concatenate([values_TD[:, :132], values_TD[:, 1536:]], 1))
    face = landmarks.ALL.part("face")
    assert np.isnan(short[:, face]).all()
    others = np.setdiff1d(np.arange(543), face)
    np.testing.assert_array_equal(short[:, others], points[:, others])
