"""Exports a run into a folder with model.tflite and, for a competition, submission.zip.

The graph takes raw inputs in the form of the features' source, such as Kaggle's columns with NaN,
for any number of frames. It holds features, network and decoding: the same functions that trained.
Its signature is Kaggle's: `serving_default`, with `inputs` and `outputs`. model.json describes it
to other programs.
"""

import dataclasses
import io
import sys
import zipfile
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import tyro
from etils import epath

from aslx import errors
from aslx.checkpoints import checkpoint_scores
from aslx.decode import decoding_options
from aslx.export import comparison, conversion, exports, formats
from aslx.storage import files, hub

STREAMS = 8  # Of a step of streams.tflite: 16 are read no faster than twice 8.
MAX_ZIP = 40 * 2**20  # Bytes: Kaggle refuses a model over 40 MB.
_ZIP = "submission.zip"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """How a run is exported."""

    format: tuple[formats.Format, ...] = ("tflite",)
    """Also write the model for other runtimes: model.stablehlo for jax.export, saved_model.zip for
    TensorFlow. model.tflite is always written."""
    fixed: tuple[int, ...] = ()
    """Also write files of these fixed lengths, fixed/N.tflite, the shortest first: the page of
    aslx.serve and accelerators of phones take no others. Each is a file as large as the model; a
    clip goes to the shortest that holds it, and frames of a longer one are left out."""
    web: bool = False
    """Also write what the page of aslx.serve runs: files of the lengths in --fixed or, without it,
    of 64, 128, 256, 512 and 1024 frames; of a streaming network, its stream, and the steps of eight
    streams as one."""
    competition: bool = True
    """Also write what a competition asks for, such as submission.zip."""
    stream: bool = False
    """Also write stream.tflite, which reads a streaming network's next frames with a state; only a
    streaming network can."""
    quantize: conversion.Quantize = "none"
    """Type of the stored weights; int8: one scale per channel, and activations stay float between
    products. int8_static: activations of products are int8 too, with the ranges of clips of the
    validation split; it needs the extra `quantizer`."""
    decoding: Annotated[decoding_options.Options, tyro.conf.arg(name="")] = (
        decoding_options.Options()
    )
    variants: bool = False
    """Also write the model with the other types of weights, model_TYPE.tflite, and compare all."""
    average: int = 0
    """Export the mean of this many of the newest checkpoints (a run keeps two and the best); 0: the
    best checkpoint."""
    ensemble: tuple[str, ...] = ()
    """Other runs of the same features and task: the model answers with the mean of the
    probabilities of all runs."""
    split: str = "test"
    """Split whose clips are used to compare the model with JAX and to time it."""
    clips: int = 200
    """Number of clips to compare on; 0: compare nothing."""
    data: str = ""
    """A prepared data set to use instead of the one that the run was trained on."""

    @property
    def lengths(self) -> tuple[int, ...] | None:
        """Of the files of fixed length; None: none are asked for."""
        return self.fixed or (conversion.FIXED if self.web else None)


@dataclasses.dataclass(frozen=True)
class Exported:
    """What `export_run` wrote."""

    folder: files.Path
    file: str
    """submission.zip in `folder`; or model.tflite, if there is no competition or the model is too
    large for it."""
    report: dict[str, Any]
    """Sizes in bytes, the oldest runtime, and the results of the comparison with JAX."""
    scores: list[dict[str, Any]]
    """The `name` and `value` of each score, and the clips that it is `on`."""


