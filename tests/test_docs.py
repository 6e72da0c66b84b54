"""The documentation's commands parse, its pages exist, and every public name is documented."""
import ast
import pathlib
import re
import runpy

import pytest

from experiments.command_line import Shared
from experiments.commands import COMMANDS, parse
from experiments.configs import flat
from experiments.own.needs import NEEDS
from experiments.system import OWN, system_of

ROOT = pathlib.Path(__file__).parents[1]
DOCS = runpy.run_path(str(ROOT / "docs" / "run.py"), run_name="docs")


@pytest.mark.parametrize("page", DOCS["PAGES"])
def test_commands_of_the_pages_parse(page):
    found = DOCS["commands"](page)
    assert found
    for _, command, *arguments in found:
        if command == "train":
            assert arguments[0] in NEEDS
            known = {*flat(system_of(arguments[0], OWN).presets[OWN]), *Shared.__dataclass_fields__}
            assert {word[2:].replace("-", "_") for word in arguments if word.startswith("--")} <= known
        else:
            parse(COMMANDS[command], arguments, prog="kpjax")


def test_every_public_name_is_documented():
    """Modules, functions and classes."""
    silent = []
    for path in (ROOT / "kpjax").rglob("*.py"):
        module = ast.parse(path.read_text(encoding="utf-8"))
        known = [*([] if path.name == "__init__.py" else [module]), *(
            node for node in module.body if isinstance(node, ast.FunctionDef | ast.ClassDef)
            and not node.name.startswith("_"))]
        silent += [f"{path.relative_to(ROOT)}: {getattr(node, 'name', 'module')}" for node in known
                   if not ast.get_docstring(node)]
    assert not silent


def test_pages_name_files_that_exist():
    for page in (ROOT / "docs").rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        for path in re.findall(r"\{include\} (\S+)|!\[[^\]]*\]\(([^)]+)\)", text):
            assert (page.parent / "".join(path)).is_file(), (page, path)
        for marker in re.findall(r':(?:start-after|end-before): "(.+)"', text):
            sources = [page.parent / path for path in re.findall(r"\{include\} (\S+)", text)]
            assert any(marker in source.read_text(encoding="utf-8") for source in sources), (page, marker)
