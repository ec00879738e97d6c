"""Image files of users and strangers -> pixels, as a viewer shows them."""

import contextlib
import logging
import os
import pathlib
import struct
import warnings
from collections.abc import Iterator

import numpy as np
from PIL import ExifTags, Image

from aslx import errors
from aslx.readers import file_kinds
from aslx.storage import files

_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".webp", ".gif", ".tif", ".tiff"),
)
# Decoders that only read pixels; that of PostScript would start a program.
_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF")
_PIXELS = 50_000_000  # Those of large phone photographs, which take 400 MB here.
_SIDE = 2**15  # Pixels.
_WHITE = 255
_BITS_PER_SAMPLE = 258  # A tag of TIFF.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What Pillow raises, besides OSError, on bytes that a decoder does not expect.
_UNREADABLE = (
    *(ValueError, SyntaxError, EOFError, TypeError, IndexError, struct.error),
    Image.DecompressionBombError,
)
# Pillow warns of damage that it has repaired, and of sizes that are checked here.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").setLevel(logging.CRITICAL)


def left_out(path: pathlib.Path) -> str:
    """Why a file is no image; empty for an image, even if it is damaged."""
    if path.suffix.lower() in _SUFFIXES:
        return ""
    kind = file_kinds.kind(path)
    if kind in (file_kinds.IMAGE, file_kinds.GIF):
        return ""
    if kind in (file_kinds.HEIC, file_kinds.AVIF):
        return f"{kind.upper()} images, which cannot be read here: save them as JPEG"
    return f"{path.suffix.lower()} files" if path.suffix else "files without a suffix"


def read(path: file_kinds.File, shape: tuple[int, int, int]) -> np.ndarray:
    """u8[H, W, C]: an image as a viewer shows it, scaled to `shape`; C is 1 for grey, 3 for RGB.

    It is turned as EXIF says, white where it is transparent, and the first of several frames.
    BadInput says why it cannot be read; a fault of the disk stays one.
    """
    height, width, channels = shape
    image, orientation = _decoded(path)
    image = _eight_bits(path, image)
    image = image.transpose(_TURNS[orientation]) if orientation in _TURNS else image
    if image.has_transparency_data:
        image, above = Image.new("RGB", image.size, "white"), _converted(image, "RGBA")
        image.paste(above, mask=above)
    image = _converted(image, "L" if channels == 1 else "RGB")
    small = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(small, np.uint8).reshape(shape)


def _decoded(path: file_kinds.File) -> tuple[Image.Image, int | None]:
    """The decoded image, and the orientation of the camera according to EXIF."""
    try:
        with files.given(str(path)), Image.open(path, formats=_FORMATS) as image:
            width, height = image.size
            if max(width, height) > _SIDE or width * height > _PIXELS:
                raise errors.BadInput(
                    f"{path} has {width} x {height} pixels, and at most {_PIXELS:,} are taken, "
                    f"{_SIDE} a side: make it smaller"
                )
            with _silent() if image.format == "TIFF" else contextlib.nullcontext():
                image.load()
            return image, image.getexif().get(ExifTags.Base.Orientation)
    except errors.BadInput:
        raise
    except (OSError, *_UNREADABLE) as error:
        if isinstance(error, OSError) and error.errno is not None:  # The system's fault.
            raise
        raise errors.BadInput(_why(path, error)) from error


def _eight_bits(path: file_kinds.File, image: Image.Image) -> Image.Image:
    """16-bit images, and TIFFs of floats, rounded to 8 bits; other images as they are."""
    if image.mode in ("I", "LAB"):
        kind = "32-bit or signed" if image.mode == "I" else "L*a*b*"
        raise errors.BadInput(f"{path} has {kind} pixels: save it as RGB with 8 bits each")
    if image.mode == "F":
        values = np.asarray(image)
        if not np.isfinite(values).all():
            raise errors.BadInput(f"{path} has pixels that are no numbers")
        if values.min() < 0 or values.max() > 1:
            raise errors.BadInput(
                f"{path} has float pixels from {values.min():g} to {values.max():g}, and black is "
                "0 and white 1: divide them, or save it with 8 bits"
            )
        return Image.fromarray(np.rint(values * _WHITE).astype(np.uint8))
    if not image.mode.startswith("I;16"):
        return image
    # A TIFF may have 12 bits in 16.
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (16,))[0]
    white = 2 ** min(max(bits, 1), 16) - 1
    shades = np.rint(np.minimum(np.arange(2**16) / white, 1) * _WHITE).astype(np.uint8)
    if (hidden := image.info.get("transparency")) is not None:  # The transparent shade of a PNG.
        shades[hidden] = _WHITE
    return Image.fromarray(shades[np.asarray(image)])


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Silences standard error: libtiff prints what it finds damaged and has no option for it."""
    stderr = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def _converted(image: Image.Image, mode: str) -> Image.Image:
    """Converts without a copy where there is nothing to do: a photograph takes 200 MB."""
    return image if image.mode == mode else image.convert(mode)


def _why(path: file_kinds.File, error: Exception) -> str:
    found = file_kinds.kind(path)
    if found and found not in (file_kinds.IMAGE, file_kinds.GIF):
        return f"{path} is no image: it {file_kinds.words(found)}"
    if isinstance(error, Image.DecompressionBombError):
        return f"{path} has more than {_PIXELS:,} pixels: make it smaller"
    detail = "" if isinstance(error, Image.UnidentifiedImageError) else f": {error}"
    fault = "is damaged" if found else f"is none of {', '.join(_FORMATS)}"
    if isinstance(path, (str, os.PathLike)) and not os.path.getsize(path):
        fault = "is empty"
    return f"{path} is no image that can be read, it {fault}{detail}"
