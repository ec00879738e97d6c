"""Images -> model inputs, in JAX: resized, grey to RGB, scaled as the network was trained.

Shape suffixes: B images, H and W pixels, C channels.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from aslx import errors
from aslx.inputs import input_kinds, resampling


@dataclasses.dataclass(frozen=True, kw_only=True)
class Image:
    """Images of one stored size, as float RGB of the size that the network sees."""

    height: int
    width: int
    channels: int = 3
    """1: grey, which becomes RGB of three equal channels."""
    size: int
    """Height and width that the network sees, resized bilinearly."""
    bgr: bool = False
    """Channels the other way round, as Keras' ResNet50 was trained."""
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    """What is taken off the pixels, 0 to 255, in the order of the network's channels,"""
    std: tuple[float, ...] = (255.0, 255.0, 255.0)
    """and what they are divided by then."""
    local: int = 0
    """Pixels to each side whose mean is taken off every pixel and by whose deviation it is divided,
    before it is scaled; 0: none. Light then matters less (local contrast normalisation, Jarrett et
    al. 2009; the weights fall off linearly, where theirs are a Gaussian's)."""
    cutouts: bool = False
    """Train on records that also tell what is behind the hand and where the hand is, for
    `image_augment.Images.paste`; the network sees the picture alone."""

    def __post_init__(self):
        if self.local < 0:
            raise errors.BadInput(f"local {self.local} is below 0")

    @property
    def source(self) -> input_kinds.Image:
        return input_kinds.Image(self.height, self.width, self.channels, self.cutouts)

    @property
    def max_frames(self) -> int:
        return 1

    @property
    def num_features(self) -> tuple[int, int, int]:
        return self.size, self.size, 3

    def __call__(self, image_BHWC: jax.Array, frames: int = 0) -> tuple[jax.Array, jax.Array]:
        """u8 or f32 [B,H,W,C or more] of 0 to 255 -> f32[B,size,size,3], bool[B,1]."""
        del frames
        x_BHWC, rows = image_BHWC[..., : self.channels].astype(jnp.float32), len(image_BHWC)
        if x_BHWC.shape[1:3] != (self.size, self.size):
            shape = (rows, self.size, self.size, self.channels)
            x_BHWC = jax.image.resize(x_BHWC, shape, "bilinear", antialias=False)
        x_BHW3 = jnp.broadcast_to(x_BHWC, (*x_BHWC.shape[:3], 3))
        x_BHW3 = x_BHW3[..., ::-1] if self.bgr else x_BHW3
        x_BHW3 = self._evened(x_BHW3) if self.local else x_BHW3
        scaled = (x_BHW3 - np.array(self.mean, "f4")) / np.array(self.std, "f4")
        return scaled, jnp.ones((rows, 1), bool)

    def _evened(self, x_BHW3: jax.Array) -> jax.Array:
        near_SS = _near(self.size, self.local)
        product = functools.partial(jnp.matmul, precision=resampling.EXACT)

        def mean(x_BHWC: jax.Array) -> jax.Array:
            # Of matrices, one axis after the other: TFLite has no product of more axes.
            up = product(near_SS, x_BHWC.reshape(len(x_BHWC), self.size, -1))
            along = product(near_SS, up.reshape(-1, self.size, x_BHWC.shape[-1]))
            return along.reshape(x_BHWC.shape)

        away = x_BHW3 - mean(x_BHW3)
        deviation = jnp.sqrt(mean(jnp.square(away).mean(-1, keepdims=True)))
        return away / (deviation + _NOISE)


# A webcam's, of 255: where nothing else is to be seen, it stays small.
_NOISE = 8.0


def _near(size: int, reach: int) -> np.ndarray:
    """f32[size, size]: for each place the weights of those up to `reach` away, where the edges go
    on beyond the ends."""
    weight_K = (1 + reach - np.abs(np.arange(-reach, reach + 1))) / (1 + reach) ** 2
    found = np.zeros((size, size), np.float32)
    for offset, weight in zip(range(-reach, reach + 1), weight_K, strict=True):
        at = np.clip(np.arange(size) + offset, 0, size - 1)
        np.add.at(found, (np.arange(size), at), weight)
    return found


# keras.applications.imagenet_utils.preprocess_input, mode "caffe": BGR, means of ImageNet.
CAFFE = {"bgr": True, "mean": (103.939, 116.779, 123.68), "std": (1.0, 1.0, 1.0)}
# What torchvision and timm train on: RGB, means and deviations of ImageNet, in pixels.
TORCH = {"mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375)}
