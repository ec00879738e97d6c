"""A run -> model.tflite and, for a competition, submission.zip: python -m aslx.export --workdir DIR

The graph takes what the source of the features says, as Kaggle's raw columns, NaN and all, any
number of frames, and holds features, network and decoding: the very functions that trained. Its
signature is Kaggle's: `serving_default`, with `inputs` and `outputs`. model.json says of it what a
program that is not Kaggle's has to know.
"""

import dataclasses
import io
import json
import os
import time
import zipfile
from typing import Annotated, Any, Literal, get_args

import tyro

from aslx import cli, errors, files, kaggle, quiet, reading

MAX_ZIP = 40 * 2**20  # Bytes: Kaggle refuses a model over 40 MB.
# Of the page's models: a browser's runtime takes no dynamic size. Kaggle's longest clip has 807.
WEB_FRAMES = (64, 128, 256, 512, 1024)
Quantize = Literal["none", "float16", "int8"]
VARIANTS: tuple[Quantize, ...] = get_args(Quantize)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Writes a run's best checkpoint as a TFLite file and as Kaggle's submission."""

    workdir: str
    """A directory that aslx.train wrote."""
    out: str = ""
    """Where to write; WORKDIR/export unless given."""
    web: bool = False
    """Write the models that aslx.serve's page runs too: the same, at a few fixed lengths."""
    quantize: Quantize = "none"
    """Type of the stored weights; int8: one scale a channel, activations stay float."""
    options: Annotated[reading.Options, tyro.conf.arg(name="")] = reading.Options()
    variants: bool = False
    """Write the model with the other types of weights too, model_TYPE.tflite, and compare all."""
    average: int = 0
    """Export the mean of so many checkpoints, the newest (a run keeps two and the best); 0: the
    best."""
    ensemble: tuple[str, ...] = ()
    """Other runs of the same features and task: one model answers by the mean of their
    probabilities."""
    split: str = "test"
    """Split whose clips are compared with JAX and timed."""
    clips: int = 200
    """How many of them; 0: compare nothing."""
    data: str = ""
    """Another prepared data set than the one trained on."""


def convert(cfg: Any, model: Any, quantize: Quantize, rows: int | None = None) -> bytes:
    """A TFLite flatbuffer of built-in operations alone.

    With `rows`, `inputs` has so many, and a second input `frames` i32[1] says how many are real.
    """
    from jax.experimental import jax2tf

    from aslx import exported, halves

    tf = _tensorflow()
    shape = cfg.features.source.shape
    sizes = [n if isinstance(n, int) else rows for n in shape]
    spec = [tf.TensorSpec(sizes, tf.float32, name="inputs")]
    words = [f"({', '.join(map(str, shape))})"] if rows is None else [None, None]
    if rows is not None:
        spec.append(tf.TensorSpec([1], tf.int32, name="frames"))
    fn = jax2tf.convert(
        exported.answer(cfg, model, rows), polymorphic_shapes=words, with_gradient=False
    )
    module: Any = tf.Module()
    module.serve = tf.function(
        lambda *given: {"outputs": fn(*given)}, input_signature=spec, autograph=False
    )
    concrete = module.serve.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if quantize == "int8":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    flatbuffer = converter.convert()
    return halves.halved(flatbuffer) if quantize == "float16" else flatbuffer


def _tensorflow() -> Any:
    # What is converted is not run, so nothing is lost; else TensorFlow tells that it is on.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    import tensorflow as tf

    return tf


def check_versions() -> None:
    """BadInput where TensorFlow cannot read the programs that JAX writes."""
    import jax
    from jax import export

    tf = _tensorflow()
    from tensorflow.compiler.mlir.stablehlo import stablehlo

    clip = jax.ShapeDtypeStruct(export.symbolic_shape("t"), "float32")
    program = export.export(jax.jit(lambda x: x + 1), platforms=["cpu"])(clip)
    try:
        with quiet.without(b""):
            read = stablehlo.deserialize_portable_artifact_str  # pyright: ignore
            read(program.mlir_module_serialized)
    except ValueError:
        raise errors.BadInput(
            f"TensorFlow {tf.__version__} cannot read what jax {jax.__version__} writes "
            "(TensorFlow 2.21 reads jax 0.10.2 to 0.11.1): install both anew, "
            f"{cli.installing('export')}"
        ) from None


def web(cfg: Any, model: Any, quantize: Quantize) -> dict[str, bytes]:
    """The page's models by file name; none of images, whose model.tflite has a fixed size."""
    if "t" not in cfg.features.source.shape:
        return {}
    return {f"web/{n}.tflite": convert(cfg, model, quantize, n) for n in WEB_FRAMES}


def about(cfg: Any, step: int, *, web: bool) -> bytes:
    """model.json: what goes into the model, what comes out, and which files the page takes."""
    source = cfg.features.source
    clips = "t" in source.shape
    values = {
        "step": step,
        "input": source.about,
        "max_frames": cfg.features.max_frames if clips else None,
    } | cfg.task.about()
    if web and clips:
        values["web"] = [{"frames": n, "file": f"web/{n}.tflite"} for n in WEB_FRAMES]
    elif web:
        values["web"] = [{"file": "model.tflite"}]
    return json.dumps(values, indent=1).encode()


