"""Real people's hands, read by what was trained on synthetic ones: letters and phrases by signer.

python -m benchmarks.real_hands --data DIR                       a linear reader of single hands
python -m benchmarks.real_hands --data DIR --workdir runs/NAME   and a run: held letters, phrases

DIR has letter_hands/*.npz, single hands (N, 21, 3) with the letter and the signer of each, and
fingerspelling_sample/, phrases in Kaggle's layout. Intervals are of 95 %, over letters or phrases:
other hands of the same people. Nothing here may be trained on.
"""

import dataclasses
import json
import pathlib
from collections.abc import Sequence

import numpy as np
import tyro

import aslx
from aslx import cli, errors
from aslx.prepare import synthetic
from aslx.readers import csv_files
from aslx.schema import landmarks
from aslx.storage import npy_files
from aslx.tasks import metrics
from benchmarks import machine

_LETTERS, _PHRASES = "letter_hands", "fingerspelling_sample"
_TABLES = ("train.csv", "supplemental_metadata.csv")
# A run is shown words of held hands, each for so many frames and then on its way for so many:
# together about Kaggle's frames a character. It was trained on phrases, not on lone hands.
_HELD, _WAY, _WORD = 6, 3, 8
_MOST = 10  # Hands of a letter and signer that a run is shown.
_PLACE = (0.35, 0.6, 0.0)  # Of the wrist, in the picture, of hands that are stored about it.
MOVING = "jz"  # A held hand does not show them.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Reads real hands."""

    data: pathlib.Path
    """The folder of letter_hands/ and fingerspelling_sample/."""
    workdir: str = ""
    """A run that transcribes."""
    signers: tuple[int, ...] = ()
    """Read these alone; by default all."""
    hands: int = 12_000
    """Synthetic hands that train the linear reader."""
    generator: synthetic.Version = "1.0.0"
    """What makes these hands."""
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Hands:
    """Single hands of known letters."""

    landmarks: np.ndarray  # f32[N, 21, 3], in fractions of the image or about the wrist.
    letter: np.ndarray  # str[N]
    signer: np.ndarray  # int[N]

    def __getitem__(self, rows: np.ndarray) -> "Hands":
        return Hands(self.landmarks[rows], self.letter[rows], self.signer[rows])


def hands(data: pathlib.Path) -> Hands:
    """All hands of letters in `data`, left ones mirrored; BadInput where there are none.

    The files do not say which hands are left ones; a run mirrors them as its tracker tells."""
    found = [
        npy_files.npz(path, ("landmarks", "letter", "signer"))
        for path in sorted((data / _LETTERS).glob("*.npz"))
    ]
    if not found:
        raise errors.BadInput(f"{data / _LETTERS} has no .npz of hands: --data names its folder")
    points, letter, signer = (np.concatenate([f[k] for f in found]) for k in found[0])
    every = Hands(right(points), letter, signer)
    return every[np.char.isalpha(every.letter)]


def is_left(hands: np.ndarray) -> np.ndarray:
    """bool[N]: the fingers bend to the side of the palm to which those of a left hand do. Tells
    99.9 % of the synthetic hands."""
    about = (hands - hands[:, :1]) * [1, -1, -1]  # Right, up, to the viewer.
    out_of_palm = np.cross(about[:, 5], about[:, 17])  # Of a right hand: index and little knuckle.
    fingers = about[:, [7, 11, 15, 19]] - about[:, [5, 9, 13, 17]]
    bent = fingers.sum(1) + about[:, 2] - about[:, 1]
    return (bent * out_of_palm).sum(1) < 0


def right(hands: np.ndarray) -> np.ndarray:
    """The hands, with left ones mirrored."""
    mirror = np.where(is_left(hands), -1, 1)[:, None]
    turned = hands.copy()
    turned[..., 0] = hands[:, :1, 0] + (hands[..., 0] - hands[:, :1, 0]) * mirror
    return turned


def letters_line(letter: np.ndarray, read: np.ndarray) -> dict:
    """The share of hands that are read right, and its interval over letters."""
    wrong = (letter != read).astype(float)
    low, high = metrics.bootstrap(np.ones(len(wrong)), wrong, letter)
    return {"hands": len(wrong), "right": round(1 - wrong.mean(), 3)} | _interval(low, high)


def phrases_line(phrases: Sequence[str], read: Sequence[str], ending: str = "") -> dict:
    """Kaggle's score of phrases, and its interval over them."""
    length = np.array([len(p) for p in phrases])
    distance = metrics.distances(phrases, read)
    low, high = metrics.bootstrap(length, distance, np.arange(len(phrases)))
    score = round(metrics.normalized_levenshtein(length, distance), 3)
    found = {"score": score} | _interval(low, high)
    return {f"{name}{ending}": value for name, value in found.items()}


def _interval(low: float, high: float) -> dict:
    return {"low": round(low, 3), "high": round(high, 3)}


def by_letter(title: str, real: Hands, read: np.ndarray) -> str:
    """A Markdown table: the share of each letter's hands that are read right, by signer, and what
    most of the others are read as."""
    signers, rows = np.unique(real.signer), []
    for letter in np.unique(real.letter):
        row = [letter]
        for signer in signers:
            mine = read[(real.letter == letter) & (real.signer == signer)]
            others, counts = np.unique(mine[mine != letter], return_counts=True)
            most = f" {others[counts.argmax()]}" if len(others) else ""
            row.append(f"{(mine == letter).mean():.2f}{most}" if len(mine) else "")
        rows.append(tuple(row))
    return machine.table((title, *(f"signer {s}" for s in signers)), rows)


