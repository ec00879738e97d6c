"""A run on a hub of models: pushed, pulled and read as it was, and what is refused."""

import json
import pathlib
import shutil

import numpy as np
import pytest
from huggingface_hub import constants
from safetensors import numpy as safetensors

import aslx
from aslx import errors, evaluate
from aslx.export import __main__ as export
from aslx.export import push, sharing
from aslx.predict import __main__ as predict
from aslx.runs import initial_weights, opening, trained_run
from aslx.schema import vocab
from aslx.storage import hub
from tests import hub_server, killed, processes, tiny, tiny_runs

NAME = "me/letters"


@pytest.fixture(scope="module")
def there():
    """The hub; only who has its token may push."""
    with hub_server.serving() as server:
        yield server


@pytest.fixture(autouse=True)
def logged_in(there, monkeypatch, tmp_path) -> pathlib.Path:
    """This user's cache; with the hub's token."""
    there.broken = 0
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_ENDPOINT", there.url)
    monkeypatch.setenv("HF_TOKEN", hub_server.TOKEN)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "aslx" / "hub"


@pytest.fixture(scope="module")
def workdir(dataset, tmp_path_factory) -> pathlib.Path:
    """A run of random weights with an export, an evaluation, and one of another checkpoint."""
    workdir = tmp_path_factory.mktemp("shared") / "run"
    tiny_runs.untrained(opening.settled(tiny.cfg(dataset)), workdir)
    killed.write(workdir / "export", {}, 1)
    (workdir / "evaluation-old").mkdir()
    (workdir / "evaluation-old" / "scores.json").write_text(json.dumps({"step": 7}))
    return workdir


@pytest.fixture
def pushed(there, run, workdir) -> str:
    """The name of the run on the hub."""
    if NAME not in there.commits:
        done = run(push, workdir, NAME, "--licence", "cc-by-4.0")
        assert "evaluation-old is of step 7: evaluate again" in done.out
        assert done.last() == {"name": NAME, "step": 1, "where": f"{there.url}/{NAME}"}
    return f"hf://{NAME}"


def scored(run, workdir, dataset, out: pathlib.Path) -> dict:
    """The scores of a run, which are written to `out` once."""
    if not out.exists():
        words = ("--workdir", workdir, "--data", dataset, "--split", "validation", "--out", out)
        run(evaluate, *words).succeeded()
    return json.loads((out / "scores.json").read_text())


@pytest.mark.long
def test_a_pulled_run_answers_as_the_pushed_one_and_is_pulled_once(
    run, there, pushed, workdir, dataset, tmp_path, logged_in
):
    mine = scored(run, workdir, dataset, workdir / "evaluation-validation")
    there.asked.clear()
    theirs = scored(run, pushed, dataset, tmp_path / "theirs")
    # Who pulls a run does not have the data that it was trained on.
    assert mine | theirs == mine and mine.keys() - theirs.keys() == {
        *("phrases", "unseen_phrases", "unseen_signers")
    }
    fetched = [
        request for request in there.asked if request.startswith("GET") and "/resolve/" in request
    ]
    assert len(fetched) == len(there.files(NAME)) - (".gitattributes" in there.files(NAME))
    there.asked.clear()
    (folder,) = logged_in.glob("me--letters/*/config.json")
    assert trained_run.open_run(pushed).workdir == folder.parent
    assert there.asked == [f"GET /api/models/{NAME}"] and not list(folder.parent.glob(".cache"))
    assert (folder.parent / "export" / "model.tflite").read_bytes() == killed.files(1)[
        "model.tflite"
    ]


def test_strangers_read_the_weights_by_name_and_nothing_tells_of_this_machine(
    there, pushed, workdir, dataset, tmp_path
):
    every = there.files(NAME)
    (tmp_path / "weights").write_bytes(every["model.safetensors"])
    found = safetensors.load_file(tmp_path / "weights")
    expected = sharing.named(trained_run.open_run(workdir).model)
    assert found.keys() == expected.keys() and "ctc_head.kernel" in found, list(found)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    answers = json.loads(every["alphabet.json"])["answers"]
    assert answers == list(vocab.KAGGLE.characters)
    cfg = json.loads(every["config.json"])
    assert cfg["data"]["path"] == dataset.name and "data_sets" not in cfg
    for name, data in every.items():
        assert str(dataset.parent).encode() not in data, name
        assert str(workdir.parent).encode() not in data, name


def test_the_card_has_scores_with_intervals_by_signer_licence_and_commands(
    run, workdir, dataset, tmp_path
):
    scores = scored(run, workdir, dataset, workdir / "evaluation-validation")
    limits = ("--limits", "It reads no digits.", "--about-data", "Five signers of ours.")
    words = (workdir, NAME, "--licence", "CC-BY-4.0", *limits, "--out", tmp_path / "out")
    run(push, *words).succeeded()
    card = (tmp_path / "out" / "README.md").read_text()
    interval = f"{scores['score_low']:.4f} to {scores['score_high']:.4f}"
    for text in (
        'license: "cc-by-4.0"',
        "library_name: aslx",
        f"| {scores['score']:.4f} | {interval} | 24 | 5 | 0 |",
        "| signer | score |",
        "It reads no digits.",
        "Five signers of ours.",
        f"aslx predict --workdir hf://{NAME}",
        f"trained with aslx {aslx.__version__}",
    ):
        assert text in card, card
    assert len(card.split("| signer | score |")[1].splitlines()) > 5
    assert "is there: give a new folder" in run(push, *words).refusal()


def test_a_run_begins_from_the_weights_of_one_on_the_hub(pushed, workdir):
    opened = trained_run.open_run(workdir)
    fresh = tiny_runs.network(opened.cfg)
    taken = sharing.named(initial_weights.taken(fresh, pushed))
    for name, array in sharing.named(opened.model).items():
        np.testing.assert_array_equal(taken[name], array, err_msg=name)


