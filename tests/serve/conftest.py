"""A tiny model that has learned to read six letters, exported and served."""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import pytest

from aslx.export import tflite
from aslx.runs import evaluator, trained_run
from aslx.schema import landmarks, vocab
from tests import tiny
from tests.serve import servers

CLIPS = 50


@dataclasses.dataclass(frozen=True)
class Trained:
    """A run, its export, and clips of the test split."""

    run: trained_run.Run
    clips: list[np.ndarray]  # f32[t, columns] each, NaN where a part is lost.
    interpreter: Callable[[np.ndarray], np.ndarray]

    @property
    def workdir(self) -> pathlib.Path:
        return pathlib.Path(self.run.workdir)

    @property
    def columns(self) -> list[str]:
        return list(tiny.selection(self.run.cfg).columns)

    def answer(self, clip: np.ndarray) -> dict:
        """The API's answer for a clip: the largest value of each row, without padding."""
        rows = [row for row in self.interpreter(clip) if row.argmax() < 59]
        characters = [
            {
                "character": vocab.KAGGLE.characters[row.argmax()],
                "confidence": round(float(row.max()), 4),
            }
            for row in rows
        ]
        return {"text": "".join(c["character"] for c in characters), "characters": characters}


@pytest.fixture(scope="session")
def trained(learned) -> Trained:
    run = learned("ctc")
    evaluation = evaluator.Evaluation(run.cfg, run.mesh, "test", limit=CLIPS)
    clips = [landmarks.columns(clip) for clip in evaluation.clips()]
    runner = tflite.runner((run.workdir / "export" / "model.tflite").read_bytes())
    return Trained(run, clips, lambda clip: runner(inputs=clip)["outputs"])


@pytest.fixture(scope="session")
def parquet(trained, tmp_path_factory) -> pathlib.Path:
    """All clips in Kaggle's layout; sequence ids from 100."""
    tables = [
        pd.DataFrame(clip, pd.Index([100 + i] * len(clip), name="sequence_id"), trained.columns)
        for i, clip in enumerate(trained.clips)
    ]
    path = tmp_path_factory.mktemp("kaggle") / "clips.parquet"
    pd.concat(tables).to_parquet(path)
    return path


@pytest.fixture(scope="session")
def server(trained) -> Iterator[servers.Server]:
    with servers.serving(trained.workdir) as server:
        yield server


@pytest.fixture(scope="session")
def narrow(trained) -> Iterator[servers.Server]:
    """A server with low limits."""
    limits = {"waiting": 0, "streams": 1, "frames": 100}
    words = [word for name, most in limits.items() for word in (f"--limits.{name}", most)]
    with servers.serving(trained.workdir, *words) as server:
        yield server


@pytest.fixture(scope="session")
def web(tmp_path_factory) -> pathlib.Path:
    """A page and its packages."""
    web = tmp_path_factory.mktemp("web")
    files = {
        "index.html": "<!doctype html>",
        "docs.html": "<!doctype html>",
        "page.js": "export {};",
        "package.json": '{"dependencies": {"@scope/wanted": "1"}}',
        "node_modules/@scope/wanted/wanted.wasm": "",
        "node_modules/unwanted/unwanted.js": "",
    }
    for name, text in files.items():
        (web / name).parent.mkdir(parents=True, exist_ok=True)
        (web / name).write_text(text)
    return web


def as_json(clip: np.ndarray) -> list[list[float | None]]:
    """Rows with null where a value is missing."""
    return json.loads(json.dumps(clip.tolist()).replace("NaN", "null"))
