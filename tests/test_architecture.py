"""The rules that docs/architecture.md states of the source: what may import what, and how long a file may be."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from xml.etree import ElementTree

import pytest

from pipeline.config.compose import load_config
from pipeline.stages.job import Job
from pipeline.stages.registry import STEPS

REPOSITORY = Path(__file__).parents[1]
PAGE = REPOSITORY / "docs" / "architecture.md"
FIGURE = REPOSITORY / "docs" / "images" / "stages.svg"
PACKAGES = ("augment", "pipeline", "downstream")
MOST_LINES = 350
# A room imports from its own layer and from those above it here.
LAYERS = (
    ("augment",),
    ("pipeline.taxonomies",),
    ("pipeline.store",),
    ("pipeline.datasets", "pipeline.engine", "pipeline.scenes"),
    ("downstream",),
    ("pipeline.checks", "pipeline.stages", "pipeline.workspace", "pipeline.export", "pipeline.inspection"),
    ("pipeline.config", "pipeline.workflow"),
    ("pipeline.cli",),
)
LEVELS = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}


@cache
def modules() -> dict[str, Path]:
    """Every module of the packages by its name."""
    found = {}
    for path in (path for package in PACKAGES for path in sorted((REPOSITORY / package).rglob("*.py"))):
        parts = path.relative_to(REPOSITORY).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def room_of(module: str) -> str:
    """`augment`, `downstream`, or a folder or module of `pipeline`."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "pipeline" else parts[0]


def import_statements(node: ast.AST, *, in_functions: bool, for_types: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports in a tree, with or without those in functions and those that only type checkers see."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            yield from import_statements(child, in_functions=in_functions, for_types=for_types) if for_types else ()
        elif in_functions or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from import_statements(child, in_functions=in_functions, for_types=for_types)


@cache
def imports(*, in_functions: bool, for_types: bool) -> dict[str, set[str]]:
    """The modules of the project that each module imports."""
    found: dict[str, set[str]] = {}
    for module, path in modules().items():
        names: list[str] = []
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in import_statements(tree, in_functions=in_functions, for_types=for_types):
            if isinstance(node, ast.Import):
                names += [alias.name for alias in node.names]
            else:
                assert node.level == 0 and node.module, f"{module}: relative import"
                inner = [f"{node.module}.{alias.name}" for alias in node.names]
                names += [name if name in modules() else node.module for name in inner]
        found[module] = {name for name in names if name in modules()} - {module}
    return found


def test_every_room_is_in_a_layer() -> None:
    assert {room_of(module) for module in modules()} - {"pipeline"} == set(LEVELS)


def test_rooms_import_from_their_own_layer_and_those_below() -> None:
    run, typed = imports(in_functions=True, for_types=False), imports(in_functions=True, for_types=True)
    wrong = [
        f"{module} imports {other}"
        for module, others in typed.items()
        for other in others
        if "pipeline" not in (module, other) and LEVELS[room_of(other)] > LEVELS[room_of(module)]
        # The whole configuration is made of the options of all stages, which are given it when they are made.
        if other in run[module] or other != "pipeline.config"
    ]
    assert not wrong, "\n".join(sorted(wrong))


def test_no_module_imports_itself_through_others() -> None:
    try:
        TopologicalSorter(imports(in_functions=False, for_types=False)).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("package", PACKAGES)
def test_no_file_is_too_long_for_one_subject(package: str) -> None:
    lengths = {path: path.read_text(encoding="utf-8").count("\n") for path in (REPOSITORY / package).rglob("*.py")}
    assert not {path: count for path, count in lengths.items() if count > MOST_LINES}


def test_every_module_says_what_it_is_for() -> None:
    silent = [name for name, path in modules().items() if not ast.get_docstring(ast.parse(path.read_text("utf-8")))]
    assert not silent


def test_the_page_names_every_folder() -> None:
    tree = PAGE.read_text(encoding="utf-8").split("```")[1]
    parts = {path.relative_to(REPOSITORY).parts[1] for path in modules().values()}
    assert not {part for part in parts if not part.endswith(".py") and f"{part}/" not in tree}


def test_the_figure_shows_what_each_stage_reads_and_writes(tmp_path: Path) -> None:
    rows = {item.get("id"): item for item in ElementTree.parse(FIGURE).iter() if item.get("data-writes")}
    assert list(rows) == [step.name for step in STEPS]
    outputs = {step.name: step.output.removesuffix(".parquet") for step in STEPS}
    job = Job(load_config("quickstart", [f"workspace={tmp_path}"]))
    for step in map(job.step, STEPS):
        assert rows[step.name].get("data-writes") == outputs[step.name]
        depends = {outputs[name] for name in (*step.reads, *filter(None, [step.grows_with]))}
        assert depends <= set(str(rows[step.name].get("data-reads")).split()), step.name
