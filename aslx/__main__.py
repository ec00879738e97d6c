"""The command `aslx`: `aslx train ...` is the same as `python -m aslx.train ...`."""

import difflib
import runpy
import sys

import aslx

COMMANDS = {
    "prepare": "make a data set from files, videos or nothing",
    "describe": "print a config's layers, parameters and FLOPs",
    "compile": "price a config's programs on accelerators that need not be there",
    "train": "train a model from a config, or resume a run",
    "sweep": "train a config with many values, to find the best",
    "evaluate": "score a run on a split",
    "export": "write a run as TensorFlow Lite, and as a submission",
    "label": "read clips that have no labels into a csv",
    "predict": "read files or videos",
    "push": "share a run on the Hugging Face Hub",
    "serve": "serve a web page for the camera, and an API",
    "setup": "fetch what reads videos, once",
}
# Commands whose module lies in another room.
_HOMES = {
    "compile": "describe.compile",
    "push": "export.push",
    "setup": "readers.setup",
    "sweep": "train.sweep",
}


def main(program: str = "aslx") -> None:
    """Runs the command that the first argument names; `program` is how this one was started."""
    word, *words = sys.argv[1:] or ["--help"]
    if word in COMMANDS:
        sys.argv[1:] = words
        # `cli.run` takes the name for the command's usage from here.
        module = f"aslx.{_HOMES.get(word, word)}"
        runpy.run_module(module, {"PROGRAM": f"{program} {word}"}, "__main__", True)
    elif word in ("-h", "--help"):
        print(_help(program))
    elif word == "--version":
        print(f"aslx {aslx.__version__}")
    else:
        near = difflib.get_close_matches(word, COMMANDS, 1)
        meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(COMMANDS)}"
        print(f"error: {program} has no command {word!r}: {meant}", file=sys.stderr)
        sys.exit(2)


def _help(program: str) -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {what}" for name, what in COMMANDS.items()]
    return "\n".join(
        [
            f"usage: {program} COMMAND ...",
            "",
            "Sign-language recognition, from landmarks to TensorFlow Lite.",
            "",
            *lines,
            "",
            f"{program} COMMAND --help lists a command's options; {program} --version.",
        ]
    )


if __name__ == "__main__":
    main("python -m aslx")
