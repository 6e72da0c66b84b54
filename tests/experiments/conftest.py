"""Fixtures of tests that run whole experiments."""
import pytest

from experiments.configs import changed
from experiments.own import project
from experiments.regda import SYSTEM
from experiments.regda_presets import PRESETS


@pytest.fixture(scope="module")
def tiny_regda():
    """RegDA with two presets, `people` and `sprites`, that train for seconds."""
    small = {"image_size": 32, "heatmap_size": 8, "widths": (4, 4, 8), "head_width": 4, "batch_size": 8,
             "pretraining_steps": 2, "steps": 3, "evaluations": 1, "training_examples": 16, "test_examples": 8,
             "augmentation": "none"}
    return SYSTEM._replace(presets={
        "people": changed(PRESETS["demo"], **small),
        "sprites": changed(PRESETS["dsprites_small_colour_noisy"], **small)})


@pytest.fixture(autouse=True, scope="module")
def fresh_projects():
    """Forgets the projects of other test modules, whose made-up paths are alike."""
    project.open_labelled.cache_clear()
