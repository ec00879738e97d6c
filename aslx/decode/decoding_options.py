"""How a trained transcriber is read: the options that evaluate and export share."""

import dataclasses


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
