"""What a text was read from, to be drawn: where a decoder looked, and what CTC saw when.

Over the M positions of a memory, of which `mask` bool[B, M] are real.
"""

from typing import Any

import jax

from aslx.decode import decoding

Found = dict[str, jax.Array]


def attended(model: Any, memory: jax.Array, mask_BM: jax.Array, tokens_BL: jax.Array) -> Found:
    """`attention` f32[B, L, M]: what share of it the decoder gave to each position for each of
    `tokens` i32[B, L], which it wrote itself."""
    before_BL = decoding.opened(tokens_BL)[:, :-1]
    shares_BLM = model.attention(before_BL, memory, mask_BM)
    return {"tokens": tokens_BL, "attention": shares_BLM, "mask": mask_BM}


def aligned(model: Any, memory: jax.Array, mask_BM: jax.Array) -> Found:
    """`posteriors` f32[B, M, 60], the likeliest `path` i32[B, M] through them, and where that
    `begins` a character, bool[B, M]."""
    logits_BMV = model.ctc(memory)
    path_BM, _, begins_BM = decoding.ctc_path(logits_BMV, mask_BM)
    posteriors_BMV = jax.nn.softmax(logits_BMV)
    return {"posteriors": posteriors_BMV, "path": path_BM, "begins": begins_BM, "mask": mask_BM}
