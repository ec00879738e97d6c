"""The folder of an exported model: all its files appear at once, and model.json lists them.

model.json describes the model, and has the size and SHA-256 of every other file, so that a reader
detects a mixture of two exports. report.json is for people and for `aslx.serve`.
"""

import hashlib
import json
import os
import pathlib
import re
from typing import Any

import aslx
from aslx import errors
from aslx.storage import files

# The reader of people's hands that the package brings (docs/reader.md).
READER = pathlib.Path(__file__).parent / "reader"
ABOUT, REPORT, MODEL = "model.json", "report.json", "model.tflite"
STREAM = "stream.tflite"
# The files that an export may replace: those of an export, the temporary files of an export that
# was killed, and those of a file browser.
_OWN = re.compile(
    r"(model(_(float32|float16|int8))?|stream)\.tflite|(model|report|inference_args)\.json"
    r"|submission\.zip|labels\.txt|model\.stablehlo|saved_model\.zip"
    r"|(web|fixed)(/[0-9]+\.tflite)?|\.[0-9a-f]{32}\.[a-z_.]+|((web|fixed)/)?\.DS_Store"
)


def check(out: files.Path) -> None:
    """BadInput if an export cannot be written to `out`, or would replace other files."""
    if files.in_bucket(out):
        return
    folder = _local(out)
    above = next(path for path in folder.parents if files.exists(path))
    if not files.is_folder(above):
        raise errors.BadInput(f"{above} is a file: give a folder as --out")
    files.check_folder(above)
    if files.exists(folder) and not files.is_folder(folder):
        raise errors.BadInput(f"{folder} is a file: give a folder as --out")
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not _OWN.fullmatch(name) or path.is_symlink():
            raise errors.BadInput(
                f"{folder} holds {name}, which is no part of an export, and an export replaces the "
                "folder: move it away, or give another --out"
            )


def replaced(out: files.Path) -> str:
    """A line that says which export a new one in `out` replaces; "" where there is none."""
    if not files.exists(out / ABOUT):
        return ""
    try:
        step = files.read_object(out / ABOUT).get("step")
    except errors.BadInput:
        return f"replacing a damaged export in {out}"
    return f"replacing the export of step {step} in {out}"


def _local(out: files.Path) -> pathlib.Path:
    """The folder itself if `out` is a link to it."""
    return pathlib.Path(os.path.realpath(out))


def write(
    out: files.Path, about: dict[str, Any], report: dict[str, Any], every: dict[str, bytes]
) -> None:
    """Replaces `out` by a folder of these files: all at once, or, in a bucket, model.json last.
    Until then `out` stays as it was."""
    named = {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in every.items()
    }
    whole = every | {
        REPORT: (json.dumps(report, indent=2) + "\n").encode(),
        ABOUT: json.dumps({"aslx": aslx.__version__} | about | {"files": named}, indent=1).encode(),
    }
    if files.in_bucket(out):
        for name, data in whole.items():
            files.write(out / name, data)
        return
    with files.given(out), files.replacing_folder(_local(out)) as folder:
        for name, data in whole.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(data)
        check(out)  # Again: new files may have appeared since.
