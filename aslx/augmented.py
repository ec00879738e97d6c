"""A picture of every way of showing a clip otherwise: the hand before and after."""

import dataclasses
from typing import Any

import jax
import numpy as np
from matplotlib import collections
from matplotlib.figure import Figure

from aslx import augment as augment_lib
from aslx import config as config_lib
from aslx import files, inference, landmarks, plots, step, vocab
from aslx.data import loader, plan
from aslx.datasets import figures

_MOMENTS = 8  # Boxes of a strip.
_COLUMNS = 2
_CLIPS = 64  # Looked at for one of a right hand that is seen often.
_HEIGHT = 1.95  # Inches of a way's two strips and title.


@dataclasses.dataclass(frozen=True)
class Shown:
    """A clip: points f32[T, N, 2], the text that goes with it, and which points of which frames are
    left out, bool[T, N]."""

    points: np.ndarray
    text: str
    gone: np.ndarray


def draw(cfg: config_lib.Config, path: files.Path) -> None:
    """The ways of the config's `augment`, each as if its rate were 1, on a clip of the training
    split; ValueError where the config's inputs are no landmarks."""
    if "landmarks" not in cfg.features.source.reads or not hasattr(cfg.features, "columns"):
        raise ValueError("--augment draws clips of landmarks, and this config reads something else")
    clips = cfg.augment or augment_lib.Clips()
    batch = _batch(cfg)
    before = _shown(cfg, batch, batch, None)
    ways = dataclasses.fields(clips)
    rows = -(-len(ways) // _COLUMNS)
    figure = Figure((13.0, _HEIGHT * rows), layout="constrained")
    boxes = figure.subfigures(rows, _COLUMNS, squeeze=False).ravel()
    for box, field in zip(boxes, ways, strict=False):
        way = getattr(clips, field.name)
        after = _apply(cfg, field.name, way, batch)
        strengths = dataclasses.asdict(way)
        rate = strengths.pop("rate")
        words = ", ".join(f"{k} {_word(v)}" for k, v in strengths.items())
        box.suptitle(f"{field.name}   {words}   rate {rate:g}", fontsize=9, x=0.02, ha="left")
        _strips(box, before, after, cfg, whole=field.name in ("face_drop", "pose_drop"))
    plots.save(figure, path)


def _word(value: Any) -> str:
    return "+".join(value) if isinstance(value, tuple) else f"{value:g}"


def _batch(cfg: config_lib.Config) -> dict[str, np.ndarray]:
    """Some clips of one signer; the first shows the right hand most of the time."""
    data = inference.open_split(cfg, cfg.data.train_split)
    signer, selection = data.index.signer, cfg.features.source.selection
    field = cfg.features.source.field(data.metadata)
    wrist = selection.indices("right_hand_0")[0]

    def seen(i: int) -> float:
        return float(np.isfinite(field.read(data[i])[:, wrist, 0]).mean())

    first = max(range(min(_CLIPS, len(data))), key=seen)
    others = [i for i in range(min(_CLIPS, len(data))) if signer[i] == signer[first] != -1]
    rows = np.array([first, *(i for i in others if i != first)])
    (shape,) = plan.Fixed(rows=len(rows)).shapes(2 * data.index.frames[rows])
    fields = cfg.task.fields(data.metadata, cfg.features)
    return loader.Batches(data, [plan.Batch(shape, rows)], 1, fields)[0]


def _apply(cfg: config_lib.Config, name: str, way: Any, batch: dict) -> Shown:
    certain = dataclasses.replace(way, rate=1.0)
    clips, key = dataclasses.replace(augment_lib.Clips(), **{name: certain}), jax.random.key(3)
    if not hasattr(way, "kept"):
        after = jax.jit(lambda batch, key: clips.clips(batch, key, cfg.features))(batch, key)
        return _shown(cfg, batch, {k: np.asarray(v) for k, v in after.items()}, None)
    x, mask = jax.jit(lambda batch: step.inputs(batch, cfg.features))(batch)
    kept = certain.kept(mask, key, cfg.features.columns)
    return _shown(cfg, batch, batch, np.broadcast_to(kept, x.shape)[0])


def _shown(cfg: config_lib.Config, batch: dict, after: dict, kept_SF: np.ndarray | None) -> Shown:
    points_TN2 = np.asarray(after["landmarks"][0], np.float32)[: after["length"][0], :, :2]
    gone_TN = np.zeros(points_TN2.shape[:2], bool)
    if kept_SF is not None:
        source = cfg.features.source
        arrays = [batch[name] for name in source.reads]
        at_S, (_, mask) = jax.jit(_moments, static_argnums=0)(cfg.features, *arrays)
        at_S, real_S = np.asarray(at_S)[0], np.asarray(mask)[0]
        near_T = np.abs(np.arange(len(points_TN2))[:, None] - at_S[real_S]).argmin(1)
        for n, name in enumerate(source.selection.points):
            if name in cfg.features.columns:
                column = cfg.features.columns.index(name)
                gone_TN[:, n] = ~kept_SF[real_S][near_T, column]
    ids = after.get("given", after["tokens"])[0]
    length = (batch["tokens"][0] if "given" in after else ids) != vocab.PAD
    text = "".join("·" if i == vocab.PAD else vocab.CHARACTERS[i] for i in ids[length])
    return Shown(points_TN2, text, gone_TN)


def _moments(features: Any, *arrays: jax.Array) -> tuple:
    return features.moments(*arrays), features(*arrays)


def _strips(box: Any, before: Shown, after: Shown, cfg: Any, *, whole: bool) -> None:
    """Both at evenly spaced moments of their own; all in one scale."""
    selection = cfg.features.source.selection
    hand = selection.part("right_hand")
    points = np.arange(len(selection.points)) if whole else hand
    known = before.points[:, points].reshape(-1, 2)
    low, high = np.nanmin(known, 0), np.nanmax(known, 0)
    size, middle = float((high - low).max()) * 1.25, (low + high) / 2
    for ax, clip, name in zip(
        box.subplots(2, 1), (before, after), ("before", "after"), strict=True
    ):
        seen = np.flatnonzero(np.isfinite(clip.points[:, hand[0], 0]))
        picks = seen[np.linspace(0, len(seen) - 1, _MOMENTS).round().astype(int)]
        for column, t in enumerate(picks.tolist()):
            place = (clip.points[t] - middle) / size + (column, 0)
            grey = clip.gone[t]
            if whole:
                ax.scatter(*place.T, s=0.6, c=np.where(grey, "#d5d8dc", figures.BLUE))
            else:
                segments, colours = figures.hand(place[hand])
                lost = [bool(grey[hand[b]]) for _, b in landmarks.HAND_EDGES]
                colours = ["#d5d8dc" if g else c for c, g in zip(colours, lost, strict=True)]
                ax.add_collection(
                    collections.LineCollection(list(segments), colors=colours, lw=1.2)
                )
            ax.text(column, 0.66, f"{t}", fontsize=5, color=figures.GREY, ha="center", va="center")
        ax.set(xlim=(-0.6, _MOMENTS - 0.4), ylim=(0.7, -0.55), aspect="equal")
        ax.set_title(f"{name}: {clip.text}   {len(clip.points)} frames", fontsize=7, loc="left",
                     fontfamily="monospace", pad=1)  # fmt: skip
        ax.axis("off")
