"""The documentation: Sphinx with MyST, and a reference of the names that people compose with.

sphinx-build -W --keep-going -n -b html docs site       (strict: a broken link or an unknown name fails)

Two sets of pages are written at the start of a build, into docs/reference: what the commands say of
themselves, and the reference, from docstrings and types, grouped by the modules of each package.
"""

import ast
import functools
import importlib
import inspect
import os
import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent)]

# with lazy names, in stubs
PACKAGES = ("kpjax", "kpjax.augment", "kpjax.losses", "kpjax.methods", "kpjax.models")

# its address, or words until it has one
REPOSITORY = (HERE / "repository.txt").read_text(encoding="utf-8").strip()
IS_ADDRESS = REPOSITORY.startswith("https://")

project = "kpjax"
copyright = "the kpjax maintainers, Apache-2.0"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
html_theme = "furo"
html_title = "kpjax"
html_static_path = ["static"]
html_css_files = ["code.css"]
html_theme_options = (
    {"source_repository": REPOSITORY, "source_branch": "main", "source_directory": "docs/"}
    if IS_ADDRESS
    else {}
)
exclude_patterns = ["_build"]
myst_enable_extensions = ["deflist", "substitution"]
PROJECT = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
myst_substitutions = {
    # while there is no address, nothing is said of a place
    "issues": f"[Report]({REPOSITORY}/issues)" if IS_ADDRESS else "Report",
    "python": PROJECT["requires-python"].removeprefix(">="),
}
myst_heading_anchors = 3
copybutton_selector = (
    "div.highlight-sh pre, div.highlight-bash pre, div.highlight-python pre, div.highlight-json pre"
)

autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
maximum_signature_line_length = 80
default_role = "code"
# Names of others, of private parts, and modules without a page.
nitpick_ignore_regex = [("py:.*", r"(?!kpjax\.).*"), ("py:.*", r".*\._.*"), ("py:.*", r"kpjax\..*")]

COMMAND_WIDTH = 84  # characters of help; a code box shows 88 in a window of 1280 px
# what is used under the name of its module: a page -> its modules and their names, () for all
MODULES = {
    "Projects, images and videos": {
        "kpjax.formats.reading": ("read_project", "format_of"),
        "kpjax.formats.writing": ("write_project",),
        "kpjax.formats.project": ("Project", "Frame", "Instance"),
        "kpjax.formats.project_source": ("project_source", "unlabelled_source", "frames_at"),
        "kpjax.images.reading": ("read_image", "image_size", "common_depth"),
        "kpjax.images.video": (
            "open_video",
            "find_videos",
            "write_video",
            "VideoFile",
            "FrameFolder",
        ),
        "kpjax.images.transforms": (),
    },
    "Evaluation": {
        f"kpjax.{name}": ()
        for name in (
            "evaluation.metrics",
            "evaluation.motion",
            "lab.animals.calibration",
            "lab.animals.conformal",
        )
    },
    "Drawing": {
        "kpjax.drawing.overlays": (),
        "kpjax.lab.reports.sheets": (),
    },
}


def as_markup(app, what, name, obj, options, lines):
    """Changes docstrings, which are plain text with `names`, so that reStructuredText shows them as
    they are.
    """

    def escaped(text: str) -> str:
        return re.sub(r"([*|])|(?<=\w)(_)(?!\w)", r"\\\1\2", text)

    if what == "data":  # of an alias or a number autodoc takes the documentation of its type
        lines.clear()
    text = "\n".join(lines)
    if what in ("class", "module"):  # a field becomes a paragraph, with its second line
        text = re.sub(r"(?<=[^\n:])\n +(?=\S)", " ", text)
        text = re.sub(r"\n(?=[a-z_]+(?:, [a-z_]+)*: |[A-Z]\. )", "\n\n", text)
    parts = text.split("`")
    lines[:] = "".join(
        escaped(part)
        if number % 2 == 0
        else f"``{part}``" + "\\ " * parts[number + 1][:1].isalnum()
        for number, part in enumerate(parts)
    ).split("\n")


def skipped(app, what, name, obj, skip, options):
    """Leaves out the fields of named tuples, which a class's signature has."""
    return True if type(obj).__name__ == "_tuplegetter" else None


# Pages that are written at the start of a build


def write_pages(app):
    """Writes the pages of the reference and that of the commands."""
    folder = HERE / "reference"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    pages = {package: _package_page(package) for package in PACKAGES}
    pages |= {
        title.lower().replace(",", "").replace(" ", "_"): _modules_page(title, modules)
        for title, modules in MODULES.items()
    }
    pages["index"] = _index(pages)
    pages["commands"] = _commands_page()
    for name, lines in pages.items():
        (folder / f"{name}.rst").write_text("\n".join(lines) + "\n", encoding="utf-8")


@functools.cache
def _table(package: str) -> dict[str, str]:
    """Returns the module, below a package, of each of its public names, as its stub lists them."""
    stub = Path(importlib.import_module(package).__file__).with_suffix(".pyi")
    return {
        one.name: node.module
        for node in ast.parse(stub.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ImportFrom) and node.module
        for one in node.names
    }


