"""Kaggle's evaluator, as the competition published it, on a submission.zip.

    python tests/kaggle_evaluator.py submission.zip SOURCE

SOURCE has the layout of the competition's data. Prints one JSON object: the score, and the text of
each sequence. Runs with tflite-runtime or with ai-edge-litert, and imports nothing of aslx.
"""

import csv
import json
import pathlib
import sys
import tempfile
import zipfile

import numpy as np
import pandas as pd

try:
    from tflite_runtime import interpreter as tflite  # pyright: ignore[reportMissingImports]
except ImportError:
    from ai_edge_litert import interpreter as tflite


def levenshtein(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        left, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            left, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, left + (x != y))
    return row[-1]


def main(submission: str, source: pathlib.Path) -> None:
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(submission) as z:
        z.extractall(folder)
        columns = json.loads(pathlib.Path(folder, "inference_args.json").read_text())
        model = tflite.Interpreter(str(pathlib.Path(folder, "model.tflite")))
    run = model.get_signature_runner("serving_default")
    to_index = json.loads((source / "character_to_prediction_index.json").read_text())
    to_character = {index: character for character, index in to_index.items()}
    edits = characters = 0
    texts = {}
    for row in csv.DictReader((source / "train.csv").open(newline="")):
        table = pd.read_parquet(source / row["path"], columns=columns["selected_columns"])
        frames = table.loc[[int(row["sequence_id"])]].to_numpy(np.float32)
        output = run(inputs=frames)
        text = "".join(to_character.get(s, "") for s in np.argmax(output["outputs"], axis=1))
        texts[row["sequence_id"]] = text
        edits += levenshtein(row["phrase"], text)
        characters += len(row["phrase"])
    runtime = tflite.__name__.split(".")[0]
    score = (characters - edits) / characters
    print(json.dumps({"runtime": runtime, "score": score, "texts": texts}))


if __name__ == "__main__":
    main(sys.argv[1], pathlib.Path(sys.argv[2]))
