"""Lazy exports of a package (PEP 562): each module is imported when one of its names is first read."""
import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any


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

    def __dir__() -> list[str]:
        return sorted({*vars(sys.modules[package_name]), *table})

    return __getattr__, __dir__, sorted(table)
