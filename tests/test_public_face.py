"""The public face: every exported name is there, names no module, and costs nothing before it is used."""
import importlib
import pkgutil
import subprocess
import sys
import types

import pytest
from kpjax.lazy import PACKAGES

LAZY = [name for name in PACKAGES if hasattr(importlib.import_module(name), "__all__")]


@pytest.mark.parametrize("name", LAZY)
def test_every_exported_name_is_there_and_is_no_module(name):
    package = importlib.import_module(name)
    assert len(set(package.__all__)) == len(package.__all__) > 0
    assert set(package.__all__) <= set(dir(package))
    for export in package.__all__:
        assert not isinstance(getattr(package, export), types.ModuleType), export


@pytest.mark.parametrize("name", LAZY)
def test_no_exported_name_is_that_of_a_submodule(name):
    package = importlib.import_module(name)
    assert not set(package.__all__) & {entry.name for entry in pkgutil.iter_modules(package.__path__)}


@pytest.mark.parametrize("name", LAZY)
def test_an_unknown_name_is_an_attribute_error(name):
    with pytest.raises(AttributeError, match="'regression'"):
        importlib.import_module(name).regression  # noqa: B018


@pytest.mark.slow
def test_importing_the_packages_imports_no_jax():
    code = f"import sys, {', '.join(PACKAGES)}; print(sorted({{'jax', 'flax', 'optax', 'numpy'}} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
