"""The examples for phones: their sources parse, say what the exported model says, and the model
reads the buffers that they make."""

import functools
import json
import re
import shutil

import numpy as np
import pytest
import tree_sitter
import tree_sitter_kotlin
import tree_sitter_swift
from ai_edge_litert import compiled_model, interpreter

import aslx
from aslx.export import exported, exports
from aslx.readers import csv_files
from aslx.schema import landmarks
from tests import processes

EXAMPLES = processes.ROOT / "examples"
KOTLIN = EXAMPLES / "android/app/src/main/java/org/aslx/reader"
SWIFT = EXAMPLES / "ios/Reader"
WEB = processes.ROOT / "aslx/serve/web"
LANGUAGES = {
    ".kt": tree_sitter_kotlin.language(),
    ".kts": tree_sitter_kotlin.language(),
    ".swift": tree_sitter_swift.language(),
}
SOURCES = sorted(path for path in EXAMPLES.rglob("*") if path.suffix in LANGUAGES)

if not (exports.READER / exports.ABOUT).exists():
    pytest.skip("this checkout has no reader", allow_module_level=True)
ABOUT = json.loads((exports.READER / exports.ABOUT).read_text())
LONGEST = ABOUT["web"][-1]


def constant(text: str, name: str) -> float:
    """A number that a source names."""
    found = re.search(rf"\b{name}\s*=\s*([\d.]+)", text)
    assert found, name
    return float(found[1])


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_a_source_parses(path):
    parser = tree_sitter.Parser(tree_sitter.Language(LANGUAGES[path.suffix]))
    assert not parser.parse(path.read_bytes()).root_node.has_error


def test_clips_end_on_phones_when_they_end_in_the_page():
    page = "".join((WEB / "reader" / name).read_text() for name in ("time.js", "segments.js"))
    kotlin, swift = (KOTLIN / "Reading.kt").read_text(), (SWIFT / "Reading.swift").read_text()
    other = {"BREAK": "pause"}
    for name in ("RATE", "REST", "LEAST", "BREAK"):
        wanted = constant(page, name)
        assert constant(kotlin, name) == constant(swift, other.get(name, name.lower())) == wanted


def test_what_the_sources_ask_of_an_export_is_there():
    kotlin = (KOTLIN / "Recogniser.kt").read_text()
    swift = (SWIFT / "Recogniser.swift").read_text()
    asked = set(re.findall(r'get(?:String|Int|JSON\w+)\("(\w+)"\)', kotlin))
    assert asked == {"answers", "input", "columns", "web", "frames", "file"}
    assert asked <= {*ABOUT, *ABOUT["input"], *LONGEST}
    fields = set(re.findall(r"^ +let (\w+): (?:\[String\]|Int|Input)$", swift, re.MULTILINE))
    assert fields == {"columns", "input", "answers", "max_frames"}
    assert fields <= {*ABOUT, *ABOUT["input"]}
    assert constant(swift, "longest") == LONGEST["frames"]
    assert "export/model.json" in kotlin and f'"{exports.MODEL}"' in swift


def test_the_runtimes_of_the_examples_are_new_enough_for_the_model():
    report = json.loads((exports.READER / exports.REPORT).read_text())
    oldest = tuple(map(int, report["runtime"].split(".")))
    pod = re.search(r"TensorFlowLiteSwift', '~> ([\d.]+)'", (EXAMPLES / "ios/Podfile").read_text())
    assert pod and tuple(map(int, pod[1].split("."))) >= oldest
    gradle = (EXAMPLES / "android/app/build.gradle.kts").read_text()
    litert = re.search(r"litert:litert:(\d+)\.", gradle)
    assert litert and int(litert[1]) >= 2  # CompiledModel; it contains TensorFlow Lite's kernels.


def hands(clip_TN3: np.ndarray) -> list[dict[str, np.ndarray]]:
    """What a tracker gives of each frame of all points: x, y and z of each point of a hand."""
    parts = {name: landmarks.ALL.part(name) for name in ("left_hand", "right_hand")}
    frames = [{name: frame[part] for name, part in parts.items()} for frame in clip_TN3]
    return [
        {name: points.ravel() for name, points in frame.items() if not np.isnan(points).all()}
        for frame in frames
    ]


