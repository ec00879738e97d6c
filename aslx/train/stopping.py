"""Ctrl-C or SIGTERM ends a training after it has saved.

The first signal ends a training at once if there was no step yet, because there is nothing to save;
otherwise the training ends after the current step. A second Ctrl-C ends it at once. A repeated
SIGTERM of a process manager changes nothing, nor does a Ctrl-C that a wrapper passes on after the
terminal has sent it to every process.
"""

import os
import signal
import socket
import sys
import threading
import time

_SIGNALS = signal.SIGINT, signal.SIGTERM
_SAME = 0.5  # Seconds within which a second Ctrl-C is the first, passed on by a wrapper.


class Signals:
    """Listens from its construction to its exit. Called after each step, it says whether to end.

    A thread answers the signals, so that the main thread can be anywhere, in a compiler too.
    """

    def __init__(self) -> None:
        self.told: int | None = None
        self._since = 0.0
        self._stepping = False
        self._hosts = 1
        self._here, there = socket.socketpair()
        self._here.setblocking(False)
        self._writes = signal.set_wakeup_fd(self._here.fileno(), warn_on_full_buffer=False)
        self._old = {each: signal.signal(each, lambda *_: None) for each in _SIGNALS}
        threading.Thread(target=self._listen, args=(there,), daemon=True).start()

    @property
    def status(self) -> int:
        """The exit status of a training that was told to end, as a shell reports it."""
        return 128 + (self.told or signal.SIGTERM)

    def __call__(self, step: int) -> bool:
        """True on every host after the same step, once any host got a signal."""
        import jax
        from jax.experimental import multihost_utils

        self._stepping, self._hosts = True, jax.process_count()
        if self._hosts > 1:
            return multihost_utils.reached_preemption_sync_point(step)
        return self.told is not None

    def _listen(self, there: socket.socket) -> None:
        with there:
            while number := there.recv(1):
                self._answer(number[0])

    def _answer(self, number: int) -> None:
        now, name = time.monotonic(), "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
        if not self._stepping:
            _exit(number, f"error: {name} before the first step: there is nothing to save")
        if self.told is None:
            self.told, self._since = number, now
            _say(f"{name}: ending after this step, with all saved; Ctrl-C again: at once")
            if self._hosts > 1 and number == signal.SIGINT:
                os.kill(os.getpid(), signal.SIGTERM)  # JAX passes that on to the other hosts.
        elif number == signal.SIGINT and now > self._since + _SAME:
            _exit(number, "error: Ctrl-C again: ended at once; steps since the last save are lost")

    def __enter__(self) -> "Signals":
        return self

    def __exit__(self, *_) -> None:
        for each, handler in self._old.items():
            signal.signal(each, handler)
        signal.set_wakeup_fd(self._writes)
        self._here.close()


def _exit(number: int, text: str) -> None:
    _say(text)
    os._exit(128 + number)  # A thread cannot make the main one unwind.


def _say(text: str) -> None:
    """A line on stderr, below a bar that may stand there."""
    sys.stderr.write(f"\n{text}\n" if sys.stderr.isatty() else f"{text}\n")
    sys.stderr.flush()
