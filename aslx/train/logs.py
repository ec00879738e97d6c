"""What a run writes for people: metrics.jsonl, TensorBoard events, plots, samples, a bar; and what
a tracker of experiments gets of it."""

import contextlib
import json
import logging
import time
from collections.abc import Iterator, Sequence

import jax
import tensorboardX
import tqdm

from aslx.runs import tracking
from aslx.storage import files

log = logging.getLogger("aslx")

_DRAW_EVERY = 20.0  # Seconds.


class Clock:
    """Wall seconds by what they were spent on."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._start = time.perf_counter()

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def report(self) -> str:
        """Where the time went; goodput is the share of it spent in steps after compilation, where
        there was one."""
        wall = time.perf_counter() - self._start
        shares = ", ".join(f"{k} {v:.1f} s" for k, v in sorted(self.seconds.items()))
        steps = self.seconds.get("step", 0.0)
        goodput = f"; goodput {steps / wall:.0%}" if steps else ""
        return f"{wall:.1f} s: {shares}{goodput}"


class Log:
    """Writes below a run's directory; on process 0 alone.

    Beginning at a step forgets the lines that lie after it: those steps are run again.
    """

    def __init__(
        self,
        workdir: files.Path,
        *,
        start: int,
        steps: int,
        tracker: tracking.Tracker | None = None,
    ):
        self._enabled, self._workdir = jax.process_index() == 0, workdir
        self._tracker = tracker
        self._path = workdir / "metrics.jsonl"
        self._drawn = float("-inf")
        self._bar = tqdm.tqdm(
            total=steps, initial=start, unit="step", disable=not self._enabled, smoothing=0.1
        )
        self._closing = contextlib.ExitStack()
        self.begin(start)

    def begin(self, start: int) -> None:
        """The next step is the one after `start`."""
        self._bar.n = start
        self._bar.refresh()
        if not self._enabled:
            return
        kept = [line for line in read(self._path) if line["step"] <= start]
        files.write(self._path, "".join(json.dumps(line) + "\n" for line in kept))
        self._closing.close()
        self._events = tensorboardX.SummaryWriter(str(self._workdir / "events"), purge_step=start)
        self._closing.callback(self._events.close)

    def step(self, text: str | None) -> None:
        """Moves the bar by a step, and changes the text beside it."""
        self._bar.update()
        if text is not None:
            self._bar.set_postfix_str(text, refresh=False)

    def write(self, step: int, values: dict) -> None:
        if not self._enabled:
            return
        files.append(self._path, json.dumps({"step": step} | values) + "\n")
        for name, value in values.items():
            if isinstance(value, int | float):
                self._events.add_scalar(name, value, step)
        if self._tracker:
            self._tracker.scalars(step, values)

    def say(self, text: str) -> None:
        """A line above the bar."""
        if self._enabled:
            tqdm.tqdm.write(text)

    def samples(self, step: int, targets: Sequence[str], predictions: Sequence[str]) -> None:
        """A table of targets beside predictions."""
        if not self._enabled:
            return
        width = max(map(len, [*targets, "target"]))
        rows = [f"{t:<{width}}  {p}" for t, p in zip(targets, predictions, strict=True)]
        table = "\n".join([f"step {step}", f"{'target':<{width}}  prediction", *rows])
        self.say(table)
        files.append(self._workdir / "samples.txt", table + "\n\n")
        if self._tracker:
            self._tracker.samples(step, table)

    def sync(self) -> None:
        """Returns once what was written survives a power cut."""
        if not self._enabled or files.in_bucket(self._workdir):
            return
        for path in (self._path, self._workdir / "samples.txt", self._workdir):
            if files.exists(path):
                files.sync(path)

    def draw(self) -> None:
        """The curves, unless they were drawn a moment ago: they take as long as a short epoch."""
        if self._enabled and time.monotonic() > self._drawn + _DRAW_EVERY:
            from aslx.figures import plots  # Matplotlib need not keep the first step waiting.

            lines = read(self._path)
            plots.curves(lines, self._workdir / "plots")
            if self._tracker and lines:
                self._tracker.figures(lines[-1]["step"], self._workdir / "plots")
            self._drawn = time.monotonic()

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_) -> None:
        self._bar.close()
        self.sync()
        self._drawn = float("-inf")
        self.draw()
        self._closing.close()


def read(path: files.Path) -> list[dict]:
    """The lines of a metrics.jsonl; one that a kill cut short is left out, and one that a disk
    damaged is named."""
    if not files.exists(path):
        return []
    found = []
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], 1):
        values = _values(line)
        if values is None:
            log.warning("%s line %d is damaged, leaving it out", path, number)
        else:
            found.append(values)
    return found


def _values(line: bytes) -> dict | None:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) and type(values.get("step")) is int else None


def last_scores(workdir: files.Path) -> dict[str, float]:
    """The scores of the last evaluation in a run's metrics.jsonl; none: empty."""
    scored = [line for line in read(workdir / "metrics.jsonl") if "score" in line]
    return {k: v for k, v in scored[-1].items() if k != "step"} if scored else {}
