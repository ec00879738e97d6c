"""Concurrent streams to a server on this machine: latencies, and lost answers.

python -m benchmarks.serve --workdir runs/quickstart [--streams 100] [--seconds 20] [--fps 30]

Starts aslx.serve on a free port. Each stream sends random frames at the rate of a camera, one clip
after the other, from this process, which competes with the server for the cores. The latency of an
answer counts from the newest frame that it covers. The wait of a frame ends with the first answer
that covers it, and includes the time in which the stream is queued.
"""

import asyncio
import contextlib
import dataclasses
import importlib.metadata
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import tyro

from aslx import cli, errors

if TYPE_CHECKING:
    import websockets


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Measures the answers to many simultaneous streams."""

    workdir: str
    """A directory that aslx.train has written."""
    streams: int = 100
    seconds: float = 20.0
    """Seconds in which frames are sent."""
    fps: float = 10.0
    """Frames a second of each stream; MediaPipe finds about ten in a browser on two cores."""
    frames: int = 100
    """Frames in a clip, after which the stream begins the next clip."""


@dataclasses.dataclass
class Measured:
    """The measurements of one stream."""

    latencies: list[float] = dataclasses.field(default_factory=list)  # Seconds for each answer.
    waits: list[float] = dataclasses.field(default_factory=list)  # Seconds for each frame.
    sent: int = 0
    reordered: int = 0
    lost: int = 0  # Missing numbers of answers, and clips without their last answer.


@contextlib.contextmanager
def serving(workdir: str) -> Iterator[tuple[str, Any]]:
    """Runs a server, and yields its HOST:PORT and its process."""
    import psutil  # Of an extra: missing, it is told before the server starts.

    words = [sys.executable, "-m", "aslx.serve", "--workdir", workdir, "--port", "0"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        lines = (line for line in process.stdout if " on http://" in line)
        address = next(lines, "").partition("://")[2].strip()
        if not address:
            raise errors.BadInput(f"aslx.serve ended with status {process.wait()}")
        yield address, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


async def one(command: Command, url: str, seed: int) -> Measured:
    """Runs a stream from its first frame to the answer to its last frame."""
    import websockets

    rng, measured = np.random.default_rng(seed), Measured()
    async with websockets.connect(url, open_timeout=60, compression=None) as socket:
        await socket.send("{}")
        columns = json.loads(await socket.recv())["columns"]
        times: list[list[float]] = [[]]  # When each frame of each clip was sent.
        reader = asyncio.create_task(_answers(socket, times, measured))
        start = time.monotonic() + rng.random() / command.fps  # Streams do not start together.
        while (due := start + measured.sent / command.fps) < start + command.seconds:
            await asyncio.sleep(due - time.monotonic())
            if len(times[-1]) == command.frames:
                await socket.send('{"type": "reset"}')
                times.append([])
            times[-1].append(time.monotonic())
            await socket.send(rng.random(columns, np.float32).tobytes())
            measured.sent += 1
        await socket.send('{"type": "end"}')
        await reader
    return measured


async def _answers(
    socket: "websockets.ClientConnection", times: list[list[float]], measured: Measured
) -> None:
    clip = covered = 0
    async for message in socket:
        now, answer = time.monotonic(), json.loads(message)
        if answer["type"] != "answer":  # The end of a clip, or of the stream.
            measured.lost += covered != len(times[clip])
            clip, covered = clip + 1, 0
            continue
        number = len(measured.latencies) + measured.lost
        measured.reordered += answer["sequence"] < number or answer["frames"] <= covered
        measured.lost += max(0, answer["sequence"] - number)
        measured.reordered += answer["clip"] != clip
        measured.waits += [now - sent for sent in times[clip][covered : answer["frames"]]]
        covered = answer["frames"]
        measured.latencies.append(now - times[clip][covered - 1])


async def every(command: Command, address: str) -> list[Measured]:
    url = f"ws://{address}/api/stream"
    return await asyncio.gather(*(one(command, url, seed) for seed in range(command.streams)))


def _quantiles(name: str, seconds: list[list[float]]) -> dict[str, float]:
    found = np.quantile(np.concatenate(seconds) * 1e3, (0.5, 0.99))
    return {f"{name}_ms_p{q}": round(float(v), 1) for q, v in zip((50, 99), found, strict=True)}


def _cpu(process: Any) -> float:
    """Seconds of CPU time that a process has used."""
    times = process.cpu_times()
    return times.user + times.system


def main() -> None:
    command = tyro.cli(Command)
    with serving(command.workdir) as (address, server):
        begun, used = time.monotonic(), _cpu(server)
        found = asyncio.run(every(command, address))
        seconds, used = time.monotonic() - begun, _cpu(server) - used
    answers = sum(len(m.latencies) for m in found)
    line = {
        **{name: importlib.metadata.version(name) for name in ("ai-edge-litert", "uvicorn")},
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "streams": command.streams,
        "fps": command.fps,
        "seconds": round(seconds, 1),
        "frames": sum(m.sent for m in found),
        "answers": answers,
        "answers_per_second": round(answers / seconds, 1),
        **_quantiles("latency", [m.latencies for m in found]),
        **_quantiles("frame_wait", [m.waits for m in found]),
        # Of the server alone, whatever else the machine does.
        "server_cores": round(used / seconds, 2),
        "streams_a_core": round(command.streams * command.seconds / used, 1),
        "lost": sum(m.lost for m in found),
        "reordered": sum(m.reordered for m in found),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    cli.run(main)
