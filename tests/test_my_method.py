"""The whole file of a method of one's own, which the page on composing shows."""

import importlib.util
from pathlib import Path

import numpy as np

FILE = Path(__file__).parents[1] / "docs" / "my_method.py"


def test_my_method_trains_and_makes_its_table(capsys):
    spec = importlib.util.spec_from_file_location("my_method", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    errors = module.main(steps=6, seeds=2)
    assert errors.keys() == {"mine", "without the peaks"}
    assert all(len(found) == 2 and np.isfinite(found).all() for found in errors.values())
    *_, first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("mine")
    assert second.startswith("without the peaks")
