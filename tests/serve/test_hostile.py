"""Whatever strangers send gets 4xx or a close code, never a 500, and leaves no memory behind."""

import collections
import io
import json
import pathlib
import random
import struct
import sys

import hypothesis
import pandas as pd
import pytest
import requests
import schemathesis
import websockets
from hypothesis import strategies as st
from schemathesis.config import SchemathesisConfig
from websockets import frames as frames_lib
from websockets.sync import client

from tests.serve.bodies import packed

MESSAGES = 1000
# Codes of RFC 6455 for a bad message; 1011, an error of the server, is not among them.
CLOSED = {1000, 1002, 1003, 1007, 1008, 1009}
WIDTH = 126


def whole_parquet() -> bytes:
    file = io.BytesIO()
    pd.DataFrame({"sequence_id": [1], "x_pose_0": [0.5]}).to_parquet(file)
    return file.getvalue()


def mangled(whole: bytes) -> st.SearchStrategy[bytes]:
    """Bytes that begin or end as real ones do."""
    cut = st.integers(0, len(whole))
    return st.builds(lambda at, by: whole[:at] + by + whole[at + len(by) :], cut, st.binary())


PACKED = packed({"columns": ["a"], "frames": [[0.5]]})
schemathesis.openapi.media_type(
    "application/msgpack",
    st.binary() | mangled(PACKED) | st.builds(packed, st.dictionaries(st.text(), st.none())),
)
schemathesis.openapi.media_type("application/vnd.apache.parquet", mangled(whole_parquet()))


@pytest.fixture(scope="session")
def openapi(server):
    # A schema does not say that rows are as wide as the model's, nor what a whole parquet is.
    allowed = {
        "positive_data_acceptance": {"expected-statuses": ["2xx", 400, 413, 422]},
        "negative_data_rejection": {"expected-statuses": [400, 405, 413, 415, 422]},
    }
    config = SchemathesisConfig.from_dict({"checks": allowed})
    return schemathesis.openapi.from_url(f"{server.http}/openapi.json", config=config)


@pytest.mark.parametrize("bodies", [100, pytest.param(300, marks=pytest.mark.slow)])
def test_bodies_get_what_the_openapi_page_says_of_them(openapi, bodies):
    statuses: collections.Counter[int] = collections.Counter()
    operation = openapi["/api/transcribe"]["POST"]
    kinds = (operation.as_strategy(generation_mode=mode) for mode in schemathesis.GenerationMode)

    @hypothesis.given(case=st.one_of(*kinds))
    @hypothesis.settings(
        max_examples=bodies,
        deadline=None,
        derandomize=True,
        suppress_health_check=[*hypothesis.HealthCheck.__members__.values()],
    )
    def attack(case) -> None:
        response = case.call()
        statuses[response.status_code] += 1
        case.validate_response(response)

    attack()
    print(dict(statuses))
    assert set(statuses) <= {200, 400, 405, 413, 415, 422}
    assert sum(statuses.values()) - statuses[200] >= bodies / 2, statuses


