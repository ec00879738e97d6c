"""The command, and the page and files that it serves."""

import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys

import pytest
import requests

from aslx import errors
from aslx.export import exported, exports
from aslx.serve import app as app_lib
from aslx.serve import fresh, limits
from aslx.serve import interpreter_pool as engine_lib
from tests.serve import servers
from tests.serve.test_streams import stream


def application(workdir: pathlib.Path, web: pathlib.Path = app_lib.WEB):
    export = exported.open_export(workdir / "export")
    return app_lib.build(export, engine_lib.Engine(export, 1), limits.Limits(), web)


@pytest.fixture(scope="module")
def page(trained, web):
    with servers.running(application(trained.workdir, web)) as url:
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
    ],
)
def test_a_file_has_its_type_and_a_policy_against_other_hosts(page, path, kind):
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


@pytest.mark.parametrize("name", ["index.html", "docs.html"])
def test_a_page_names_an_icon_that_is_there(name):
    (icon,) = re.findall('rel="icon" href="/web/([^"]+)"', (app_lib.WEB / name).read_text())
    assert (app_lib.WEB / icon).is_file()


def test_without_its_packages_the_page_names_the_command_and_the_api_works(trained, tmp_path, web):
    (tmp_path / "package.json").write_text((web / "package.json").read_text())
    with servers.running(application(trained.workdir, tmp_path)) as url:
        response = requests.get(url, timeout=30)
        assert response.status_code == 503 and "npm ci --prefix" in response.text
        answer = requests.post(f"{url}/api/transcribe", json={"frames": []}, timeout=30)
        assert answer.status_code == 200


