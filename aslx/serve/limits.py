"""How much of the machine strangers may have."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """What is refused, clearly, rather than served slowly."""

    body: int = 8 * 2**20
    """Bytes of a request."""
    bodies: int = 64
    """On their way at a time, eight of them whole; one more ends the oldest with 408."""
    frames: int = 2000
    """Of a clip. Features take time and memory that grow with its square; Kaggle's longest: 807."""
    waiting: int = 32
    """Requests in work or waiting for it; one more is answered 503."""
    streams: int = 200
    """Open at a time; one more is closed with 1013."""
    frames_per_second: int = 120
    """That a stream may send, over ten seconds; one that sends more is closed with 1008."""
