"""The functions of a stream that are exported: `start`, and `step` from a chunk of raw frames and
the state to characters and the next state.

Shape suffixes: B batch (of one), S frames, M positions.
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


def of(cfg: config_lib.Config, model: Any) -> Stream:
    """`start()` -> state, and `step(inputs, frames, rests, state)` -> (outputs f32[L,N+1], ended
    i32[1], state).

    `inputs` are `chunk` frames as the features' source packs them, of which the first `frames`
    i32[1] are real; fewer than all end a clip. `rests` i32[2] are `decoding_options.Rests.frames`.
    `outputs` are rows as `decoding.rows` has them, one or more for a position of the chunk; a row
    of the pad writes nothing. `ended` is 1 if a phrase with text ended in the chunk. A state is
    arrays by name.
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
    alphabet, head = cfg.task.alphabet, cfg.task.head

    def whole() -> dict[str, Any]:
        return {
            "features": features.start(1),
            "network": model.init_state(1),
            "rests": endpointing.start(1),
            "last": head.start(model, 1, alphabet),
        }

    structure = jax.tree.structure(jax.eval_shape(whole))
    names = [f"state_{i:03d}" for i in range(structure.num_leaves)]

    def flat(state: dict[str, Any]) -> State:
        return {
            name: _stored(leaf) for name, leaf in zip(names, jax.tree.leaves(state), strict=True)
        }

    types = [leaf.dtype for leaf in jax.tree.leaves(jax.eval_shape(whole))]

    hands = [i for part in _HANDS for i in features.selection.part(part)]

    def step(
        inputs: jax.Array, frames: jax.Array, rests: jax.Array, state: State
    ) -> tuple[jax.Array, jax.Array, State]:
        leaves = [state[name] for name in names]
        leaves = [_as(leaf, dtype) for leaf, dtype in zip(leaves, types, strict=True)]
        old = jax.tree.unflatten(structure, leaves)
        batch = features.source.batch(inputs, frames)
        x_BSN3 = batch["landmarks"]
        mask_BS = jnp.arange(inputs.shape[0])[None] < frames[:, None]
        x_BSF, seen = features.advance(old["features"], x_BSN3, mask_BS)
        memory_BMD, mask_BM, network = model.listen(old["network"], x_BSF, mask_BS)
        ids_BL, sure_BL, last = head.hear(model, old["last"], memory_BMD, mask_BM, alphabet)
        rows = decoding.rows(decoding.answers(ids_BL, sure_BL, alphabet), alphabet)[0]
        hand_BS = mask_BS & ~jnp.isnan(x_BSN3[:, :, hands]).all((2, 3))
        written_BM = (ids_BL != alphabet.pad).reshape(*mask_BM.shape, -1).any(2)
        ended, gone, rested = endpointing.advance(old["rests"], hand_BS, written_BM, frames, rests)
        after = flat({"features": seen, "network": network, "rests": rested, "last": last})
        after = {name: jnp.where(gone[0], new, after[name]) for name, new in flat(whole()).items()}
        return rows, ended.astype(jnp.int32), after

    return Stream(lambda: flat(whole()), step, cfg.model.chunk, features.rate)


def together(stream: Stream, streams: int) -> Stream:
    """The steps of so many streams as one: every array but `rests` has an axis more, the first."""

    def start() -> State:
        return {k: jnp.broadcast_to(v, (streams, *v.shape)) for k, v in stream.start().items()}

    return stream._replace(start=start, step=jax.vmap(stream.step, in_axes=(0, 0, None, 0)))


def _stored(leaf: jax.Array) -> jax.Array:
    """A state's array as a file has it: in float32, because runtimes of phones take no other."""
    return leaf.astype(jnp.float32)


def _as(leaf: jax.Array, dtype: Any) -> jax.Array:
    return leaf > 0.5 if dtype.kind == "b" else leaf.astype(dtype)
