"""The documentation's commands parse, its pages exist, and every public name is documented."""

import ast
import importlib
import pathlib
import re
import runpy
import shutil

import pytest

from experiments.contact_sheet import ContactSheet
from experiments.render import Render
from kpjax.formats import plain_csv
from kpjax.formats.reading import read_project
from kpjax.lab.commands import COMMANDS
from kpjax.lab.commands.train import system_and_flags
from kpjax.lab.own.systems import NEEDS, own_system
from kpjax.systems.command_line import Shared, read_command
from kpjax.systems.configs import flat
from kpjax.systems.parsing import parse, typed_flags
from kpjax.systems.system import OWN

pytestmark = pytest.mark.slow
ROOT = pathlib.Path(__file__).parents[1]
PAGES = [page for page in sorted((ROOT / "docs").rglob("*.md")) if "reference" not in page.parts]
# also finds the helpers of tests/lab
DOCS = runpy.run_path(str(ROOT / "docs" / "run.py"), run_name="docs")
untrained_run = importlib.import_module("own_runs").untrained_run


@pytest.mark.parametrize("page", DOCS["PAGES"])
def test_commands_of_the_pages_parse(page):
    found = DOCS["commands"](page)
    assert found
    for words in found:
        command, arguments = DOCS["name_of"](words), words[4 if words[0] == "python" else 2 :]
        if command == "train":
            system, _ = system_and_flags(arguments)
            assert system in NEEDS
            assert {*typed_flags(arguments)} <= {
                *flat(own_system(system).presets[OWN]),
                *Shared.__dataclass_fields__,
            }
        elif command == "contact_sheet":
            parse(ContactSheet, arguments, prog="python")
        elif command == "render":
            assert parse(Render, arguments, prog="python").tutorial == page.partition("/")[2]
        else:
            parse(COMMANDS[command], arguments, prog="kpjax")


@pytest.mark.parametrize("name", DOCS["TUTORIALS"])
def test_commands_of_the_tutorials_fit_their_images(name, tmp_path, monkeypatch, capsys):
    """All that comes before the first step: settings are chosen from the stand-ins, flags and
    variants are known.

    Networks of earlier commands are untrained. docs/run.py runs the commands themselves.
    """
    monkeypatch.chdir(tmp_path)
    DOCS["TUTORIALS"][name](tmp_path, 0)
    trained = set()
    # python, -m, ... for a clone's
    for program, command, *arguments in DOCS["commands"](f"tutorials/{name}"):
        runs = [word for word in arguments if word.startswith("runs/")]
        assert {str(tmp_path / pathlib.Path(run).parent) for run in runs} <= trained
        if (program, command) != ("kpjax", "train"):
            continue
        for run in runs:
            taught = read_project(
                tmp_path / {"incremental": "old_labels", "adaptation": "people"}[name]
            )
            shutil.copytree(untrained_run(tmp_path / "untrained", taught.skeleton, 64), run)
        read = read_command(own_system(arguments[0]), [OWN, *arguments[1:]])
        trained |= {str(read.folder / variant) for variant in read.variants}
    assert len(trained) >= 2
    assert "  --" in capsys.readouterr().out


def test_every_public_name_is_documented():
    """Modules, functions and classes."""
    silent = []
    for path in (ROOT / "kpjax").rglob("*.py"):
        module = ast.parse(path.read_text(encoding="utf-8"))
        known = [
            *([] if path.name == "__init__.py" else [module]),
            *(
                node
                for node in module.body
                if isinstance(node, ast.FunctionDef | ast.ClassDef)
                and not node.name.startswith("_")
            ),
        ]
        silent += [
            f"{path.relative_to(ROOT)}: {getattr(node, 'name', 'module')}"
            for node in known
            if not ast.get_docstring(node)
        ]
    assert not silent


def slug(heading):
    """Returns the anchor that MyST gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def test_links_between_pages_lead_somewhere():
    documents = [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *(ROOT / "experiments").glob("**/*.md"),
        *PAGES,
    ]
    for page in documents:
        for link in re.findall(r"(?<!!)\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            path, _, anchor = link.partition("#")
            if "://" in link:
                continue
            there = page.parent / path if path else page
            assert there.is_file(), (page, link)
            if not anchor:
                continue
            headings = re.findall(r"^#+ (.+)$", there.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in map(slug, headings), (page, link)


def test_the_tables_of_the_page_on_tables_are_read(tmp_path):
    text = (ROOT / "docs" / "own" / "csv.md").read_text(encoding="utf-8")
    (skeleton,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    for number, table in enumerate(re.findall(r"```text\n(image.*?)```", text, re.DOTALL)):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "labels.csv").write_text(table)
        (folder / "skeleton.json").write_text(skeleton)
        project = plain_csv.read(folder, [])
        assert project.instances
        assert project.skeleton.names == ("nose", "left_ear", "right_ear", "tail")
        assert project.skeleton.flip == (0, 2, 1, 3)
        assert len(project.skeleton.edges) == 2
    assert len(project.instances) == 2  # the last table has two animals on a frame
