"""Image files: read as a viewer shows them, or refused in one line."""

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

SHAPE = (40, 60, 3)
# How a camera's pixels lie for each orientation of EXIF, of a picture that is seen upright.
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
    """An image in which every corner is another."""
    y, x = np.mgrid[:40, :60]
    planes = [4 * x, 6 * y, 2 * x + 2 * y]
    return np.stack(planes[:channels], -1).astype(np.uint8)


def saved(path: pathlib.Path, image: Image.Image, **options) -> pathlib.Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.webp", "x.tif"])
def test_an_image_is_read_as_it_is_seen_whatever_way_the_camera_was_held(name, tmp_path):
    options = {"lossless": True} if name == "x.webp" else {}
    options |= {"quality": 100, "subsampling": 0} if name == "x.jpg" else {}
    for orientation, turned in TURNED.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        image = Image.fromarray(np.ascontiguousarray(turned(scene())))
        path = saved(tmp_path / name, image, exif=exif, **options)
        away = images.read(path, SHAPE).astype(int) - scene()
        assert np.abs(away).max() <= (8 if name == "x.jpg" else 0), orientation


@pytest.mark.parametrize("name", ["x.png", "x.tif"])
def test_sixteen_bits_are_as_bright_as_eight(name, tmp_path):
    grey = scene(1)[..., 0]
    path = saved(tmp_path / name, Image.fromarray(grey.astype(np.uint16) * 257))
    np.testing.assert_array_equal(images.read(path, (40, 60, 1))[..., 0], grey)
    np.testing.assert_array_equal(images.read(path, SHAPE), np.stack([grey] * 3, -1))


def test_a_tiff_of_floats_is_from_black_at_0_to_white_at_1(tmp_path):
    grey = scene(1)[..., 0]
    path = saved(tmp_path / "x.tif", Image.fromarray(grey.astype(np.float32) / 255))
    np.testing.assert_array_equal(images.read(path, (40, 60, 1))[..., 0], grey)
    saved(path, Image.fromarray(grey.astype(np.float32)))
    with pytest.raises(errors.BadInput, match=r"0 to 236, and black is 0 and white 1"):
        images.read(path, SHAPE)
    saved(path, Image.fromarray(np.full((4, 4), np.nan, np.float32)))
    with pytest.raises(errors.BadInput, match="no numbers"):
        images.read(path, SHAPE)
    saved(path, Image.fromarray(grey.astype(np.int32)))
    with pytest.raises(errors.BadInput, match="32-bit"):
        images.read(path, SHAPE)


@pytest.mark.parametrize("name", ["x.png", "x.webp", "x.tif", "x.gif", "grey.png", "palette.png"])
def test_what_is_transparent_is_seen_on_white_and_what_it_hides_is_not(name, tmp_path):
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
            image.putpalette(np.append(np.repeat(np.arange(255), 3), hidden[0, 0]).astype(np.uint8))
            options = {"transparency": 255}
        seen.append(images.read(saved(tmp_path / name, image, **options), SHAPE))
    np.testing.assert_array_equal(*seen)
    assert (seen[0][alpha[..., 0] == 0] == 255).all() and seen[0].min() < 150


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr"])
def test_other_ways_to_write_colours_go_on_working(mode, tmp_path):
    image = Image.fromarray(scene()).convert(mode)
    path = saved(tmp_path / ("x.jpg" if mode in ("CMYK", "YCbCr") else "x.png"), image)
    away = images.read(path, SHAPE).astype(int) - np.asarray(image.convert("RGB"))
    assert np.abs(away).mean() < 6


def png(width: int, height: int, bits: int = 8) -> bytes:
    """A PNG that says it has this size, and holds nothing."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)
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
def test_what_is_no_image_is_named_and_nothing_is_started_for_it(name, tmp_path, monkeypatch):
    raw, words = NO_IMAGES[name]
    (tmp_path / name).write_bytes(raw)
    monkeypatch.setattr(subprocess, "Popen", lambda *_: pytest.fail("Ghostscript"))
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
    with pytest.raises(OSError) as fault:
        images.read(path, SHAPE)
    assert not isinstance(fault.value, errors.BadInput)


def formats() -> dict[str, bytes]:
    found, image = {}, Image.fromarray(scene())
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind in ("PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF"):
        data = io.BytesIO()
        image.save(data, kind, **({"exif": exif} if kind in ("PNG", "JPEG", "WEBP") else {}))
        found[kind] = data.getvalue()
    data = io.BytesIO()
    image.save(data, "TIFF", compression="tiff_lzw")
    return found | {"LZW": data.getvalue()}


def damaged(raw: bytes, rng: np.random.Generator) -> bytes:
    """Cut, or with some bytes changed, most of them near the beginning."""
    if rng.random() < 0.2:
        return raw[: rng.integers(0, len(raw))]
    data = bytearray(raw)
    for _ in range(rng.integers(1, 6)):
        end = len(raw) if rng.random() < 0.3 else min(len(raw), 120)
        data[rng.integers(0, end)] = rng.choice([0, 255, rng.integers(0, 256)])
    return bytes(data)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF", "LZW"])
def test_a_damaged_image_is_read_or_refused_in_one_line(kind, tmp_path, capfd):
    rng, raw = np.random.default_rng(0), formats()[kind]
    for _ in range(300):
        path = tmp_path / "x"
        path.write_bytes(damaged(raw, rng))
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
    (tmp_path / "lzw.tif").write_bytes(formats()["LZW"][:300] + formats()["LZW"][400:])
    code = (
        "import sys\n"
        "from aslx import errors\n"
        "from aslx.readers import images\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n"
        "        images.read(path, (40, 60, 3))\n"
        "    except errors.BadInput:\n"
        "        pass\n"
    )
    command = [sys.executable, "-c", code, *tmp_path.iterdir()]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""
