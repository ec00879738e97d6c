"""Image files are read as a viewer shows them, or refused in one line."""

import io
import pathlib
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from aslx import errors
from aslx.readers import images
from tests import damage

SHAPE = (40, 60, 3)
# What a camera stores of an upright picture for each of EXIF's orientations.
TURNED = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x),
    7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: np.rot90(x, 3),
}


def scene(channels: int = 3) -> np.ndarray:
    """An image with four different corners."""
    y, x = np.mgrid[:40, :60]
    return np.stack([4 * x, 6 * y, 2 * x + 2 * y][:channels], -1).astype(np.uint8)


def saved(path: pathlib.Path, image: Image.Image, **options) -> pathlib.Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.webp", "x.tif"])
def test_an_image_is_turned_upright_however_the_camera_was_held(name, tmp_path):
    options = {"lossless": True} if name == "x.webp" else {}
    options |= {"quality": 100, "subsampling": 0} if name == "x.jpg" else {}
    for orientation, turned in TURNED.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        image = Image.fromarray(np.ascontiguousarray(turned(scene())))
        path = saved(tmp_path / name, image, exif=exif, **options)
        error = images.read(path, SHAPE).astype(int) - scene()
        assert np.abs(error).max() <= (8 if name == "x.jpg" else 0), orientation


GREY = scene(1)[..., 0]


@pytest.mark.parametrize(
    ("name", "pixels"),
    [
        ("x.png", GREY.astype(np.uint16) * 257),
        ("x.tif", GREY.astype(np.uint16) * 257),
        ("x.tif", GREY.astype(np.float32) / 255),
    ],
)
def test_sixteen_bits_and_floats_up_to_1_are_as_bright_as_eight_bits(name, pixels, tmp_path):
    path = saved(tmp_path / name, Image.fromarray(pixels))
    np.testing.assert_array_equal(images.read(path, (40, 60, 1))[..., 0], GREY)
    np.testing.assert_array_equal(images.read(path, SHAPE), np.stack([GREY] * 3, -1))


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (GREY.astype(np.float32), "0 to 236, and black is 0 and white 1"),
        (np.full((4, 4), np.nan, np.float32), "no numbers"),
        (GREY.astype(np.int32), "32-bit"),
    ],
)
def test_a_tiff_of_other_numbers_is_refused(pixels, words, tmp_path):
    path = saved(tmp_path / "x.tif", Image.fromarray(pixels))
    with pytest.raises(errors.BadInput, match=words):
        images.read(path, SHAPE)


@pytest.mark.parametrize("name", ["x.png", "x.webp", "x.tif", "x.gif", "grey.png", "palette.png"])
def test_transparent_pixels_are_white_and_their_hidden_colours_do_not_show(name, tmp_path):
    rng = np.random.default_rng(0)
    alpha = np.where(scene(1) > 100, 255, 0).astype(np.uint8)
    seen = []
    for hidden in (np.zeros(SHAPE), rng.integers(0, 256, SHAPE)):
        pixels = np.where(alpha > 0, scene(), hidden).astype(np.uint8)
        image = Image.fromarray(np.concatenate([pixels, alpha], -1))
        if name == "grey.png":
            image = image.convert("LA")
        options = {"lossless": True, "exact": True} if name == "x.webp" else {}
        if name in ("palette.png", "x.gif"):
            image = Image.fromarray(np.where(alpha > 0, scene(1), 255)[..., 0]).convert("P")
            image.putpalette([*np.repeat(np.arange(255), 3).tolist(), *map(int, hidden[0, 0])])
            options = {"transparency": 255}
        seen.append(images.read(saved(tmp_path / name, image, **options), SHAPE))
    np.testing.assert_array_equal(*seen)
    assert (seen[0][alpha[..., 0] == 0] == 255).all() and seen[0].min() < 150


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr"])
def test_other_colour_modes_are_read(mode, tmp_path):
    image = Image.fromarray(scene()).convert(mode)
    path = saved(tmp_path / ("x.jpg" if mode in ("CMYK", "YCbCr") else "x.png"), image)
    error = images.read(path, SHAPE).astype(int) - np.asarray(image.convert("RGB"))
    assert np.abs(error).mean() < 6


