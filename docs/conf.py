"""The documentation: Sphinx with MyST, and a reference of every public module.

sphinx-build -W --keep-going -n -b html docs site       (strict: a broken link or an unknown name fails)
"""
import importlib
import inspect
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent)]

from kpjax.lazy import PACKAGES

project = "kpjax"
copyright = "the kpjax maintainers, Apache-2.0"
extensions = ["myst_parser", "sphinx.ext.apidoc", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = "kpjax"
html_static_path = []
exclude_patterns = ["_build"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

# The reference is made of docstrings, module by module, where names are defined.
apidoc_modules = [{
    "path": str(HERE.parent / "kpjax"), "destination": "reference/", "separate_modules": True, "module_first": True,
    "exclude_patterns": [str(HERE.parent / "kpjax" / name) for name in ("__main__.py", "bundled")],
    "automodule_options": {"members", "ignore-module-all"}}]
suppress_warnings = ["toc.not_included"]  # modules.rst, which apidoc writes beside the page of the package
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "none"  # the signatures of arrays are longer than what their docstrings say
default_role = "code"
# Names of others, and of private parts.
nitpick_ignore_regex = [("py:.*", r"(?!kpjax\.).*"), ("py:.*", r".*\._.*")]


def as_markup(app, what, name, obj, options, lines):
    """Changes docstrings, which are plain text with `names`, so that reStructuredText shows them as they are."""
    def escaped(text: str) -> str:
        return re.sub(r"([*|])|(?<=\w)(_)(?!\w)", r"\\\1\2", text)

    text = "\n".join(lines)
    if what in ("class", "module"):  # a field becomes a paragraph, with its second line
        text = re.sub(r"(?<=[^\n:])\n +(?=\S)", " ", text)
        text = re.sub(r"\n(?=[a-z_]+(?:, [a-z_]+)*: |[A-Z]\. )", "\n\n", text)
    parts = text.split("`")
    lines[:] = "".join(
        escaped(part) if number % 2 == 0 else f"``{part}``" + "\\ " * parts[number + 1][:1].isalnum()
        for number, part in enumerate(parts)).split("\n")


def skipped(app, what, name, obj, skip, options):
    """Leaves out names of other libraries and those that a package only exports, and fields, which a class's signature
    has."""
    module = sys.modules.get(app.env.current_document.docname.rpartition("/")[2])
    exported = getattr(getattr(module, "__getattr__", None), "table", {})
    foreign = not (getattr(obj, "__module__", None) or "kpjax").startswith("kpjax")
    return True if type(obj).__name__ == "_tuplegetter" or name in exported or foreign else None


def write_names(app):
    """Writes the page of all names that a user composes with, linked to where they are defined."""
    lines = ["# Public names", "", "All that `kpjax` and its packages export, each with the first line of its "
             "documentation.", ""]
    for package in map(importlib.import_module, PACKAGES):
        lines += [f"## {package.__name__}", ""]
        for name, module in sorted(package.__getattr__.table.items(), key=lambda item: item[0].lower()):
            value, where = getattr(package, name), f"{package.__name__}.{module}"
            text = (inspect.getdoc(value) or "") if inspect.isclass(value) or inspect.isroutine(value) else ""
            link = f"{{py:obj}}`{name} <{value.__module__}.{value.__qualname__}>`" if text and (
                value.__module__.startswith("kpjax.")) else f"`{name}`, in {{py:mod}}`{where}`"
            lines.append(f"- {link}{': ' if text else ''}{text.splitlines()[0] if text else ''}")
        lines.append("")
    (HERE / "reference").mkdir(exist_ok=True)
    (HERE / "reference" / "names.md").write_text("\n".join(lines), encoding="utf-8")


def setup(app):
    """Connects the functions above."""
    app.connect("autodoc-process-docstring", as_markup, priority=100)
    app.connect("autodoc-skip-member", skipped)
    app.connect("builder-inited", write_names)
