"""A run -> model.tflite, inference_args.json, submission.zip: python -m aslx.export --workdir DIR

The graph takes Kaggle's raw columns, NaN and all, any number of frames, and holds features, network
and decoding: the very functions that trained. Kaggle's loop calls its signature `serving_default`
with `inputs` and reads a character from the argmax of each row of `outputs`.
"""

import dataclasses
import io
import json
import time
import zipfile
from typing import Any, Literal

import tyro

from aslx import cli, files

MAX_ZIP = 40 * 2**20  # Bytes: Kaggle refuses a model over 40 MB.
Quantize = Literal["none", "float16", "int8"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Writes a run's best checkpoint as a TFLite file and as Kaggle's submission."""

    workdir: str
    """A directory that aslx.train wrote."""
    out: str = ""
    """Where to write; WORKDIR/export unless given."""
    quantize: Quantize = "none"
    """Type of the stored weights; int8: one scale a channel, activations stay float."""
    split: str = "test"
    """Split whose clips are compared with JAX and timed."""
    clips: int = 200
    """How many of them; 0: compare nothing."""
    data: str = ""
    """Another prepared data set than the one trained on."""


def answer(cfg: Any, model: Any) -> Any:
    """The exported function: f32[T, columns] -> f32[L, 60], one row a character."""
    import jax
    import jax.numpy as jnp

    from aslx import step, vocab

    selection = cfg.features.selection

    def fn(columns_TC: jax.Array) -> jax.Array:
        t = columns_TC.shape[0]
        # One frame more, all missing: XNNPACK refuses an empty clip.
        columns_TC = jnp.pad(columns_TC, ((0, 1), (0, 0)), constant_values=jnp.nan)
        points_T3N = columns_TC.reshape(t + 1, 3, len(selection.points))
        batch = {
            "landmarks": points_T3N.transpose(0, 2, 1)[None],
            "length": jnp.array([t], jnp.int32),
        }
        inputs, mask = step.inputs(batch, cfg.features, frames=cfg.features.max_frames)
        tokens_L = cfg.task.predict(model, inputs, mask)[0]
        # Past the last character stands an index that Kaggle's map does not hold.
        return jax.nn.one_hot(jnp.minimum(tokens_L, vocab.PAD), vocab.PAD + 1)

    return fn


def convert(cfg: Any, model: Any, quantize: Quantize) -> bytes:
    """A TFLite flatbuffer of built-in operations alone."""
    import tensorflow as tf
    from jax.experimental import jax2tf

    columns = len(cfg.features.selection.columns)
    fn = jax2tf.convert(answer(cfg, model), polymorphic_shapes=[f"(t, {columns})"])
    module: Any = tf.Module()
    spec = tf.TensorSpec([None, columns], tf.float32, name="inputs")
    module.serve = tf.function(
        lambda inputs: {"outputs": fn(inputs)}, input_signature=[spec], autograph=False
    )
    concrete = module.serve.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if quantize != "none":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    return converter.convert()


def submission(path: files.Path, model: bytes, columns: tuple[str, ...]) -> int:
    """Writes model.tflite, inference_args.json and, of both, submission.zip below `path`; returns
    the zip's bytes."""
    args = json.dumps({"selected_columns": list(columns)}).encode()
    files.write(path / "model.tflite", model)
    files.write(path / "inference_args.json", args)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as z:
        for name, data in (("model.tflite", model), ("inference_args.json", args)):
            # A fixed date: the same run gives the same bytes.
            z.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    size = archive.tell()
    if size > MAX_ZIP:
        raise ValueError(
            f"submission.zip would have {size / 2**20:.1f} MB and Kaggle takes 40: "
            "use --quantize float16 or int8, or a smaller model"
        )
    files.write(path / "submission.zip", archive.getvalue())
    return size


def interpreter(model: bytes) -> Any:
    """inputs -> outputs, as Kaggle's evaluator calls them."""
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(model_content=model, num_threads=1).get_signature_runner("serving_default")


def compare(cfg: Any, model: Any, mesh: Any, flatbuffer: bytes, split: str, clips: int) -> dict:
    """Texts of the flatbuffer beside those of JAX on the first clips of a split, and its speed."""
    import numpy as np

    from aslx import inference, kaggle

    evaluation = inference.Evaluation(cfg, mesh, split, limit=clips)
    expected, _ = evaluation.run(model)
    run, texts, seconds = interpreter(flatbuffer), [], []
    for clip_TN3 in evaluation.clips():
        columns_TC = kaggle.columns(clip_TN3)
        start = time.perf_counter()
        outputs = run(inputs=columns_TC)["outputs"]
        seconds.append(time.perf_counter() - start)
        texts.append(kaggle.text(outputs))
    same = np.mean([a == b for a, b in zip(expected, texts, strict=True)])
    return {
        "clips": len(texts),
        "same_text": float(same),
        "score": evaluation.score(texts)["score"],
        "score_jax": evaluation.score(expected)["score"],
        "latency_ms_median": round(float(np.median(seconds)) * 1e3, 2),
        "latency_ms_p95": round(float(np.quantile(seconds, 0.95)) * 1e3, 2),
    }


def main() -> None:
    command = tyro.cli(Command)
    from etils import epath

    from aslx import inference

    run = inference.open_run(command.workdir, data=command.data)
    out = epath.Path(command.out or run.workdir / "export")
    print(f"converting step {run.step} of {run.workdir}, weights as {command.quantize}")
    flatbuffer = convert(run.cfg, run.model, command.quantize)
    zip_bytes = submission(out, flatbuffer, run.cfg.features.selection.columns)
    report = {
        "step": run.step,
        "quantize": command.quantize,
        "model_bytes": len(flatbuffer),
        "zip_bytes": zip_bytes,
    }
    if command.clips:
        report |= compare(run.cfg, run.model, run.mesh, flatbuffer, command.split, command.clips)
    files.write(out / "report.json", json.dumps(report, indent=2) + "\n")
    for name, value in report.items():
        print(f"  {name:<18} {value}")
    scores = run.workdir / f"evaluation-{command.split}" / "scores.json"
    if scores.exists():
        print(run.cfg.task.summary(json.loads(scores.read_text())))
    print(f"submission: {out / 'submission.zip'}")
    inference.last_json({"submission": str(out / "submission.zip")} | report)


if __name__ == "__main__":
    cli.run(main)
