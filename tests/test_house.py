"""The rules of the house: who imports whom, and what an import may do."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "aslx").rglob("*.py")
    if path.name != "__init__.py"
)
# From the ground up: what stands in a room imports from rooms on lower floors alone.
FLOORS = (
    {"errors", "kernels"},
    {"optim", "sharding", "storage"},
    {"checkpoints", "cli", "schema"},
    {"augment", "data", "decode", "figures", "models"},
    {"readers", "tasks"},
    {"config", "inputs", "prepare"},
    {"runs"},
    {"export"},
    {"describe", "evaluate", "label", "predict", "train"},
    {"serve"},
)
TYPED = ("train", "tasks", "inputs")
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def imports(module: str) -> set[str]:
    """Every module that a file names in an import, inside functions too."""
    path = ROOT / (module.replace(".", "/") + ".py")
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_every_module_can_be_imported_on_any_system_without_touching_a_device_or_a_flag():
    code = (
        "import builtins, importlib, sys\n"
        "real = builtins.__import__\n"
        "def hidden(name, by=None, *more, **named):\n"
        "    if name in ('resource', 'fcntl', 'pwd') and by['__name__'].startswith('aslx'):\n"
        "        raise ModuleNotFoundError(f'Windows has no {name}')\n"
        "    return real(name, by, *more, **named)\n"
        "builtins.__import__ = hidden\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "from absl import flags\n"
        "from jax._src import xla_bridge\n"
        "assert not xla_bridge._backends, 'an import started a JAX backend'\n"
        "assert 'tensorflow' not in sys.modules, 'an import brought TensorFlow'\n"
        "assert not flags.FLAGS.is_parsed(), 'an import parsed flags'\n"
    )
    subprocess.run([sys.executable, "-c", code, *MODULES], check=True, cwd=ROOT)


@pytest.mark.parametrize("module", MODULES)
def test_tensorflow_lives_in_prepare_and_export_alone(module):
    if module.split(".")[1] not in ("prepare", "export"):
        assert "tensorflow" not in {name.split(".")[0] for name in imports(module)}


@pytest.mark.parametrize("module", MODULES)
def test_rooms_stand_above_what_they_use(module):
    room = module.split(".")[1]
    used = {name.split(".")[1] for name in imports(module) if name.startswith("aslx.")} - {room}
    assert all(FLOOR[other] < FLOOR[room] for other in used), used


def test_there_are_few_rooms_and_each_says_what_comes_in_and_what_goes_out():
    entries = {path.name for path in (ROOT / "aslx").iterdir()} - {"__pycache__"}
    files = {n for n in entries if n.endswith(".py")} - {"__init__.py", "__main__.py"}
    assert len(entries) < 30 and len(files) <= 9
    for path in (ROOT / "aslx").glob("*/__init__.py"):
        text = ast.get_docstring(ast.parse(path.read_text())) or ""
        assert "In: " in text and "Out: " in text, path


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("aslx.models.")])
def test_a_model_knows_nothing_of_data_steps_tasks_or_meshes(module):
    ours = {n for n in imports(module) if n.startswith("aslx.")}
    assert all(
        n.startswith(("aslx.models", "aslx.kernels", "aslx.schema", "aslx.errors")) for n in ours
    ), ours
    text = (ROOT / (module.replace(".", "/") + ".py")).read_text()
    assert '"fsdp"' not in text and "PartitionSpec" not in text


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("aslx.models.")])
def test_a_model_has_no_gradient_platform_barrier_or_memory_policy_of_its_own(module):
    tree = ast.parse((ROOT / (module.replace(".", "/") + ".py")).read_text())
    names = {part for name in imports(module) for part in name.split(".")}
    names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not names & {"custom_vjp", "custom_jvp", "custom_gradient", "ContextVar"}
    assert not names & {"platform_dependent", "default_backend", "optimization_barrier", "storing"}
    assert not names & {"checkpoint", "checkpoint_name", "checkpoint_policies", "ad_checkpoint"}
    # A model computes in the mode that it is given.
    assert not names & {"CPU", "EXPORT", "cpu", "store"}


@pytest.mark.parametrize("module", [m for m in MODULES if m.split(".")[1] in TYPED])
def test_on_the_way_from_a_batch_to_the_loss_every_part_has_a_type(module):
    tree = ast.parse((ROOT / (module.replace(".", "/") + ".py")).read_text())
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    assert not {"Any", "object", "hasattr"} & {node.id for node in names}
    # What a value from a file is may be asked: a plain type. Of which class a part is may not.
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    asked = [c.args[1] for c in calls if getattr(c.func, "id", "") == "isinstance"]
    named = {part for kind in asked for part in ast.walk(kind) if isinstance(part, ast.expr)}
    assert {ast.unparse(part) for part in named} <= {"int", "float", "dict", "list", "int | float"}


@pytest.mark.parametrize("module", MODULES)
def test_nothing_imports_a_command(module):
    commands = {name for name in MODULES if name.endswith("__main__")} | {
        "aslx.evaluate",
        "aslx.label",
    }
    assert not commands & imports(module)


@pytest.mark.parametrize("module", MODULES)
def test_what_prepares_data_is_not_imported_where_a_model_is_used(module):
    if module.split(".")[1] not in ("prepare", "label"):
        assert not {name for name in imports(module) if name.startswith("aslx.prepare")}


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("aslx.data.")])
def test_the_input_path_knows_no_jax(module):
    assert not {n for n in imports(module) if n.split(".")[0] in ("jax", "flax")}


def test_no_room_is_too_large():
    for path in (ROOT / "aslx").rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 300, path
