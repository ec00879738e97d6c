"""A picture of every way of showing a clip otherwise: the hand before and after."""

import dataclasses
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure

from aslx import config as config_lib
from aslx import errors
from aslx.augment import clip_augment as augment_lib
from aslx.data import loader, plan
from aslx.figures import drawing, plots
from aslx.inputs import model_inputs
from aslx.runs import opening
from aslx.schema import vocab
from aslx.storage import files
from aslx.tasks import transcription

_MOMENTS = 10  # Boxes of a strip.
_COLUMNS = 2
_CLIPS = 64  # Looked at for one of a right hand that is seen often.
_HEIGHT = 1.85  # Inches of a way's two strips and title.


@dataclasses.dataclass(frozen=True)
class Shown:
    """A clip: points f32[T, N, 2], the text that goes with it, and which points of which frames are
    left out, bool[T, N]."""

    points: np.ndarray
    text: str
    gone: np.ndarray


def draw(cfg: config_lib.Config, path: files.Path) -> None:
    """The ways of the config's `augmentation`, each as if its rate were 1, and of `data.join`, on a
    clip of its training split; BadInput where the config's clips are no landmarks with texts."""
    landmarks_read = "landmarks" in cfg.features.source.reads and hasattr(cfg.features, "columns")
    if not landmarks_read or not isinstance(cfg.task, transcription.Task):
        what = "clips with classes" if "length" in cfg.features.source.reads else "images"
        raise errors.BadInput(
            "--augment draws clips of landmarks with texts, as of configs/quickstart.py, and this "
            f"config reads {what if not landmarks_read else 'landmarks without texts'}"
        )
    clips = cfg.augmentation or augment_lib.Clips()
    batch, joined = _batches(cfg, cfg.task.max_tokens)
    before = _shown(cfg, batch, batch, None)
    drawn = {}
    for field in dataclasses.fields(clips):
        way = getattr(clips, field.name)
        strengths = dataclasses.asdict(way)
        rate = strengths.pop("rate")
        words = ", ".join(f"{k} {_word(v)}" for k, v in strengths.items())
        drawn[f"{field.name}   {words}   rate {rate:g}"] = _apply(cfg, field.name, way, batch)
    drawn[f"data.join   share of the rows {cfg.data.join:g}"] = _shown(cfg, joined, joined, None)
    rows = -(-len(drawn) // _COLUMNS)
    figure = Figure((13.0, _HEIGHT * rows), layout="constrained")
    boxes = figure.subfigures(rows, _COLUMNS, squeeze=False).ravel()
    for box, (title, after) in zip(boxes, drawn.items(), strict=False):
        box.suptitle(title, fontsize=9, x=0.02, ha="left")
        _strips(box, before, after, cfg, whole=title.startswith(("face_drop", "pose_drop")))
    plots.save(figure, path)


def _features(cfg: config_lib.Config) -> Any:
    """The features of a config that `draw` did not refuse: of landmarks."""
    return cfg.features


def _word(value: Any) -> str:
    return "+".join(value) if isinstance(value, tuple) else f"{value:g}"


def _batches(cfg: config_lib.Config, max_tokens: int) -> list[dict[str, np.ndarray]]:
    """Some clips of one signer, of which the first shows the right hand most of the time; the same,
    with another behind the first where both phrases fit."""
    data = opening.split(cfg, cfg.data.train_split)
    signer, selection = data.index.signer, _features(cfg).source.selection
    field = cfg.features.source.field(data.metadata)
    wrist = selection.indices("right_hand_0")[0]

    def seen(i: int) -> float:
        return float(np.isfinite(field.read(data[i])[:, wrist, 0]).mean())

    first = max(range(min(_CLIPS, len(data))), key=seen)
    others = [i for i in range(min(_CLIPS, len(data))) if signer[i] == signer[first] != -1]
    rows = np.array([first, *(i for i in others if i != first)])
    characters = data.index.characters
    fits = [i for i in rows[1:] if characters[first] + 1 + characters[i] <= max_tokens]
    second = np.full_like(rows, plan.NOTHING)
    second[0] = next(iter(fits), plan.NOTHING)
    (shape,) = plan.Fixed(rows=len(rows)).shapes(2 * data.index.frames[rows])
    planned = [plan.Batch(shape, rows), plan.Batch(shape, rows, second)]
    fields = cfg.task.fields(data.metadata, cfg.features)
    batches = loader.Batches(data, planned, len(planned), fields)
    return [batches[i] for i in range(len(planned))]


def _apply(cfg: config_lib.Config, name: str, way: Any, batch: dict) -> Shown:
    certain = dataclasses.replace(way, rate=1.0)
    clips, key = dataclasses.replace(augment_lib.Clips(), **{name: certain}), jax.random.key(5)
    if name not in augment_lib.DROPS:
        features = cfg.features

        def shown(batch: dict, key: Any) -> dict:
            return clips.clips(clips.mixed(batch, key, features), key, features)

        after = jax.jit(shown)(batch, key)
        return _shown(cfg, batch, {k: np.asarray(v) for k, v in after.items()}, None)
    x, mask = jax.jit(lambda batch: model_inputs.of(batch, cfg.features))(batch)
    kept = certain.kept(mask, key, _features(cfg).columns)
    return _shown(cfg, batch, batch, np.broadcast_to(kept, x.shape)[0])


def _shown(cfg: config_lib.Config, batch: dict, after: dict, kept_SF: np.ndarray | None) -> Shown:
    points_TN2 = np.asarray(after["landmarks"][0], np.float32)[: after["length"][0], :, :2]
    gone_TN = np.zeros(points_TN2.shape[:2], bool)
    if kept_SF is not None:
        features = _features(cfg)
        arrays = [batch[name] for name in features.source.reads]
        at_S, (_, mask) = jax.jit(_moments, static_argnums=0)(features, *arrays)
        at_S, real_S = np.asarray(at_S)[0], np.asarray(mask)[0]
        near_T = np.abs(np.arange(len(points_TN2))[:, None] - at_S[real_S]).argmin(1)
        for n, name in enumerate(features.source.selection.points):
            if name in features.columns:
                column = features.columns.index(name)
                gone_TN[:, n] = ~kept_SF[real_S][near_T, column]
    ids = after.get("given", after["tokens"])[0]
    length = (batch["tokens"][0] if "given" in after else ids) != vocab.PAD
    text = "".join("·" if i == vocab.PAD else vocab.CHARACTERS[i] for i in ids[length])
    return Shown(points_TN2, text, gone_TN)


def _moments(features: Any, *arrays: jax.Array) -> tuple:
    return features.moments(*arrays), features(*arrays)


def _strips(box: Any, before: Shown, after: Shown, cfg: Any, *, whole: bool) -> None:
    """Both at evenly spaced moments of their own, in one scale. Hands stand in the middle of their
    boxes; where all frames stand for each other, in the middle of those before."""
    selection = _features(cfg).source.selection
    hands = [selection.part(part) for part in ("right_hand", "left_hand")]
    same = len(before.points) == len(after.points) and not whole
    size = drawing.largest(before.points[_seen(before, hands[0])][:, hands[0]]) * 1.15
    if whole:
        each = before.points.reshape(-1, 2)
        size = float((np.nanmax(each, 0) - np.nanmin(each, 0)).max()) * 1.1
    for ax, clip, name in zip(
        box.subplots(2, 1), (before, after), ("before", "after"), strict=True
    ):
        hand = max(hands, key=lambda hand, clip=clip: len(_seen(clip, hand)))
        seen = _seen(clip, hand)
        words = f"{name}: {clip.text}   {len(clip.points)} frames"
        drawing.row(ax, _MOMENTS, words, fontsize=7, fontfamily="monospace", pad=1)
        for box, t in enumerate(drawing.moments(seen, _MOMENTS).tolist()):
            points, gone = clip.points[t], clip.gone[t]
            about = (before if same and hand is hands[0] else clip).points[t]
            drawing.numbered(ax, box, t)
            if whole:
                middle = (np.nanmin(about, 0) + np.nanmax(about, 0)) / 2
                place_N2 = (points - middle) / size + (box, 0)
                colours = np.where(gone, drawing.PALE, drawing.BLUE)
                ax.scatter(*place_N2.T, s=0.6, c=colours)
            else:
                bones = drawing.boxed(points[hand], size, box, about[hand], gone[hand])
                bones.set_clip_on(False)
                ax.add_collection(bones)


def _seen(clip: Shown, hand: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.isfinite(clip.points[:, hand[0], 0]))