def export_run(workdir: str | files.Path, out: str = "", options: Options = Options()) -> Exported:
    """Writes the best checkpoint of a run directory as TFLite to the folder `out`, by default
    WORKDIR/export. A folder that an export wrote is replaced as a whole.

    Needs the extra `export` (TensorFlow). BadInput if `workdir` holds no run, if `out` holds other
    files, if the split to compare on is missing (clips=0 compares nothing), or if the competition
    would refuse the size.
    """
    workdir = hub.local(workdir)
    folder = epath.Path(out or f"{workdir}/export")
    if sorted({n for n in options.fixed if n > 0}) != list(options.fixed):
        raise errors.BadInput(
            f"--fixed {' '.join(map(str, options.fixed))}: give lengths of 1 and more "
            "frames, the shortest first"
        )
    exports.check(folder)
    run = _opened(workdir, options)
    if options.quantize == "int8_static" and _streams(run.cfg):
        raise errors.BadInput("--quantize int8_static: a network with a state takes int8 alone")
    conversion.check_versions()
    evaluation = _evaluation(options, run)
    if told := exports.replaced(folder):
        print(told)
    models, every = _converted(options, run)
    report: dict[str, Any] = {"step": run.step, "quantize": options.quantize}
    report["model_bytes"] = len(models[options.quantize])
    if _ZIP in every:
        report["zip_bytes"] = len(every[_ZIP])
    if evaluation:
        reports = comparison.compare(evaluation, run.cfg, run.model, models)
        report |= reports[options.quantize]
        if options.variants:
            print(comparison.table(reports))
            report["variants"] = reports
    report["runtime"] = conversion.runtime(models[options.quantize])
    clips = len(evaluation.data) if evaluation else 0
    scores = _scores(options, run, report if evaluation else None, clips)
    # How the model was made, so that aslx.serve can export it again.
    made = {name: getattr(options, name) for name in ("quantize", "average", "ensemble", "fixed")}
    made["options"] = dataclasses.asdict(options.decoding)
    described = about(run.cfg, run.step, scores, options.lengths)
    if options.stream or (options.web and _streams(run.cfg)):
        described["stream"] = stream_about(run.cfg, run.model, options.web)
    exports.write(folder, described, report | {"made": made}, every)
    return Exported(folder, _ZIP if _ZIP in every else exports.MODEL, report, scores)


def about(cfg: Any, step: int, scores: list[dict], fixed: Sequence[int] | None) -> dict[str, Any]:
    """The contents of model.json without the files: the model's inputs and outputs, its scores, and
    the models of these lengths, which the page uses; None: it uses none."""
    source = cfg.features.source
    clips = "t" in source.shape
    values = {
        "step": step,
        "scores": scores,
        "input": source.about,
        "max_frames": cfg.features.max_frames if clips else None,
    } | cfg.task.report.about()
    if fixed is not None and _streams(cfg):
        values["web"] = []
    elif fixed is not None and clips:
        values["web"] = [{"frames": n, "file": f"fixed/{n}.tflite"} for n in fixed]
    elif fixed is not None:
        values["web"] = [{"file": exports.MODEL}]
    return values


def _streams(cfg: Any) -> bool:
    from aslx.models import streaming

    return isinstance(cfg.model, streaming.Config)


def stream_about(cfg: Any, model: Any, several: bool = False) -> dict[str, Any]:
    """What model.json says of stream.tflite: its frames a second, how many of them a step takes,
    the frames that end a phrase where nobody says otherwise, and the arrays of its state; and with
    `several` how many streams a step of streams.tflite takes."""
    from aslx.export import stream_graph

    stream = stream_graph.of(cfg, model)
    return {
        "file": exports.STREAM,
        "rate": stream.rate,
        "chunk": stream.chunk,
        "rests": decoding_options.Rests().frames(stream.rate).tolist(),
        "state": {name: list(shape) for name, shape in stream.shapes.items()},
    } | ({"several": {"file": exports.STREAMS, "streams": STREAMS}} if several else {})


