"""The architecture: arrows between floors, callers of options, results without a run."""

import ast
import functools
import graphlib
import re
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

from experiments import papers
from kpjax.papers.configs import flat

ROOT = Path(__file__).parents[1]
PAPERS = {"regda", "semi_supervised", "incremental", "pyramids", "adaptation"}
# What each floor may import beside itself; the longest name that a module begins with is its floor.
GROUND = ("kpjax",)  # modules of `kpjax` itself, and folders that are no floor of their own
NUMBERS = (*GROUND, "kpjax.augment", "kpjax.losses", "kpjax.models", "kpjax.evaluation")
LIBRARY = (*NUMBERS, "kpjax.methods", "kpjax.input", "kpjax.training", "kpjax.evaluation.probes")
FLOORS = {
    "kpjax": (),
    "kpjax.augment": GROUND,
    "kpjax.losses": GROUND,
    "kpjax.models": GROUND,
    "kpjax.input": GROUND,
    "kpjax.evaluation": (*GROUND, "kpjax.losses", "kpjax.input"),
    # what judges a run: neither methods nor training may read it
    "kpjax.evaluation.probes": (*NUMBERS, "kpjax.input"),
    "kpjax.methods": NUMBERS,
    "kpjax.training": (*GROUND, "kpjax.models", "kpjax.input"),
    "kpjax.formats": (*GROUND, "kpjax.input"),
    "kpjax.papers": LIBRARY,
    "kpjax.lab": (*LIBRARY, "kpjax.formats", "kpjax.papers"),
    "data": (*LIBRARY, "kpjax.formats"),
    "experiments": (*LIBRARY, "kpjax.formats", "kpjax.papers", "data"),
}
# It times the laboratory's command.
OF_LAB = ROOT / "experiments/measure/benchmark/video.py"
# Nodes of syntax trees, in thousands: what a landing adds beyond them, the same landing takes away.
# Library modules that the laboratory alone uses count to it.
BUDGETS = {"papers": 280.8, "laboratory": 148.3, "tests": 360.3}
DOOR = "kpjax/__main__.py"  # of `python -m kpjax`, which opens the laboratory
# Options that cases of a specification or of published code set, and nothing else.
OF_SPECIFICATIONS = {"percentile", "least_confidence", "batch_approximation"}


@functools.cache
def texts(folder: str, *without: str) -> dict[Path, str]:
    """Returns the Python files below a folder, without those below others."""
    return {
        path: path.read_text(encoding="utf-8")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if not any(path.is_relative_to(ROOT / name) for name in without)
    }