def rows(clip: list[dict[str, np.ndarray]]) -> np.ndarray:
    """As `Rows.row` of the examples, with the pattern and the axes of the Kotlin one."""
    source = (KOTLIN / "Reading.kt").read_text()
    pattern = re.search(r'Regex\("(.*)"\)', source)
    axes = re.search(r'AXES = "(\w+)"', source)
    assert pattern and axes
    places = []
    for column in ABOUT["input"]["columns"]:
        found = re.fullmatch(pattern[1].replace("\\\\", "\\"), column)
        assert found, column
        places.append((found[2], int(found[3]) * len(axes[1]) + axes[1].index(found[1])))
    values = [
        [frame[hand][at] if hand in frame else np.nan for hand, at in places] for frame in clip
    ]
    return np.array(values, np.float32).reshape(len(clip), len(places))


def padded(rows_TC: np.ndarray, frames: int) -> np.ndarray:
    """As `padded` of `thinned` of the Kotlin example: flat."""
    if len(rows_TC) > frames:
        rows_TC = rows_TC[((np.arange(frames) + 0.5) * len(rows_TC) / frames).astype(int)]
    out = np.full(frames * rows_TC.shape[1], np.nan, np.float32)
    out[: rows_TC.size] = rows_TC.ravel()
    return out


def text(outputs: np.ndarray, answers: list[str]) -> str:
    """As `text` of the examples."""
    width = len(answers) + 1
    best = outputs.reshape(-1, width).argmax(1)
    return "".join(answers[i] for i in best if i < len(answers))


class Android:
    """Recogniser.kt, with LiteRT's CompiledModel of Python in place of that of Kotlin."""

    def __init__(self):
        source = (KOTLIN / "Recogniser.kt").read_text()
        names = re.search(r'listOf\(("inputs", "frames")\)\.associateWith', source)
        assert names and 'createOutputBuffer("outputs")' in source
        self.model = compiled_model.CompiledModel.from_file(str(exports.READER / LONGEST["file"]))
        signature = self.model.get_signature_list()["serving_default"]
        # In another order than that of the signature: they go by name.
        assert signature == {"inputs": ["frames", "inputs"], "outputs": ["outputs"]}
        make = functools.partial(self.model.create_input_buffer_by_name, "serving_default")
        self.inputs = {name: make(name) for name in json.loads(f"[{names[1]}]")}
        self.output = self.model.create_output_buffer_by_name("serving_default", "outputs")

    def read(self, rows_TC: np.ndarray) -> str:
        kept = min(len(rows_TC), LONGEST["frames"])
        self.inputs["inputs"].write(padded(rows_TC, LONGEST["frames"]))
        self.inputs["frames"].write(np.array([kept], np.int32))
        self.model.run_by_name("serving_default", self.inputs, {"outputs": self.output})
        size = int(
            np.prod(self.model.get_output_tensor_details("serving_default")["outputs"]["shape"])
        )
        return text(self.output.read(size, np.float32), ABOUT["answers"])


class Phone:
    """Recogniser.swift, with LiteRT's Interpreter of Python in place of that of Swift."""

    def __init__(self):
        source = (SWIFT / "Recogniser.swift").read_text()
        for call in ("resizeInput(at: 0", "toInputAt: 0", "output(at: 0)"):
            assert call in source
        self.model = interpreter.Interpreter(str(exports.READER / exports.MODEL), num_threads=1)

    def read(self, rows_TC: np.ndarray) -> str:
        (given,), (answer,) = self.model.get_input_details(), self.model.get_output_details()
        self.model.resize_tensor_input(given["index"], rows_TC.shape)
        self.model.allocate_tensors()
        self.model.set_tensor(given["index"], rows_TC)
        self.model.invoke()
        return text(self.model.get_tensor(answer["index"]).ravel(), ABOUT["answers"])


