"""The public face: every exported name is there and costs nothing before it is used, and README's example runs."""
import importlib
import pathlib
import re
import subprocess
import sys

import numpy as np
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


# README's example

ROOT = pathlib.Path(__file__).parents[1]
(EXAMPLE,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)


def test_the_example_has_five_imports_at_most():
    assert 0 < len(re.findall(r"^(?:import|from) ", EXAMPLE, re.M)) <= 5


def test_the_example_runs():
    names = {}
    exec(compile(EXAMPLE, "README.md", "exec"), names)
    assert names["state"].step == 1
    assert {"loss/total", "loss/supervised", "loss/target_false", "loss/target_truth"} <= set(names["metrics"])
    keypoints = names["prediction"].keypoints
    assert keypoints.shape == (4, 3, 2)
    assert np.isfinite(keypoints).all()
