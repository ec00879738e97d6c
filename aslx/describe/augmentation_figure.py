"""A picture of each augmentation: a clip's hand before and after."""

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
_CLIPS = 64  # Clips that are searched for one in which the right hand is often seen.
_HEIGHT = 1.85  # Inches of an augmentation's two strips and title.


@dataclasses.dataclass(frozen=True)
class Shown:
    """A clip as it is drawn."""

    points: np.ndarray  # f32[T, N, 2]
    text: str
    dropped: np.ndarray  # bool[T, N]: points that the augmentation leaves out.

    def seen(self, hand: np.ndarray) -> np.ndarray:
        """The frames in which a hand, given by its points, was tracked."""
        return np.flatnonzero(np.isfinite(self.points[:, hand[0], 0]))


def draw(cfg: config_lib.Config, path: files.Path) -> None:
    """Draws each augmentation, at the config's strengths, and two clips joined as by `data.join`,
    on a clip of the training split. The titles also say to how many clips the config does it.
    BadInput unless the config reads landmarks with texts."""
    landmarks_read = "landmarks" in cfg.features.source.reads and hasattr(cfg.features, "columns")
    if not landmarks_read or not isinstance(cfg.task, transcription.Task):
        what = "clips with classes" if "length" in cfg.features.source.reads else "images"
        raise errors.BadInput(
            "--augment draws clips of landmarks with texts, as of configs/quickstart.py, and this "
            f"config reads {what if not landmarks_read else 'landmarks without texts'}"
        )
    clips = cfg.augmentation or augment_lib.Clips()
    batch, joined = sample(cfg)
    before = _shown(cfg, batch, batch)
    drawn = {}
    for field in dataclasses.fields(clips):
        augmentation = getattr(clips, field.name)
        strengths = dataclasses.asdict(augmentation)
        rate = strengths.pop("rate")
        words = ", ".join(f"{k} {_word(v)}" for k, v in strengths.items())
        after = _augmented(cfg, field.name, augmentation, batch)
        drawn[f"{field.name} applied   {words}   {_often(rate)}"] = after
    title = f"data.join: two clips joined   {_often(cfg.data.join)}"
    drawn[title] = _shown(cfg, joined, joined)
    rows = -(-len(drawn) // _COLUMNS)
    figure = Figure((13.0, _HEIGHT * rows), layout="constrained")
    panels = figure.subfigures(rows, _COLUMNS, squeeze=False).ravel()
    for panel, (title, after) in zip(panels, drawn.items(), strict=False):
        panel.suptitle(title, fontsize=9, x=0.02, ha="left")
        _strips(panel, before, after, cfg, whole=title.startswith(("face_drop", "pose_drop")))
    plots.save(figure, path)


def _features(cfg: config_lib.Config) -> Any:
    """The features of a config that `draw` did not refuse: of landmarks."""
    return cfg.features


def _task(cfg: config_lib.Config) -> Any:
    """The task of a config that `draw` did not refuse: a transcription."""
    return cfg.task


def _often(rate: float) -> str:
    return f"(in the config: {f'{rate:.0%} of the clips' if rate else 'off'})"


def _word(value: Any) -> str:
    return "+".join(value) if isinstance(value, tuple) else f"{value:g}"


def sample(cfg: config_lib.Config) -> list[dict[str, np.ndarray]]:
    """Two batches of the same clips of one signer; the first clip shows the right hand most often.

    In the second batch another clip follows the first one in its row, if both phrases fit.
    """
    data = opening.split(cfg, cfg.data.train_split)
    signer, selection = data.index.signer, _features(cfg).source.selection
    field = cfg.features.source.field(data.metadata)
    wrist = selection.indices("right_hand_0")[0]
    tried = range(min(_CLIPS, len(data)))
    first = max(tried, key=lambda i: np.isfinite(field.read(data[i])[:, wrist, 0]).mean())
    others = [i for i in tried if i != first and signer[i] == signer[first] != -1]
    rows = np.array([first, *others])
    *fields, text = _task(cfg).fields(data.metadata, cfg.features)
    length = data.index.characters
    most = text.max_tokens - len(text.between) - length[first]
    fits = [i for i in others if length[i] <= most]
    second = np.full_like(rows, plan.NOTHING)
    second[0] = fits[0] if fits else plan.NOTHING
    (shape,) = plan.Fixed(rows=len(rows)).shapes(2 * data.index.frames[rows])
    planned = [plan.Batch(shape, rows), plan.Batch(shape, rows, second)]
    batches = loader.Batches(data, planned, len(planned), (*fields, text))
    return [batches[i] for i in range(len(planned))]


def _augmented(cfg: config_lib.Config, name: str, augmentation: Any, batch: dict) -> Shown:
    certain = dataclasses.replace(augmentation, rate=1.0)
    clips, key = dataclasses.replace(augment_lib.Clips(), **{name: certain}), jax.random.key(5)
    features = _features(cfg)
    if name not in augment_lib.DROPS:

        def augment(batch: dict, key: Any) -> dict:
            return clips.clips(clips.mixed(batch, key, features), key, features)

        after = jax.jit(augment)(batch, key)
        return _shown(cfg, batch, {k: np.asarray(v) for k, v in after.items()})
    x, mask = jax.jit(lambda batch: model_inputs.of(batch, features))(batch)
    kept = certain.kept(mask, key, features.columns)
    return _shown(cfg, batch, batch, np.broadcast_to(kept, x.shape)[0])


def _shown(
    cfg: config_lib.Config, batch: dict, after: dict, kept_SF: np.ndarray | None = None
) -> Shown:
    """The first clip of the batch `after`; `kept_SF`: which of the model's inputs are kept."""
    points_TN2 = np.asarray(after["landmarks"][0], np.float32)[: after["length"][0], :, :2]
    dropped_TN = np.zeros(points_TN2.shape[:2], bool)
    if kept_SF is not None:
        features = _features(cfg)
        found = jax.jit(model_inputs.shown_frames, static_argnums=1)(batch, features)
        at_S, real_S = (np.asarray(array)[0] for array in found)
        near_T = np.abs(np.arange(len(points_TN2))[:, None] - at_S[real_S]).argmin(1)
        for n, name in enumerate(features.source.selection.points):
            if name in features.columns:
                column = features.columns.index(name)
                dropped_TN[:, n] = ~kept_SF[real_S][near_T, column]
    ids = after.get("given", after["tokens"])[0]
    there = (batch["tokens"][0] if "given" in after else ids) >= 0
    characters = _task(cfg).alphabet.characters
    text = "".join("·" if i == vocab.NONE else characters[i] for i in ids[there])
    return Shown(points_TN2, text, dropped_TN)


def _strips(panel: Any, before: Shown, after: Shown, cfg: Any, *, whole: bool) -> None:
    """Draws both clips in one scale, each at evenly spaced moments. A hand is centred in its box;
    if the frames of both clips correspond, the hand before is. `whole` draws all points."""
    selection = _features(cfg).source.selection
    hands = [selection.part(part) for part in ("right_hand", "left_hand")]
    same = len(before.points) == len(after.points) and not whole
    if whole:
        every = before.points.reshape(-1, 2)
        size = float((np.nanmax(every, 0) - np.nanmin(every, 0)).max()) * 1.1
    else:
        size = drawing.largest(before.points[before.seen(hands[0])][:, hands[0]]) * 1.15
    axes = panel.subplots(2, 1)
    for ax, clip, name in zip(axes, (before, after), ("before", "after"), strict=True):
        hand = max(hands, key=lambda hand, clip=clip: len(clip.seen(hand)))
        words = f"{name}: {clip.text}   {len(clip.points)} frames"
        drawing.row(ax, _MOMENTS, words, fontsize=7, fontfamily="monospace", pad=1)
        for box, t in enumerate(drawing.moments(clip.seen(hand), _MOMENTS).tolist()):
            points, dropped = clip.points[t], clip.dropped[t]
            about = (before if same and hand is hands[0] else clip).points[t]
            drawing.numbered(ax, box, t)
            if whole:
                middle = (np.nanmin(about, 0) + np.nanmax(about, 0)) / 2
                place_N2 = (points - middle) / size + (box, 0)
                ax.scatter(*place_N2.T, s=0.6, c=np.where(dropped, drawing.PALE, drawing.BLUE))
            else:
                bones = drawing.boxed(points[hand], size, box, about[hand], dropped[hand])
                bones.set_clip_on(False)
                ax.add_collection(bones)
