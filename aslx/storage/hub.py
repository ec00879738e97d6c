"""Models on the Hugging Face Hub, or on another server of its API that HF_ENDPOINT names.

A model there is a run directory and `manifest.json`, which has the size and SHA-256 of each file. A
pulled run is whole and as it was pushed, or not there: it is checked in a scratch folder, and then
gets its name in the cache. The files may be a stranger's: names lead nowhere else, and no more than
`_MOST` bytes are taken.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import re
import shutil
import sys
from collections.abc import Iterator
from typing import Any

from aslx import errors
from aslx.storage import files, user_folders

SCHEME, MANIFEST = "hf://", "manifest.json"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_FILE = re.compile(r"([A-Za-z0-9_][\w.-]*/)*[A-Za-z0-9_][\w.-]*", re.ASCII)
_MOST, _MOST_FILES, _MOST_MANIFEST = 16 << 30, 10_000, 4 << 20
_LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"


def local(path: str | files.Path) -> str | files.Path:
    """The folder of the cache that holds the run of hf://OWNER/NAME or hf://OWNER/NAME@REVISION,
    pulled unless it is there; any other path as it is.

    With HF_HUB_OFFLINE=1 it is what was pulled last. BadInput where the hub has no such run, lets
    this user not in, or has other files than were pushed; Unavailable where it does not answer.
    """
    if not os.fspath(path).startswith(SCHEME):
        return path
    name, _, revision = os.fspath(path).removeprefix(SCHEME).partition("@")
    check(name)
    from huggingface_hub import constants

    home = user_folders.cache() / "hub" / name.replace("/", "--")
    last = home / f"last-{hashlib.sha256(revision.encode()).hexdigest()[:16]}"
    if constants.HF_HUB_OFFLINE:
        if not files.exists(last):
            raise errors.BadInput(f"{path} was not pulled yet: unset HF_HUB_OFFLINE, and pull it")
        return home / last.read_text().strip()
    with _answering(name):
        info = _api().model_info(name, revision=revision or None, files_metadata=True)
    commit, sizes = str(info.sha), {one.rfilename: one.size for one in info.siblings or ()}
    if not re.fullmatch("[0-9a-f]{7,64}", commit):
        raise errors.Unavailable(f"the hub answers with {commit!r:.80} as the commit of {name}")
    if not files.exists(home / commit):
        if (sizes.get(MANIFEST) or _MOST) > _MOST_MANIFEST:
            raise errors.BadInput(f"{path} has no {MANIFEST}: it is no run that aslx push wrote")
        print(f"pulling {name}, commit {commit[:12]}, into {home}", file=sys.stderr)
        with files.replacing_folder(home / commit) as folder:
            _pull(name, commit, sizes, folder)
    files.write(last, commit)
    return home / commit


def push(folder: pathlib.Path, name: str, *, private: bool, message: str) -> str:
    """Makes the model `name` hold the files of a folder, and a manifest of them, as one commit;
    returns where it can be looked at. BadInput where the hub does not let this user in."""
    check(name)
    paths = sorted(path for path in folder.rglob("*") if files.is_file(path))
    sums = {path.relative_to(folder).as_posix(): _sum(path) for path in paths}
    files.write(folder / MANIFEST, json.dumps({"files": sums}, indent=1) + "\n")
    api = _api()
    with _answering(name):
        url = api.create_repo(name, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=name, folder_path=folder, commit_message=message, delete_patterns="*"
        )
    return str(url)


def check(name: str) -> None:
    """BadInput unless this can be the name of a model on the hub."""
    if not _NAME.fullmatch(name) or ".." in name or "--" in name:
        raise errors.BadInput(f"{name!r:.120} is no model of the hub: write OWNER/NAME")


def _pull(name: str, commit: str, sizes: dict[str, int | None], folder: pathlib.Path) -> None:
    """Fills an empty folder with what a manifest names; the hub says the `sizes` of its files."""
    _fetch(name, commit, MANIFEST, folder)
    said = files.read_object(folder / MANIFEST).get("files")
    for file, (size, sha256) in _manifest(name, said).items():
        there = sizes.get(file) == size and _sum(_fetch(name, commit, file, folder))
        if there != {"bytes": size, "sha256": sha256}:
            raise errors.BadInput(
                f"{SCHEME}{name}: {file} is not the file that {MANIFEST} names: push it again"
            )
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # Notes of the hub's library.


def _manifest(name: str, said: object) -> dict[str, tuple[int, str]]:
    """Size and SHA-256 of each file that is named."""
    found = {}
    for file, sums in said.items() if isinstance(said, dict) else ():
        size, sha256 = map(sums.get, ("bytes", "sha256")) if isinstance(sums, dict) else (0, 0)
        numbers = type(size) is int and isinstance(sha256, str) and 0 <= size <= _MOST
        if not numbers or not _FILE.fullmatch(file):
            raise errors.BadInput(f"{SCHEME}{name}: {MANIFEST} cannot name {file!r:.120}")
        found[file] = (size, sha256)
    if not found or len(found) > _MOST_FILES or sum(size for size, _ in found.values()) > _MOST:
        raise errors.BadInput(
            f"{SCHEME}{name}: {MANIFEST} names {len(found)} files, and a run has 1 to "
            f"{_MOST_FILES} of {_MOST >> 30} GB together: it is not of aslx"
        )
    return found


def _fetch(name: str, commit: str, file: str, folder: pathlib.Path) -> pathlib.Path:
    with _answering(name):
        got = _api().hf_hub_download(name, file, revision=commit, local_dir=folder)
    return pathlib.Path(got)


def _sum(path: pathlib.Path) -> dict[str, int | str]:
    with path.open("rb") as f:
        digest = hashlib.file_digest(f, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}


def _api() -> Any:
    import huggingface_hub

    return huggingface_hub.HfApi(endpoint=os.environ.get("HF_ENDPOINT"))


@contextlib.contextmanager
def _answering(name: str) -> Iterator[None]:
    """Turns the errors of the hub's library into `BadInput` and `Unavailable`."""
    from huggingface_hub import errors as faults

    where = f"{_api().endpoint} for {name}"
    try:
        yield
    except faults.LocalTokenNotFoundError as error:
        raise errors.BadInput(f"{where}: {_LOG_IN}") from error
    except faults.HTTPError as error:  # pyright: ignore[reportPrivateImportUsage]
        answer = getattr(error, "response", None)
        status = getattr(answer, "status_code", None)
        if status in (401, 403):
            what = f"{status} from {where}: {_LOG_IN}; or there is no such model"
            raise errors.BadInput(what) from error
        if status == 404:
            what = f"404 from {where}: there is no such model, or no such file or revision of it"
            raise errors.BadInput(what) from error
        said = " ".join(str(error).split())
        raise errors.Unavailable(f"{status or 'no answer'} from {where}: {said:.200}") from error
    except faults.LocalEntryNotFoundError as error:
        raise errors.Unavailable(f"no answer from {where}: {error}") from error
