"""Reads saved states on a disk or in a bucket: their notes and their arrays.

Nothing here changes a file, so it can run beside a training that saves. Only evidence makes a
failure to read into damage: a missing file, or a checksum or decoder that finds wrong bytes. The
layout is Orbax's: arrays as Zarr 3 in OCDBT, everything else as JSON.
"""

import contextlib
import dataclasses
import functools
import json
import math
import os
import re
import stat
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import tensorstore as ts

from aslx import errors
from aslx.storage import checksums, files

STATE = "state"
_METADATA, _SCORE = "_CHECKPOINT_METADATA", "metrics/metrics"
_COMMITTED = "commit_success.txt"
_MOST_JSON = 16 << 20  # Bytes.
# TensorStore's messages for bytes that cannot be those that were written, for a lack of permission,
# and for storage that failed.
_DAMAGE = re.compile(
    "DATA_LOSS: |OUT_OF_RANGE: |NOT_FOUND: |FAILED_PRECONDITION: (?!.*os_error_code)|"
    ".*(Error decoding |CRC-32C)",
    re.DOTALL,
)
_FORBIDDEN = re.compile("PERMISSION_DENIED: |UNAUTHENTICATED: ")
_UNAVAILABLE = re.compile("UNKNOWN: |ABORTED: |UNAVAILABLE: |DEADLINE_EXCEEDED: |RESOURCE_EXHAUST")


class OtherNetwork(errors.BadInput):
    """A whole checkpoint whose arrays have other names, shapes or types."""


class Damaged(errors.BadInput):
    """A checkpoint whose bytes are provably not those that were saved."""


class Gone(errors.Unavailable):
    """A checkpoint that was removed or replaced while it was read."""


def flatten(tree: Any) -> dict[str, Any]:
    """The leaves of a tree by their paths, as "model/encoder/0/up/kernel"."""
    leaves = jax.tree.leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): x for path, x in leaves}


