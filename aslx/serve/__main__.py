"""The live application: python -m aslx.serve, or for a run --workdir runs/quickstart

The page reads the camera in the browser; no frame leaves the machine. The API takes landmarks. A
run is exported first if that has not been done.
"""

import dataclasses
import os
import pathlib
import signal
import socket
import sys
from typing import TYPE_CHECKING

import tyro

from aslx import cli, errors
from aslx.serve.limits import Limits
from aslx.storage import files, hub

if TYPE_CHECKING:
    from aslx.export import exported


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
    """Serves a page that reads the camera, and an API for landmarks."""

    workdir: str = ""
    """A directory that aslx.train wrote, or hf://OWNER/NAME; by default the reader that the package
    brings is served."""
    host: str = "127.0.0.1"
    """The address to listen on. 0.0.0.0 admits other machines; without HTTPS their browsers allow
    no camera."""
    port: int = 8000
    """The port to listen on; 0: any free port."""
    threads: int = 0
    """Threads that read clips; 0: one per core, but at most 8."""
    reload: bool = False
    """Export the model again if the run has a better checkpoint than its export."""
    limits: Limits = Limits()


def bound(host: str, port: int) -> socket.socket:
    """A socket bound to the address, which refuses connections until it listens; BadInput if the
    address is not available."""
    if not 0 <= port < 2**16:
        raise errors.BadInput(f"--port {port} is no port: 0 to 65535")
    found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        if os.name == "posix":  # On Windows this would take the port of another program.
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
    workdir = str(hub.local(command.workdir))
    if files.in_bucket(workdir):
        raise errors.BadInput(f"{command.workdir} is in a bucket: copy it to a disk and serve that")
    from aslx.export import exported
    from aslx.serve import fresh

    # Before the export, which takes minutes.
    with bound(command.host, command.port) as listener:
        if command.workdir:
            folder = fresh.folder(pathlib.Path(workdir), command.reload)
            serve(command, exported.open_export(folder), listener)
        else:
            serve(command, exported.open_reader(), listener)


def serve(command: Command, export: "exported.Export", listener: socket.socket) -> None:
    """Serves until a signal ends the server."""
    import uvicorn

    from aslx.serve import admission, connections, streams
    from aslx.serve import app as app_lib
    from aslx.serve import interpreter_pool as engine_lib

    threads = command.threads or min(8, os.cpu_count() or 1)
    engine = engine_lib.Engine(export, threads)
    allowed = admission.names(command.host)
    if not allowed:
        print(
            f"warning: anyone who reaches {command.host} can use this server: it has no password, "
            "and without TLS others can read the traffic; put a proxy that has both in front of it",
            file=sys.stderr,
        )
    app = app_lib.build(export, engine, command.limits, hosts=allowed)
    config = uvicorn.Config(
        app,
        http=connections.protocol(connections.most()),
        backlog=connections.BACKLOG,
        log_level="warning",
        # Numbers compress little, and an uncompressed message cannot expand.
        ws_per_message_deflate=False,
        # A longer message breaks the connection, and its sender may not learn why; so this limit
        # lies above that of a stream, which closes with a reason.
        ws_max_size=2 * streams.MESSAGE,
        timeout_graceful_shutdown=5,
    )
    listener.listen(connections.BACKLOG)  # Requests wait in the socket until the server runs.
    host, port = listener.getsockname()[:2]
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    scores = ", ".join(f"{s.name} {s.value:.4f} on {s.on}" for s in export.about.scores)
    model = f"step {export.about.step} of {command.workdir}" if command.workdir else "aslx's reader"
    what = f"{model} ({scores or 'score unknown'})"
    print(f"serving {what} on http://{where}", flush=True)
    # uvicorn shuts down on the signal, and then raises it again.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        uvicorn.Server(config).run(sockets=[listener])
    except KeyboardInterrupt:
        print("stopped")


if __name__ == "__main__":
    cli.run(main)
