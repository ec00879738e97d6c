"""The same model for other runtimes than LiteRT: StableHLO, TensorFlow's SavedModel."""

import io
import pathlib
import tempfile
import zipfile
from typing import Any, Literal

Format = Literal["tflite", "stablehlo", "saved_model"]
NAMES = {"stablehlo": "model.stablehlo", "saved_model": "saved_model.zip"}
# So that one file runs on each: `jax.export.deserialize` takes it to the platform of the caller.
_PLATFORMS = ("cpu", "cuda", "tpu")


def written(kind: Format, cfg: Any, model: Any) -> bytes:
    """The file NAMES[kind] of a model."""
    return {"stablehlo": stablehlo, "saved_model": saved_model}[kind](cfg, model)


def stablehlo(cfg: Any, model: Any) -> bytes:
    """What `jax.export.deserialize` reads, without aslx: StableHLO of the function from `inputs`,
    raw columns of any number of frames, to `outputs`; for CPUs, GPUs and TPUs."""
    import jax
    from jax import export

    from aslx.export import export_graph

    shape = export.symbolic_shape(", ".join(map(str, cfg.features.source.shape)))
    inputs = jax.ShapeDtypeStruct(shape, "float32")
    program = jax.jit(export_graph.answer(cfg, model))
    return bytes(export.export(program, platforms=_PLATFORMS)(inputs).serialize())


def saved_model(cfg: Any, model: Any) -> bytes:
    """A zip of the folder that `tf.saved_model.load` reads, with the signature serving_default:
    `inputs` to `outputs`. The same run gives the same names, but not the same bytes."""
    from aslx.export import conversion, quiet

    archive = io.BytesIO()
    with tempfile.TemporaryDirectory(prefix="aslx-") as folder:
        tf, module, concrete = conversion.module(cfg, model)
        with quiet.without(b""):
            tf.saved_model.save(module, folder, signatures=concrete)
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as z:
            for path in sorted(pathlib.Path(folder).rglob("*")):
                z.write(path, path.relative_to(folder))
    return archive.getvalue()
