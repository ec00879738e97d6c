"""README and docs/: links, anchors, names of files and modules, line numbers, and line widths.

python -m tests.test_docs renews the line numbers of docs/design.md.
"""

import ast
import pathlib
import re
import sys

import pytest

from tests import processes, test_house

ROOT = processes.ROOT
FOLDERS = ("benchmarks", "examples/android", "examples/ios", "launch")
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *(ROOT / folder / "README.md" for folder in FOLDERS),
]
DESIGN = ROOT / "docs" / "design.md"
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
# A place in the code: `aslx/data/loader.py:72` `Batches.__getitem__`, or without the number.
PLACE = re.compile(r"(?:@|`)(aslx/[\w/]+\.(?:py|js))(?::(\d+)`)? `([\w.]+)`")
# Files that users have: their own, and those that commands write.
THEIRS = {"films", "photos", "FILE.parquet", "configs/mine.py", "configs/X.py", "models/mine.py"}
THEIRS |= {"aslx/models/convolutions.py", "tests/models/test_mine.py", "tests/data/test_plan.py"}


def name(page: pathlib.Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: pathlib.Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MkDocs both name them."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {re.sub(r" +", "-", words.strip()) for words in plain}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_to_files_and_headings(page):
    for link in LINK.findall(FENCED.sub("", page.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        # MkDocs publishes docs/ alone: a link out of it would be broken.
        assert page.parent != DESIGN.parent or target.is_relative_to(DESIGN.parent), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_line_is_wider_than_120_columns(page):
    wide = [i for i, line in enumerate(page.read_text().splitlines(), 1) if len(line) > 120]
    assert not wide


def test_the_readme_has_at_most_130_lines():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_and_modules_that_a_page_names_exist(page):
    if page.name in ("CHANGELOG.md", "performance-log.md"):  # They also name removed files.
        return
    text = page.read_text()
    # @aslx/reader is a package of npm.
    paths = re.findall(
        r"(?<!@)\b((?:aslx|benchmarks|configs|docs|launch|tests)/[\w./-]*\w/?)", text
    )
    for path in set(paths) - THEIRS:
        assert (ROOT / path).exists(), path
    for module in set(re.findall(r"(?:python -m|::: )\s?((?:aslx|benchmarks)[\w.]*)", text)):
        path = ROOT / module.replace(".", "/")
        assert path.is_dir() or path.with_suffix(".py").exists(), module


def test_the_results_in_the_readme_are_those_of_the_results_page():
    def rows(path: str) -> list[str]:
        return re.findall(r"^\| .*\d\.\d{3} \|.*$", (ROOT / path).read_text(), re.MULTILINE)

    assert len(rows("README.md")) >= 4
    assert set(rows("README.md")) <= set(rows("docs/results.md"))


def test_the_floors_of_the_design_are_those_of_the_house():
    rows = re.findall(r"^\| (\d+) \| (.*?) \|", DESIGN.read_text(), re.MULTILINE)
    floors = [set(re.findall(r"`(\w+)`", rooms)) for _, rooms in reversed(rows)]
    assert floors == [set(floor) for floor in test_house.FLOORS]


def line_of(path: str, name: str) -> int:
    """The line on which a function, a method or a class begins."""
    text = (ROOT / path).read_text()
    if path.endswith(".js"):
        begin = rf"^(?:export )?(?:  )?(?:async )?(?:function |class )?{name}\(?.*\{{$"
        found = re.search(begin, text, re.MULTILINE)
        assert found, f"{path} has no {name}: mend docs/design.md"
        return text[: found.start()].count("\n") + 1
    inside, line = ast.parse(text).body, 0
    for part in name.split("."):
        kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        found = [node for node in inside if isinstance(node, kinds) and node.name == part]
        assert found, f"{path} has no {name}: mend docs/design.md"
        inside, line = found[0].body, found[0].lineno
    return line


def renewed(text: str) -> str:
    """A page whose places have their present line numbers."""
    return PLACE.sub(lambda m: f"`{m[1]}:{line_of(m[1], m[3])}` `{m[3]}`", text)


def test_the_line_numbers_in_the_design_are_right():
    text = DESIGN.read_text()
    assert len(PLACE.findall(text)) > 30
    assert renewed(text) == text, "python -m tests.test_docs renews the line numbers"


@pytest.mark.skipif(
    not (pathlib.Path(sys.executable).parent / "mkdocs").exists(), reason="needs the extra docs"
)
def test_the_site_is_built_without_a_warning_and_fetches_nothing(tmp_path):
    words = processes.python("-m", "mkdocs", "build", "--strict", "-q", "-d", tmp_path / "site")
    done = processes.run(words, env=processes.environment(NO_MKDOCS_2_WARNING="1"))
    assert done.status == 0, done.out + done.err
    fetched = re.compile(r"<(?:link|script|img)[^>]*(?:href|src)=\"?(https?:[^\s\">]+)")
    for page in (tmp_path / "site").rglob("*.html"):
        assert not fetched.findall(page.read_text()), page


if __name__ == "__main__":
    DESIGN.write_text(renewed(DESIGN.read_text()))
