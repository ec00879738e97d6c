"""A headless Chromium, served models of each kind, and a film for its camera.

These tests are skipped, with a reason, without Chromium or the page's packages.
"""

import contextlib
import dataclasses
import io
import pathlib
import urllib.parse
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from aslx import config
from aslx.runs import trained_run
from aslx.tasks import classification
from tests import person, tiny_runs
from tests.serve import servers

WEB = servers.ROOT / "aslx" / "serve" / "web"
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
    if not (WEB / "reader" / "dist" / "model.js").exists():
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
    """A browser without a camera."""
    with contextlib.closing(launch(playwright)) as browser:
        yield browser


@pytest.fixture(scope="session")
def film(tmp_path_factory) -> pathlib.Path:
    """A drawn person who rests, spells, and rests: a camera repeats it. The film is slow, because
    two cores find the landmarks of only a few frames per second."""
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
def visit(browser: Any, url: str, ready: str = "body[data-ready]", **options: Any) -> Iterator[Any]:
    """A page in a context of its own, which is there once the selector `ready` finds something: the
    page of aslx has loaded its model then. At the end it must have asked no host but 127.0.0.1,
    thrown nothing, and violated no policy."""
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
        page.wait_for_selector(ready)
        yield page
        assert not wrong
    hosts = {urllib.parse.urlsplit(url).hostname for url in asked if not url.startswith("blob:")}
    assert hosts == {"127.0.0.1"} and len(asked) > 10


def read(page: Any, file: pathlib.Path, seconds: float = 30) -> None:
    """Opens a file in the page, and waits until it is read; fails if the page refuses the file."""
    page.set_input_files("#file", str(file))
    page.wait_for_selector(f"#files-title:text-is('{file.name}')")
    wrong = page.locator("#card.problem:visible")
    page.locator("#results[data-whole]:visible").or_(wrong).wait_for(timeout=seconds * 1000)
    assert not wrong.count(), wrong.inner_text()


def filmed(
    path: pathlib.Path, pictures: list[np.ndarray], known: bool = True, rate: int = 30
) -> None:
    """Writes VP8 in WebM. A film that a browser records does not have a `known` length."""
    with av.open(str(path), "w", options={} if known else {"live": "1"}) as out:
        stream = out.add_stream("libvpx", rate=rate)
        stream.height, stream.width = pictures[0].shape[:2]
        for picture in pictures:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())


@pytest.fixture(scope="session")
def run(learned) -> trained_run.Run:
    """A transcriber with a decoder, which writes a text for any clip, also an unfamiliar one."""
    return learned("decoder")


@pytest.fixture(scope="session")
def transcriber(run) -> Iterator[str]:
    with servers.serving(pathlib.Path(run.workdir)) as server:
        yield server.http


@contextlib.contextmanager
def untrained(name: str, out: pathlib.Path, *options: str, frames=()) -> Iterator[tuple]:
    """An untrained model of a config is served: the config, the export, and the address."""
    cfg = config.load(servers.ROOT / "configs" / f"{name}.py", options)
    assert isinstance(cfg.task, classification.Task)
    names = tuple("abcdefgh"[: cfg.task.classes])
    task = dataclasses.replace(cfg.task, classes=len(names), names=names)
    cfg = dataclasses.replace(cfg, task=task)
    tiny_runs.exported(cfg, tiny_runs.network(cfg), 0, out / "export", frames)
    with servers.serving(out) as server:
        yield cfg, out / "export", server.http


def ran(page: Any, script: str, given: Any = None) -> Any:
    """The value that a script returns; it may use `given`."""
    return page.evaluate(f"async (given) => {{ {script} }}", given)


def floats(page: Any, script: str, given: Any) -> np.ndarray:
    """The Float32Array that a script returns, bit for bit: NaN does not survive JSON."""
    run = f"const run = async () => {{ {script} }};"
    bits = ran(page, f"{run} return Array.from(new Uint32Array((await run()).buffer));", given)
    return np.array(bits, np.uint32).view(np.float32)
