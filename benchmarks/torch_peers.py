"""The Squeezeformer in PyTorch, layer by layer, and its training step under torch.compile.

The inputs are features: the step does not compute features and augmentation, ours does. No other
module needs PyTorch: `pip install torch`.

Shape suffixes: B batch, S frames, M positions, T characters, N heads, H head width, D width.
"""

import functools
from typing import Any

import benchmarks

if __name__ == "__main__":  # Before torch, which may not be installed.
    benchmarks.no_command("train_step")

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]
from torch.optim import swa_utils  # pyright: ignore[reportMissingImports]

from aslx import config
from aslx.schema import vocab
from benchmarks import turns


def _rotate(x_BNTH: Any) -> Any:
    half = x_BNTH.shape[-1] // 2
    rates = 1e4 ** (-torch.arange(half, device=x_BNTH.device) / half)
    angles = torch.arange(x_BNTH.shape[2], device=x_BNTH.device)[:, None] * rates
    cos, sin = angles.cos().to(x_BNTH.dtype), angles.sin().to(x_BNTH.dtype)
    a, b = x_BNTH[..., :half], x_BNTH[..., half:]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def _joined(x_BSD: Any, mask_BS: Any, stride: int) -> tuple:
    """`stride` neighbours as one; S is a multiple."""
    b, s, d = x_BSD.shape
    x_BMD = (x_BSD * mask_BS[..., None]).reshape(b, s // stride, stride * d)
    return x_BMD, mask_BS.reshape(b, s // stride, stride).any(-1)


def _mlp(cfg: Any) -> Any:
    wide = cfg.mlp_ratio * cfg.dim
    return nn.Sequential(nn.Linear(cfg.dim, wide), nn.SiLU(), nn.Linear(wide, cfg.dim))


class Attention(nn.Module):
    def __init__(self, cfg: Any):
        super().__init__()
        dim, self.heads = cfg.dim, cfg.num_heads
        self.q, self.kv, self.out = (
            nn.Linear(dim, dim),
            nn.Linear(dim, 2 * dim),
            nn.Linear(dim, dim),
        )

    def forward(self, x: Any, memory: Any, mask: Any, *, causal=False, rotary=True) -> Any:
        (b, t, d), s = x.shape, memory.shape[1]
        q = self.q(x).view(b, t, self.heads, -1).transpose(1, 2)
        k, v = self.kv(memory).view(b, s, 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        q, k = (_rotate(q), _rotate(k)) if rotary else (q, k)
        seen = None if mask is None else mask[:, None, None]
        y = functional.scaled_dot_product_attention(q, k, v, seen, is_causal=causal)
        return self.out(y.transpose(1, 2).reshape(b, t, d))


class Depthwise(nn.Module):
    def __init__(self, dim: int, taps: int):
        super().__init__()
        self.conv = nn.Conv1d(dim, dim, taps, padding="same", groups=dim)

    def forward(self, x_BMD: Any, mask_BM: Any) -> Any:
        return self.conv((x_BMD * mask_BM[..., None]).transpose(1, 2)).transpose(1, 2)


class Convolution(nn.Module):
    def __init__(self, cfg: Any):
        super().__init__()
        self.up, self.down = nn.Linear(cfg.dim, cfg.dim), nn.Linear(cfg.dim, cfg.dim)
        self.depthwise, self.norm = Depthwise(cfg.dim, cfg.kernel), nn.LayerNorm(cfg.dim)

    def forward(self, x_BMD: Any, mask_BM: Any) -> Any:
        h_BMD = self.depthwise(functional.silu(self.up(x_BMD)), mask_BM)
        return self.down(functional.silu(self.norm(h_BMD)))


class Block(nn.Module):
    def __init__(self, cfg: Any):
        super().__init__()
        self.rate, self.drop_path = cfg.dropout, cfg.drop_path
        self.norms = nn.ModuleList(nn.LayerNorm(cfg.dim) for _ in range(4))
        self.attention, self.convolution = Attention(cfg), Convolution(cfg)
        self.first, self.second = _mlp(cfg), _mlp(cfg)

    def forward(self, x: Any, mask: Any) -> Any:
        h = self.norms[0](x)
        x = x + self._dropped(self.attention(h, h, mask))
        x = x + self._dropped(self.first(self.norms[1](x)))
        x = x + self._dropped(self.convolution(self.norms[2](x), mask))
        return x + self._dropped(self.second(self.norms[3](x)))

    def _dropped(self, x_BMD: Any) -> Any:
        x_BMD = functional.dropout(x_BMD, self.rate)
        keep_B11 = torch.rand(len(x_BMD), 1, 1, device=x_BMD.device) >= self.drop_path
        return x_BMD * keep_B11.to(x_BMD.dtype) / (1 - self.drop_path)


class DecoderBlock(nn.Module):
    def __init__(self, cfg: Any):
        super().__init__()
        self.drop = nn.Dropout(cfg.dropout)
        self.norms = nn.ModuleList(nn.LayerNorm(cfg.dim) for _ in range(3))
        self.itself, self.cross, self.mlp = Attention(cfg), Attention(cfg), _mlp(cfg)

    def forward(self, x: Any, memory: Any, mask: Any) -> Any:
        h = self.norms[0](x)
        x = x + self.drop(self.itself(h, h, None, causal=True))
        x = x + self.drop(self.cross(self.norms[1](x), memory, mask, rotary=False))
        return x + self.drop(self.mlp(self.norms[2](x)))


class Squeezeformer(nn.Module):
    """f[B,S,F], bool[B,S] and i64[B,T] -> the logits of CTC, those of the decoder if there is one,
    and the mask of the memory."""

    def __init__(self, cfg: Any):
        super().__init__()
        self.cfg, dim, half = cfg, cfg.dim, cfg.dim // 2
        self.groups = nn.ModuleList(nn.Linear(n, half) for n in cfg.groups)
        self.norms = nn.ModuleList(nn.LayerNorm(half) for _ in cfg.groups)
        self.project, self.depthwise = nn.Linear(len(cfg.groups) * half, dim), Depthwise(dim, 5)
        self.reduce = nn.Linear(cfg.stride * dim, dim)
        self.blocks = nn.ModuleList(Block(cfg) for _ in range(cfg.num_layers))
        self.halve = nn.Linear(2 * dim, dim) if cfg.halve_after else None
        self.norm_memory, self.ctc_head = nn.LayerNorm(dim), nn.Linear(dim, vocab.KAGGLE.blank + 1)
        self.decoder = nn.ModuleList(DecoderBlock(cfg) for _ in range(cfg.decoder_layers))
        if cfg.decoder_layers:
            self.drop, self.norm_out = nn.Dropout(cfg.dropout), nn.LayerNorm(dim)
            self.embed, self.head = (
                nn.Embedding(vocab.KAGGLE.size, dim),
                nn.Linear(dim, vocab.KAGGLE.size),
            )

    def forward(self, features_BSF: Any, mask_BS: Any, tokens_BT: Any) -> tuple:
        parts = features_BSF.split(list(self.cfg.groups), -1)
        stems = zip(self.groups, self.norms, parts, strict=True)
        x = torch.cat([functional.silu(norm(group(part))) for group, norm, part in stems], -1)
        x = functional.silu(self.depthwise(self.project(x), mask_BS))
        x, mask = _joined(x, mask_BS, self.cfg.stride)
        x = self.reduce(x)
        for i, block in enumerate(self.blocks):
            if self.halve is not None and i == self.cfg.halve_after:
                x, mask = _joined(x, mask, 2)
                x = self.halve(x)
            x = block(x, mask)
        memory = self.norm_memory(x) * mask[..., None]
        if not self.cfg.decoder_layers:
            return self.ctc_head(memory), None, mask
        y = self.drop(self.embed(tokens_BT))
        for block in self.decoder:
            y = block(y, memory, mask)
        return self.ctc_head(memory), self.head(self.norm_out(y)), mask


def build(words: str, rows: int, frames: int, characters: int = 18) -> turns.Work:
    """Compiled steps of AdamW on one batch of `rows` clips of `frames`, in the config's dtype."""
    path, *options = words.split()
    cfg = config.load(path, tuple(options))
    features: Any = cfg.features
    network: Any = cfg.model
    device = "cuda" if torch.cuda.is_available() else "cpu"
    on = functools.partial(torch.tensor, device=device)
    rng, tokens = np.random.default_rng(0), np.random.default_rng(1)
    seen = features.frames(frames) // 4 * 4
    x_BSF = on(rng.random((rows, seen, features.num_features), np.float32))
    mask_BS = on(np.ones((rows, seen), bool))
    target_BT = on(tokens.integers(0, 59, (rows, characters)))
    model = Squeezeformer(cfg.model).to(device)
    compiled, parameters = torch.compile(model, dynamic=False), list(model.parameters())
    fused: Any = {"fused": True} if device == "cuda" else {"foreach": True}
    optimiser = torch.optim.AdamW(parameters, 1e-4, weight_decay=0.01, **fused)
    follow = swa_utils.get_ema_multi_avg_fn(cfg.ema_decay)
    average = swa_utils.AveragedModel(model, multi_avg_fn=follow) if cfg.ema_decay else None
    lengths = on(np.full(rows, characters))

    def step() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=network.dtype == "bfloat16"):
            ctc, decoded, mask_BM = compiled(x_BSF, mask_BS, target_BT.roll(1, 1))
        logs_MBV = functional.log_softmax(ctc.float(), -1).transpose(0, 1)
        loss = functional.ctc_loss(logs_MBV, target_BT, mask_BM.sum(1), lengths, vocab.KAGGLE.blank)
        if decoded is not None:
            spelled, target = decoded.float().flatten(0, 1), target_BT.flatten()
            loss = loss + functional.cross_entropy(spelled, target, label_smoothing=0.1)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        if average is not None:
            average.update_parameters(model)

    def run(count: int) -> None:
        for _ in range(count):
            step()
        if device == "cuda":
            torch.cuda.synchronize()

    return turns.Work(run)
