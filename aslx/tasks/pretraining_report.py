"""How pretraining is scored and told.

An answer is f32[2]: of how many of a clip's hidden frames the code was guessed, and how many were
hidden.
"""

from collections.abc import Sequence
from typing import NoReturn

import numpy as np

from aslx import errors
from aslx.data import records as records_lib
from aslx.storage import files


def nothing() -> NoReturn:
    raise errors.BadInput(
        "this run pretrained an encoder, which reads nothing by itself: nothing to predict or "
        "export; train a recogniser with --weights and this directory, and ask that one"
    )


class Report:
    def beside(self) -> NoReturn:
        nothing()

    def about(self) -> NoReturn:
        nothing()

    def unsuited(self) -> NoReturn:
        nothing()

    def line(self, answer: np.ndarray) -> NoReturn:
        del answer
        nothing()

    def silent(self) -> NoReturn:
        nothing()

    def text(self, answer: np.ndarray) -> str:
        return f"{_guessed(answer):.3f} of the hidden frames guessed"

    def targets(self, records: records_lib.Records, count: int) -> list[str]:
        del records
        return [""] * count

    def score(
        self, targets: Sequence[str], predictions: Sequence[np.ndarray], signers: np.ndarray
    ) -> dict[str, float]:
        """Of what share of the hidden frames the code was guessed."""
        del targets, signers
        return {"score": _guessed(np.sum(predictions, 0)), "clips": len(predictions)}

    def rank(self, scores: dict[str, float]) -> float:
        return scores["score"]

    def examples(
        self,
        records: records_lib.Records,
        targets: Sequence[str],
        predictions: Sequence[np.ndarray],
    ) -> list[dict]:
        """One row a clip, that which is guessed worst first."""
        del targets
        rows = [
            {
                "record": int(records.number[i]),
                "signer": int(records.index.signer[i]),
                "frames": int(records.index.frames[i]),
                "guessed": round(_guessed(answer), 4),
            }
            for i, answer in enumerate(predictions)
        ]
        return sorted(rows, key=lambda row: row["guessed"])

    def analysis(self, examples: Sequence[dict]) -> dict:
        del examples
        return {}

    def worst(self, examples: Sequence[dict], count: int) -> str:
        return "\n".join(
            f"record {row['record']}, {row['frames']} frames: {row['guessed']} guessed"
            for row in examples[:count]
        )

    def summary(self, scores: dict[str, float]) -> str:
        return (
            f"{scores['clips']} clips\nscore {scores['score']:.4f}: the share of the hidden frames "
            "whose code is guessed"
        )

    def draw(
        self, examples: Sequence[dict], scores: dict[str, float], directory: files.Path
    ) -> None:
        """There is nothing to draw."""


def _guessed(answer: np.ndarray) -> float:
    found, hidden = answer
    return float(found) / max(float(hidden), 1.0)
