"""Frozen-core adaptation (Sanchez and Tzimiropoulos, NeurIPS 2019): landmarks of a new category,
without labels.

A core learns landmarks of one category with labels, once for all variants of a seed. Every variant
then learns landmarks of another category from images alone: from the points that it finds in one
view of an image, a generator reconstructs that view out of another. Variants differ in their start
and in the weights that they train. All have equal steps and images, and the last step is the
result.

Errors are of regressors between discovered points and annotation (forward: annotation from points;
backward: points from annotation) and of points under turns (consistency). Each is fooled by some
collapse. A variant with few varying points, or with all points in a heap, has collapsed; its errors
mean nothing. `random_core` shows how much the learnt kernels matter.
"""

from kpjax.images.transforms import Letterbox
from kpjax.papers.adaptation.config import SYNTHETIC, Config
from kpjax.papers.adaptation.draw import draw
from kpjax.papers.adaptation.measures import columns, measure
from kpjax.papers.adaptation.stages import Data
from kpjax.papers.adaptation.variants import VARIANTS
from kpjax.papers.engine import Paper, Predicting

PAPER = Paper(
    "adaptation",
    "a network of another category, and images without labels (frozen core, NeurIPS 2019)",
    SYNTHETIC,
    VARIANTS,
    evaluated=lambda job, data: {},  # each variant has predicted what is measured
    measure=measure,
    columns=columns,
    predicting=lambda stored: Predicting(
        VARIANTS[stored.variant].method(stored.config, stored.skeleton),
        Letterbox(stored.config.data.image_size),
        VARIANTS[stored.variant].score_kind,
    ),
    short_list=lambda preset, config: (  # of a demo, what takes minutes on two cores
        ("adapted", "scratch")
        if config.data.rendered
        else ("adapted", "finetuned", "scratch", "random_core")
    ),
    applicable=lambda preset, config: tuple(VARIANTS),
    draw=draw,
)
__all__ = ["PAPER", "VARIANTS", "Config", "Data"]
