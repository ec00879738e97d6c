"""The command, and what it serves beside the API."""

import pathlib
import signal
import subprocess
import sys

import pytest
import requests

from aslx import errors, serve
from aslx.serving import app as app_lib
from aslx.serving import engine as engine_lib
from aslx.serving import limits
from tests.serving import servers
from tests.serving.test_streams import stream


@pytest.fixture(scope="module")
def web(tmp_path_factory) -> pathlib.Path:
    """A page and its packages."""
    web = tmp_path_factory.mktemp("web")
    files = {
        "index.html": "<!doctype html>",
        "page.js": "export {};",
        "package.json": '{"dependencies": {"@scope/wanted": "1"}}',
        "node_modules/@scope/wanted/wanted.wasm": "",
        "node_modules/unwanted/unwanted.js": "",
    }
    for name, text in files.items():
        (web / name).parent.mkdir(parents=True, exist_ok=True)
        (web / name).write_text(text)
    return web


def application(trained, web):
    export = trained.workdir / "export"
    about = engine_lib.About.read(export / "model.json")
    engine = engine_lib.Engine((export / "model.tflite").read_bytes(), about, 1)
    return app_lib.build(export, engine, limits.Limits(), web)


@pytest.fixture(scope="module")
def page(trained, web):
    with servers.running(application(trained, web)) as url:
        yield url


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html"),
        ("/web/page.js", "text/javascript"),
        ("/vendor/@scope/wanted/wanted.wasm", "application/wasm"),
        ("/model/model.json", "application/json"),
        ("/model/model.tflite", "application/octet-stream"),
        ("/health", "application/json"),
        ("/openapi.json", "application/json"),
        ("/docs", "text/html"),
        ("/docs/start.js", "text/javascript"),
    ],
)
def test_a_file_has_its_type_and_the_policy_that_lets_nothing_else_in(page, path, kind):
    response = requests.get(page + path, timeout=30)
    assert response.status_code == 200
    assert response.headers["Content-Type"].partition(";")[0] == kind
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self'; script-src 'self' 'wasm-unsafe-eval';")
    assert "http" not in policy and "unsafe-inline" not in policy
    assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/vendor/unwanted/unwanted.js",
        "/web/node_modules/unwanted/unwanted.js",
        "/web/../package.json",
        "/model/../config.json",
        "/model/%2e%2e/config.json",
        "/nothing",
    ],
)
def test_nothing_else_is_served(page, path):
    session = requests.Session()
    request = requests.Request("GET", page).prepare()
    request.url = page + path  # As it is: requests would resolve the dots.
    response = session.send(request, timeout=30)
    assert response.status_code == 404
    assert "Content-Security-Policy" in response.headers


def test_without_its_packages_the_page_names_the_command_and_the_api_works(trained, tmp_path, web):
    (tmp_path / "package.json").write_text((web / "package.json").read_text())
    with servers.running(application(trained, tmp_path)) as url:
        response = requests.get(url, timeout=30)
        assert response.status_code == 503 and "npm ci --prefix" in response.text
        answer = requests.post(f"{url}/api/transcribe", json={"frames": []}, timeout=30)
        assert answer.status_code == 200


def test_the_server_holds_no_jax_and_no_tensorflow():
    code = (
        "import sys, aslx.serve, aslx.serving.app\n"
        "heavy = {'jax', 'jaxlib', 'flax', 'tensorflow', 'pandas', 'matplotlib'}\n"
        "assert not heavy & {name.split('.')[0] for name in sys.modules}\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=servers.ROOT)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_nor_after_it_has_answered(server):
    requests.post(f"{server.http}/api/transcribe", json={"frames": []}, timeout=30)
    maps = pathlib.Path(f"/proc/{server.process.pid}/maps").read_text()
    assert "ai_edge_litert" in maps
    assert "jaxlib" not in maps and "/tensorflow/" not in maps


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_good_order_with_a_stream_open(trained, kind):
    with servers.serving(trained.workdir) as server, stream(server) as socket:
        server.process.send_signal(kind)
        assert server.process.wait(timeout=20) == 0
        with pytest.raises(Exception, match="1012"):  # The service restarts.
            socket.recv(timeout=10)


def refusal(*words: object) -> str:
    process = servers.start(*words)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 2 and not out, error
    (line,) = [line for line in error.splitlines() if line.startswith("error:")]
    return line


def test_a_directory_without_a_run_is_refused(tmp_path):
    assert f"error: {tmp_path} holds no run" in refusal(tmp_path)


def test_a_port_that_is_taken_is_refused(trained, server):
    port = server.http.rpartition(":")[2]
    assert f"cannot listen on 127.0.0.1:{port}" in refusal(trained.workdir, "--port", port)


@pytest.mark.parametrize("before", ["none", "float16"])
def test_a_run_that_was_not_exported_for_the_page_is_exported_first(tmp_path, monkeypatch, before):
    (tmp_path / "config.json").touch()
    export, commands = tmp_path / "export", []
    export.mkdir()
    if before != "none":
        (export / "model.json").write_text('{"step": 1}')
        (export / "report.json").write_text(f'{{"quantize": "{before}"}}')

    def run(command):
        commands.append(command)
        (export / "model.json").write_text('{"web": []}')
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(serve.subprocess, "run", run)
    assert serve.exported(tmp_path) == serve.exported(tmp_path) == export
    (command,) = commands  # Once.
    words = ["aslx.export", "--workdir", str(tmp_path), "--web", "--quantize", before]
    assert command[1:] == ["-m", *words, "--clips", "0"]


def test_a_run_that_cannot_be_exported_says_so(tmp_path, monkeypatch):
    (tmp_path / "config.json").touch()
    failed = subprocess.CompletedProcess([], 2)
    monkeypatch.setattr(serve.subprocess, "run", lambda command: failed)
    with pytest.raises(ValueError, match="ended with status 2"):
        serve.exported(tmp_path)


@pytest.mark.parametrize("name", ["model.json", "report.json"])
@pytest.mark.parametrize("text", ["", "[1]", '"web"'])
def test_what_says_what_was_exported_is_named_where_it_is_damaged(tmp_path, name, text):
    (tmp_path / "config.json").touch()
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / name).write_text(text)
    with pytest.raises(errors.BadInput, match=rf"export/{name} is damaged"):
        serve.exported(tmp_path)
