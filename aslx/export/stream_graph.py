"""The functions of a stream that are exported: `start`, and `step` from a chunk of raw frames and
the state to characters and the next state.

Shape suffixes: B streams, S frames, M positions.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from aslx import config as config_lib
from aslx import errors
from aslx.decode import decoding, endpointing
from aslx.export import export_graph
from aslx.inputs import streaming_features
from aslx.kernels import mode as modes
from aslx.models import layers, streaming
from aslx.tasks import heads, transcription, transducer

State = dict[str, jax.Array]

_HANDS = "right_hand", "left_hand"


class Stream(NamedTuple):
    """How a network reads a stream."""

    start: Callable[[], State]
    step: Callable[[jax.Array, jax.Array, jax.Array, State], tuple[jax.Array, jax.Array, State]]
    chunk: int  # Frames of a step.
    rate: float  # Frames a second.

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each array of a state, in the order of their names."""
        state = jax.eval_shape(self.start)
        return {name: leaf.shape for name, leaf in sorted(state.items())}


def of(cfg: config_lib.Config, model: Any, streams: int = 0) -> Stream:
    """`start()` -> state, and `step(inputs, frames, rests, state)` -> (outputs f32[L,N+1], ended
    i32[1], state).

    `inputs` are `chunk` frames as the features' source packs them, of which the first `frames`
    i32[1] are real; fewer than all end a clip. `rests` i32[2] are `decoding_options.Rests.frames`.
    `outputs` are rows as `decoding.rows` has them, one or more for a position of the chunk; a row
    of the pad writes nothing. `ended` is 1 if a phrase with text ended in the chunk. A state is
    arrays by name. With `streams`, a step is one of so many streams: every array but `rests` has an
    axis more, the first.
    """
    cfg, model = export_graph.exact(cfg, model)
    model, features = layers.bound(model, modes.EXPORT), cfg.features
    if (
        not isinstance(model, streaming.Network)
        or not isinstance(cfg.model, streaming.Config)
        or not isinstance(features, streaming_features.Streaming)
        or not isinstance(cfg.task, transcription.Task)
        or not isinstance(cfg.task.head, heads.CTC | transducer.Transducer)
    ):
        raise errors.BadInput("this network reads whole clips: train a streaming config first")
    alphabet, head, count = cfg.task.alphabet, cfg.task.head, max(1, streams)

    def whole() -> dict[str, Any]:
        return {
            "features": features.start(count),
            "network": model.init_state(count),
            "rests": endpointing.start(count),
            "last": head.start(model, count, alphabet),
        }

    structure = jax.tree.structure(jax.eval_shape(whole))
    names = [f"state_{i:03d}" for i in range(structure.num_leaves)]

    def flat(state: dict[str, Any]) -> State:
        return {
            name: _stored(leaf) for name, leaf in zip(names, jax.tree.leaves(state), strict=True)
        }

    types = [leaf.dtype for leaf in jax.tree.leaves(jax.eval_shape(whole))]
    hands = [i for part in _HANDS for i in features.selection.part(part)]
    zero = {name for name, leaf in jax.jit(lambda: flat(whole()))().items() if not leaf.any()}

    def anew(gone_B: jax.Array, after: State) -> State:
        """The state before the first frame, where the hands are gone."""
        first, found = flat(whole()), {}
        for name, leaf in after.items():
            gone = gone_B.reshape(count, *[1] * (leaf.ndim - 1))
            # XNNPACK has products and no select, with which eight streams take a third longer. All
            # of a state that begins with zeros is finite.
            zeros = name in zero
            found[name] = leaf * ~gone if zeros else jnp.where(gone, first[name], leaf)
        return found

    def step(
        inputs: jax.Array, frames: jax.Array, rests: jax.Array, state: State
    ) -> tuple[jax.Array, jax.Array, State]:
        frames_B, inputs = frames.reshape(count), inputs if streams else inputs[None]
        leaves = [_as(state[name], dtype) for name, dtype in zip(names, types, strict=True)]
        if streams:
            leaves = [leaf.reshape(count, *leaf.shape[2:]) for leaf in leaves]
        old = jax.tree.unflatten(structure, leaves)
        x_BSN3 = jax.vmap(features.source.batch)(inputs, frames_B[:, None])["landmarks"]
        x_BSN3 = x_BSN3.reshape(count, *x_BSN3.shape[2:])
        mask_BS = jnp.arange(inputs.shape[1])[None] < frames_B[:, None]
        x_BSF, seen = features.advance(old["features"], x_BSN3, mask_BS)
        memory_BMD, mask_BM, network = model.listen(old["network"], x_BSF, mask_BS)
        ids_BL, sure_BL, last = head.hear(model, old["last"], memory_BMD, mask_BM, alphabet)
        rows_BLV = decoding.rows(decoding.answers(ids_BL, sure_BL, alphabet), alphabet)
        hand_BS = mask_BS & ~jnp.isnan(x_BSN3[:, :, hands]).all((2, 3))
        written_BM = (ids_BL != alphabet.pad).reshape(*mask_BM.shape, -1).any(2)
        ended_B, gone_B, rested = endpointing.advance(
            old["rests"], hand_BS, written_BM, frames_B, rests
        )
        after = flat({"features": seen, "network": network, "rests": rested, "last": last})
        after, ended_B = anew(gone_B, after), ended_B.astype(jnp.int32)
        if not streams:
            return rows_BLV[0], ended_B, after
        return rows_BLV, ended_B[:, None], {k: leaf[:, None] for k, leaf in after.items()}

    def start() -> State:
        first = flat(whole())
        return {k: leaf[:, None] for k, leaf in first.items()} if streams else first

    return Stream(start, step, cfg.model.chunk, features.rate)


def _stored(leaf: jax.Array) -> jax.Array:
    """A state's array as a file has it: in float32, because runtimes of phones take no other."""
    return leaf.astype(jnp.float32)


def _as(leaf: jax.Array, dtype: Any) -> jax.Array:
    return leaf > 0.5 if dtype.kind == "b" else leaf.astype(dtype)
