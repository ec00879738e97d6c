"""Pretrained weights: a file for a network's trunk, or another run.

Two kinds of file are read: Keras' own .h5 of ResNet50, and safetensors with the names that
torchvision and timm share. Every shape is checked before a value is read. A missing weight is an
error; an unused weight is named in the log. The file may come from a stranger: links to other files
are refused. Of a run, every weight whose name and shape match is taken, and the log names the rest.
"""

import contextlib
import dataclasses
import functools
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from aslx import errors
from aslx.checkpoints import stored
from aslx.runs import trained_run
from aslx.storage import files, hub

log = logging.getLogger("aslx")


@dataclasses.dataclass(frozen=True)
class Weight:
    """An array in a file; it is read when it is loaded."""

    shape: tuple[int, ...]  # As Keras has it.
    load: Callable[[], np.ndarray]  # f32 of this shape.


Weights = dict[str, Weight]  # By names as "conv1_conv/kernel".

_KERAS = (
    "https://storage.googleapis.com/tensorflow/keras-applications/resnet/"
    "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
)
_MD5 = "4d473c1dd8becc155b73f8504c6f6626"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x04")  # Of PyTorch, as a zip and bare.
_TRUNK = "trunk/"
_TORCH_LEAVES = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
_TORCH_NAME = re.compile(r"(?:layer(\d)\.(\d+)\.)?(conv|bn|downsample\.)(\d)\.(\w+)")


def taken(model: Any, path: str) -> Any:
    """The model with the weights of a file, or with the matching weights of a run, on the disk or hf://OWNER/NAME."""
    path = str(hub.local(path))
    take = from_run if files.is_folder(path) else into
    model, unused = take(model, path)
    if unused:
        log.warning("%s: not used: %s", path, ", ".join(unused))
    return model


def from_run(model: Any, workdir: str) -> tuple[Any, list[str]]:
    """The model with the weights of a run's best checkpoint whose name and shape match, and the
    names of the checkpoint's unused weights."""
    theirs, ours = (stored.flatten(m) for m in (trained_run.open_run(workdir).model, model))
    fitting = {k: v for k, v in theirs.items() if k in ours and v.shape == ours[k].shape}
    if not fitting:
        raise errors.BadInput(
            f"weights {workdir}: no weight of that run has the name and the shape of one of this "
            "network: make features and model those of that run"
        )
    anew = [name.removesuffix("/value") for name in ours if name not in fitting]
    if anew:
        log.warning("%s: %d weights taken; begun anew: %s", workdir, len(fitting), ", ".join(anew))
    else:
        log.info("%s: all %d weights taken", workdir, len(fitting))
    unused = [name.removesuffix("/value") for name in theirs if name not in fitting]
    return _with(model, {k: np.asarray(v) for k, v in fitting.items()}), unused


def _with(model: Any, arrays: dict[str, np.ndarray]) -> Any:
    """The model with these values of the named leaves."""
    leaves = stored.flatten(model)
    new = {
        name: jax.make_array_from_callback(
            array.shape, leaves[name].sharding, lambda at, array=array: array[at]
        )
        for name, array in arrays.items()
    }
    return jax.tree.unflatten(jax.tree.structure(model), list((leaves | new).values()))


def into(model: Any, path: str) -> tuple[Any, list[str]]:
    """The model with its trunk's weights from a file, and the file's names that are not used."""
    found: dict[str, np.ndarray] = {}
    wanted = {k: v for k, v in stored.flatten(model).items() if k.startswith(_TRUNK)}
    if not wanted:
        raise errors.BadInput(f"weights {path}: this network has no pretrained trunk")
    with opened(path) as weights:
        for name, leaf in wanted.items():
            ours = name.removeprefix(_TRUNK).removesuffix("/value")
            if ours not in weights:
                raise errors.BadInput(f"{path} has no weight for {ours}; is it a ResNet50?")
            weight = weights.pop(ours)
            if weight.shape != leaf.shape:
                raise errors.BadInput(
                    f"{path}: {ours} is {weight.shape}, and the network's is {leaf.shape}"
                )
            found[name] = weight.load()
    return _with(model, found), sorted(weights)


