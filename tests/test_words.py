"""What comments, docstrings, helps and pages name is there: paths, modules, commands and flags."""

import ast
import functools
import importlib
import io
import re
import textwrap
import tokenize
from pathlib import Path

from experiments import papers
from experiments.__main__ import COMMANDS as OF_EXPERIMENTS
from kpjax.lab.commands import COMMANDS
from kpjax.lab.program import OTHERS

ROOT = Path(__file__).parents[1]
CODE = ("kpjax", "experiments", "data", "docs")
# Paths of other repositories, and what a build makes.
ELSEWHERE = {"tests/data/tracks", "docs/reference", "kpjax/tabletop"}  # the last is a name in tfds
OF_OTHER_PROGRAMS = {"--override", "--cpus", "--no-deps", "--require-hashes"}
PLACEHOLDER = re.compile(r"<[^<>]*>|\{[^{}]*\}|\*+|SYSTEM")


@functools.cache
def texts() -> dict[Path, str]:
    """Returns all that people read, code with its comments and pages, by path."""
    files = [path for folder in CODE for path in (ROOT / folder).rglob("*")]
    pages = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
    kept = (".py", ".md", ".sh", ".sbatch", ".yaml", ".jinja")
    return {
        path: path.read_text(encoding="utf-8")
        for path in sorted([*files, *pages])
        if path.suffix in kept and not {"outputs", "_build"} & set(path.parts)
    }


def found(pattern: str) -> list[tuple[str, re.Match]]:
    """Returns where a pattern is found, as file and line, and the match."""
    return [
        (f"{path.relative_to(ROOT)}:{text[: match.start()].count(chr(10)) + 1}", match)
        for path, text in texts().items()
        for match in re.finditer(pattern, text)
    ]


def has_module(name: str) -> bool:
    """Returns whether a program can be started by `python -m name`; <x> and * stand for any."""
    path = PLACEHOLDER.sub("*", name).replace(".", "/")
    return any(any(ROOT.glob(f"{path}{end}")) for end in (".py", "/__main__.py"))


def test_paths_lead_somewhere():
    gone = []
    for place, match in found(r"(?<![\w/.~$}>-])(kpjax|experiments|docs|tests|data)/[\w./*<>{}-]+"):
        path = match[0].rstrip("/.")
        if match[1] == "data" and not path.endswith(".py"):  # often the data of somebody
            continue
        pattern = PLACEHOLDER.sub("*", path)
        there = any(any(ROOT.glob(f"{pattern}{end}")) for end in ("", ".py"))
        if not there and path not in ELSEWHERE:
            gone.append(f"{place}: {path}")
    assert not gone


def test_programs_and_their_commands_are_there():
    gone = []
    for place, match in found(r"python -m ((?:kpjax|experiments|data)[\w.<>]*)(?: ([a-z]\w*))?"):
        module, word = match[1].rstrip("."), match[2]
        unknown = module == "experiments" and word and word not in OF_EXPERIMENTS
        if unknown or not has_module(module):
            gone.append(f"{place}: {match[0]}")
    for place, match in found(r"`kpjax ([a-z]\w*)"):
        if match[1] not in (*COMMANDS, *OTHERS):
            gone.append(f"{place}: kpjax {match[1]}")
    assert not gone


def test_presets_that_commands_name_are_there():
    presets = {
        name: importlib.import_module(f"experiments.{name}").EXPERIMENT.presets for name in papers()
    }
    every = {preset for some in presets.values() for preset in some}
    named = found(r"python -m experiments\.(\w+|<\w+>|SYSTEM) ([a-z]\w*)")
    assert not [
        f"{place}: {match[0]}"
        for place, match in named
        if match[1] != "measure" and match[2] not in presets.get(match[1], every)
    ]


def test_names_in_backticks_lead_somewhere():
    """A module, or what a module's text holds."""
    gone = []
    for place, match in found(r"`((?:kpjax|experiments)(?:\.\w+)+)[`(]"):
        *parts, last = match[1].split(".")
        parents = [ROOT / "/".join(parts) / "__init__.py", ROOT / f"{'/'.join(parts)}.py"]
        parents.append(parents[0].with_suffix(".pyi"))
        named = any(
            path.is_file() and re.search(rf"\b{last}\b", path.read_text(encoding="utf-8"))
            for path in parents
        )
        module = ROOT / "/".join([*parts, last])
        if not named and not module.is_dir() and not module.with_suffix(".py").is_file():
            gone.append(f"{place}: {match[1]}")
    assert not gone


def test_words_about_a_field_stand_where_its_help_finds_them():
    """A comment within a field of several lines is in no help: it stands above."""
    lost = []
    for path, text in texts().items():
        if path.suffix != ".py":
            continue
        lines = text.splitlines()
        classes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef)]
        for node in (part for one in classes for part in one.body):
            if isinstance(node, ast.AnnAssign) and node.end_lineno > node.lineno:
                source = "\n".join(lines[node.lineno - 1 : node.end_lineno])
                tokens = tokenize.generate_tokens(io.StringIO(textwrap.dedent(source)).readline)
                if any(token.type == tokenize.COMMENT for token in tokens):
                    lost.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not lost


def test_flags_in_backticks_are_there():
    """A field of a command's or a system's dataclasses, or an argument of argparse."""
    flags = set()
    for path, text in texts().items():
        if path.suffix == ".py":
            flags |= set(re.findall(r"\"(--[a-z][a-z-]*)\"", text))
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                    flags.add(f"--{node.target.id.replace('_', '-')}")
    gone = []
    for place, match in found(r"`(?:[^`\n]* )?(--[a-z][a-z0-9-]*)[^`\n]*`"):
        name = match[1].replace("--no-", "--")
        if not {name, match[1]} & (flags | OF_OTHER_PROGRAMS):
            gone.append(f"{place}: {match[1]}")
    assert not gone
