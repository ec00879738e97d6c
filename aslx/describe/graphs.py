"""What the host launches of a program for GPUs: kernels one by one, and whole CUDA graphs."""

import collections
import pathlib
import re

from aslx import errors

_LISTED = "*thunk_sequence_after_thunk_passes.txt"
_LINE = re.compile(r"^(\s*)\d+: (k\w+)")
# Launch nothing by themselves.
_FREE = {"kSequential", "kConditional", "kWhile", "kAsyncDone", "kWaitForStreams"}


def dumped_to(folder: str) -> dict[str, str | bool]:
    """The compiler's options with which it writes what is launched into a folder."""
    return {"xla_dump_to": folder, "xla_dump_hlo_as_text": True}


def launches(folder: str) -> dict[str, int]:
    """`launches`, what the host starts in a step, a loop's body once; and `in_graphs`, what CUDA
    graphs start by themselves."""
    listed = sorted(pathlib.Path(folder).glob(_LISTED))
    if not listed:
        raise errors.Unavailable("the compiler has not said what the host launches")
    outside, inside = counted(listed[-1].read_text())
    return {"launches": sum(outside.values()), "in_graphs": sum(inside.values())}


def counted(text: str) -> tuple[collections.Counter[str], collections.Counter[str]]:
    """The kinds of what is launched outside of graphs (each graph is one) and inside of them."""
    outside: collections.Counter[str] = collections.Counter()
    inside: collections.Counter[str] = collections.Counter()
    graph: int | None = None
    for line in text.splitlines():
        found = _LINE.match(line)
        if found is None:
            continue
        indent, kind = len(found[1]), found[2]
        if graph is not None and indent <= graph:
            graph = None
        if kind not in _FREE:
            (outside if graph is None else inside)[kind] += 1
        if kind == "kCommandBuffer" and graph is None:
            graph = indent
    return outside, inside
