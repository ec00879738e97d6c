"""Answers of transcription, and how they are scored and told."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from aslx.data import records as records_lib
from aslx.schema import vocab
from aslx.storage import files
from aslx.tasks import metrics


@dataclasses.dataclass(frozen=True)
class Answer:
    """A text, and the model's confidence in each of its characters, in [0, 1]."""

    text: str
    sure: tuple[float, ...]

    @property
    def confidence(self) -> float:
        """The mean over the characters; 0 where there are none."""
        return sum(self.sure) / max(1, len(self.sure))


@dataclasses.dataclass(frozen=True)
class Report:
    """`task.Report` of transcription."""

    alphabet: vocab.Alphabet
    max_tokens: int
    """Characters after which a decoder stops, and a search."""

    def beside(self) -> dict[str, bytes]:
        return {}

    def about(self) -> dict:
        """`answers`: the character of each index of a row."""
        return {"task": "transcription", "answers": list(self.alphabet.characters)}

    def unsuited(self) -> str:
        if self.alphabet == vocab.KAGGLE:
            return ""
        return f"the competition reads 59 characters, and not this alphabet of {len(self.alphabet)}"

    def text(self, answer: Answer) -> str:
        return answer.text

    def line(self, answer: Answer) -> dict:
        return {"text": answer.text, "confidence": round(answer.confidence, 4)}

    def silent(self) -> dict:
        return {"text": "", "confidence": 0.0}

    def targets(self, records: records_lib.Records, count: int) -> list[str]:
        """The phrases of the records."""
        phrases = (records[i]["phrase"].bytes_list.value[0] for i in range(count))
        return [phrase.decode() for phrase in phrases]

    def score(
        self, targets: Sequence[str], answers: Sequence[Answer], signers: np.ndarray
    ) -> dict[str, float]:
        """`too_long` counts the phrases of more than `max_tokens` characters."""
        scores = metrics.transcription(targets, list(map(self.text, answers)), signers)
        return scores | {"too_long": sum(len(target) > self.max_tokens for target in targets)}

    def rank(self, scores: dict[str, float]) -> float:
        return scores["score"]

    def examples(
        self, records: records_lib.Records, targets: Sequence[str], answers: Sequence[Answer]
    ) -> list[dict]:
        """One row a clip, the clip with the most edits first."""
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

    def analysis(self, examples: Sequence[dict]) -> dict:
        return metrics.analysis(examples)

    def worst(self, examples: Sequence[dict], count: int) -> str:
        lines = [
            f"{row['edits']:3d} edits  {row['target']!r}\n           {row['prediction']!r}"
            for row in examples[:count]
        ]
        return "\n".join(lines)

    def summary(self, scores: dict) -> str:
        lines = [
            f"{scores['clips']} clips by {scores['signers']} signers",
            f"score {scores['score']:.4f}: Kaggle's, (N - D) / N over all characters; 95 % "
            f"interval over signers {scores['score_low']:.4f} to {scores['score_high']:.4f}",
            f"CER {scores['cer']:.4f}; exact {scores['exact']:.4f} of the clips",
            f"mean edit distance {scores['mean_edit_distance']:.4f}: a clip's edits by its "
            "characters, as the baselines had it",
        ]
        if "unseen_signers" in scores:
            lines.append(
                f"never seen in training: {scores['unseen_signers']} of the signers and "
                f"{scores['unseen_phrases']} of the {scores['phrases']} phrases"
            )
        if scores.get("too_long"):
            lines.append(
                f"{scores['too_long']} phrases have more than task.max_tokens={self.max_tokens} "
                "characters: the losses are without them, and what a decoder or a search did not "
                "write, because they stop there, counts as left out"
            )
        if scores.get("eval_unaligned"):
            lines.append(
                f"CTC cannot align {scores['eval_unaligned']:.0f} of the clips: they have fewer "
                "frames than their phrases need"
            )
        if "eval_token_accuracy" in scores:
            lines.append(
                f"token accuracy {scores['eval_token_accuracy']:.4f}: with the true characters "
                "before it given, or with pads counted, as the baselines had it"
            )
        if "delay_ms_p50" in scores:
            lines.append(
                f"a character is written {scores['delay_ms_p50']:.0f} ms after the last frame in "
                f"which it is held, and 95 % of them within {scores['delay_ms_p95']:.0f} ms "
                f"({scores['delays']} that are read right); none is taken back, and "
                f"{scores['false_starts']} are written before the first is held"
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

    def draw(self, examples: Sequence[dict], scores: dict, directory: files.Path) -> None:
        """scores.png, characters.png and calibration.png."""
        from aslx.figures import plots  # Matplotlib, which training does not wait for.

        del examples
        plots.transcription(scores, directory)