@functools.cache
def occurrences() -> Counter:
    """Counts the words of all code that is no test, of README and of the documentation."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    found = Counter(
        word.replace("-", "_")
        for page in pages
        for word in re.findall(r"--([\w-]+)", page.read_text("utf-8"))
    )
    for folder in ("kpjax", "experiments", "data"):
        for text in texts(folder).values():
            found.update(re.findall(r"\w+", text))
    return found


def floor_of(module: str) -> str | None:
    """Returns the floor of a module, None of one of other projects."""
    floors = [floor for floor in FLOORS if f"{module}.".startswith(f"{floor}.")]
    return max(floors, key=len, default=None)


def imported(path: Path, text: str) -> list[str]:
    """Lists the modules and names that a file imports, anywhere in it."""
    package = path.relative_to(ROOT).parent.parts
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *filter(None, [node.module])])
            found += [f"{module}.{one.name}" for one in node.names]
    return found


@pytest.mark.parametrize("folder", ["kpjax", "data", "experiments"])
def test_no_floor_imports_one_above_it(folder):
    upward = []
    for path, text in texts(folder).items():
        if path in (ROOT / DOOR, OF_LAB):
            continue
        floor = floor_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
        below = (None, floor, *FLOORS[floor])
        upward += [
            f"{path.relative_to(ROOT)} imports {name}"
            for name in imported(path, text)
            if floor_of(name) not in below
        ]
    assert not upward


@functools.cache
def public_names(package: Path) -> dict[str, str]:
    """Returns the names that a package loads when they are asked for, with their modules."""
    stub = package / "__init__.pyi"
    nodes = ast.walk(ast.parse(stub.read_text(encoding="utf-8"))) if stub.is_file() else ()
    return {
        one.name: node.module
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module
        for one in node.names
    }


def file_of(name: str) -> Path | None:
    """Returns the file of a module, or of the module that a name stands in; None of others."""
    *parents, last = name.split(".")
    module = ROOT.joinpath(*parents, last)
    package = ROOT.joinpath(*parents)
    if last in public_names(package):
        module = package.joinpath(*public_names(package)[last].split("."))
    for path in (module, package):
        for found in (path.with_suffix(".py"), path / "__init__.py"):
            if found.is_file() and path != ROOT:
                return found
    return None


@functools.cache
def arrows() -> dict[Path, set[Path]]:
    """Returns the files that each file imports.

    Imports within functions count, and those of names that a package loads from its modules.
    """
    return {
        path: {file_of(name) for name in imported(path, text)} - {None, path}
        for folder in ("kpjax", "data", "experiments")
        for path, text in texts(folder).items()
    }


def test_no_file_imports_one_that_imports_it():
    graphlib.TopologicalSorter(arrows()).prepare()  # raises CycleError with the files of a circle


def test_nothing_below_imports_the_commands():
    """They are the last floor of the laboratory, below its program alone."""
    commands = ROOT / "kpjax/lab/commands"
    upward = [
        f"{path.relative_to(ROOT)} imports {found.relative_to(ROOT)}"
        for path, all_found in arrows().items()
        for found in all_found
        if found.is_relative_to(commands)
        and not path.is_relative_to(commands)
        and path not in (ROOT / "kpjax/lab/program.py", OF_LAB)
    ]
    assert not upward


def read_from(files: set[Path]) -> set[Path]:
    """Returns files with all that they import, and what these do."""
    found, new = set(files), set(files)
    while new:
        new = set().union(*(arrows().get(path, set()) for path in new)) - found
        found |= new
    return found


def parts() -> dict[str, list[Path]]:
    """Returns the files of each part of the house that has a budget.

    A module of the library that the laboratory reads, and neither papers, experiments, data nor the
    public face do, is the laboratory's.
    """
    lab = {*texts("kpjax/lab"), *texts("kpjax/formats")}
    library = {*texts("kpjax", "kpjax/lab", "kpjax/formats", "kpjax/papers")}
    faces = [path.parent for path in (ROOT / "kpjax").rglob("__init__.pyi")]
    public = {
        file_of(".".join([*folder.relative_to(ROOT).parts, name]))
        for folder in faces
        if not folder.is_relative_to(ROOT / "kpjax/formats")
        for name in public_names(folder)
    }
    others = {*texts("kpjax/papers"), *texts("experiments"), *texts("data")} - {OF_LAB}
    by_others = read_from(others | (public - {None}))
    of_lab_alone = (library & read_from(lab)) - by_others
    return {
        "papers": sorted(
            (library | {*texts("kpjax/papers"), *texts("experiments")}) - of_lab_alone
        ),
        "laboratory": sorted(lab | of_lab_alone),
        "tests": sorted(texts("tests")),
    }


@pytest.mark.parametrize("part", BUDGETS)
def test_each_part_of_the_house_keeps_to_its_budget(part):
    nodes = sum(
        sum(1 for _ in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        for path in parts()[part]
    )
    assert nodes <= 1000 * BUDGETS[part], f"{part}: {nodes} nodes"


def test_nothing_stands_behind_the_end_of_its_block():
    """What follows a return, a raise, a break or a continue never runs."""
    ends = (ast.Return, ast.Raise, ast.Break, ast.Continue)
    unreachable = [
        f"{path.relative_to(ROOT)}:{statement.lineno}"
        for folder in ("kpjax", "data", "experiments", "tests")
        for path, text in texts(folder).items()
        for node in ast.walk(ast.parse(text))
        for block in (getattr(node, "body", None), getattr(node, "orelse", None))
        if isinstance(block, list)
        for statement in block[:-1]
        if isinstance(statement, ends)
    ]
    assert not unreachable


def test_options_have_callers_that_are_no_tests():
    words, unused = occurrences(), []
    for folder in ("kpjax", "experiments", "data"):
        for path, text in texts(folder).items():
            lines = text.splitlines()
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.FunctionDef) and any(node.args.kw_defaults):
                    inside = Counter(
                        re.findall(r"\w+", "\n".join(lines[node.lineno - 1 : node.end_lineno]))
                    )
                    unused += [
                        f"{path.relative_to(ROOT)}: {node.name}({one.arg}=)"
                        for one, default in zip(
                            node.args.kwonlyargs, node.args.kw_defaults, strict=True
                        )
                        if default is not None
                        and words[one.arg] == inside[one.arg]
                        and one.arg not in OF_SPECIFICATIONS
                    ]
    assert not unused


def test_the_five_papers_are_found():
    assert {*papers()} >= PAPERS


@pytest.mark.parametrize("name", papers())
def test_fields_of_configs_are_set_by_somebody(name):
    """A field that is only defined and read is a constant."""
    presets = import_module(f"experiments.{name}").EXPERIMENT.presets.values()
    documented = occurrences()
    values = {}
    for config in presets:
        for field, value in flat(config).items():
            values.setdefault(field, set()).add(repr(value))
    constant = [
        field
        for field, found in values.items()
        if len(found) == 1 and documented[field] < 3 and field != "core_test_images"
    ]  # tests render fewer
    assert not constant


def test_every_result_has_the_commit_of_its_run():
    files = (ROOT / "experiments").rglob("results.csv")
    rows = [line for path in files for line in path.read_text("utf-8").splitlines()[1:]]
    assert not [row for row in rows if not re.search(r",[0-9a-f]{7,}\+?$", row)]