def submission(path: files.Path, model: bytes, beside: dict[str, bytes]) -> int:
    """Writes submission.zip below `path`: model.tflite and what a competition wants beside it;
    returns the zip's bytes."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as z:
        for name, data in {"model.tflite": model, **beside}.items():
            # A fixed date: the same run gives the same bytes.
            z.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    size = archive.tell()
    if size > MAX_ZIP:
        raise errors.BadInput(
            f"submission.zip would have {size / 2**20:.1f} MB and Kaggle takes 40: "
            "use --quantize float16 or int8, or a smaller model"
        )
    files.write(path / "submission.zip", archive.getvalue())
    return size


def compare(
    cfg: Any, model: Any, mesh: Any, flatbuffers: dict[Quantize, bytes], split: str, clips: int
) -> dict[Quantize, dict]:
    """Answers of each flatbuffer beside JAX's on the first clips of a split, and its speed: CPU
    time of the one core that it runs on, which other work does not lengthen."""
    import numpy as np

    from aslx import inference

    task, source = cfg.task, cfg.features.source
    evaluation = inference.Evaluation(cfg, mesh, split, limit=clips)
    expected, _ = evaluation.run(model)
    reports: dict[Quantize, dict] = {}
    for quantize, flatbuffer in flatbuffers.items():
        run, found, seconds = kaggle.interpreter(flatbuffer), [], []
        for clip in evaluation.clips():
            inputs = source.pack(clip)
            start = time.process_time()
            outputs = run(inputs=inputs)["outputs"]
            seconds.append(time.process_time() - start)
            found.append(task.read(outputs))
        same = [task.text(a) == task.text(b) for a, b in zip(expected, found, strict=True)]
        reports[quantize] = {
            "model_bytes": len(flatbuffer),
            "clips": len(found),
            "same_text": float(np.mean(same)),
            "score": evaluation.score(found)["score"],
            "score_jax": evaluation.score(expected)["score"],
            "latency_ms_median": round(float(np.median(seconds)) * 1e3, 2),
            "latency_ms_p95": round(float(np.quantile(seconds, 0.95)) * 1e3, 2),
        }
    return reports


def _opened(command: Command) -> Any:
    """The run that is exported: of several one that answers for all."""
    from aslx import ensemble, exported, inference

    runs = []
    for workdir in (command.workdir, *command.ensemble):
        run = inference.open_run(
            workdir, data=command.data, options=command.options, average=command.average
        )
        cfg, model = exported.exact(run.cfg, run.model)
        runs.append(dataclasses.replace(run, cfg=cfg, model=model))
    return ensemble.together(runs) if command.ensemble else runs[0]


def _written(command: Command, run: Any, out: Any) -> tuple[dict[Quantize, bytes], dict]:
    """Writes the models and what stands beside them; the models, and what a report says first."""
    others: list[Quantize] = list(VARIANTS) if command.variants else []
    wanted: list[Quantize] = [command.quantize, *(q for q in others if q != command.quantize)]
    print(f"converting step {run.step} of {run.workdir}, weights as {', '.join(wanted)}")
    models: dict[Quantize, bytes] = {q: convert(run.cfg, run.model, q) for q in wanted}
    names = [f"model_{'float32' if q == 'none' else q}.tflite" for q in wanted[1:]]
    every = dict(zip(["model.tflite", *names], models.values(), strict=True))
    beside = run.cfg.features.source.submission
    every |= {**run.cfg.task.beside(), **(beside or {})}
    if command.web:
        every |= web(run.cfg, run.model, command.quantize)
    # The last: who finds it finds what it names.
    every["model.json"] = about(run.cfg, run.step, web=command.web)
    for name, data in every.items():
        files.write(out / name, data)
    report = {"step": run.step, "quantize": command.quantize}
    report["model_bytes"] = len(models[command.quantize])
    if beside is not None:
        report["zip_bytes"] = submission(out, models[command.quantize], beside)
    return models, report


def _table(variants: dict[Quantize, dict]) -> str:
    names = ("model_bytes", "score", "same_text", "latency_ms_median", "latency_ms_p95")
    lines = [f"  {'weights':<8}" + "".join(f"{name:>20}" for name in names)]
    for quantize, report in variants.items():
        values = "".join(f"{round(report[name], 4):>20}" for name in names)
        lines.append(f"  {quantize:<8}{values}")
    return "\n".join(lines)


def main() -> None:
    command = tyro.cli(Command)
    from etils import epath

    from aslx import inference

    run = _opened(command)
    check_versions()
    out = epath.Path(command.out or run.workdir / "export")
    models, report = _written(command, run, out)
    if command.clips:
        reports = compare(run.cfg, run.model, run.mesh, models, command.split, command.clips)
        report |= reports[command.quantize]
        if command.variants:
            print(_table(reports))
            report["variants"] = reports
    files.write(out / "report.json", json.dumps(report, indent=2) + "\n")
    for name, value in report.items():
        print(f"  {name:<18} {value}")
    scores = run.workdir / f"evaluation-{command.split}" / "scores.json"
    if scores.exists():
        said = files.read_object(scores)
        try:
            print(run.cfg.task.summary(said))
        except (KeyError, TypeError, ValueError) as error:
            raise errors.BadInput(
                f"{scores} is not what aslx.evaluate writes ({error!r}): remove it"
            ) from None
    written = out / ("submission.zip" if "zip_bytes" in report else "model.tflite")
    print(f"written: {written}")
    name = "submission" if "zip_bytes" in report else "model"
    inference.last_json({name: str(written)} | report)


if __name__ == "__main__":
    cli.run(main)