def png(width: int, height: int) -> bytes:
    """A PNG that claims this size and has no pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        size, crc = (struct.pack(">I", n) for n in (len(data), zlib.crc32(name + data)))
        return size + name + data + crc

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "width, height", [(20_000, 20_000), (12_000, 9_000), (65_535, 65_535), (1, 2**24), (2**30, 1)]
)
def test_an_image_that_would_fill_the_memory_is_refused_before_it_is_decoded(
    width, height, tmp_path, monkeypatch
):
    path = tmp_path / "x.png"
    path.write_bytes(png(width, height))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("decoded"))
    with pytest.raises(errors.BadInput, match=r"x\.png has .*pixels") as refused:
        images.read(path, SHAPE)
    assert "\n" not in str(refused.value)


PICTURE = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n%%EndComments\nshowpage\n"
NO_IMAGES = {
    "postscript.png": (PICTURE, "is no image that can be read"),
    "empty.jpg": (b"", "is empty"),
    "page.jpg": (b"<!DOCTYPE html><html>404</html>", "is a web page"),
    "text.jpg": (b"hello\n" * 40, "is no image that can be read"),
    "photo.jpg": (b"\0\0\0\x18ftypheic" + bytes(400), "is a HEIC photograph"),
    "pointer.png": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull"),
    "film.jpg": (b"\0\0\0\x18ftypisom" + bytes(400), "is a video"),
}


@pytest.mark.parametrize("name", NO_IMAGES)
def test_a_file_that_is_no_image_is_named_and_no_program_is_started_for_it(
    name, tmp_path, monkeypatch
):
    raw, words = NO_IMAGES[name]
    (tmp_path / name).write_bytes(raw)
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", "gs")  # Pillow believes that it is there.
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **named: pytest.fail("Ghostscript"))
    with pytest.raises(errors.BadInput, match=words) as refused:
        images.read(tmp_path / name, SHAPE)
    assert str(tmp_path / name) in str(refused.value)


def test_a_missing_image_a_folder_and_a_fault_of_the_disk_are_told_apart(tmp_path, monkeypatch):
    for path, words in ((tmp_path / "none.png", "is not there"), (tmp_path, "is a folder")):
        with pytest.raises(errors.BadInput, match=words):
            images.read(path, SHAPE)
    path = saved(tmp_path / "x.png", Image.fromarray(scene()))

    def broken(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", broken)
    with pytest.raises(OSError, match="Input/output error"):  # BadInput is a ValueError.
        images.read(path, SHAPE)


def encoded(kind: str) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {"exif": exif} if kind in ("PNG", "JPEG", "WEBP") else {}
    options = {"compression": "tiff_lzw"} if kind == "LZW" else options
    data = io.BytesIO()
    Image.fromarray(scene()).save(data, "TIFF" if kind == "LZW" else kind, **options)
    return data.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF", "LZW"])
def test_a_damaged_image_is_read_or_refused_in_one_line(kind, tmp_path, capfd):
    rng, raw = np.random.default_rng(0), encoded(kind)
    for _ in range(300):
        path = tmp_path / "x"
        path.write_bytes(damage.damaged(raw, rng))
        try:
            assert images.read(path, SHAPE).shape == SHAPE
        except errors.BadInput as error:
            assert "\n" not in str(error)
    assert capfd.readouterr().err == ""


def test_no_warning_of_a_decoder_reaches_the_user(tmp_path):
    image = Image.fromarray(scene()).convert("P")
    image.info["transparency"] = bytes(range(256))
    saved(tmp_path / "transparent.png", image)
    (tmp_path / "large.png").write_bytes(png(12_000, 9_000))
    (tmp_path / "lzw.tif").write_bytes(encoded("LZW")[:300] + encoded("LZW")[400:])
    code = (
        "import contextlib, sys\n"
        "from aslx import errors\n"
        "from aslx.readers import images\n"
        "for path in sys.argv[1:]:\n"
        "    with contextlib.suppress(errors.BadInput):\n"
        "        images.read(path, (40, 60, 3))\n"
    )
    command = [sys.executable, "-c", code, *tmp_path.iterdir()]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""
