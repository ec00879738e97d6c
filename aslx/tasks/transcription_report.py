"""What a transcriber answered, and how it is told."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from aslx.data import records as records_lib
from aslx.tasks import metrics


@dataclasses.dataclass(frozen=True)
class Answer:
    """A text, and how sure the model is of each of its characters, in [0, 1]."""

    text: str
    sure: tuple[float, ...]

    @property
    def confidence(self) -> float:
        """Of the clip: the mean over its characters; 0 where there is none."""
        return sum(self.sure) / max(1, len(self.sure))


def examples(
    records: records_lib.Records, targets: Sequence[str], answers: Sequence[Answer]
) -> list[dict]:
    """One row a clip, those with the most edits first."""
    edits = metrics.distances(targets, [answer.text for answer in answers])
    rows = [
        {
            "record": int(records.number[i]),
            "signer": int(records.index.signer[i]),
            "frames": int(records.index.frames[i]),
            "edits": int(edits[i]),
            "target": targets[i],
            "prediction": answer.text,
            "confidence": round(answer.confidence, 4),
            "sure": [round(x, 4) for x in answer.sure],
        }
        for i, answer in enumerate(answers)
    ]
    return sorted(rows, key=lambda row: -row["edits"])


def worst(examples: Sequence[dict], count: int) -> str:
    lines = [
        f"{row['edits']:3d} edits  {row['target']!r}\n           {row['prediction']!r}"
        for row in examples[:count]
    ]
    return "\n".join(lines)


def summary(scores: dict[str, Any]) -> str:
    """The scores, each with its meaning."""
    lines = [
        f"{scores['clips']} clips by {scores['signers']} signers",
        f"score {scores['score']:.4f}: Kaggle's, (N - D) / N over all characters; 95 % "
        f"interval over signers {scores['score_low']:.4f} to {scores['score_high']:.4f}",
        f"CER {scores['cer']:.4f}; exact {scores['exact']:.4f} of the clips",
        f"mean edit distance {scores['mean_edit_distance']:.4f}: a clip's edits by its "
        "characters, as the seeds had it",
    ]
    if "unseen_signers" in scores:
        lines.append(
            f"never seen in training: {scores['unseen_signers']} of the signers and "
            f"{scores['unseen_phrases']} of the {scores['phrases']} phrases"
        )
    if scores.get("eval_unaligned"):
        lines.append(
            f"CTC cannot align {scores['eval_unaligned']:.0f} of the clips: they have fewer frames "
            "than their phrases need"
        )
    if "eval_token_accuracy" in scores:
        lines.append(
            f"token accuracy {scores['eval_token_accuracy']:.4f}: with the true characters "
            "before it given, or with pads counted, as the seeds had it"
        )
    if "confused" in scores:
        from aslx.figures import plots  # Matplotlib, which training does not wait for.

        for name in ("confused", "dropped_or_added"):
            worst = [f"{plots.words(row)} {row['count']}" for row in scores[name]]
            lines.append(f"{name.replace('_', ' ')}: {', '.join(worst) or 'none'}")
        ece = [scores["calibration"][of]["ece"] for of in ("characters", "clips")]
        lines.append(
            f"expected calibration error {ece[0]:.3f} of characters, {ece[1]:.3f} of clips"
        )
    return "\n".join(lines)