def submission(model: bytes, beside: dict[str, bytes]) -> bytes:
    """submission.zip: model.tflite and the files that a competition asks for."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as z:
        for name, data in {exports.MODEL: model, **beside}.items():
            # With ZipInfo's fixed date the same run gives the same bytes.
            z.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    size = archive.tell()
    if size > MAX_ZIP:
        raise errors.BadInput(
            f"submission.zip would have {size / 2**20:.1f} MB and Kaggle takes 40: "
            "use --quantize float16 or int8, or a smaller model"
        )
    return archive.getvalue()


def _opened(workdir: str | files.Path, options: Options) -> Any:
    """The run that is exported; of an ensemble, one run that answers for all."""
    from aslx.export import ensemble, export_graph
    from aslx.runs import trained_run

    runs = []
    for each in (workdir, *options.ensemble):
        run = trained_run.open_run(
            each, data=options.data, options=options.decoding, average=options.average
        )
        cfg, model = export_graph.exact(run.cfg, run.model)
        runs.append(dataclasses.replace(run, cfg=cfg, model=model))
    return ensemble.together(runs) if options.ensemble else runs[0]


def _evaluation(options: Options, run: Any) -> Any:
    """The clips to compare on, or None; opened before the conversion, which takes minutes."""
    from aslx.runs import evaluator

    if not options.clips:
        return None
    try:
        return evaluator.Evaluation(run.cfg, run.mesh, options.split, limit=options.clips)
    except errors.BadInput as error:
        raise errors.BadInput(f"{error}; or pass --clips 0 to compare nothing") from None


def _converted(options: Options, run: Any) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The models by their type of weights, that of the options first, and all files by name."""
    others = conversion.VARIANTS if options.variants else ()
    wanted = list(dict.fromkeys((options.quantize, *others)))
    print(f"converting step {run.step} of {run.workdir}, weights as {', '.join(wanted)}")
    samples = _samples(run) if options.quantize == "int8_static" else []
    models: dict[str, bytes] = {
        q: conversion.convert(run.cfg, run.model, q, samples=samples) for q in wanted
    }
    names = [f"model_{'float32' if q == 'none' else q}.tflite" for q in wanted[1:]]
    every = dict(zip([exports.MODEL, *names], models.values(), strict=True))
    source = run.cfg.features.source
    every |= run.cfg.task.report.beside()
    asked = source.submission if options.competition else None
    every |= asked or {}
    unsuited = run.cfg.task.report.unsuited()
    if asked is not None and unsuited:
        print(f"no {_ZIP}: {unsuited}")
    elif asked is not None:
        try:
            every[_ZIP] = submission(models[options.quantize], asked)
        except errors.BadInput as error:
            if not options.web:
                raise
            print(f"no {_ZIP}: {error}", file=sys.stderr)  # The page does not need it.
    streams, variant = _streams(run.cfg), options.quantize
    if variant != "int8_static" and (options.stream or (options.web and streams)):
        every[exports.STREAM] = conversion.convert_stream(run.cfg, run.model, variant)
    if variant != "int8_static" and options.web and streams:
        every[exports.STREAMS] = conversion.convert_stream(run.cfg, run.model, variant, STREAMS)
    elif options.lengths and "t" in source.shape:
        every |= {
            f"fixed/{n}.tflite": conversion.convert(
                run.cfg, run.model, options.quantize, n, samples
            )
            for n in options.lengths
        }
    for name in options.format:
        if name in formats.NAMES:
            print(f"converting to {formats.NAMES[name]}")
            every[formats.NAMES[name]] = formats.written(name, run.cfg, run.model)
    return models, every


def _samples(run: Any) -> list[np.ndarray]:
    """Inputs that give activations their ranges, of the split by which the checkpoint was chosen:
    the test split stays unseen."""
    from aslx.export import static_quantization
    from aslx.runs import evaluator

    limit = static_quantization.CLIPS
    found = evaluator.Evaluation(run.cfg, run.mesh, run.cfg.data.eval_split, limit=limit)
    return [np.asarray(run.cfg.features.source.pack(clip), np.float32) for clip in found.clips()]


def _scores(options: Options, run: Any, found: dict | None, split: int) -> list[dict]:
    """The checkpoint's own score, if it holds for the export too, and the score of the export on
    the clips that were compared, out of `split` clips."""
    scores = []
    plain = options.decoding == decoding_options.Options()
    as_trained = plain and not options.average and not options.ensemble
    for saved in checkpoint_scores.saved(run.workdir) if as_trained else ():
        if saved.step == run.step and saved.score is not None:
            # A run that keeps the checkpoint of the least loss saves -loss as the score.
            loss = getattr(run.cfg.task, "best_by_loss", False)
            name, value = ("loss", -saved.score) if loss else ("score", saved.score)
            scores.append({"name": name, "value": value, "on": run.cfg.data.eval_split})
    if found:
        of = "all" if found["clips"] == split else f"the first {found['clips']}"
        on = f"{of} of the {split} in {options.split}"
        scores.append({"name": "score", "value": found["score"], "on": on})
    return scores
