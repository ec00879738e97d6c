"""The server: the page, its packages, the exported model, a health check, and the API.

The page loads everything from this server, and its policy allows nothing else.
"""

import json
import mimetypes
import pathlib
import sys
from collections.abc import Collection

import fastapi
import pydantic
from fastapi import responses, staticfiles
from starlette import datastructures, types

from aslx import errors
from aslx.export import exported, exports
from aslx.serve import admission, api, stateful_streams, stepping, streams, turns
from aslx.serve import interpreter_pool as engine_lib
from aslx.serve.limits import Limits
from aslx.storage import files

WEB = pathlib.Path(__file__).with_name("web")
SETUP = f"npm ci --prefix {WEB}"
_PAGES = {"/": "index.html", "/docs": "docs.html"}

# Apart from the server's files: WebAssembly is compiled, workers and videos are made of blobs.
_POLICY = {
    "default-src": "'self'",
    "script-src": "'self' 'wasm-unsafe-eval'",
    "worker-src": "'self' blob:",
    "img-src": "'self' blob: data:",
    "media-src": "'self' blob:",
    "object-src": "'none'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
HEADERS = {
    "Content-Security-Policy": "; ".join(f"{k} {v}" for k, v in _POLICY.items()),
    # A process for the page alone: a condition for shared memory, and so for WebAssembly's threads.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # The browser asks for each file again; the answer is 304 if it has not changed.
    "Cache-Control": "no-cache",
}
# Types that some systems do not know.
_TYPES = {
    **dict.fromkeys((".js", ".mjs"), "text/javascript"),
    **dict.fromkeys((".tflite", ".binarypb", ".data"), "application/octet-stream"),
    ".wasm": "application/wasm",
    ".json": "application/json",
}
_ABOUT = """Beside these, `/api/stream` is a WebSocket that takes frames of landmarks and answers
text as it grows. Its first message is `{"columns": [...]}` (JSON, or msgpack), then come frames,
as `{"type": "frames", "frames": [[...], ...]}` or as binary rows of little-endian float32,
`{"type": "reset"}` for the next clip, and `{"type": "end"}`."""


class Health(pydantic.BaseModel):
    status: str = "ok"
    task: str
    step: int
    requests: int
    """Requests in work or waiting."""
    streams: int
    """Open streams."""
    newer_export: bool
    """Whether another export has replaced the one that is served: restart the server."""


class Headers:
    """Adds `HEADERS` to every answer."""

    def __init__(self, app: types.ASGIApp):
        self._app = app

    async def __call__(self, scope: types.Scope, receive: types.Receive, send: types.Send) -> None:
        async def with_headers(message: types.Message) -> None:
            if message["type"] == "http.response.start":
                datastructures.MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


class _Page(staticfiles.StaticFiles):
    """The page's own files; packages are served elsewhere."""

    def lookup_path(self, path: str):
        return ("", None) if path.startswith("node_modules") else super().lookup_path(path)


def _packages(web: pathlib.Path) -> dict[str, pathlib.Path]:
    """The folders of the packages that the page needs; BadInput names one that is missing."""
    names = json.loads((web / "package.json").read_text())["dependencies"]
    found = {name: web / "node_modules" / name for name in names}
    for name, path in found.items():
        if not files.is_folder(path):
            raise errors.BadInput(f"the page's package {name} is not installed: {SETUP}")
    return found


def build(
    export: exported.Export,
    engine: engine_lib.Engine,
    limits: Limits,
    web: pathlib.Path = WEB,
    hosts: Collection[str] = admission.LOOPBACK,
    steps: stepping.Steps | None = None,
) -> fastapi.FastAPI:
    """The application that serves an opened export, whose model `engine` runs, and its `steps`
    where it has a state.

    It answers under the names `hosts`, or under any name if there are none. Without the packages of
    the page it serves the API alone, and says so on stderr.
    """
    for suffix, kind in _TYPES.items():
        mimetypes.add_type(kind, suffix)
    app = fastapi.FastAPI(title="aslx", description=_ABOUT, docs_url=None, redoc_url=None)
    app.add_middleware(admission.Guard, hosts=hosts)
    app.add_middleware(Headers)  # Also for the answers of the guard.
    requests = turns.Places(limits.waiting)
    open_streams = turns.Places(limits.streams)

    @app.get("/health", summary="Whether it answers, with which model, and how busy it is")
    async def health() -> Health:
        return Health(
            task=export.about.task,
            step=export.about.step,
            requests=requests.taken,
            streams=open_streams.taken,
            newer_export=export.replaced,
        )

    @app.websocket("/api/stream")
    async def stream(socket: fastapi.WebSocket) -> None:
        def make(socket: fastapi.WebSocket) -> streams.Stream:
            if steps is None:
                return streams.Stream(socket, engine, limits)
            return stateful_streams.Stream(socket, engine, limits, steps)

        await streams.serve(socket, make, open_streams)

    api.add(app, engine, limits, requests)
    _add_model(app, export)
    _add_page(app, web)
    return app


def _add_model(app: fastapi.FastAPI, export: exported.Export) -> None:
    """Serves the export's files as they were opened, whatever their folder holds now."""

    async def file(request: fastapi.Request) -> responses.Response:
        name = request.path_params["name"]
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        if name == exports.ABOUT:
            return responses.Response(export.described, media_type=kind)
        found = export.files.get(name)
        if found is None:
            return responses.PlainTextResponse("Not Found", 404)
        headers = {"ETag": f'"{found.sha256}"', "Content-Length": str(found.size)}
        if request.headers.get("if-none-match") == headers["ETag"]:
            return responses.Response(status_code=304, headers={"ETag": headers["ETag"]})
        return responses.StreamingResponse(found.chunks(), headers=headers, media_type=kind)

    app.add_route("/model/{name:path}", file, include_in_schema=False)


def _add_page(app: fastapi.FastAPI, web: pathlib.Path) -> None:
    """Serves the page, the API's documentation and their packages, or says what is missing."""
    missing = ""
    try:
        for name, path in _packages(web).items():
            app.mount(f"/vendor/{name}", staticfiles.StaticFiles(directory=path))
        app.mount("/web", _Page(directory=web))
    except errors.BadInput as error:
        missing = str(error)
        print(f"no page, only the API: {missing}", file=sys.stderr)

    async def page(request: fastapi.Request) -> responses.Response:
        if missing:
            return responses.PlainTextResponse(f"{missing}\n", status_code=503)
        return responses.FileResponse(web / _PAGES[request.url.path])

    for path in _PAGES:
        app.add_route(path, page, include_in_schema=False)
