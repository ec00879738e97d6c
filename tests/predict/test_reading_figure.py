"""Pictures of a reading: what is drawn is what the model did, and when."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from aslx.inputs import clip_features, image_features, phrase_features
from aslx.models import (
    attention,
    cnn,
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
from aslx.tasks import classification, heads, transcription
from tests import tiny, tiny_runs
from tests.models import test_networks as networks

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
    assert shares_BTM.min() >= 0 and shares_BTM[0].std() > 1e-3  # It looks somewhere.


@pytest.mark.parametrize("places", [3, 8, 21])  # Fewer than a head is wide, as many, and more.
def test_shares_are_those_by_which_attention_mixes(places):
    rngs, rng = layers.nnx.Rngs(0), np.random.default_rng(0)
    mixer = attention.Attention(8, 1, dtype=jnp.dtype("float32"), rngs=rngs)
    x_BTD, y_BSD = rng.normal(size=(2, 4, 8)), rng.normal(size=(2, places, 8))
    mask_BTS = (np.arange(places) < np.array([[places], [2]]))[:, None]
    k_BSNH, v_BSNH = mixer.keys_values(y_BSD)
    shares_BTS = mixer.shares(x_BTD, k_BSNH, mask_BTS)
    mixed = mixer.out(jnp.einsum("bts,bsnh->btnh", shares_BTS, v_BSNH))
    expected = mixer.attend(x_BTD, (k_BSNH, v_BSNH), mask_BTS)
    np.testing.assert_allclose(mixed, expected, atol=1e-5)


def test_attention_is_that_of_the_text_that_the_decoder_wrote_itself():
    task, model = AUTOREGRESSIVE, networks.build(networks.TRANSFORMER)
    found = jax.jit(task.evidence)(model, networks.FEATURES, networks.MASK)
    read = functools.partial(task.head.read, max_tokens=task.max_tokens, beams=1, prior=None)
    tokens_BL, _ = jax.jit(read)(model, networks.FEATURES, networks.MASK)
    np.testing.assert_array_equal(found["tokens"], tokens_BL)
    before_BL = np.pad(tokens_BL, ((0, 0), (1, 0)), constant_values=vocab.START)[:, :-1]
    expected, _ = attended(model, before_BL)
    np.testing.assert_allclose(found["attention"], expected, atol=1e-5)


def a_clip(frames: int, lost: list[int]) -> np.ndarray:
    clip_TN3 = tiny.clip(np.random.default_rng(0), "abc", frames)
    right, left = SELECTION.part("right_hand"), SELECTION.part("left_hand")
    clip_TN3[:, right] = np.nan_to_num(clip_TN3[:, right], nan=0.5)
    clip_TN3[:, left] = np.nan
    clip_TN3[np.ix_(lost, right)] = np.nan
    return clip_TN3


def picked(clip_TN3: np.ndarray, names: tuple[str, ...]) -> jax.Array:
    return jnp.asarray(clip_TN3[None][:, :, SELECTION.indices(*names)])


@pytest.mark.parametrize("frames", [9, 40])
def test_moments_tell_which_frame_the_model_sees(frames):
    clip_TN3, length = a_clip(frames, [0, 1, 5]), jnp.array([frames])
    kept = np.setdiff1d(np.arange(frames), [0, 1, 5])
    modern = phrase_features.Modern(max_frames=64)
    at = np.asarray(modern.moments(picked(clip_TN3, modern.selection.points), length))[0]
    np.testing.assert_allclose(at[: len(kept)], kept, atol=1e-4)
    shorter = phrase_features.Modern(max_frames=4)
    at = np.asarray(shorter.moments(picked(clip_TN3, shorter.selection.points), length))[0]
    assert (np.diff(at) > 0).all() and kept[0] <= at[0] and at[-1] <= kept[-1]
    every = phrase_features.Baseline()
    at = np.asarray(every.moments(picked(clip_TN3, every.selection.points), length))[0]
    np.testing.assert_allclose(at[:frames], np.arange(frames), atol=1e-4)


def test_a_position_stands_in_the_middle_of_its_frames_and_padding_after_them():
    shown, real = np.array([2.0, 3, 7, 0, 0, 0, 0, 0]), np.arange(8) < 3
    np.testing.assert_allclose(reading_figure.places(shown, real, 4), [2.5, 7, 9, 11])


def opened(workdir, dataset, **changes) -> trained_run.Run:
    return trained_run.open_run(tiny_runs.untrained(tiny.cfg(dataset, **changes), workdir))


CTC = transformer.Config(dim=16, num_layers=1, num_heads=2, decoder_layers=0, stride=2, kernel=3)
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


@pytest.mark.parametrize("name", TRANSCRIBERS)
def test_the_text_grows_to_the_answer_and_the_picture_shows_it(name, dataset, tmp_path):
    run = opened(tmp_path / "run", dataset, **TRANSCRIBERS[name])
    points = run.cfg.features.selection.points
    clip_TN3 = a_clip(41, [0, 1, 20])[:, SELECTION.indices(*points)]
    (answer,) = run.answers([clip_TN3])
    reading = reading_figure.read(run, clip_TN3, answer, None)
    texts = [reading.text(frame) for frame in range(41 + 128)]
    assert texts[-1] == answer.text and all(b.startswith(a) for a, b in itertools.pairwise(texts))
    assert reading.seen.sum() == 38 and not reading.seen[[0, 1, 20]].any()
    if "mask" in reading.found and name != "baseline":  # Which reads its padding, too.
        at = reading.at[reading.found["mask"]]
        assert (np.diff(at) > 0).all() and at[0] >= 2 and at[-1] <= 40
    reading_figure.draw(run, reading, "clip", tmp_path / "clip.png")
    panels = 1 + sum(key in reading.found for key in ("attention", "posteriors"))
    with Image.open(tmp_path / "clip.png") as image:
        assert image.width > 1000 and image.height > 110 * (1 + panels)


@pytest.mark.parametrize("name", ["ctc", "decoder"])
def test_a_clip_without_hands_is_drawn_too(name, dataset, tmp_path):
    run = opened(tmp_path / "run", dataset, **TRANSCRIBERS[name])
    clip_TN3 = a_clip(9, list(range(9)))
    clip_TN3 = clip_TN3[:, SELECTION.indices(*run.cfg.features.selection.points)]
    (answer,) = run.answers([clip_TN3])
    reading = reading_figure.read(run, clip_TN3, answer, None)
    assert not reading.seen.any()
    reading_figure.draw(run, reading, "clip", tmp_path / "clip.png")
    assert (tmp_path / "clip.png").exists()


def test_draw_writes_a_picture_and_an_animation_of_every_clip(run, dataset, tmp_path):
    import pandas as pd

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
        assert image.n_frames == 10  # Of 30, at a third of their rate.
        assert sum(_durations(image)) == 1000


def _durations(image: Image.Image) -> list[int]:
    found = []
    for i in range(image.n_frames):  # pyright: ignore
        image.seek(i)
        found.append(image.info["duration"])
    return found


def test_a_classifiers_probabilities_are_drawn_as_the_clip_grows(run, dataset, tmp_path):
    task = classification.Task(classes=3, names=("cat", "dog", "owl"))
    cfg = tiny.cfg(dataset, task=task, features=clip_features.Keypoints(), model=keypoints.Config())
    workdir = tiny_runs.untrained(cfg, tmp_path / "run")
    np.save(tmp_path / "clip.npy", np.random.default_rng(0).random((20, 1662), np.float32))
    drawn = ("--draw", "--drawings", tmp_path / "out")
    (line,) = run(predict, "--workdir", workdir, tmp_path / "clip.npy", *drawn).lines()
    assert line["class"] in task.names
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".png", ".gif"}


def test_an_image_is_drawn_beside_its_likeliest_classes(run, dataset, tmp_path):
    task = classification.Task(classes=3, names=("cat", "dog", "owl"))
    cfg = tiny.cfg(
        dataset,
        task=task,
        features=image_features.Image(height=16, width=16, size=16),
        model=cnn.Config(),
    )
    workdir = tiny_runs.untrained(cfg, tmp_path / "run")
    Image.new("RGB", (20, 20), "red").save(tmp_path / "hand.png")
    drawn = ("--draw", "--drawings", tmp_path / "out")
    run(predict, "--workdir", workdir, tmp_path / "hand.png", *drawn).lines()
    (path,) = (tmp_path / "out").iterdir()
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3).tolist()
    assert [255, 0, 0] in pixels and path.suffix == ".png"


def test_landmarks_of_the_keypoint_seed_come_in_kaggles_order():
    values_TD = np.arange(2 * 1662, dtype=np.float32).reshape(2, 1662)
    points = landmarks.holistic(values_TD)
    first = landmarks.ALL.indices("pose_1", "face_0", "left_hand_0", "right_hand_20")
    np.testing.assert_array_equal(points[0, first, 0], [4, 132, 132 + 1404, 1662 - 3])
    short = landmarks.holistic(np.concatenate([values_TD[:, :132], values_TD[:, 1536:]], 1))
    face = landmarks.ALL.part("face")
    assert np.isnan(short[:, face]).all()
    others = np.setdiff1d(np.arange(543), face)
    np.testing.assert_array_equal(short[:, others], points[:, others])
