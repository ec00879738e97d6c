"""Weights that others trained, read from a file into a network's trunk, or from another run.

Two kinds of file: Keras' own .h5 of ResNet50, and safetensors in the naming that torchvision and
timm share. Every shape is checked; what the file lacks is an error, what nothing uses is named.
Of a run all is taken that fits, as the encoder under another head; what does not is named.
"""

import dataclasses
import logging
import pathlib
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from aslx import errors, inference, step, stored
from aslx.models import layers

log = logging.getLogger("aslx")

Weights = dict[str, np.ndarray]  # "conv1_conv/kernel" -> f32, shaped as Keras has it.

_TRUNK = "trunk/"
_TORCH_LEAVES = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
_TORCH_NAME = re.compile(r"(?:layer(\d)\.(\d+)\.)?(conv|bn|downsample\.)(\d)\.(\w+)")


def first_state(init: Callable[[], step.State], path: str) -> step.State:
    """A first state whose network has the weights of a file, or those of a run that fit."""
    fresh = init()
    take = from_run if epath.Path(path).is_dir() else into
    whole, unused = take(layers.joined(fresh.model, fresh.frozen), path)
    if unused:
        log.warning("%s: not used: %s", path, ", ".join(unused))
    model, frozen = layers.parted(whole)
    ema = fresh.ema if fresh.ema is None else jax.tree.map(jnp.copy, model)
    return dataclasses.replace(fresh, model=model, frozen=frozen, ema=ema)


def from_run(model: Any, workdir: str) -> tuple[Any, list[str]]:
    """The model with the weights of a run's best checkpoint that have the name and the shape of one
    here, and the names of the others there."""
    theirs, ours = (stored.flatten(m) for m in (inference.open_run(workdir).model, model))
    fitting = {k: v for k, v in theirs.items() if k in ours and v.shape == ours[k].shape}
    if not fitting:
        raise errors.BadInput(
            f"weights {workdir}: no weight of that run has the name and the shape of one of this "
            "network: make features and model those of that run"
        )
    anew = [name.removesuffix("/value") for name in ours if name not in fitting]
    log.warning("%s: %d weights taken; begun anew: %s", workdir, len(fitting), ", ".join(anew))
    unused = [name.removesuffix("/value") for name in theirs if name not in fitting]
    return _with(model, {k: np.asarray(v) for k, v in fitting.items()}), unused


def _with(model: Any, arrays: dict[str, np.ndarray]) -> Any:
    """The model with other values of the leaves that are named."""
    leaves = stored.flatten(model)
    new = {
        name: jax.make_array_from_callback(
            array.shape, leaves[name].sharding, lambda at, array=array: array[at]
        )
        for name, array in arrays.items()
    }
    return jax.tree.unflatten(jax.tree.structure(model), list((leaves | new).values()))


def into(model: Any, path: str) -> tuple[Any, list[str]]:
    """The model with its trunk's weights from a file, and the names of those without a use."""
    weights = read(path)
    found: Weights = {}
    wanted = {k: v for k, v in stored.flatten(model).items() if k.startswith(_TRUNK)}
    if not wanted:
        raise errors.BadInput(f"weights {path}: this network has no pretrained trunk")
    for name, leaf in wanted.items():
        ours = name.removeprefix(_TRUNK).removesuffix("/value")
        if ours not in weights:
            raise errors.BadInput(f"{path} has no weight for {ours}; is it a ResNet50?")
        array = weights.pop(ours)
        if array.shape != leaf.shape:
            raise errors.BadInput(
                f"{path}: {ours} is {array.shape}, and the network's is {leaf.shape}"
            )
        found[name] = array
    return _with(model, found), sorted(weights)


def read(path: str) -> Weights:
    if not pathlib.Path(path).is_file():
        raise errors.BadInput(f"there is no file of weights {path}, and no run")
    return _keras(path) if path.endswith((".h5", ".hdf5")) else _torch(path)


def _keras(path: str) -> Weights:
    import h5py

    found: Weights = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            layer, leaf = name.split("/")[-2:]
            found[f"{layer}/{leaf.split(':')[0]}"] = np.asarray(item, np.float32)

    try:
        with h5py.File(path) as f:
            f.visititems(visit)
    except OSError as error:
        raise errors.BadInput(f"{path} is no whole .h5 file: {error}") from error
    return found


def _torch(path: str) -> Weights:
    """Convolutions have no bias there: it is 0 here."""
    import safetensors
    from safetensors import numpy as safetensors_numpy

    try:
        loaded = safetensors_numpy.load_file(path)
    except safetensors.SafetensorError as error:
        raise errors.BadInput(f"{path} is no whole .safetensors file: {error}") from error
    found: Weights = {}
    for name, array in loaded.items():
        ours = _from_torch(name)
        if array.ndim == 4:
            array = array.transpose(2, 3, 1, 0)
            found[ours.replace("/kernel", "/bias")] = np.zeros(array.shape[3], np.float32)
        found[ours] = array.astype(np.float32)
    return found


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