@dataclasses.dataclass(frozen=True)
class Stored:
    """A checkpoint. Its methods raise `Damaged`, `Gone`, or what storage raised."""

    path: files.Path

    @property
    def step(self) -> int:
        return int(self.path.name)

    @functools.cached_property
    def progress(self) -> dict[str, Any]:
        """The notes of the run's progress."""
        with self._reading():
            noted = self._json(_METADATA)
            if not isinstance(noted.get("custom_metadata"), dict):
                raise Damaged(f"{self.path / _METADATA} is damaged: it has no custom_metadata")
            return noted["custom_metadata"]

    @functools.cached_property
    def score(self) -> float | None:
        """The score, or None where there is none or it is NaN, which is never the best."""
        with self._reading():
            if "metrics" not in self._json(_METADATA).get("item_handlers", {}):
                return None
            score = self._json(_SCORE).get("score")
            if not isinstance(score, (int, float)):
                raise Damaged(f"{self.path / _SCORE} is damaged: it has no score")
            return None if math.isnan(score) else float(score)

    @property
    def was_committed(self) -> bool:
        """Whether a save came to its end, even if a bucket has lost the object that says so.

        Damaged notes are no sign of an interrupted save: objects in a bucket appear whole.
        """
        try:
            return self._json(_METADATA).get("commit_timestamp_nsecs") is not None
        except _Missing:
            return False
        except Damaged:
            return True

    def summed(self) -> bool:
        """True where checksums say that every byte is as it was saved, False where there are no
        checksums."""
        with self._reading():
            try:
                sums = self._json(checksums.NAME)
            except _Missing:
                return False
            if fault := checksums.fault(self.path, sums):
                raise Damaged(fault)
        return True

    def decode(self) -> None:
        """Reads every array, so that decoders find damage."""
        with self._reading():
            for name in self._names:
                self._open(name).result().read().result()

    def restore(self, abstract: Any) -> Any:
        """The arrays of the tree `abstract`, placed as it says. OtherNetwork where an array is
        missing or has another shape or type. It reads no more into memory than `abstract` holds."""
        want = flatten(abstract)
        with self._reading():
            names = self._names
            missing = [name for name in want if name not in names]
            if missing:
                raise OtherNetwork(
                    f"{self.path} has no {missing[0]}: another version of aslx, or of the network, "
                    "trained it"
                )
            opened = {name: self._open(name) for name in want}
            parts = {name: self._parts(name, leaf, opened[name]) for name, leaf in want.items()}
            found = [_placed(leaf, parts.pop(name)) for name, leaf in want.items()]
            if not self._there():  # The files may have come from two checkpoints.
                raise self._gone()
        return jax.tree.unflatten(jax.tree.structure(abstract), found)

    def _parts(self, name: str, leaf: jax.ShapeDtypeStruct, opened: Any) -> dict[tuple, Any]:
        """Futures of an array's parts that this host holds, by their places."""
        array = opened.result()
        there, here = (array.shape, array.dtype.name), (leaf.shape, leaf.dtype.name)
        # A chunk is decoded as a whole, and no training writes one that is larger than its array.
        chunk: Any = array.chunk_layout.write_chunk.shape or ()
        if there != here or math.prod(chunk) > max(leaf.size, 1):
            raise OtherNetwork(
                f"{self.path}: {name} is {there[1]}{list(there[0])}, and the network of the config "
                f"has {here[1]}{list(here[0])}: train it in another --workdir"
            )
        return {_key(index, leaf.shape): array[index].read() for index in _indices(leaf)}

    @functools.cached_property
    def _names(self) -> frozenset[str]:
        """The names of the arrays."""
        keys = ts.KvStore.open(self._store, context=self._context).result().list().result()
        if not keys:  # To TensorStore a store without a manifest is an empty store.
            raise Damaged(f"{self.path / STATE / 'manifest.ocdbt'} is missing")
        ending = "/zarr.json"
        found = (key.decode(errors="replace") for key in keys)
        return frozenset(key.removesuffix(ending) for key in found if key.endswith(ending))

    def _open(self, name: str) -> Any:
        spec = {
            "driver": "zarr3",
            "kvstore": self._store | {"path": f"{name}/"},
            "fill_missing_data_reads": False,
            # A checkpoint never changes, so nothing is read twice.
            "recheck_cached_data": False,
            "recheck_cached_metadata": False,
        }
        return ts.open(spec, open=True, context=self._context)

    @property
    def _store(self) -> dict[str, Any]:
        place = os.fspath(self.path / STATE)
        if files.in_bucket(place):
            bucket, _, path = place.partition("://")[2].partition("/")
            base = {"driver": "gcs", "bucket": bucket, "path": f"{path}/"}
        else:
            base = {"driver": "file", "path": f"{place}/"}
        return {"driver": "ocdbt", "base": base, "cache_pool": "cache_pool#names"}

    @functools.cached_property
    def _context(self) -> ts.Context:
        return ts.Context({"cache_pool#names": {"total_bytes_limit": 100_000_000}})

    @functools.cached_property
    def _before(self) -> bytes | None:
        return self._metadata()

    def _metadata(self) -> bytes | None:
        try:
            return _read(self.path / _METADATA)
        except FileNotFoundError:
            return None

    def _there(self) -> bool:
        """Whether the checkpoint is still the one that was first read."""
        return is_final(self.path) and self._metadata() == self._before

    def _gone(self) -> Gone:
        return Gone(f"{self.path} was removed, or replaced, while it was read")

    def _json(self, name: str) -> dict[str, Any]:
        path = self.path / name
        try:
            data = self._before if name == _METADATA else _read(path)
        except FileNotFoundError:
            data = None
        if data is None:
            raise _Missing(f"{path} is missing")
        try:
            found = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise Damaged(f"{path} is damaged, it is no JSON: {error}") from None
        if not isinstance(found, dict):
            raise Damaged(f"{path} is damaged: it is no JSON object")
        return found

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """Turns errors of reading into `Damaged`, `Gone`, or an error that names its cause."""
        with files.given(self.path):
            _ = self._before
            try:
                yield
            except Damaged:
                if self._there():
                    raise
                raise self._gone() from None
            except errors.BadInput:
                raise
            except ValueError as error:  # TensorStore's.
                said = str(error).partition(" [tensorstore_spec=")[0][:300]
                if _FORBIDDEN.match(said):
                    raise errors.BadInput(
                        f"{self.path} may not be read: give yourself permission: {said}"
                    ) from error
                if _UNAVAILABLE.match(said):
                    raise errors.Unavailable(f"{self.path}: {said}") from error
                if not _DAMAGE.match(str(error)):
                    raise
                if not self._there():
                    raise self._gone() from None
                raise Damaged(f"{self.path} is damaged: {said}") from error


class _Missing(Damaged):
    """A missing file of a checkpoint."""


def withdraw(path: files.Path) -> None:
    """Removes a bucket's commit file: the checkpoint ends before its files are removed."""
    (path / _COMMITTED).unlink(missing_ok=True)


def is_final(path: files.Path) -> bool:
    """Whether a checkpoint is whole: in a bucket it is committed, on a disk it has its name."""
    try:
        if files.in_bucket(path):
            return bool(_read(path / _COMMITTED))
        return stat.S_ISDIR(os.stat(path).st_mode)
    except FileNotFoundError:
        return False


def _read(path: files.Path) -> bytes:
    with path.open("rb") as f:
        data = f.read(_MOST_JSON + 1)
    if len(data) > _MOST_JSON:
        raise Damaged(f"{path} has more than {_MOST_JSON} bytes")
    return data


def _indices(leaf: jax.ShapeDtypeStruct) -> list[tuple]:
    """The parts of an array that this host's devices hold, each part once."""
    if leaf.sharding is None:
        return [(slice(None),) * leaf.ndim]
    places: Any = leaf.sharding.addressable_devices_indices_map(leaf.shape).values()
    return list({_key(index, leaf.shape): index for index in places}.values())


def _key(index: tuple, shape: tuple) -> tuple:
    return tuple(part.indices(size) for part, size in zip(index, shape, strict=True))


def _placed(leaf: jax.ShapeDtypeStruct, parts: dict[tuple, Any]) -> jax.Array:
    if leaf.sharding is None:
        (whole,) = parts.values()
        return jax.device_put(np.asarray(whole.result()))
    found = {key: np.asarray(part.result()) for key, part in parts.items()}

    def part(index: Any) -> np.ndarray:
        return found[_key(index, leaf.shape)]

    return jax.make_array_from_callback(leaf.shape, leaf.sharding, part)
