"""The rules of the house: which room may import which, and what an import may do."""

import ast
import functools

import pytest

from tests import processes

ROOT = processes.ROOT
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "aslx").rglob("*.py")
    if path.name != "__init__.py"
)
MODELS = [module for module in MODULES if module.startswith("aslx.models.")]
COMMANDS = {m for m in MODULES if m.endswith("__main__")} | {"aslx.evaluate", "aslx.label"}
# From the ground up: a room imports from rooms on lower floors alone.
FLOORS = (
    {"errors", "kernels"},
    {"optim", "sharding", "storage"},
    {"checkpoints", "cli", "schema"},
    {"augment", "data", "decode", "figures", "models"},
    {"readers", "tasks"},
    {"config", "inputs", "prepare"},
    {"runs"},
    {"export"},
    {"evaluate", "label", "predict", "train"},
    {"describe", "serve"},
)
TYPED = ("train", "tasks", "inputs")
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


# Imports every module as on a system without POSIX.
IMPORT_ALL = """
import builtins, importlib, sys
real = builtins.__import__
def hidden(name, by=None, *more, **named):
    if name in ('resource', 'fcntl', 'pwd') and by['__name__'].startswith('aslx'):
        raise ModuleNotFoundError(f'Windows has no {name}')
    return real(name, by, *more, **named)
builtins.__import__ = hidden
for name in sys.argv[1:]: importlib.import_module(name)
from absl import flags
from jax._src import xla_bridge
assert not xla_bridge._backends, 'an import started a JAX backend'
assert 'tensorflow' not in sys.modules, 'an import brought TensorFlow'
assert not flags.FLAGS.is_parsed(), 'an import parsed flags'
"""


def room(module: str) -> str:
    return module.split(".")[1]


def source(module: str) -> str:
    return (ROOT / (module.replace(".", "/") + ".py")).read_text()


@functools.cache
def imports(module: str) -> set[str]:
    """Every module that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(source(module))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_every_module_can_be_imported_on_any_system_without_touching_a_device_or_a_flag():
    processes.run(processes.python("-c", IMPORT_ALL, *MODULES)).succeeded()


@pytest.mark.parametrize("module", MODULES)
def test_rooms_stand_above_what_they_use(module):
    used = {room(name) for name in imports(module) if name.startswith("aslx.")} - {room(module)}
    assert all(FLOOR[other] < FLOOR[room(module)] for other in used), used


@pytest.mark.parametrize("module", MODULES)
def test_nothing_imports_a_command(module):
    assert not COMMANDS & imports(module)


@pytest.mark.parametrize("module", MODULES)
def test_tensorflow_and_prepare_stay_where_data_are_made_and_models_exported(module):
    packages = {name.split(".")[0] for name in imports(module)}
    assert "tensorflow" not in packages or room(module) in ("prepare", "export")
    used = [name for name in imports(module) if name.startswith("aslx.prepare")]
    assert not used or room(module) in ("prepare", "label")
    # Loading data uses no JAX.
    assert room(module) != "data" or not packages & {"jax", "flax"}


def test_there_are_few_rooms_and_each_says_what_comes_in_and_what_goes_out():
    entries = {path.name for path in (ROOT / "aslx").iterdir()} - {"__pycache__"}
    files = {n for n in entries if n.endswith(".py")} - {"__init__.py", "__main__.py"}
    assert len(entries) < 30 and len(files) <= 9
    for path in (ROOT / "aslx").glob("*/__init__.py"):
        text = ast.get_docstring(ast.parse(path.read_text())) or ""
        assert "In: " in text and "Out: " in text, path


@pytest.mark.parametrize("module", MODELS)
def test_a_model_knows_nothing_of_data_steps_tasks_or_meshes(module):
    used = {room(name) for name in imports(module) if name.startswith("aslx.")}
    assert used <= {"models", "kernels", "schema", "errors"}
    assert '"fsdp"' not in source(module) and "PartitionSpec" not in source(module)


@pytest.mark.parametrize("module", MODELS)
def test_a_model_has_no_gradient_platform_barrier_or_memory_policy_of_its_own(module):
    tree = ast.parse(source(module))
    names = {part for name in imports(module) for part in name.split(".")}
    names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not names & {"custom_vjp", "custom_jvp", "custom_gradient", "ContextVar"}
    assert not names & {"platform_dependent", "default_backend", "optimization_barrier", "storing"}
    assert not names & {"checkpoint", "checkpoint_name", "checkpoint_policies", "ad_checkpoint"}
    # A model computes in the mode that it is given.
    assert not names & {"CPU", "EXPORT", "cpu", "store"}


@pytest.mark.parametrize("module", [module for module in MODULES if room(module) in TYPED])
def test_on_the_way_from_a_batch_to_the_loss_every_part_has_a_type(module):
    tree = ast.parse(source(module))
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    assert not {"Any", "object", "hasattr"} & {node.id for node in names}
    # isinstance may ask for the plain type of a value from a file, but not for the class of a part.
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    asked = [c.args[1] for c in calls if getattr(c.func, "id", "") == "isinstance"]
    named = {part for kind in asked for part in ast.walk(kind) if isinstance(part, ast.expr)}
    assert {ast.unparse(part) for part in named} <= {"int", "float", "dict", "list", "int | float"}


@pytest.mark.parametrize("module", MODULES)
def test_no_module_asks_in_a_way_that_calls_missing_what_a_failing_disk_hides(module):
    if module in ("aslx.storage.files", "aslx.storage.system", "aslx.kernels.malloc_tuning"):
        return
    asked = {"exists", "is_dir", "is_file", "isdir", "isfile"}
    # Where these two may not write, nothing is said, and something slower is done.
    if module not in ("aslx.data.index", "aslx.storage.user_folders"):
        asked.add("access")
    calls = [node for node in ast.walk(ast.parse(source(module))) if isinstance(node, ast.Call)]
    ways = [call.func for call in calls if isinstance(call.func, ast.Attribute)]
    ways = {ast.unparse(way) for way in ways if way.attr in asked}
    # An entry of os.scandir knows what it is.
    assert ways <= {"files.exists", "files.is_file", "entry.is_dir"}


def test_a_module_has_at_most_300_lines():
    for path in (ROOT / "aslx").rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 300, path
