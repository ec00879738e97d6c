"""Positioned reads from an open shard."""

import os

import numpy as np
import pytest

from aslx.data import shard


@pytest.mark.parametrize("most", [1, 3, 7, 1000])
def test_a_read_that_the_system_answers_in_pieces_is_completed(tmp_path, monkeypatch, most):
    whole, path = bytes(range(200)), tmp_path / "shard"
    path.write_bytes(whole)
    read = os.preadv

    def some(file, parts, offset):
        """As a disk behind a network may answer."""
        buffer = bytearray(min(most, sum(map(len, parts))))
        got = read(file, [buffer], offset)
        for part in parts:
            part[: len(buffer)] = np.frombuffer(bytes(buffer[: len(part)]), np.uint8)
            del buffer[: len(part)]
        return got

    monkeypatch.setattr(os, "preadv", some)
    opened = shard.Shard(path)
    parts = [np.zeros(size, np.uint8) for size in (5, 0, 60, 9)]
    assert opened.read(20, parts)
    assert b"".join(part.tobytes() for part in parts) == whole[20:94]
    assert opened.read(126, parts) and not opened.read(127, parts) and not opened.read(500, parts)


def test_a_shard_is_closed_when_its_reader_is_gone(tmp_path):
    (tmp_path / "shard").write_bytes(b"1")
    before = set(os.listdir("/proc/self/fd"))
    opened = shard.Shard(tmp_path / "shard")
    assert len(os.listdir("/proc/self/fd")) == len(before) + 1
    del opened
    assert set(os.listdir("/proc/self/fd")) == before