@pytest.fixture(scope="module")
def phrases(shared) -> tuple[list[np.ndarray], list[str]]:
    """Clips of all points that were spliced from people's letters, and what aslx reads in them."""
    reader = exported.open_reader()
    sample = shared / "fingerspelling_sample"
    line = next(iter(csv_files.read(sample / "train.csv", ("path", "sequence_id", "phrase"))))
    return clips_of(sample / line.path()), [p.text for p in aslx.read(reader, sample / line.path())]


def clips_of(path) -> list[np.ndarray]:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    ids = table["sequence_id"].to_numpy()
    values = np.stack([table[c].to_numpy() for c in landmarks.ALL.columns], 1).astype(np.float32)
    numbers = list(dict.fromkeys(ids))
    return [landmarks.ALL.from_columns(values[ids == number]) for number in numbers]


def test_people_are_read_through_the_buffers_of_the_examples(phrases):
    clips, told = phrases
    given = [rows(hands(clip)) for clip in clips]
    on_ios, on_android = Phone(), Android()
    assert len(told) > 10 and len(set(told)) > 10
    assert [on_ios.read(clip) for clip in given] == told
    # A file of a fixed length rounds int8 products in another order.
    same = [on_android.read(clip) == text for clip, text in zip(given, told, strict=True)]
    assert sum(same) >= len(same) - 1


def test_a_clip_longer_than_the_file_is_thinned_on_android(phrases):
    clips, _ = phrases
    long = rows(hands(np.concatenate(clips)[: LONGEST["frames"] * 2]))
    kept = long[1::2]
    on_android = Android()
    assert on_android.read(long) == on_android.read(kept) != ""


def test_hands_that_are_never_seen_have_no_text():
    nothing = np.full((30, len(ABOUT["input"]["columns"])), np.nan, np.float32)
    assert Android().read(nothing) == Phone().read(nothing) == ""


@pytest.fixture(scope="module")
def kotlin(tmp_path_factory):
    """Reading.kt, compiled: a function of the words of tests/phone_check.kt."""
    if not shutil.which("kotlinc") or not shutil.which("kotlin"):
        pytest.skip("needs kotlinc and kotlin")
    out = tmp_path_factory.mktemp("kotlin")
    sources = (KOTLIN / "Reading.kt", processes.ROOT / "tests/phone_check.kt")
    processes.run(["kotlinc", *sources, "-d", out]).succeeded()
    return lambda *words: processes.run(
        ["kotlin", "-cp", out, "org.aslx.reader.Phone_checkKt", *words]
    ).succeeded()


@pytest.mark.slow
def test_kotlin_makes_the_same_buffers_texts_and_clips(kotlin, tmp_path):
    rng = np.random.default_rng(0)
    values = rng.random((700, 2, 63), np.float32)
    values[rng.random((700, 2)) < 0.3] = np.nan
    (tmp_path / "hands").write_bytes(values.tobytes())
    (tmp_path / "columns").write_text("\n".join(ABOUT["input"]["columns"]))
    names = ("left_hand", "right_hand")
    clip = [
        {name: hand for name, hand in zip(names, frame, strict=True) if not np.isnan(hand[0])}
        for frame in values
    ]
    for frames in (512, 1024):
        kotlin("inputs", tmp_path, frames)
        made = np.fromfile(tmp_path / "inputs", np.float32)
        np.testing.assert_array_equal(made, padded(rows(clip), frames))
    outputs = rng.random((40, len(ABOUT["answers"]) + 1), np.float32)
    outputs[::3, -1] = 2
    (tmp_path / "outputs").write_bytes(outputs.tobytes())
    (tmp_path / "answers").write_text("\n".join(ABOUT["answers"]))
    assert kotlin("text", tmp_path) == text(outputs, ABOUT["answers"])
    # A second of a hand, a second and a half without; the same at ten frames a second; two frames.
    times = [(t / 30, t < 30) for t in range(75)]
    times += [(5 + t / 10, t < 10) for t in range(25)] + [(9 + t / 30, t < 2) for t in range(60)]
    (tmp_path / "frames").write_text("\n".join(f"{t} {int(hand)}" for t, hand in times))
    assert kotlin("clips", tmp_path, 512).split() == ["30", "28"]