def test_a_later_push_replaces_every_file_and_an_older_commit_can_still_be_pulled(
    run, there, pushed, workdir, tmp_path
):
    first = there.files(NAME)
    other = tmp_path / "other"
    shutil.copytree(workdir, other, ignore=shutil.ignore_patterns("export", "evaluation-*"))
    said = run(push, other, NAME).succeeded()
    assert "there is no export" in said and "the card has no scores" in said
    assert "export/model.tflite" in first and "export/model.tflite" not in there.files(NAME)
    older = f"{pushed}@{len(there.commits[NAME]) - 1:040x}"
    assert (pathlib.Path(hub.local(older)) / "export").exists()
    assert not (pathlib.Path(hub.local(pushed)) / "export").exists()
    there.commits[NAME].append(first)


REFUSALS = {
    401: (errors.BadInput, r"^401 from http://127.*: log in with `hf auth login`, or set HF_TOKEN"),
    403: (errors.BadInput, r"^403 from http://127.*: log in with"),
    404: (errors.BadInput, r"^404 from http://127.*: there is no such model"),
    500: (errors.Unavailable, r"^500 from http://127"),
    503: (errors.Unavailable, r"^503 from http://127"),
}


@pytest.mark.parametrize("status", REFUSALS)
def test_a_hub_that_refuses_or_fails_is_named_with_what_helps(there, status, tmp_path):
    there.broken, (kind, line) = status, REFUSALS[status]
    with pytest.raises(kind, match=line):
        hub.local(f"hf://{NAME}")
    (tmp_path / "model").mkdir()
    with pytest.raises(kind, match=line):
        hub.push(tmp_path / "model", NAME, private=False, message="x")


def test_commands_end_with_the_status_that_launchers_read(run, there, workdir, monkeypatch):
    there.broken = 500
    done = run(predict, "--workdir", f"hf://{NAME}", "clip.parquet")
    assert done.status == 75 and "storage, network or machine" in done.err
    there.broken = 401
    assert "log in with" in run(predict, "--workdir", f"hf://{NAME}", "clip.parquet").refusal()
    assert "log in with" in run(push, workdir, NAME).err
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{processes.free_port()}")
    assert run(export, "--workdir", f"hf://{NAME}").status == 75


def test_a_private_run_is_only_pulled_by_who_may(run, there, workdir, monkeypatch, tmp_path):
    run(push, workdir, "me/secret", "--private").succeeded()
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(errors.BadInput, match=r"401 from .*log in"):
        hub.local("hf://me/secret")


def test_without_the_network_the_run_that_was_pulled_last_is_read(there, pushed, monkeypatch):
    folder = hub.local(pushed)
    there.broken = 500
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert hub.local(pushed) == folder
    with pytest.raises(errors.BadInput, match="was not pulled yet"):
        hub.local("hf://me/other")


def sums(tree: dict[str, bytes]) -> dict:
    return json.loads(tree["manifest.json"])["files"]


HOSTILE = {
    "a file whose bytes changed": lambda tree: (
        tree | {"config.json": tree["config.json"][:-2] + b" }"}
    ),
    "a file that is missing": lambda tree: {k: v for k, v in tree.items() if k != "config.json"},
    "no manifest": lambda tree: {k: v for k, v in tree.items() if k != "manifest.json"},
    "a manifest that is no JSON": lambda tree: tree | {"manifest.json": b"{"},
    "a manifest of nothing": lambda tree: tree | {"manifest.json": b"{}"},
}
NAMES = ("../../secret", "/etc/passwd", "a/../b", ".bashrc", "a//b", "a\\b", "")


def refused(there, tree: dict[str, bytes], cache: pathlib.Path) -> None:
    there.commits["me/hostile"] = [tree]
    with pytest.raises(errors.BadInput) as error:
        hub.local("hf://me/hostile")
    assert "\n" not in str(error.value) and len(str(error.value)) < 400
    left = [path for path in cache.parent.rglob("*") if path.is_file() and "hostile" in str(path)]
    assert not left


@pytest.mark.parametrize("case", HOSTILE)
def test_files_that_are_not_those_that_were_pushed_are_refused_and_leave_nothing(
    there, pushed, logged_in, case
):
    refused(there, HOSTILE[case](there.files(NAME)), logged_in)


def test_a_manifest_names_files_of_the_run_only_and_no_more_than_a_run_has(
    there, pushed, logged_in
):
    tree = there.files(NAME)
    for name in NAMES:
        named = sums(tree) | {name: {"bytes": 1, "sha256": ""}}
        hostile = tree | {"manifest.json": json.dumps({"files": named}).encode()}
        refused(there, hostile, logged_in)
    for one in ({"bytes": 2**40, "sha256": ""}, {"bytes": "1", "sha256": ""}, {"bytes": True}, 7):
        named = sums(tree) | {"big": one}
        hostile = tree | {"manifest.json": json.dumps({"files": named}).encode()}
        refused(there, hostile, logged_in)
    many = {f"f{i}": {"bytes": 0, "sha256": ""} for i in range(10_001)}
    refused(there, tree | {"manifest.json": json.dumps({"files": many}).encode()}, logged_in)


@pytest.mark.parametrize("name", ["letters", "a/b/c", "../x", "me/", "me/a b", "-me/x", "me/..x"])
def test_a_name_that_is_none_of_a_hub_is_refused_before_anything_is_asked(there, run, name):
    there.asked.clear()
    with pytest.raises(errors.BadInput, match="write OWNER/NAME"):
        hub.local(f"hf://{name}")
    assert run(push, "--", "runs/none", name).status == 2 and not there.asked
