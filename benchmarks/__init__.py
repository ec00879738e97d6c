"""Measurements: each command measures one thing and prints one JSON object a line."""

import sys
from typing import NoReturn


def no_command(user: str) -> NoReturn:
    """Ends a module that is no command, after a line that names a benchmark that uses it."""
    print(f"not a command: python -m benchmarks.{user} uses it", file=sys.stderr)
    sys.exit(2)
