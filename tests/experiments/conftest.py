"""What tests that run whole experiments share."""
from dataclasses import replace

import pytest

from experiments.regda import EXPERIMENT
from experiments.regda.config import PRESETS


@pytest.fixture(scope="module")
def tiny_regda():
    """RegDA's experiment with two presets, `people` and `sprites`, that train for seconds."""
    small = {"image_size": 32, "heatmap_size": 8, "widths": (4, 4, 8), "head_width": 4, "batch_size": 8,
             "pretraining_steps": 2, "steps": 3, "evaluations": 1, "training_examples": 16, "test_examples": 8,
             "augmentation": "none"}
    return EXPERIMENT._replace(presets={
        "people": replace(PRESETS["demo"], **small),
        "sprites": replace(PRESETS["dsprites_small_colour_noisy"], **small)})
