"""How a trained transcriber is read: the options that evaluate and export share."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What is left out stays as it was trained."""

    ctc: bool = False
    """Read a network that has both heads by CTC alone: no loop over characters, so faster."""
    beams: int = 0
    """Texts to look at side by side while reading; 1: none but the likeliest; 0: as trained."""
    ctc_weight: float = 0.0
    """CTC's share, up to 1, in what both heads say of a text, where several are looked at; 0: as
    trained. A decoder that was trained for a few steps is best given little: 0.9 for CTC."""
    prior: float = 0.0
    """Weight of how likely a text is among the phrases of the training split, as log-probabilities
    of character n-grams added to the network's in the search; 0: none. It needs --beams."""
    prior_order: int = 3
    """Characters of an n-gram, 2 to 5."""
    fallback: str = ""
    """A phrase to answer for clips that are read with little confidence."""
    fallback_below: float = 0.0
    """The confidence under which it is: the mean over the characters' probabilities, 0 to 1."""
