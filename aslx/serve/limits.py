"""How much of the machine strangers may use."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits above which the server refuses a request instead of becoming slow."""

    body: int = 8 * 2**20
    """Bytes of a request."""
    bodies: int = 64
    """Requests whose body is arriving, with the bytes of eight full bodies; one more ends the
    oldest with 408."""
    frames: int = 2000
    """Frames of a clip: time and memory grow with their square. Kaggle's longest clip has 807."""
    waiting: int = 32
    """Requests in work or waiting; one more is answered 503."""
    streams: int = 200
    """Open streams; one more is closed with 1013."""
    frames_per_second: int = 120
    """Frames per second of a stream, over ten seconds; a stream that sends more is closed with
    1008."""
