"""A run -> a folder with model.tflite and, for a competition, submission.zip.

The graph takes what the source of the features says, as Kaggle's raw columns, NaN and all, any
number of frames, and holds features, network and decoding: the very functions that trained. Its
signature is Kaggle's: `serving_default`, with `inputs` and `outputs`. model.json says of it what a
program that is not Kaggle's has to know.
"""

import dataclasses
import io
import sys
import zipfile
from typing import Annotated, Any

import tyro
from etils import epath

from aslx import errors
from aslx.checkpoints import checkpoint_scores
from aslx.decode import decoding_options
from aslx.export import comparison, conversion, exports
from aslx.storage import files

MAX_ZIP = 40 * 2**20  # Bytes: Kaggle refuses a model over 40 MB.
_ZIP = "submission.zip"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """How a run is exported."""

    web: bool = False
    """Write the models that aslx.serve's page runs too: the same, at a few fixed lengths."""
    quantize: conversion.Quantize = "none"
    """Type of the stored weights; int8: one scale a channel, activations stay float."""
    decoding: Annotated[decoding_options.Options, tyro.conf.arg(name="")] = (
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


@dataclasses.dataclass(frozen=True)
class Exported:
    """What `export_run` wrote."""

    folder: files.Path
    file: str
    """The file in `folder` for the competition, submission.zip; model.tflite where there is no
    competition, or the model is too large for it."""
    report: dict[str, Any]
    """Sizes in bytes, the oldest runtime, and what the comparison with JAX found."""
    scores: list[dict[str, Any]]
    """How well the model did: the name of a score, its value, and the clips that it is of."""


def export_run(workdir: str | files.Path, out: str = "", options: Options = Options()) -> Exported:
    """Writes the best checkpoint of a run directory as TFLite to the folder `out`, WORKDIR/export
    unless given. A folder that an export wrote is replaced as a whole.

    Needs the extra `export` (TensorFlow). BadInput where `workdir` holds no run, where `out` holds
    other files, where the split is missing that `options` compare on (clips=0 compares nothing),
    and where a competition would refuse the size.
    """
    folder = epath.Path(out or f"{workdir}/export")
    exports.check(folder)
    run = _opened(workdir, options)
    conversion.check_versions()
    evaluation = _evaluation(options, run)
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
    # How it was made, so that serve can make it anew.
    made = {name: getattr(options, name) for name in ("quantize", "average", "ensemble")}
    made["options"] = dataclasses.asdict(options.decoding)
    described = about(run.cfg, run.step, scores, web=options.web)
    exports.write(folder, described, report | {"made": made}, every)
    return Exported(folder, _ZIP if _ZIP in every else exports.MODEL, report, scores)


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
    } | cfg.task.report.about()
    if web and clips:
        values["web"] = [{"frames": n, "file": f"web/{n}.tflite"} for n in conversion.WEB_FRAMES]
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


def _opened(workdir: str | files.Path, options: Options) -> Any:
    """The run that is exported: of several one that answers for all."""
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
    """Of the clips to compare with, or None; opened before the conversion, which takes minutes."""
    from aslx.runs import evaluator

    if not options.clips:
        return None
    try:
        return evaluator.Evaluation(run.cfg, run.mesh, options.split, limit=options.clips)
    except errors.BadInput as error:
        raise errors.BadInput(f"{error}; or pass --clips 0 to compare nothing") from None


def _converted(
    options: Options, run: Any
) -> tuple[dict[conversion.Quantize, bytes], dict[str, bytes]]:
    """The models by their weights, the wanted ones first, and all files by their names."""
    others: list[conversion.Quantize] = list(conversion.VARIANTS) if options.variants else []
    wanted: list[conversion.Quantize] = [
        options.quantize,
        *(q for q in others if q != options.quantize),
    ]
    print(f"converting step {run.step} of {run.workdir}, weights as {', '.join(wanted)}")
    models: dict[conversion.Quantize, bytes] = {
        q: conversion.convert(run.cfg, run.model, q) for q in wanted
    }
    names = [f"model_{'float32' if q == 'none' else q}.tflite" for q in wanted[1:]]
    every = dict(zip([exports.MODEL, *names], models.values(), strict=True))
    beside = run.cfg.features.source.submission
    every |= {**run.cfg.task.report.beside(), **(beside or {})}
    if beside is not None:
        try:
            every[_ZIP] = submission(models[options.quantize], beside)
        except errors.BadInput as error:
            if not options.web:
                raise
            print(f"no {_ZIP}: {error}", file=sys.stderr)  # The page needs none.
    if options.web:
        every |= conversion.web(run.cfg, run.model, options.quantize)
    return models, every


def _scores(options: Options, run: Any, found: dict | None, split: int) -> list[dict]:
    """The checkpoint's own score, where it is the export's too, and what the export scored on so
    many clips of the split."""
    scores = []
    plain = (
        not options.average
        and not options.ensemble
        and options.decoding == decoding_options.Options()
    )
    for saved in checkpoint_scores.saved(run.workdir) if plain else ():
        if saved.step == run.step and saved.score is not None:
            # A run that keeps the checkpoint of the least loss ranks by that.
            loss = getattr(run.cfg.task, "best_by_loss", False)
            name, value = ("loss", -saved.score) if loss else ("score", saved.score)
            scores.append({"name": name, "value": value, "on": run.cfg.data.eval_split})
    if found:
        of = "all" if found["clips"] == split else f"the first {found['clips']}"
        on = f"{of} of the {split} in {options.split}"
        scores.append({"name": "score", "value": found["score"], "on": on})
    return scores
