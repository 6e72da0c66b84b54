"""The README's example: it is short, and it runs as it stands."""
import pathlib
import re

import numpy as np

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
