"""The live application on a trained model: python -m aslx.serve --workdir runs/quickstart

The page reads the camera in the browser; no frame of it leaves the machine. The API beside it
takes landmarks. Exports the model first where that has not been done.
"""

import dataclasses
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys

import tyro

from aslx import cli, errors, files
from aslx.serving.limits import Limits


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Serves a run's exported model: a page for the camera, and an API for landmarks."""

    workdir: str
    """A directory that aslx.train wrote."""
    host: str = "127.0.0.1"
    """Where to listen; 0.0.0.0 lets others in, and browsers give them no camera without HTTPS."""
    port: int = 8000
    """0: any that is free."""
    threads: int = 0
    """That read clips; 0: one for each core."""
    limits: Limits = Limits()


def exported(workdir: pathlib.Path) -> pathlib.Path:
    """The directory of the run's exported model, which is made where it, or the page's, is
    missing."""
    export = workdir / "export"
    about, report = export / "model.json", export / "report.json"
    if about.exists() and "web" in json.loads(about.read_text()):
        return export
    if not (workdir / "config.json").exists():
        raise errors.BadInput(f"{workdir} holds no run (no config.json): train first")
    # As it was, where only the page's are missing.
    quantize = json.loads(report.read_text())["quantize"] if report.exists() else "none"
    words = ["aslx.export", "--workdir", str(workdir), "--web", "--quantize", quantize]
    # A process of its own: TensorFlow and JAX stay out of this one.
    status = subprocess.run([sys.executable, "-m", *words, "--clips", "0"]).returncode
    if status:
        raise errors.BadInput(f"the export of {workdir} ended with status {status}")
    return export


def listen(host: str, port: int) -> socket.socket:
    """BadInput says what to do where the port is taken."""
    try:
        return socket.create_server((host, port), backlog=2048)
    except OSError as error:
        why = str(error.strerror).partition(" (")[0]
        raise errors.BadInput(
            f"cannot listen on {host}:{port}: {why}; pass another --port"
        ) from None


def main() -> None:
    command = tyro.cli(Command)
    import uvicorn

    from aslx.serving import app as app_lib
    from aslx.serving import engine as engine_lib
    from aslx.serving import streams

    if files.in_bucket(command.workdir):
        raise errors.BadInput(f"{command.workdir} is in a bucket: copy it to a disk and serve that")
    export = exported(pathlib.Path(command.workdir))
    about = engine_lib.About.read(export / "model.json")
    model = (export / "model.tflite").read_bytes()
    engine = engine_lib.Engine(model, about, command.threads or os.cpu_count() or 1)
    try:
        app_lib.packages(app_lib.WEB)
    except errors.BadInput as error:
        print(f"no page, only the API: {error}", file=sys.stderr)
    app = app_lib.build(export, engine, command.limits)
    with listen(command.host, command.port) as server:
        host, port = server.getsockname()[:2]
        # What is asked from here on waits in the socket until the server runs.
        what = f"step {about.step} of {command.workdir}"
        print(f"serving {what} on http://{host}:{port}", flush=True)
        config = uvicorn.Config(
            app,
            log_level="warning",
            # Streams of numbers shrink little, and what is not unpacked cannot burst.
            ws_per_message_deflate=False,
            # Beyond it the connection breaks off, and whoever still sends may not hear why.
            ws_max_size=2 * streams.MESSAGE,
            timeout_graceful_shutdown=5,
        )
        # uvicorn ends in good order, and then raises the signal again.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            uvicorn.Server(config).run(sockets=[server])
        except KeyboardInterrupt:
            print("stopped")


if __name__ == "__main__":
    cli.run(main)
