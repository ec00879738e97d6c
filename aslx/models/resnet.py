"""ResNet50 (He et al. 2015) with pretrained weights, most of them frozen, under dense layers.

Layers have the names of keras.applications.ResNet50. Shape suffixes: B batch, H and W
pixels, C channels, D width.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from flax import nnx

from aslx import errors
from aslx.models import layers

# Blocks and channels of the stages conv2 to conv5.
_STAGES = {"conv2": (3, 64), "conv3": (4, 128), "conv4": (6, 256), "conv5": (3, 512)}


def _layers() -> dict[str, tuple[int, int, int, int]]:
    """The convolutions in Keras' order: name -> kernel size, input channels, output channels,
    stride."""
    found, channels = {"conv1_conv": (7, 3, 64, 2)}, 64
    for stage, (blocks, width) in _STAGES.items():
        for block in range(1, blocks + 1):
            name, stride = f"{stage}_block{block}", 2 if block == 1 and stage != "conv2" else 1
            found[f"{name}_1_conv"] = (1, channels, width, stride)
            found[f"{name}_2_conv"] = (3, width, width, 1)
            if block == 1:
                found[f"{name}_0_conv"] = (1, channels, 4 * width, stride)
            found[f"{name}_3_conv"] = (1, width, 4 * width, 1)
            channels = 4 * width
    return found


CONVOLUTIONS = _layers()
_BLOCKS = tuple(f"{s}_block{i + 1}" for s, (blocks, _) in _STAGES.items() for i in range(blocks))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Pooling or flattening, dense layers and classes on the trunk."""

    trainable_from: str = "conv5_block3_3_conv"
    """The first convolution that is trained; all later ones in Keras' order are trained too. "":
    none. Batch statistics never change, while Keras would change those of trained layers."""
    torch: bool = False
    """The variant of torchvision and timm: the 3 x 3 convolution strides, and epsilon is 1e-5."""
    flatten: bool = False
    """Give the dense layers all positions side by side, and not each channel's largest value."""
    dense: tuple[int, ...] = (1024, 512)
    """Width of each dense layer before the classes."""
    linear: bool = False
    """Dense layers without relu."""
    dropout: float = 0.0
    """Rate after the dense layers while training."""

    def __post_init__(self):
        if self.trainable_from and self.trainable_from not in CONVOLUTIONS:
            raise errors.BadInput(
                f"trainable_from {self.trainable_from!r} does not name a convolution"
            )

    def build(self, num_features: tuple, classes: int, *, rngs: nnx.Rngs) -> "ResNet":
        return ResNet(self, num_features, classes, rngs=rngs)


class Conv(layers.Layer):
    def __init__(self, size: int, wide: int, narrow: int, kind: type, rngs: nnx.Rngs):
        he = nnx.initializers.he_normal()
        self.kernel = layers.kernel(he(rngs.params(), (size, size, wide, narrow)), 3, kind)
        self.bias = kind(jnp.zeros(narrow))

    def __call__(self, x_BHWC: jax.Array, stride: int) -> jax.Array:
        return self.mode.image_convolution(x_BHWC, self.kernel[...], stride) + self.bias[...]


class BatchNorm(nnx.Module):
    """Batch normalisation by stored statistics that never change."""

    def __init__(self, dim: int, kind: type, epsilon: float):
        self.epsilon = epsilon
        self.gamma, self.beta = kind(jnp.ones(dim)), kind(jnp.zeros(dim))
        self.moving_mean = layers.Frozen(jnp.zeros(dim))
        self.moving_variance = layers.Frozen(jnp.ones(dim))

    def __call__(self, x: jax.Array) -> jax.Array:
        scale = self.gamma[...] * jax.lax.rsqrt(self.moving_variance[...] + self.epsilon)
        return x * scale + (self.beta[...] - self.moving_mean[...] * scale)


