"""The package of the page's reader, in a page of somebody else: packed as npm packs it, and served
by a plain server of files."""

import functools
import http.server
import json
import pathlib
import re
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator

import pytest

import aslx
from aslx.export import exports
from tests import processes
from tests.web import conftest
from tests.web.conftest import WEB

READER = WEB / "reader"
EXAMPLE = processes.ROOT / "examples" / "web" / "index.html"


def npm(*words: str) -> str:
    if not shutil.which("npm"):
        pytest.skip("needs npm")
    done = subprocess.run(["npm", *words], cwd=READER, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> dict:
    """What npm says of the package; its `folder` has the file."""
    folder = tmp_path_factory.mktemp("packed")
    said = npm("pack", "--json", "--pack-destination", str(folder))
    (about,) = json.loads(said[said.index("[\n") :])
    return about | {"folder": folder}


@pytest.fixture(scope="module")
def installed(packed, tmp_path_factory) -> pathlib.Path:
    """A folder with the package and what it depends on, as npm installs them."""
    folder = tmp_path_factory.mktemp("page")
    scope = folder / "node_modules" / "@aslx"
    with tarfile.open(packed["folder"] / packed["filename"]) as tar:
        tar.extractall(scope, filter="data")
    (scope / "package").rename(scope / "reader")
    for name in json.loads((READER / "package.json").read_text())["dependencies"]:
        place = folder / "node_modules" / name
        place.parent.mkdir(exist_ok=True)
        place.symlink_to(WEB / "node_modules" / name)
    return folder


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def url(installed) -> Iterator[str]:
    """The example and the reader that aslx brings, served as files."""
    shutil.copy(EXAMPLE, installed)
    shutil.copytree(exports.READER, installed / "model")
    handler = functools.partial(Quiet, directory=str(installed))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.long
def test_the_example_reads_text_from_the_camera(filming, url, tmp_path):
    written = []
    with conftest.visit(filming, url, "#start", permissions=["camera"]) as page:
        page.on("console", lambda line: line.type == "log" and written.append(line.text))
        page.click("#start")
        page.wait_for_selector("#hand:text-is('a hand')", timeout=60_000)
        page.wait_for_selector("#text:not(:empty)", timeout=60_000)
        page.screenshot(path=tmp_path / "example.png")
        for _ in range(120):  # The hand rests: a phrase has ended, and its characters stay.
            page.wait_for_timeout(500)
            if written:
                break
        assert written
        characters = [line.rpartition(" ")[0] for line in written]
        assert page.inner_text("#text").startswith("".join(characters).rstrip())
        page.click("#stop")
        assert not page.evaluate("Boolean(document.getElementById('video').srcObject)")


def test_it_says_what_is_missing(browser, url):
    with conftest.visit(browser, url, "#start") as page:
        page.click("#start")
        page.wait_for_selector("#hand:has-text('No camera found. Plug one in and try again.')")
        script = """
          const { open, Problem } = await import("@aslx/reader");
          const said = async (...words) => {
            try { await (await open(...words)).ready; }
            catch (error) { return [error instanceof Problem, `${error.message}: ${error.help}`]; }
          };
          return [await said("nowhere"), await said("model", { packages: "other" })];
        """
        model, packages = conftest.ran(page, script)
    assert model[0] and model[1].startswith("There is no model: Export one with")
    assert packages[0] and f"npm installs them, in {url}/other/ (" in packages[1]


USE = """
import { open, Problem, type Reader } from "@aslx/reader";
const reader: Reader = await open("/model", { packages: "/vendor", threshold: 0.7 });
reader.addEventListener("text", ({ detail }) => detail.text.length + detail.settled);
reader.addEventListener("character", ({ detail }) => detail.text.length * detail.confidence);
reader.addEventListener("hands", ({ detail }) => detail.left?.length ?? detail.picture.width);
reader.addEventListener("error", ({ detail }) => detail instanceof Problem && detail.help.length);
// @ts-expect-error There is no such event.
reader.addEventListener("letter", () => {});
// @ts-expect-error An event has no such field.
reader.addEventListener("text", ({ detail }) => detail.letters);
await reader.start(document.createElement("video"));
reader.stop();
export {};
"""


def test_its_types_fit_those_who_use_it(installed):
    (installed / "use.ts").write_text(USE)
    options = "--noEmit --strict --target es2022 --module es2022 --moduleResolution bundler"
    words = [WEB / "node_modules/.bin/tsc", *options.split(), "--lib", "es2022,dom", "use.ts"]
    done = subprocess.run(words, cwd=installed, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_it_holds_what_it_needs_and_is_small(packed):
    names = {file["path"] for file in packed["files"]}
    modules = {p.relative_to(READER).as_posix() for p in READER.glob("*.js")}
    assert {"LICENSE", "README.md", "dist/model.js", "types/index.d.ts"} | modules <= names
    assert not [name for name in names if name.endswith((".ts", ".js")) and "test" in name]
    said = npm("run", "size")
    bundle = int(re.findall(r"(?m)^ *(\d+)$", said)[-1])
    print(f"\npacked {packed['size']} bytes, bundled {bundle} bytes")
    assert packed["size"] < 50_000 and bundle < 25_000


def test_it_has_the_version_of_aslx_and_the_page_has_its_packages():
    package = json.loads((READER / "package.json").read_text())
    page = json.loads((WEB / "package.json").read_text())
    assert package["version"] == aslx.__version__
    assert package["dependencies"].items() <= page["dependencies"].items()


def test_the_documentation_shows_the_example():
    text = EXAMPLE.read_text()
    assert f"```html\n{text}```" in (processes.ROOT / "docs" / "own-page.md").read_text()
    assert len(text.splitlines()) <= 25
