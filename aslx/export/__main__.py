"""A run -> model.tflite and, for a competition, submission.zip: python -m aslx.export --workdir DIR

The graph takes what the source of the features says, as Kaggle's raw columns, NaN and all, any
number of frames, and holds features, network and decoding: the very functions that trained. Its
signature is Kaggle's: `serving_default`, with `inputs` and `outputs`. model.json says of it what a
program that is not Kaggle's has to know.
"""

import dataclasses
import io
import os
import sys
import zipfile
from typing import Annotated, Any, Literal, get_args

import tyro

from aslx import cli, errors
from aslx.checkpoints import checkpoint_scores
from aslx.decode import decoding_options
from aslx.export import comparison, exports, quiet

MAX_ZIP = 40 * 2**20  # Bytes: Kaggle refuses a model over 40 MB.
# Of the page's models: a browser's runtime takes no dynamic size. Kaggle's longest clip has 807.
WEB_FRAMES = (64, 128, 256, 512, 1024)
Quantize = Literal["none", "float16", "int8"]
_ZIP = "submission.zip"
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
    options: Annotated[decoding_options.Options, tyro.conf.arg(name="")] = (
        decoding_options.Options()
    )
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

    from aslx.export import export_graph, float16_weights

    tf = _tensorflow()
    shape = cfg.features.source.shape
    sizes = [n if isinstance(n, int) else rows for n in shape]
    spec = [tf.TensorSpec(sizes, tf.float32, name="inputs")]
    words = [f"({', '.join(map(str, shape))})"] if rows is None else [None, None]
    if rows is not None:
        spec.append(tf.TensorSpec([1], tf.int32, name="frames"))
    fn = jax2tf.convert(
        export_graph.answer(cfg, model, rows), polymorphic_shapes=words, with_gradient=False
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
    return float16_weights.halved(flatbuffer) if quantize == "float16" else flatbuffer


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


def runtime(flatbuffer: bytes) -> str:
    """The oldest TensorFlow Lite that has all operations of a model, as its converter noted."""
    from ai_edge_litert import schema_py_generated as schema

    model: Any = schema.ModelT.InitFromPackedBuf(flatbuffer, 0)
    for note in model.metadata or ():
        if note.name == b"min_runtime_version":
            return bytes(model.buffers[note.buffer].data).rstrip(b"\0").decode()
    return "unknown"


def web(cfg: Any, model: Any, quantize: Quantize) -> dict[str, bytes]:
    """The page's models by file name; none of images, whose model.tflite has a fixed size."""
    if "t" not in cfg.features.source.shape:
        return {}
    return {f"web/{n}.tflite": convert(cfg, model, quantize, n) for n in WEB_FRAMES}


def about(cfg: Any, step: int, scores: list[dict], *, web: bool) -> dict[str, Any]:
    """What model.json says beside its files: what goes into the model, what comes out, how well it
    did, and which files the page takes."""
    source = cfg.features.source
    clips = "t" in source.shape
    values = {
        "step": step,
        "scores": scores,
        "input": source.about,
        "max_frames": cfg.features.max_frames if clips else None,
    } | cfg.task.about()
    if web and clips:
        values["web"] = [{"frames": n, "file": f"web/{n}.tflite"} for n in WEB_FRAMES]
    elif web:
        values["web"] = [{"file": exports.MODEL}]
    return values


def submission(model: bytes, beside: dict[str, bytes]) -> bytes:
    """submission.zip: model.tflite and what a competition wants beside it."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as z:
        for name, data in {exports.MODEL: model, **beside}.items():
            # A fixed date: the same run gives the same bytes.
            z.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    size = archive.tell()
    if size > MAX_ZIP:
        raise errors.BadInput(
            f"submission.zip would have {size / 2**20:.1f} MB and Kaggle takes 40: "
            "use --quantize float16 or int8, or a smaller model"
        )
    return archive.getvalue()


def _opened(command: Command) -> Any:
    """The run that is exported: of several one that answers for all."""
    from aslx.export import ensemble, export_graph
    from aslx.runs import trained_run

    runs = []
    for workdir in (command.workdir, *command.ensemble):
        run = trained_run.open_run(
            workdir, data=command.data, options=command.options, average=command.average
        )
        cfg, model = export_graph.exact(run.cfg, run.model)
        runs.append(dataclasses.replace(run, cfg=cfg, model=model))
    return ensemble.together(runs) if command.ensemble else runs[0]


def _evaluation(command: Command, run: Any) -> Any:
    """Of the clips to compare with, or None; opened before the conversion, which takes minutes."""
    from aslx.runs import evaluator

    if not command.clips:
        return None
    try:
        return evaluator.Evaluation(run.cfg, run.mesh, command.split, limit=command.clips)
    except errors.BadInput as error:
        raise errors.BadInput(f"{error}; or pass --clips 0 to compare nothing") from None


def _converted(command: Command, run: Any) -> tuple[dict[Quantize, bytes], dict[str, bytes]]:
    """The models by their weights, the wanted ones first, and all files by their names."""
    others: list[Quantize] = list(VARIANTS) if command.variants else []
    wanted: list[Quantize] = [command.quantize, *(q for q in others if q != command.quantize)]
    print(f"converting step {run.step} of {run.workdir}, weights as {', '.join(wanted)}")
    models: dict[Quantize, bytes] = {q: convert(run.cfg, run.model, q) for q in wanted}
    names = [f"model_{'float32' if q == 'none' else q}.tflite" for q in wanted[1:]]
    every = dict(zip([exports.MODEL, *names], models.values(), strict=True))
    beside = run.cfg.features.source.submission
    every |= {**run.cfg.task.beside(), **(beside or {})}
    if beside is not None:
        try:
            every[_ZIP] = submission(models[command.quantize], beside)
        except errors.BadInput as error:
            if not command.web:
                raise
            print(f"no {_ZIP}: {error}", file=sys.stderr)  # The page needs none.
    if command.web:
        every |= web(run.cfg, run.model, command.quantize)
    return models, every


def _scores(command: Command, run: Any, found: dict | None, split: int) -> list[dict]:
    """The checkpoint's own score, where it is the export's too, and what the export scored on so
    many clips of the split."""
    scores = []
    plain = (
        not command.average
        and not command.ensemble
        and command.options == decoding_options.Options()
    )
    for saved in checkpoint_scores.saved(run.workdir) if plain else ():
        if saved.step == run.step and saved.score is not None:
            # A run that keeps the checkpoint of the least loss ranks by that.
            loss = getattr(run.cfg.task, "best_by_loss", False)
            name, value = ("loss", -saved.score) if loss else ("score", saved.score)
            scores.append({"name": name, "value": value, "on": run.cfg.data.eval_split})
    if found:
        of = "all" if found["clips"] == split else f"the first {found['clips']}"
        on = f"{of} of the {split} in {command.split}"
        scores.append({"name": "score", "value": found["score"], "on": on})
    return scores


def main() -> None:
    command = tyro.cli(Command)
    from etils import epath

    out = epath.Path(command.out or f"{command.workdir}/export")
    exports.check(out)
    run = _opened(command)
    check_versions()
    evaluation = _evaluation(command, run)
    models, every = _converted(command, run)
    report: dict[str, Any] = {"step": run.step, "quantize": command.quantize}
    report["model_bytes"] = len(models[command.quantize])
    if _ZIP in every:
        report["zip_bytes"] = len(every[_ZIP])
    if evaluation:
        reports = comparison.compare(evaluation, run.cfg, run.model, models)
        report |= reports[command.quantize]
        if command.variants:
            print(comparison.table(reports))
            report["variants"] = reports
    report["runtime"] = runtime(models[command.quantize])
    clips = len(evaluation.data) if evaluation else 0
    scores = _scores(command, run, report if evaluation else None, clips)
    # How it was made, so that serve can make it anew.
    made = {name: getattr(command, name) for name in ("quantize", "average", "ensemble")}
    made["options"] = dataclasses.asdict(command.options)
    described = about(run.cfg, run.step, scores, web=command.web)
    exports.write(out, described, report | {"made": made}, every)
    for name, value in report.items():
        print(f"  {name:<18} {value}")
    for score in scores:
        print(f"step {run.step}: {score['name']} {score['value']:.4f} on {score['on']}")
    print(
        f"{exports.MODEL} needs LiteRT, or TensorFlow Lite of version {report['runtime']} or later"
    )
    name = _ZIP if _ZIP in every else exports.MODEL
    print(f"written: {out / name}")
    cli.last_json({name.partition(".")[0]: str(out / name)} | report)


if __name__ == "__main__":
    cli.run(main)
