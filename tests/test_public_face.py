"""The public face: every exported name is there, and costs nothing before it is used."""
import importlib
import subprocess
import sys

import pytest

PACKAGES = ("kpjax", "kpjax.augment", "kpjax.losses", "kpjax.methods", "kpjax.models")


@pytest.mark.parametrize("name", PACKAGES)
def test_every_exported_name_is_there(name):
    package = importlib.import_module(name)
    assert len(set(package.__all__)) == len(package.__all__) > 0
    assert set(package.__all__) <= set(dir(package))
    for export in package.__all__:
        assert getattr(package, export) is not None
    with pytest.raises(AttributeError, match="regression"):
        package.regression  # noqa: B018


def test_importing_the_packages_imports_no_jax():
    code = f"import sys, {', '.join(PACKAGES)}; print(sorted({{'jax', 'flax', 'optax', 'numpy'}} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