def _index(pages) -> list[str]:
    return [
        *_heading("Reference", "="),
        "Names stand where they are imported from, with their types and a link to their source.",
        "",
        ".. toctree::",
        "   :maxdepth: 2",
        "",
        *(f"   {name}" for name in pages),
    ]


def _package_page(package: str) -> list[str]:
    """Returns the page of a package with lazy names: a section for each module, in the order of the
    package.
    """
    whole = importlib.import_module(package)
    sections: dict[str, list[str]] = {}
    for name, module in _table(package).items():
        sections.setdefault(f"{package}.{module}", []).append(name)
    lines = [*_heading(package, "="), f".. currentmodule:: {package}", "", _first_line(whole), ""]
    for module, names in sections.items():
        lines += [*_heading(_words(module), "-"), _first_line(importlib.import_module(module)), ""]
        for name in names:
            value, home = getattr(whole, name), _home(name, module)
            if home != package:
                lines += [f"- ``{package}.{name}`` is :py:obj:`{home}.{name}`", ""]
            else:
                lines += _entry(f"{package}.{name}", value)
    return lines


def _home(name: str, module: str) -> str:
    """Returns the first package that exports a name of a module."""
    for package in PACKAGES:
        table = _table(package)
        if name in table and f"{package}.{table[name]}".startswith(module.rpartition(".")[0]):
            value = getattr(importlib.import_module(module), name)
            if getattr(importlib.import_module(package), name) is value:
                return package
    return module


def _modules_page(title: str, modules) -> list[str]:
    lines = _heading(title, "=")
    for module, names in modules.items():
        whole = importlib.import_module(module)
        names = names or [
            name
            for name, value in vars(whole).items()
            if not name.startswith("_")
            and getattr(value, "__module__", "") == module
            and (inspect.isclass(value) or inspect.isfunction(value))
        ]
        lines += [
            *_heading(module, "-"),
            f".. currentmodule:: {module}",
            "",
            _first_line(whole),
            "",
        ]
        lines += [
            line for name in names for line in _entry(f"{module}.{name}", getattr(whole, name))
        ]
    return lines


def _entry(path: str, value) -> list[str]:
    if inspect.isclass(value):
        return [f".. autoclass:: {path}", "   :members:", ""]
    return [f".. {'autofunction' if inspect.isroutine(value) else 'autodata'}:: {path}", ""]


def _heading(text: str, mark: str) -> list[str]:
    return [text, mark * len(text), ""]


def _words(module: str) -> str:
    return module.rpartition(".")[2].replace("_", " ").capitalize()


def _first_line(module) -> str:
    return re.sub("`", "``", (module.__doc__ or "").strip().split("\n\n")[0].replace("\n", " "))


def _commands_page() -> list[str]:
    """Returns the page of the command line: what every command says of itself."""
    from kpjax.lab.commands import COMMANDS
    from kpjax.lab.own.systems import NEEDS

    lines = [
        *_heading("Command line", "="),
        "What ``--help`` says, word for word; this page is made of it.",
        "",
    ]
    systems = (["train", name] for name in NEEDS)
    for words in ([], ["train"], *systems, *([name] for name in COMMANDS)):
        said = subprocess.run(
            [sys.executable, "-m", "kpjax", *words, "--help"],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ
            | {
                "COLUMNS": str(COMMAND_WIDTH),
                "PYTHONPATH": os.pathsep.join([str(HERE.parent), *sys.path[1:]]),
                "NO_COLOR": "1",
            },
        ).stdout
        title = " ".join(["kpjax", *words])
        lines += [
            *_heading(title, "-"),
            ".. code-block:: text",
            "",
            *(f"   {line}".rstrip() for line in _narrowed(re.sub(r"\x1b\[[0-9;]*m", "", said))),
            "",
        ]
    return lines


def _narrowed(said: str) -> list[str]:
    """Returns the lines of a help, wrapped anew below what they explain; boxes are as wide as asked
    for.
    """
    whole: list[str] = []
    for line in said.splitlines():
        if whole and whole[-1].strip() and re.match(r" {10,}[^ │]", line):
            whole[-1] += " " + line.strip()
        else:
            whole.append(line)
    lines = []
    for line in whole:
        hanging = len(re.match(r" *(?:\S+ {2,})?", line)[0]) if "│" not in line else 0
        lines += textwrap.wrap(
            line, COMMAND_WIDTH, subsequent_indent=" " * hanging, replace_whitespace=False
        ) or [""]
    return lines


def public_name(app, env, node, content):
    """Resolves a type by the public name of what it is: `kpjax.structures.Example` is documented as
    `kpjax.Example`.
    """
    target = node.get("reftarget", "")
    module, _, name = target.rpartition(".")
    if not module.startswith("kpjax."):
        return None
    for package in PACKAGES:
        if name in _table(package):
            found = env.domains["py"].resolve_any_xref(
                env, node["refdoc"], app.builder, f"{package}.{name}", node, content
            )
            if found:
                return found[0][1]
    return None


def setup(app):
    """Connects the functions above."""
    app.connect("autodoc-process-docstring", as_markup, priority=100)
    app.connect("autodoc-skip-member", skipped)
    app.connect("builder-inited", write_pages)
    app.connect("missing-reference", public_name)
