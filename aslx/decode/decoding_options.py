"""How a trained transcriber is read: the options that commands share."""

import dataclasses

import numpy as np

from aslx import errors


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """None stands for what the run was trained with."""

    ctc: bool = False
    """Read a network that has both heads by CTC alone: no loop over characters, so faster."""
    beams: int | None = None
    """Texts that the search keeps side by side; 1: the likeliest character each time."""
    ctc_weight: float | None = None
    """CTC's share, 0 to 1, in the score of a text where the search keeps several texts. Give 0.9
    where the decoder was trained for few steps."""
    prior: float = 0.0
    """Weight of how likely a text is among the phrases of the training split: log-probabilities of
    character n-grams, added to the network's in the search; 0: none. It needs --beams."""
    prior_order: int = 3
    """Characters of an n-gram, 2 to 5."""
    fallback: str | None = None
    """A phrase to answer for clips that are read with little confidence; empty: none."""
    fallback_below: float | None = None
    """The confidence below which the phrase is answered: the mean of the characters'
    probabilities, 0 to 1."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rests:
    """Where a phrase of a stream ends."""

    hand: float = 0.8
    """Seconds without a hand after which a phrase has ended, and the next is read from the
    beginning; 0: never. Trackers lose a hand for some frames."""
    pause: float = 2.5
    """Seconds without a new character after which a phrase has ended while a hand is still seen;
    0: never."""

    def __post_init__(self):
        for name, value in dataclasses.asdict(self).items():
            if not 0 <= value <= 3600:
                raise errors.BadInput(f"rests: {name} {value:g}: give 0 to 3600 seconds")

    def frames(self, rate: float) -> np.ndarray:
        """i32[2]: both in frames, of `rate` a second."""
        return np.rint([self.hand * rate, self.pause * rate]).astype(np.int32)
