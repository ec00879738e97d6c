"""The server: the page, its packages, the exported model, a health check, and the API.

Whatever a page loads comes from here, and its policy allows nothing else.
"""

import json
import mimetypes
import pathlib
from collections.abc import Collection

import fastapi
import pydantic
from fastapi import responses, staticfiles
from starlette import datastructures, types

from aslx import errors
from aslx.export import exported, exports
from aslx.serve import admission, api, streams, turns
from aslx.serve import interpreter_pool as engine_lib
from aslx.serve.limits import Limits

WEB = pathlib.Path(__file__).with_name("web")
SETUP = f"npm ci --prefix {WEB}"

# Beside the server's own files: WebAssembly is compiled, workers and videos are made of blobs.
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
    # The page alone in its process: what shared memory, and so threads in WebAssembly, ask for.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # A file is asked for anew, and answered by 304 where it has not changed.
    "Cache-Control": "no-cache",
}
# Not every system's table knows them.
_TYPES = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
    ".json": "application/json",
    ".tflite": "application/octet-stream",
    ".binarypb": "application/octet-stream",
    ".data": "application/octet-stream",
}
_DOCS = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>aslx: API</title>
<link rel="stylesheet" href="/vendor/swagger-ui-dist/swagger-ui.css">
<div id="swagger-ui"></div>
<script src="/vendor/swagger-ui-dist/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</html>
"""
_DOCS_START = (
    'SwaggerUIBundle({url: "/openapi.json", dom_id: "#swagger-ui", validatorUrl: null});\n'
)
_ABOUT = """Beside these, `/api/stream` is a WebSocket that takes frames of landmarks and answers
text as it grows. Its first message is `{"columns": [...]}` (JSON, or msgpack), then come frames,
as `{"type": "frames", "frames": [[...], ...]}` or as binary rows of little-endian float32,
`{"type": "reset"}` for the next clip, and `{"type": "end"}`."""


class Health(pydantic.BaseModel):
    status: str = "ok"
    task: str
    step: int
    requests: int
    """In work or waiting."""
    streams: int
    """Open."""
    newer_export: bool
    """Whether another export has taken the place of the one that is served: start again."""


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
    """The page's own files; packages have their own place."""

    def lookup_path(self, path: str):
        return ("", None) if path.startswith("node_modules") else super().lookup_path(path)


def packages(web: pathlib.Path) -> dict[str, pathlib.Path]:
    """The packages that the page names and where they are; BadInput where one is not."""
    names = json.loads((web / "package.json").read_text())["dependencies"]
    found = {name: web / "node_modules" / name for name in names}
    for name, path in found.items():
        if not path.is_dir():
            raise errors.BadInput(f"the page's package {name} is not installed: {SETUP}")
    return found


def build(
    export: exported.Export,
    engine: engine_lib.Engine,
    limits: Limits,
    web: pathlib.Path = WEB,
    hosts: Collection[str] = admission.LOOPBACK,
) -> fastapi.FastAPI:
    """The application on an opened export and the engine of its model, under these names; under
    any where none is given."""
    for suffix, kind in _TYPES.items():
        mimetypes.add_type(kind, suffix)
    app = fastapi.FastAPI(title="aslx", description=_ABOUT, docs_url=None, redoc_url=None)
    app.add_middleware(admission.Guard, hosts=hosts)
    app.add_middleware(Headers)  # Around the guard, too.
    requests = turns.Places(limits.waiting)
    open_streams = turns.Places(limits.streams)

    @app.get("/health", summary="Whether it answers, with which model, and how busy it is")
    async def health() -> Health:
        about = engine.about
        return Health(
            task=about.task,
            step=about.step,
            requests=requests.taken,
            streams=open_streams.taken,
            newer_export=export.replaced,
        )

    @app.websocket("/api/stream")
    async def stream(socket: fastapi.WebSocket) -> None:
        await streams.serve(socket, engine, limits, open_streams)

    api.add(app, engine, limits, requests)
    _model(app, export)
    try:
        _page(app, web, packages(web))
    except errors.BadInput as error:
        _no_page(app, str(error))
    return app


def _model(app: fastapi.FastAPI, export: exported.Export) -> None:
    """The export's files as they were opened, whatever stands in their folder now."""

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


def _page(app: fastapi.FastAPI, web: pathlib.Path, vendor: dict[str, pathlib.Path]) -> None:
    async def index(_: fastapi.Request) -> responses.Response:
        return responses.FileResponse(web / "index.html")

    async def docs(_: fastapi.Request) -> responses.Response:
        return responses.HTMLResponse(_DOCS)

    async def docs_start(_: fastapi.Request) -> responses.Response:
        return responses.Response(_DOCS_START, media_type="text/javascript")

    app.add_route("/", index, include_in_schema=False)
    app.add_route("/docs", docs, include_in_schema=False)
    app.add_route("/docs/start.js", docs_start, include_in_schema=False)
    for name, path in vendor.items():
        app.mount(f"/vendor/{name}", staticfiles.StaticFiles(directory=path))
    app.mount("/web", _Page(directory=web))


def _no_page(app: fastapi.FastAPI, why: str) -> None:
    async def missing(_: fastapi.Request) -> responses.Response:
        return responses.PlainTextResponse(f"{why}\n", status_code=503)

    for path in ("/", "/docs"):
        app.add_route(path, missing, include_in_schema=False)
