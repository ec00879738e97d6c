"""A stand-in for the hub of models: the part of its HTTP API that pushing and pulling use, on this
machine. Repositories are kept in memory."""

import base64
import contextlib
import hashlib
import http.server
import json
import re
import threading
import urllib.parse
from collections.abc import Iterator

TOKEN = "hf_of_a_test"


class Hub(http.server.ThreadingHTTPServer):
    """`commits`: of each model the files of every commit; `broken`: the status that every request
    is answered with, or 0; `asked`: the method and path of each request."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.commits: dict[str, list[dict[str, bytes]]] = {}
        self.large: dict[str, bytes] = {}
        self.private: set[str] = set()
        self.broken = 0
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def files(self, name: str) -> dict[str, bytes]:
        return self.commits[name][-1]


@contextlib.contextmanager
def serving() -> Iterator[Hub]:
    with Hub() as hub:
        thread = threading.Thread(target=hub.serve_forever)
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub  # pyright: ignore[reportIncompatibleVariableOverride]

    def log_message(self, format, *args):
        pass

    def do_GET(self):
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

    def _answer(self) -> None:
        path = urllib.parse.unquote(self.path.partition("?")[0])
        self.server.asked.append(f"{self.command} {path}")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        allowed = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if self.server.broken:
            self._json({"error": "of the test"}, self.server.broken)
        elif path.startswith("/lfs/"):
            self.server.large[path.removeprefix("/lfs/")] = body
            self._json({})
        elif self.command == "POST":
            if not allowed:
                self._json({"error": "Invalid username or password."}, 401)
            else:
                self._post(path, body)
        else:
            self._get(path, allowed)

    def _post(self, path: str, body: bytes) -> None:
        commits = self.server.commits
        if path == "/api/repos/create":
            form = json.loads(body)
            name = f"{form['organization']}/{form['name']}" if form.get("organization") else ""
            name = name or f"me/{form['name']}"
            if form.get("private") or form.get("visibility") == "private":
                self.server.private.add(name)
            if name in commits:
                self._json({"error": "exists", "url": f"{self.server.url}/{name}"}, 409)
            else:
                commits[name] = [{}]
                self._json({"url": f"{self.server.url}/{name}", "name": name})
        elif path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/\w+", path):
            given = json.loads(body)["files"]
            modes = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                }
                for file in given
            ]
            self._json({"files": modes})
        elif re.fullmatch(r"/[^/]+/[^/]+\.git/info/lfs/objects/batch", path):
            objects = [
                {
                    "oid": one["oid"],
                    "size": one["size"],
                    "actions": {"upload": {"href": f"{self.server.url}/lfs/{one['oid']}"}},
                }
                for one in json.loads(body)["objects"]
            ]
            self._json({"transfer": "basic", "objects": objects})
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/\w+", path):
            tree = dict(commits[found[1]][-1])
            for line in map(json.loads, body.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    tree[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    tree[value["path"]] = self.server.large[value["oid"]]
                elif line["key"] == "deletedFile":
                    del tree[value["path"]]
            commits[found[1]].append(tree)
            oid = _oid(len(commits[found[1]]) - 1)
            url = f"{self.server.url}/{found[1]}/commit/{oid}"
            self._json({"success": True, "commitOid": oid, "commitUrl": url})
        else:
            self._json({"error": f"no {path}"}, 404)

    def _get(self, path: str, allowed: bool) -> None:
        found = re.fullmatch(r"/api/models/([^/]+/[^/]+?)(?:/(revision|tree)/([^/]+))?", path)
        found = found or re.fullmatch(r"/([^/]+/[^/]+)/(resolve)/([^/]+)/(.+)", path)
        name = found[1] if found else ""
        if not found or name not in self.server.commits:
            self._json({"error": "not found"}, 404, {"X-Error-Code": "RepoNotFound"})
            return
        if name in self.server.private and not allowed:
            self._json({"error": "Invalid username or password."}, 401)
            return
        commits = self.server.commits[name]
        oids = [_oid(i) for i in range(len(commits))]
        oid = oids[-1] if found[3] in (None, "main") else found[3]
        if oid not in oids:
            self._json({"error": "revision"}, 404, {"X-Error-Code": "RevisionNotFound"})
            return
        tree = commits[oids.index(oid)]
        if found[2] == "resolve":
            if found[4] not in tree:
                self._json({"error": "entry"}, 404, {"X-Error-Code": "EntryNotFound"})
            else:
                etag = f'"{hashlib.sha256(tree[found[4]]).hexdigest()}"'
                self._send(tree[found[4]], 200, {"ETag": etag, "X-Repo-Commit": oid})
        elif found[2] == "tree":
            self._json([{"type": "file", "path": p, "size": len(d), "oid": "0" * 40}
                        for p, d in tree.items()])  # fmt: skip
        else:
            siblings = [{"rfilename": p, "size": len(d)} for p, d in tree.items()]
            self._json({"id": name, "modelId": name, "sha": oid, "siblings": siblings})

    def _json(
        self, value: object, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        headers = (headers or {}) | {"Content-Type": "application/json"}
        self._send(json.dumps(value).encode(), status, headers)

    def _send(self, data: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(data))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _oid(number: int) -> str:
    return f"{number + 1:040x}"
