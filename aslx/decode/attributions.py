"""What a text was read from, for a figure: a decoder's attention, and CTC's probabilities.

Both are over the M positions of a memory; `mask` bool[B, M] is true at real ones.
"""

import jax

from aslx.decode import decoding
from aslx.schema import networks, vocab

Found = dict[str, jax.Array]


def attended(
    model: networks.Decoder,
    memory: jax.Array,
    mask_BM: jax.Array,
    tokens_BL: jax.Array,
    alphabet: vocab.Alphabet,
) -> Found:
    """`attention` f32[B, L, M]: the share that the decoder gives to each position for each of
    `tokens` i32[B, L], which it wrote itself."""
    before_BL = decoding.with_start(tokens_BL, alphabet)[:, :-1]
    shares_BLM = model.attention(before_BL, memory, mask_BM)
    return {"tokens": tokens_BL, "attention": shares_BLM, "mask": mask_BM}


def aligned(
    model: networks.CTC, memory: jax.Array, mask_BM: jax.Array, alphabet: vocab.Alphabet
) -> Found:
    """`posteriors` f32[B, M, N + 1], the likeliest `path` i32[B, M] through them, and `begins`
    bool[B, M], true where the path begins a character."""
    logits_BMV = model.ctc(memory)
    path_BM, _, begins_BM = decoding.ctc_path(logits_BMV, mask_BM, alphabet)
    posteriors_BMV = jax.nn.softmax(logits_BMV)
    return {"posteriors": posteriors_BMV, "path": path_BM, "begins": begins_BM, "mask": mask_BM}
