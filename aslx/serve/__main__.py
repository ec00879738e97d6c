"""The live application on a trained model: python -m aslx.serve --workdir runs/quickstart

The page reads the camera in the browser; no frame of it leaves the machine. The API beside it
takes landmarks. Exports the model first where that has not been done.
"""

import dataclasses
import os
import pathlib
import signal
import socket
import sys

import tyro

from aslx import cli, errors
from aslx.export import exports
from aslx.serve.limits import Limits
from aslx.storage import files


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
    """That read clips; 0: one for each core, and 8 at most."""
    reload: bool = False
    """Export the model again where the run has a better checkpoint than its export."""
    limits: Limits = Limits()


def bound(host: str, port: int) -> socket.socket:
    """A socket that has the address, and refuses connections before it listens; BadInput says what
    to do where the address cannot be had."""
    if not 0 <= port < 2**16:
        raise errors.BadInput(f"--port {port} is no port: 0 to 65535")
    found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        if os.name == "posix":  # Elsewhere it would take the port of another program.
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
    except OSError as error:
        found.close()
        why = str(error.strerror).partition(" (")[0]
        raise errors.BadInput(
            f"cannot listen on {host}:{port}: {why}; pass another --port or --host"
        ) from None
    return found


def main() -> None:
    command = tyro.cli(Command)
    if files.in_bucket(command.workdir):
        raise errors.BadInput(f"{command.workdir} is in a bucket: copy it to a disk and serve that")
    from aslx.serve import fresh

    # Before the export, which takes minutes.
    with bound(command.host, command.port) as listener:
        serve(command, fresh.folder(pathlib.Path(command.workdir), command.reload), listener)


def serve(command: Command, folder: pathlib.Path, listener: socket.socket) -> None:
    """Until a signal ends it."""
    import uvicorn

    from aslx.export import exported
    from aslx.serve import admission, connections, streams
    from aslx.serve import app as app_lib
    from aslx.serve import interpreter_pool as engine_lib

    export = exported.open_export(folder)
    threads = command.threads or min(8, os.cpu_count() or 1)
    engine = engine_lib.Engine(export.files[exports.MODEL].read(), export.about, threads)
    try:
        app_lib.packages(app_lib.WEB)
    except errors.BadInput as error:
        print(f"no page, only the API: {error}", file=sys.stderr)
    allowed = admission.names(command.host)
    if not allowed:
        print(
            f"warning: whoever reaches {command.host} may use this server: it has no password, and "
            "without TLS others can read what is sent; put a proxy that has both in front of it",
            file=sys.stderr,
        )
    app = app_lib.build(export, engine, command.limits, hosts=allowed)
    config = uvicorn.Config(
        app,
        http=connections.protocol(connections.most()),
        backlog=connections.BACKLOG,
        log_level="warning",
        # Streams of numbers shrink little, and what is not unpacked cannot burst.
        ws_per_message_deflate=False,
        # Beyond it the connection breaks off, and whoever still sends may not hear why.
        ws_max_size=2 * streams.MESSAGE,
        timeout_graceful_shutdown=5,
    )
    listener.listen(connections.BACKLOG)
    host, port = listener.getsockname()[:2]
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    # What is asked from here on waits in the socket until the server runs.
    scores = ", ".join(f"{s.name} {s.value:.4f} on {s.on}" for s in export.scores)
    what = f"step {export.about.step} of {command.workdir} ({scores or 'score unknown'})"
    print(f"serving {what} on http://{where}", flush=True)
    # uvicorn ends in good order, and then raises the signal again.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        uvicorn.Server(config).run(sockets=[listener])
    except KeyboardInterrupt:
        print("stopped")


if __name__ == "__main__":
    cli.run(main)
