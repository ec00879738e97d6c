"""A headless Chromium, served models of each kind, and a film for its camera.

Where there is no Chromium, or the page's packages are not installed, these tests skip and say so.
"""

import contextlib
import io
import pathlib
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from aslx import config
from aslx.runs import trained_run
from tests import person, tiny_runs

ROOT = pathlib.Path(__file__).parent.parent.parent
WEB = ROOT / "aslx" / "serve" / "web"
CHROMIUM = pathlib.Path("/usr/bin/chromium")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session", autouse=True)
def installed() -> None:
    if not CHROMIUM.exists():
        pytest.skip(f"needs {CHROMIUM}: apt-get install chromium")
    if not (WEB / "dist" / "reader.js").exists():
        pytest.skip("needs the page's packages: make web")


@pytest.fixture(scope="session")
def playwright() -> Iterator[Any]:
    from playwright import sync_api

    with sync_api.sync_playwright() as p:
        yield p


def launch(playwright: Any, *flags: str) -> Any:
    return playwright.chromium.launch(executable_path=str(CHROMIUM), args=[*FLAGS, *flags])


@pytest.fixture(scope="session")
def browser(playwright) -> Iterator[Any]:
    """It has no camera."""
    with contextlib.closing(launch(playwright)) as browser:
        yield browser


@pytest.fixture(scope="session")
def film(tmp_path_factory) -> pathlib.Path:
    """A drawn person who rests, spells, and rests, as a camera plays it over and over. Slowly: two
    cores find the landmarks of some frames a second."""
    spelled = person.spelling_film("hello", 3)
    frames = [spelled[0]] * 60 + [frame for frame in spelled for _ in range(4)]
    path = tmp_path_factory.mktemp("film") / "film.mjpeg"
    with open(path, "wb") as f:
        for frame in frames:
            jpeg = io.BytesIO()
            Image.fromarray(frame).save(jpeg, "jpeg", quality=90)
            f.write(jpeg.getvalue())
    return path


@pytest.fixture(scope="session")
def filming(playwright, film) -> Iterator[Any]:
    """A browser whose camera plays the film."""
    fake = ("--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={film}")
    with contextlib.closing(launch(playwright, *fake)) as browser:
        yield browser


@contextlib.contextmanager
def visit(browser: Any, url: str, **options: Any) -> Iterator[Any]:
    """A page in a context of its own. Whatever it asks for, it asks 127.0.0.1; it throws nothing,
    and its policy refuses nothing."""
    options = {"viewport": {"width": 1360, "height": 850}, **options}
    with contextlib.closing(browser.new_context(**options)) as context:
        asked, wrong = [], []
        context.on("request", lambda request: asked.append(request.url))
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "console",
            lambda line: "Content Security Policy" in line.text and wrong.append(line.text),
        )
        page.goto(url)
        yield page
        assert not wrong
    hosts = {urllib.parse.urlsplit(url).hostname for url in asked if not url.startswith("blob:")}
    assert hosts == {"127.0.0.1"} and len(asked) > 10


def wait_until_read(page: Any, seconds: float = 30) -> None:
    """The file that was opened; a page that says why it cannot be is not waited for."""
    wrong = page.locator("#card.problem:visible")
    page.locator("#results[data-whole]:visible").or_(wrong).wait_for(timeout=seconds * 1000)
    assert not wrong.count(), wrong.inner_text()


def filmed(
    path: pathlib.Path, pictures: list[np.ndarray], known: bool = True, rate: int = 30
) -> None:
    """VP8 in WebM; as a browser records, its length is not `known`."""
    with av.open(str(path), "w", options={} if known else {"live": "1"}) as out:
        stream = out.add_stream("libvpx", rate=rate)
        stream.height, stream.width = pictures[0].shape[:2]
        for picture in pictures:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())


@contextlib.contextmanager
def served(workdir: pathlib.Path) -> Iterator[str]:
    """The real command, on a port of its own."""
    words = [sys.executable, "-m", "aslx.serve", "--workdir", str(workdir), "--port", "0"]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            assert "http://127.0.0.1:" in line, line
            yield line.split()[-1]
        finally:
            process.terminate()
            process.communicate()


@pytest.fixture(scope="session")
def run(learned) -> trained_run.Run:
    """A transcriber with a decoder, which writes something of any clip, be it none that it has
    learned."""
    return learned("decoder")


@pytest.fixture(scope="session")
def transcriber(run) -> Iterator[str]:
    with served(pathlib.Path(run.workdir)) as url:
        yield url


@contextlib.contextmanager
def untrained(name: str, out: pathlib.Path, *options: str, frames=()) -> Iterator[tuple]:
    """Its config, its files, and where a model of chance is served: it is as hard to get right."""
    cfg = config.load(ROOT / "configs" / f"{name}.py", options)
    names = tuple("abcdefgh"[: cfg.task.classes])
    task = type(cfg.task)(classes=len(names), names=names)
    cfg = type(cfg)(**{**vars(cfg), "task": task})
    tiny_runs.exported(cfg, tiny_runs.network(cfg), 0, out / "export", frames)
    with served(out) as url:
        yield cfg, out / "export", url


def floats(page: Any, script: str, given: Any) -> np.ndarray:
    """A script's array, bit for bit: NaN does not survive JSON."""
    code = f"async (given) => {{ {script} }}"
    wrapped = f"async (given) => Array.from(new Uint32Array((await ({code})(given)).buffer))"
    return np.array(page.evaluate(wrapped, given), np.uint32).view(np.float32)
