"""The kind of a file by its first bytes, whatever its name says."""

import os
import pathlib
from typing import BinaryIO

from aslx.storage import files

File = str | os.PathLike | BinaryIO  # A path, or a file that is open for reading.
IMAGE, GIF, VIDEO, PARQUET, NPY, ZIP = "image", "gif", "video", "parquet", "npy", "zip"
HEIC, AVIF, PAGE, POINTER = "heic", "avif", "page", "pointer"
POSE, FOLDER = "pose", "folder"
_START = 512  # Bytes that are read.
_BEGIN = (
    (b"\x89PNG\r\n\x1a\n", IMAGE),
    (b"\xff\xd8\xff", IMAGE),
    (b"II*\0", IMAGE),
    (b"MM\0*", IMAGE),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"\x1aE\xdf\xa3", VIDEO),  # Matroska, WebM.
    (b"FLV\x01", VIDEO),
    (b"OggS", VIDEO),
    (b"\0\0\x01\xba", VIDEO),  # An MPEG program.
    (b"\0\0\x01\xb3", VIDEO),
    (b"0&\xb2u\x8ef\xcf\x11", VIDEO),  # Windows Media.
    (b"PAR1", PARQUET),
    (b"\x93NUMPY", NPY),
    (b"PK\x03\x04", ZIP),
    (b"PK\x05\x06", ZIP),  # An empty one.
    (b"version https://git-lfs", POINTER),
)
_STILL = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"), HEIC),
    **dict.fromkeys((b"avif", b"avis"), AVIF),
}
_WORDS = {
    IMAGE: "is an image",
    GIF: "is a GIF",
    VIDEO: "is a video",
    PARQUET: "is a parquet file",
    NPY: "is a NumPy array",
    ZIP: "is a zip or an npz",
    HEIC: "is a HEIC photograph, which cannot be read here: save it as JPEG (an iPhone does under "
    "Settings, Camera, Formats, Most Compatible)",
    AVIF: "is an AVIF image, which cannot be read here: save it as JPEG or PNG",
    PAGE: "is a web page, not the file that it links to: download the file itself",
    FOLDER: "is a folder",
    POSE: "is a .pose file of landmarks",
    POINTER: "is a Git LFS pointer, not the file: run git lfs pull",
}


def kind(path: File) -> str:
    """One of the kinds above; empty for a file of another kind, or where there is none."""
    if isinstance(path, (str, os.PathLike)):
        where = pathlib.Path(path)
        if files.is_folder(where):
            return FOLDER
        if not files.is_file(where):
            return ""
        with files.given(where), where.open("rb") as f:
            return _kind(f.read(_START)) or (POSE if where.suffix.lower() == ".pose" else "")
    path.seek(0)
    start = path.read(_START)
    path.seek(0)
    return _kind(start)


def words(kind: str) -> str:
    """The end of a sentence about such a file, with the fix where it cannot be read here."""
    return _WORDS[kind]


def _kind(start: bytes) -> str:
    for begin, found in _BEGIN:
        if start.startswith(begin):
            return found
    if start[:2] == b"BM" and start[6:10] == bytes(4):
        return IMAGE
    if start[:4] == b"RIFF":
        return {b"WEBP": IMAGE, b"AVI ": VIDEO}.get(start[8:12], "")
    if start[4:8] == b"ftyp":
        return _STILL.get(start[8:12], VIDEO)
    if start[4:8] in (b"moov", b"mdat", b"wide", b"free", b"skip"):  # Older QuickTime films.
        return VIDEO
    for first in (0, 4):  # Transport streams have packets of 188 bytes, those of cameras of 192.
        if len(start) > 400 and {start[first + i * (188 + first)] for i in (0, 1)} == {0x47}:
            return VIDEO
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return PAGE if text.startswith((b"<!doctype html", b"<html", b"<head")) else ""
