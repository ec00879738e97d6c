"""Distillation (Hinton et al. 2015): beside the texts, a network learns how likely another network,
its teacher, finds each character.

Shape suffixes: B batch, S frames that a network sees, M positions of the memory of the network that
learns, N of the teacher's, T characters, V ids.
"""

import dataclasses

import jax
import jax.numpy as jnp

Array = jax.Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """From whom a network learns beside the texts."""

    teacher: str = ""
    """The directory of a trained run, or hf://OWNER/NAME; "": nobody teaches. Its CTC head teaches
    a CTC head, and its decoder a decoder. It reads the same points and has the same alphabet; its
    network and its features may be others."""
    weight: float = 0.5
    """Share of the teacher in the loss of each head that it teaches."""
    temperature: float = 1.0
    """Both networks' logits are divided by it: a higher one tells more of what is unlikely."""
    delay: float = 0.0
    """Frames by which CTC's characters may come later than the teacher's, who sees the whole
    clip."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Said:
    """What a network's heads say of a batch; None: it has no such head."""

    ctc: Array | None = None
    """f32[B, N, V]: the logits of its CTC head."""
    mask: Array | None = None
    """bool[B, N]: which of these positions are real."""
    decoder: Array | None = None
    """f32[B, T, V]: the logits of its decoder by teacher forcing."""


@dataclasses.dataclass(frozen=True)
class Times:
    """When a network sees: the frame of the clip at each of its frames, f32[B, S], and which of
    these are real, bool[B, S]."""

    frame: Array
    real: Array

    def of_memory(self, mask_BM: Array) -> Array:
        """The frame of the clip at each position, f32[B, M]; infinity where it is not real."""
        frames, positions = self.frame.shape[1], mask_BM.shape[1]
        stride = -(-frames // positions)
        middle = jnp.minimum(jnp.arange(positions) * stride + (stride - 1) // 2, frames - 1)
        return jnp.where(mask_BM & self.real[:, middle], self.frame[:, middle], jnp.inf)


@dataclasses.dataclass(frozen=True)
class Taught:
    """What a teacher says of a batch."""

    cfg: Config
    said: Said
    teachers: Times
    learners: Times

    def ctc(self, logits_BMV: Array, mask_BM: Array) -> Array:
        """f32[B]: the divergence of the teacher's CTC head from this one, summed over positions.
        A position learns from the teacher's nearest one."""
        ctc_BNV, mask_BN = self.said.ctc, self.said.mask
        assert ctc_BNV is not None and mask_BN is not None
        at_BM, at_BN = self.learners.of_memory(mask_BM), self.teachers.of_memory(mask_BN)
        real_BM = (at_BM < jnp.inf) & (at_BN < jnp.inf).any(1, keepdims=True)
        wanted_BM = jnp.where(real_BM, at_BM - self.cfg.delay, 0.0)
        nearest_BM = jnp.abs(wanted_BM[:, :, None] - at_BN[:, None]).argmin(2)
        said_BMV = jnp.take_along_axis(ctc_BNV, nearest_BM[..., None], 1)
        return (self._divergence(said_BMV, logits_BMV) * real_BM).sum(1)

    def decoder(self, logits_BTV: Array) -> Array:
        """f32[B,T]: the divergence of the teacher's decoder from this one."""
        assert self.said.decoder is not None
        return self._divergence(self.said.decoder, logits_BTV)

    def mixed(self, loss: Array, taught: Array) -> Array:
        """A head's loss, and the teacher's share of it."""
        return (1 - self.cfg.weight) * loss + self.cfg.weight * taught

    def _divergence(self, teacher: Array, logits: Array) -> Array:
        # Gradients of soft targets shrink with the square of the temperature (Hinton et al. 2015,
        # section 2).
        logp, logq = (jax.nn.log_softmax(x / self.cfg.temperature) for x in (teacher, logits))
        return (jnp.exp(logp) * (logp - logq)).sum(-1) * self.cfg.temperature**2
