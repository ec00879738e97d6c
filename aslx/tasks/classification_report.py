"""How the answers of a classifier are scored and told: each is the probability of every class,
f32[C]."""

import csv
import dataclasses
import io
from collections.abc import Sequence

import numpy as np

from aslx.data import records as records_lib
from aslx.storage import files
from aslx.tasks import metrics

TOP = 5


@dataclasses.dataclass(frozen=True)
class Report:
    names: tuple[str, ...]
    """Of the classes."""
    best_by_loss: bool
    """Whether the best checkpoint has the least loss; else it has the most accuracy."""

    def beside(self) -> dict[str, bytes]:
        return {"labels.txt": "".join(f"{name}\n" for name in self.names).encode()}

    def about(self) -> dict:
        return {"task": "classification", "answers": list(self.names)}

    def unsuited(self) -> str:
        return ""

    def text(self, answer: np.ndarray) -> str:
        return self.names[int(answer.argmax())]

    def line(self, answer: np.ndarray) -> dict:
        return {"class": self.text(answer), "probability": round(float(answer.max()), 4)}

    def silent(self) -> dict:
        return {"class": "", "probability": 0.0}

    def targets(self, records: records_lib.Records, count: int) -> list[str]:
        return [self.names[records[i]["label"].int64_list.value[0]] for i in range(count)]

    def score(
        self, targets: Sequence[str], predictions: Sequence[np.ndarray], signers: np.ndarray
    ) -> dict[str, float]:
        labels = np.array([self.names.index(name) for name in targets])
        return metrics.classification(labels, np.stack(predictions), signers, TOP)

    def rank(self, scores: dict[str, float]) -> float:
        return -scores["eval_loss"] if self.best_by_loss else scores["score"]

    def examples(
        self,
        records: records_lib.Records,
        targets: Sequence[str],
        predictions: Sequence[np.ndarray],
    ) -> list[dict]:
        """One row a clip or image, those that its class was given least probability first."""
        rows = [
            {
                "record": int(records.number[i]),
                "file": records[i]["file"].bytes_list.value[0].decode(),
                "signer": int(records.index.signer[i]),
                "target": target,
                "target_probability": round(float(answer[self.names.index(target)]), 4),
            }
            | self.line(answer)
            for i, (target, answer) in enumerate(zip(targets, predictions, strict=True))
        ]
        return sorted(rows, key=lambda row: row["target_probability"])

    def analysis(self, examples: Sequence[dict]) -> dict:
        del examples
        return {}  # The classes are in classes.csv.

    def worst(self, examples: Sequence[dict], count: int) -> str:
        lines = [
            f"{row['target']} at {row['target_probability']:.2f}, "
            f"{row['class']} at {row['probability']:.2f}: {row['file']}"
            for row in examples[:count]
        ]
        table = metrics.by_class(*self._pairs(examples), len(self.names))
        worst = sorted(zip(self.names, table, strict=True), key=lambda row: row[1]["f1"])
        lines += [f"  {'class':<16} precision  recall  clips"] + [
            f"  {name:<16} {row['precision']:9.3f} {row['recall']:7.3f} {row['clips']:6d}"
            for name, row in worst
        ]
        return "\n".join(lines)

    def summary(self, scores: dict[str, float]) -> str:
        unit = f"{scores['signers']} signers" if scores["signers"] > 1 else "single clips"
        lines = [
            f"{scores['clips']} clips or images",
            f"accuracy {scores['score']:.4f}; 95 % interval over {unit} "
            f"{scores['score_low']:.4f} to {scores['score_high']:.4f}",
            f"top-{TOP} {scores['top5']:.4f}; mean over the classes: precision "
            f"{scores['precision']:.4f}, recall {scores['recall']:.4f}",
        ]
        if "unseen_signers" in scores:
            lines.append(f"never seen in training: {scores['unseen_signers']} of the signers")
        return "\n".join(lines)

    def draw(
        self, examples: Sequence[dict], scores: dict[str, float], directory: files.Path
    ) -> None:
        """confusion.png and classes.csv."""
        from aslx.figures import plots  # Matplotlib, which training does not wait for.

        target, answer = self._pairs(examples)
        counts = metrics.confusion(target, answer, len(self.names))
        title = f"accuracy {scores['score']:.3f} of {len(examples)}"
        plots.confusion(counts, self.names, title, directory / "confusion.png")
        table = metrics.by_class(target, answer, len(self.names))
        text = io.StringIO()
        writer = csv.DictWriter(text, ["class", *table[0]], lineterminator="\n")
        writer.writeheader()
        rows = zip(self.names, table, strict=True)
        writer.writerows({"class": name} | row for name, row in rows)
        files.write(directory / "classes.csv", text.getvalue())

    def _pairs(self, examples: Sequence[dict]) -> tuple[np.ndarray, np.ndarray]:
        number = {name: i for i, name in enumerate(self.names)}
        target, answer = (
            np.array([number[row[key]] for row in examples]) for key in ("target", "class")
        )
        return target, answer