def _each(reader: str, real: Hands, read: np.ndarray) -> None:
    """Prints a line for each signer, the mean of signers, and the table of letters."""
    shares = []
    for signer in np.unique(real.signer):
        mine = real.signer == signer
        line = letters_line(real.letter[mine], read[mine])
        shares.append(line["right"])
        _print(reader=reader, signer=int(signer), **line)
    _print(reader=reader, signers=len(shares), mean=round(float(np.mean(shares)), 3))
    print(by_letter(reader, real, read), flush=True)


def _print(**line: object) -> None:
    print(json.dumps({"benchmark": "real_hands"} | line), flush=True)


def strings(real: Hands) -> list[tuple[Hands, np.ndarray]]:
    """Words of up to `_WORD` held hands of one signer, and clips f32[T, 543, 3] that show them one
    after the other. Every letter that does not move occurs up to `_MOST` times, never twice in a
    word."""
    rng, found = np.random.default_rng(0), []
    for signer in np.unique(real.signer):
        own = [
            np.flatnonzero((real.signer == signer) & (real.letter == letter))
            for letter in np.unique(real.letter)
            if letter not in MOVING
        ]
        every = [
            rows[np.linspace(0, len(rows) - 1, _MOST).astype(int)] for rows in own if len(rows)
        ]
        for once in np.array(every).T:
            mixed = rng.permutation(once)
            words = (real[mixed[i : i + _WORD]] for i in range(0, len(mixed), _WORD))
            found += [(word, _shown(word.landmarks)) for word in words]
    return found


def _shown(hands: np.ndarray) -> np.ndarray:
    """Hands f32[n, 21, 3], each held and then turned into the next: f32[T, 543, 3]."""
    centred = (hands[:, :1] == 0).all(-1, keepdims=True)
    hands = hands + np.array(_PLACE, np.float32) * centred
    each = _HELD + _WAY
    at = np.arange(each * len(hands) - _WAY)
    now, step = np.divmod(at, each)
    part = np.clip((step - _HELD + 1) / (_WAY + 1), 0, 1)[:, None, None]
    after = hands[np.minimum(now + 1, len(hands) - 1)]
    clip = np.full((len(at), len(landmarks.POINTS), 3), np.nan, np.float32)
    clip[:, landmarks.ALL.part("right_hand")] = hands[now] * (1 - part) + after * part
    return clip


def phrases(data: pathlib.Path, signers: Sequence[int]) -> list[csv_files.Line]:
    """The lines of the sample's tables, of these signers or of all; BadInput where there is no
    sample."""
    columns = ("path", "sequence_id", "participant_id", "phrase")
    found = [line for t in _TABLES for line in csv_files.read(data / _PHRASES / t, columns)]
    return [line for line in found if not signers or line.integer("participant_id") in signers]


def _read_by(workdir: str, real: Hands, lines: Sequence[csv_files.Line], data: pathlib.Path):
    """Prints what a run reads of held hands, and of phrases with and without their spaces."""
    run = aslx.open_run(workdir)
    words, clips = zip(*strings(real), strict=True)
    kept = Hands(
        np.concatenate([word.landmarks for word in words]),
        np.concatenate([word.letter for word in words]),
        np.concatenate([word.signer for word in words]),
    )
    found = []
    for word, clip in zip(words, clips, strict=True):
        pairs = metrics.align("".join(word.letter), aslx.read(run, clip)[0].text)
        found += [read for letter, read in pairs if letter]
    _each(f"{workdir}, held letters", kept, np.array(found))
    texts = {}
    for path in sorted({line.path() for line in lines}):
        texts |= {p.name: p.text for p in aslx.read(run, data / _PHRASES / path)}
    for signer in sorted({line.integer("participant_id") for line in lines}):
        mine = [line for line in lines if line.integer("participant_id") == signer]
        told = [line["phrase"] for line in mine]
        read = [texts[line.integer("sequence_id")] for line in mine]
        bare = [[text.replace(" ", "") for text in side] for side in (told, read)]
        found = phrases_line(told, read) | phrases_line(bare[0], bare[1], ", no spaces")
        _print(reader=f"{workdir}, phrases", signer=signer, phrases=len(mine), **found)
        for pair in zip(told, read, strict=True):
            print(json.dumps({"phrase": pair[0], "read": pair[1]}), flush=True)


def main() -> None:
    from benchmarks import linear_reader

    command = tyro.cli(Command, description=__doc__)
    real = hands(command.data)
    if command.signers:
        real = real[np.isin(real.signer, command.signers)]
    trained = linear_reader.letters(command.hands, generator=command.generator, seed=command.seed)
    read = linear_reader.read(linear_reader.fit(*trained), real.landmarks)
    _each(f"linear reader, generator {command.generator}", real, read)
    if command.workdir:
        lines = phrases(command.data, command.signers)
        _read_by(command.workdir, real, lines, command.data)


if __name__ == "__main__":
    cli.run(main)