class Fuzzer:
    """Messages of which a stream accepts only a few."""

    def __init__(self, seed: int):
        self._random = random.Random(seed)

    def value(self, depth: int = 0) -> object:
        choose = self._random
        leaves = [None, True, 0, -1, 2**70, 1e308, -0.0, "", "a", "\x00", "é" * 50, "frames"]
        if depth > 3 or choose.random() < 0.5:
            return choose.choice(leaves)
        values = [self.value(depth + 1) for _ in range(choose.randrange(4))]
        if choose.random() < 0.5:
            return values
        names = ("type", "frames", "columns", "x")
        return {choose.choice(names): value for value in values}

    def text(self) -> str:
        choose = self._random
        kinds = (
            lambda: json.dumps(self.value()),
            lambda: json.dumps({"type": "frames", "frames": self.value()}),
            lambda: json.dumps({"type": "frames", "frames": [[0.5] * choose.randrange(200)]}),
            lambda: json.dumps({"type": choose.choice(["end", "reset", "frames", 1, None])}),
            lambda: json.dumps({"columns": self.value()}),
            lambda: "[" * choose.randrange(5000),
            lambda: '{"type": "frames", "frames": [[1e999, NaN, -Infinity]]}',
            lambda: '{"type": "frames", "frames": [[' + "9" * choose.randrange(6000) + "]]}",
            lambda: "".join(chr(choose.randrange(1, 0xD800)) for _ in range(choose.randrange(50))),
        )
        text = choose.choice(kinds)()
        return text[: choose.randrange(len(text) + 1)] if choose.random() < 0.2 else text

    def binary(self) -> bytes:
        choose = self._random
        kinds = (
            lambda: choose.randbytes(choose.randrange(3000)),
            lambda: choose.randbytes(4 * WIDTH * choose.randrange(1, 5)),  # Floats of any kind.
            lambda: packed({"columns": ["a"] * choose.randrange(5)}),
            lambda: b"\x91" * choose.randrange(3000),
            lambda: struct.pack(">BI", choose.choice((0xDF, 0xDD, 0xDB, 0xC6)), 2**32 - 1),
            lambda: b"\0" * (2**20 + 4),
        )
        return choose.choice(kinds)()

    def wire(self) -> bytes:
        """Bytes below the messages: frames that break the protocol."""
        choose = self._random
        frame = frames_lib.Frame(
            choose.choice(list(frames_lib.Opcode)), choose.randbytes(choose.randrange(125))
        )
        whole = frame.serialize(mask=True)
        kinds = (
            lambda: choose.randbytes(choose.randrange(2, 200)),
            lambda: frame.serialize(mask=False),
            lambda: bytes([whole[0] | choose.choice((0x10, 0x40, 0x70))]) + whole[1:],
            lambda: frames_lib.Frame(frames_lib.Opcode.TEXT, b"\xff\xfe").serialize(mask=True),
            lambda: b"\x82\xff" + b"\xff" * 8 + b"\0" * 4,  # 2**64 - 1 bytes follow.
        )
        return choose.choice(kinds)()

    def attack(self, server) -> int | str | None:
        """One message to a stream of its own -> how the server closed that stream."""
        kind = self._random.choice((self.text, self.text, self.binary, self.wire))
        # Half a frame may be the beginning of a whole one: the server waits for the rest.
        patience = 1 if kind == self.wire else 30
        with client.connect(server.socket, close_timeout=0.2) as socket:
            try:
                if self._random.random() < 0.7:
                    socket.send("{}")
                if kind == self.wire:
                    socket.socket.sendall(self.wire())
                else:
                    socket.send(kind())
                socket.send('{"type": "end"}')
                while True:
                    socket.recv(timeout=patience)
            except (websockets.ConnectionClosed, OSError) as error:
                close = socket.protocol.close_rcvd
                if close or kind != self.wire:
                    return close.code if close else repr(error)
                return "waits" if isinstance(error, TimeoutError) else "broken"


def flood(server, seed: int) -> collections.Counter:
    fuzzer = Fuzzer(seed)
    return collections.Counter(fuzzer.attack(server) for _ in range(MESSAGES))


def resident(process) -> float:
    """Megabytes of memory that a process holds."""
    lines = pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_thousand_malformed_messages_close_streams_with_a_code_and_memory_stays(server):
    codes = flood(server, 0)
    before = resident(server.process)
    codes += flood(server, 1)
    after = resident(server.process)
    print(dict(codes), f"{before:.1f} MB, then {after:.1f} MB")
    assert set(codes) - {"broken", "waits"} <= CLOSED, codes
    assert codes[1000] < sum(codes.values()) / 2, codes
    assert after < before + 3, (before, after)
    health = requests.get(f"{server.http}/health", timeout=30).json()
    assert health["status"] == "ok" and health["requests"] == 0