class Trunk(nnx.Module):
    """An image f32[B, H, W, 3], or the result of `frozen`, to f32[B, H / 32, W / 32, 2048]."""

    def __init__(self, cfg: Config, *, rngs: nnx.Rngs):
        self.torch, epsilon = cfg.torch, 1e-5 if cfg.torch else 1.001e-5
        block = cfg.trainable_from.rsplit("_", 2)[0]  # "conv1" precedes all blocks; or "".
        self.first_trained = _BLOCKS.index(block) if block in _BLOCKS else len(_BLOCKS)
        self.all_trained = block == "conv1"
        kind: type = layers.Frozen
        for name, (size, wide, narrow, _) in CONVOLUTIONS.items():
            kind = nnx.Param if name == cfg.trainable_from else kind
            setattr(self, name, Conv(size, wide, narrow, kind, rngs))
            setattr(self, _norm(name), BatchNorm(narrow, kind, epsilon))

    def __call__(self, x_BHWC: jax.Array) -> jax.Array:
        x_BHWC = self.frozen(x_BHWC) if x_BHWC.shape[-1] == 3 else x_BHWC
        return functools.reduce(self._block, _BLOCKS[self.first_trained :], x_BHWC)

    def frozen(self, image_BHW3: jax.Array) -> jax.Array:
        """The input of the first block that is trained."""
        x = jax.nn.relu(self._conv("conv1_conv", image_BHW3, 2))
        window, strides, pads = (1, 3, 3, 1), (1, 2, 2, 1), [(0, 0), (1, 1), (1, 1), (0, 0)]
        x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, strides, pads)
        return functools.reduce(self._block, _BLOCKS[: self.first_trained], x)

    def _block(self, x: jax.Array, name: str) -> jax.Array:
        stride = CONVOLUTIONS[f"{name}_1_conv"][3]
        strides = (1, stride) if self.torch else (stride, 1)
        y = jax.nn.relu(self._conv(f"{name}_1_conv", x, strides[0]))
        y = jax.nn.relu(self._conv(f"{name}_2_conv", y, strides[1]))
        y = self._conv(f"{name}_3_conv", y, 1)
        if f"{name}_0_conv" in CONVOLUTIONS:
            x = self._conv(f"{name}_0_conv", x, stride)
        return jax.nn.relu(x + y)

    def _conv(self, name: str, x: jax.Array, stride: int) -> jax.Array:
        return getattr(self, _norm(name))(getattr(self, name)(x, stride))


def _norm(convolution: str) -> str:
    return convolution.removesuffix("conv") + "bn"


class ResNet(nnx.Module):
    """See `Config`."""

    def __init__(self, cfg: Config, num_features: tuple, classes: int, *, rngs: nnx.Rngs):
        height, width, _ = num_features
        self.flatten, self.linear, self.rate = cfg.flatten, cfg.linear, cfg.dropout
        self.trunk = Trunk(cfg, rngs=rngs)
        first = 2048 * (-(-height // 32) * -(-width // 32) if cfg.flatten else 1)
        self.dense = layers.dense_layers((first, *cfg.dense, classes), rngs=rngs)

    def frozen(self, image_BHWC: jax.Array) -> jax.Array:
        """The input of the first block that is trained, which `classify` takes in place of the
        image. BadInput where the first convolution is trained."""
        if self.trunk.all_trained:
            raise errors.BadInput("the network trains its first layer: leave out cache_frozen")
        return self.trunk.frozen(image_BHWC)

    def classify(
        self, image_BHWC: jax.Array, mask: jax.Array, key: jax.Array | None = None
    ) -> jax.Array:
        """f32[B, classes] logits."""
        del mask
        x_BHWD = self.trunk(image_BHWC)
        x_BD = x_BHWD.reshape(len(x_BHWD), -1) if self.flatten else x_BHWD.max((1, 2))
        for dense in self.dense[:-1]:
            x_BD = dense(x_BD) if self.linear else jax.nn.relu(dense(x_BD))
        return self.dense[-1](layers.dropout(x_BD, self.rate, key))

    def regularised(self) -> list[jax.Array]:
        """The kernels whose squares Keras adds to the loss."""
        return [dense.kernel[...] for dense in self.dense[:-1]]