def test_the_server_holds_no_jax_and_no_tensorflow():
    code = (
        "import sys, aslx.serve, aslx.serve.app\n"
        "heavy = {'jax', 'jaxlib', 'flax', 'tensorflow', 'pandas', 'matplotlib'}\n"
        "assert not heavy & {name.split('.')[0] for name in sys.modules}\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=servers.ROOT)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_server_holds_neither_after_an_answer(server):
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


def refusal(workdir: object, *words: object) -> str:
    process, _, _ = servers.start(workdir, *words)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 2 and not out, error
    (line,) = [line for line in error.splitlines() if line.startswith("error:")]
    return line


def test_a_directory_without_a_run_is_refused(tmp_path):
    assert f"error: {tmp_path} holds no run" in refusal(tmp_path)


def test_files_of_two_exports_are_refused_in_one_line(trained, tmp_path):
    shutil.copytree(trained.workdir / "export", tmp_path / "export")
    (tmp_path / "export" / "model.tflite").write_bytes(b"of another export")
    assert "is not the file that model.json describes: export again" in refusal(tmp_path)


def test_the_first_line_has_the_step_and_the_score(trained, server):
    assert f"serving step {trained.run.step} of {trained.workdir} (score 0.5000 on " in server.line


def test_a_port_that_is_taken_is_refused(trained, server):
    port = server.http.rpartition(":")[2]
    assert f"cannot listen on 127.0.0.1:{port}" in refusal(trained.workdir, "--port", port)


def test_the_port_is_checked_before_the_export(tmp_path, server):
    port = server.http.rpartition(":")[2]
    assert f"cannot listen on 127.0.0.1:{port}" in refusal(tmp_path, "--port", port)
    assert "--port 70000 is no port" in refusal(tmp_path, "--port", 70000)


def test_a_new_export_does_not_change_what_is_served(trained, web, tmp_path):
    shutil.copytree(trained.workdir / "export", tmp_path / "export")
    names = ("model.json", "model.tflite", "fixed/64.tflite")
    with servers.running(application(tmp_path, web)) as url:

        def served() -> list[bytes]:
            return [requests.get(f"{url}/model/{name}", timeout=30).content for name in names]

        before = served()
        assert before == [(tmp_path / "export" / name).read_bytes() for name in names]
        assert not requests.get(f"{url}/health", timeout=30).json()["newer_export"]
        exports.write(tmp_path / "export", {"step": 9}, {}, {"model.tflite": b"another"})
        assert served() == before
        assert requests.get(f"{url}/health", timeout=30).json()["newer_export"]
        tag = requests.get(f"{url}/model/model.tflite", timeout=30).headers["ETag"]
        again = requests.get(f"{url}/model/model.tflite", headers={"If-None-Match": tag})
        assert again.status_code == 304 and not again.content
        assert requests.head(f"{url}/model/model.tflite").headers["Content-Length"]


def saved(workdir: pathlib.Path, step: int, score: float) -> None:
    """Writes the part of a checkpoint that a server reads."""
    metrics = workdir / "checkpoints" / str(step) / "metrics"
    metrics.mkdir(parents=True)
    (metrics / "metrics").write_text(json.dumps({"score": score}))


class Exporter:
    """Replaces `python -m aslx.export`, and records its arguments."""

    def __init__(self, status: int = 0):
        self.calls: list[list[str]] = []
        self._status = status

    def __call__(self, command: list[str]) -> subprocess.CompletedProcess:
        self.calls.append(command[1:])
        if not self._status:
            folder = pathlib.Path(command[command.index("--workdir") + 1]) / "export"
            made = {"quantize": command[command.index("--quantize") + 1]}
            exports.write(folder, {"step": 9, "web": []}, {"made": made}, {})
        return subprocess.CompletedProcess(command, self._status)


@pytest.fixture
def exporter(monkeypatch, tmp_path) -> Exporter:
    (tmp_path / "config.json").touch()
    monkeypatch.setattr(fresh.subprocess, "run", exporter := Exporter())
    return exporter


def words(workdir: pathlib.Path, *more: str) -> list[str]:
    return ["-m", "aslx.export", "--workdir", str(workdir), "--web", "--clips", "0", *more]


def test_a_run_that_was_not_exported_is_exported_once(tmp_path, exporter):
    for _ in range(2):
        assert fresh.folder(tmp_path, False) == tmp_path / "export"
    assert exporter.calls == [words(tmp_path, "--quantize", "none", "--average", "0")]


def test_a_run_that_was_not_exported_for_the_page_is_exported_as_it_was(tmp_path, exporter):
    options = {"beams": 4, "ctc": True, "fallback": "--x"}
    made = {"quantize": "int8", "average": 2, "ensemble": ["a", "b"], "options": options}
    exports.write(tmp_path / "export", {"step": 1}, {"made": made}, {})
    fresh.folder(tmp_path, False)
    assert exporter.calls == [
        words(
            tmp_path,
            *("--quantize", "int8", "--average", "2", "--ensemble", "a", "b"),
            *("--ctc", "--beams=4", "--fallback=--x"),
        )
    ]


def test_a_better_checkpoint_is_reported_and_reload_exports_it(tmp_path, exporter, capsys):
    def told(reload: bool = False) -> str:
        fresh.folder(tmp_path, reload)
        return capsys.readouterr().err

    saved(tmp_path, 3, 0.5)
    exports.write(tmp_path / "export", {"step": 3, "web": []}, {"made": {}}, {})
    saved(tmp_path, 6, 0.4)
    (tmp_path / "checkpoints" / "12.orbax-checkpoint-tmp").mkdir()
    saved(tmp_path, 8, float("nan"))
    assert not told() and not told(reload=True) and not exporter.calls
    saved(tmp_path, 9, 0.6)
    (line,) = told().splitlines()
    assert "step 3 (score 0.5000), and the run has the better step 9 (score 0.6000)" in line
    assert f"python -m aslx.serve --workdir {tmp_path} --reload" in line and not exporter.calls
    told(reload=True)
    assert exporter.calls == [words(tmp_path, "--quantize", "none", "--average", "0")]
    assert not told()


def test_a_mean_of_checkpoints_is_old_if_there_is_a_newer_one(tmp_path, exporter, capsys):
    saved(tmp_path, 3, 0.5)
    made = {"average": 2}
    exports.write(tmp_path / "export", {"step": 6, "web": []}, {"made": made}, {})
    fresh.folder(tmp_path, False)
    assert not capsys.readouterr().err
    saved(tmp_path, 9, 0.4)
    fresh.folder(tmp_path, False)
    assert "holds step 6, and the run has step 9" in capsys.readouterr().err and not exporter.calls


def test_a_run_that_cannot_be_exported_says_so(tmp_path, monkeypatch, exporter):
    monkeypatch.setattr(fresh.subprocess, "run", Exporter(2))
    with pytest.raises(errors.BadInput, match="ended with status 2"):
        fresh.folder(tmp_path, False)


@pytest.mark.parametrize(
    "made",
    [
        {"quantize": "--out=/etc"},
        {"ensemble": ["--out=/etc"]},
        {"options": {"beams": "4 --out /etc"}},
        {"out": "/etc"},
    ],
)
def test_a_strangers_report_adds_no_arguments(tmp_path, exporter, made):
    exports.write(tmp_path / "export", {"step": 1}, {"made": made}, {})
    with pytest.raises(errors.BadInput, match=f"{exports.REPORT} is not what aslx.export writes"):
        fresh.folder(tmp_path, False)
    assert not exporter.calls


@pytest.mark.parametrize("name", ["model.json", "report.json"])
@pytest.mark.parametrize("text", ["", "[1]", '"web"'])
def test_a_damaged_file_of_an_export_is_named(tmp_path, name, text):
    exports.write(tmp_path / "export", {"step": 1}, {"made": {}}, {})
    (tmp_path / "export" / name).write_text(text)
    with pytest.raises(errors.BadInput, match=rf"export/{name} is damaged"):
        fresh.folder(tmp_path, False)