@contextlib.contextmanager
def opened(path: str) -> Iterator[Weights]:
    """What a file holds. BadInput where there is none, or it is damaged or of another kind."""
    if not files.is_file(path):
        raise errors.BadInput(
            f"there is no file of weights {path}, and no run. Keras' weights of ResNet50 are "
            f"{_KERAS} (MD5 {_MD5})"
        )
    with files.given(path), open(path, "rb") as f:
        start = f.read(len(_HDF5))
    if start.startswith(_PICKLES):
        raise errors.BadInput(
            f"{path} may be a pickle, which can run any code and is not opened: save the weights "
            "as safetensors"
        )
    with (_keras if start == _HDF5 else _torch)(path) as weights:
        yield weights


@contextlib.contextmanager
def _keras(path: str) -> Iterator[Weights]:
    import h5py

    found: Weights = {}

    def check(name: str, group: Any) -> None:
        for key in group:
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                raise errors.BadInput(f"{path}: {name}/{key} is a link, which is not followed")

    def visit(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset):
            check(name, item)
            return
        if item.external or item.is_virtual:
            raise errors.BadInput(f"{path}: {name} lies in another file, which is not opened")
        layer, _, leaf = name.rpartition("/")
        found[f"{layer.rpartition('/')[2]}/{leaf.split(':')[0]}"] = Weight(
            item.shape or (), functools.partial(_numbers, item, f"{path}: {name}")
        )

    with contextlib.ExitStack() as stack:
        with _whole(path):
            f = stack.enter_context(h5py.File(path, "r"))
            check("", f)
            f.visititems(visit)
        yield found


@contextlib.contextmanager
def _whole(where: str) -> Iterator[None]:
    """Around what h5py reads: it raises all of these for bytes that are damaged."""
    try:
        yield
    except errors.BadInput:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # The system's.
            raise
        raise errors.BadInput(f"{where} is no whole .h5 file: {error}") from error


def _numbers(item: Any, where: str) -> np.ndarray:
    with _whole(where):
        if item.dtype.kind != "f":
            raise errors.BadInput(f"{where} holds {item.dtype}, and floats are wanted")
        return np.asarray(item[()], np.float32)


@contextlib.contextmanager
def _torch(path: str) -> Iterator[Weights]:
    """Convolutions have no bias there: it is 0 here."""
    import safetensors

    found: Weights = {}
    try:
        with safetensors.safe_open(path, "numpy") as f:
            for name in f.keys():  # noqa: SIM118 - it is no dictionary.
                part, ours = f.get_slice(name), _from_torch(name)
                shape = tuple(part.get_shape())
                load = functools.partial(_tensor, f, name, f"{path}: {name}", part.get_dtype())
                if len(shape) == 4:
                    shape = (*shape[2:], shape[1], shape[0])
                    bias = shape[3:]
                    zeros = functools.partial(np.zeros, bias, np.float32)
                    found[ours.replace("/kernel", "/bias")] = Weight(bias, zeros)
                found[ours] = Weight(shape, load)
            yield found
    except safetensors.SafetensorError as error:
        raise errors.BadInput(f"{path} is no whole .safetensors file: {error}") from error


def _tensor(f: Any, name: str, where: str, dtype: str) -> np.ndarray:
    if dtype not in ("F16", "F32", "F64"):
        raise errors.BadInput(f"{where} holds {dtype}, and F16, F32 or F64 are wanted")
    array = f.get_tensor(name).astype(np.float32)
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array


def _from_torch(name: str) -> str:
    """ "layer1.0.bn2.weight" -> "conv2_block1_2_bn/gamma"; a name that is none of these stays."""
    match = _TORCH_NAME.fullmatch(name)
    if match is None:
        return name
    stage, block, kind, number, leaf = match.groups()
    if kind == "downsample.":  # 0 is the convolution, 1 its norm.
        kind, number = ("conv", "bn")[int(number)], "0"
    layer = f"conv{int(stage) + 1}_block{int(block) + 1}_{number}_" if stage else "conv1_"
    if kind == "conv":
        return f"{layer}conv/kernel"
    return f"{layer}bn/{_TORCH_LEAVES.get(leaf, leaf)}"
