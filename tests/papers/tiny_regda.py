"""RegDA that trains for seconds; as a program, one process of it on several: python tiny_regda.py
PRESET [flags].
"""

import sys

from experiments.regda import EXPERIMENT, PRESETS
from kpjax.papers.command_line import run
from kpjax.papers.configs import replace_fields
from kpjax.papers.parsing import exit_code_of

SMALL = {
    "image_size": 32,
    "heatmap_size": 8,
    "widths": (4, 4, 4),
    "head_layers": 1,
    "pretraining_head_layers": 1,
    "batch_size": 8,
    "pretraining_steps": 2,
    "steps": 3,
    "evaluations": 1,
    "training_examples": 16,
    "test_examples": 8,
    "augmentation": "none",
}
TINY = EXPERIMENT._replace(
    presets={
        "people": replace_fields(PRESETS["demo"], **SMALL),
        "sprites": replace_fields(PRESETS["dsprites_small_colour_noisy"], **SMALL),
    }
)

if __name__ == "__main__":
    raise SystemExit(exit_code_of(lambda: run(TINY, sys.argv[1:])))
