"""Lazy exports of a package (PEP 562): each module is imported when one of its names is first read.

Type checkers know the names by stubs beside each `__init__.py`, which are written when kpjax is built or installed.
"""
import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

PACKAGES = ("kpjax", "kpjax.augment", "kpjax.losses", "kpjax.methods", "kpjax.models")

def by_name(names: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Turns module -> its public names into the table of `lazy_exports`."""
    return {name: module for module, of_module in names.items() for name in of_module}


def lazy_exports(
    package_name: str, table: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Returns `__getattr__`, `__dir__` and `__all__` of a package; table: public name -> module within the package."""

    def __getattr__(name: str) -> Any:
        if name not in table:
            raise AttributeError(f"module {package_name!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{package_name}.{table[name]}"), name)
        setattr(sys.modules[package_name], name, value)
        return value

    __getattr__.table = table  # for the stub

    def __dir__() -> list[str]:
        return sorted({*vars(sys.modules[package_name]), *table})

    return __getattr__, __dir__, sorted(table)


def write_stubs() -> None:
    """Writes the stub of every package with lazy exports."""
    for package in map(importlib.import_module, PACKAGES):
        lines = [f"from {package.__name__}.{module} import {name} as {name}\n"
                 for name, module in sorted(package.__getattr__.table.items(), key=lambda item: item[::-1])]
        Path(package.__file__).with_suffix(".pyi").write_text("".join(lines), encoding="utf-8")
