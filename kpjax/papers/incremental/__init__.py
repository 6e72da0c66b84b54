"""Incremental keypoint learning (KAMP, arXiv 2503.20248): new keypoints for a trained model whose
data are gone.

A protocol (`protocols/*.json`) lists the keypoints of each step and the images on which they are
labelled. Step 0 is the base, which all variants of a seed share. Each later step learns from the
labels of its own keypoints on its own images: no image and no label of another step. Labels of old
keypoints are read by the final evaluation, by the report of KA-Net beside its teacher, and by the
flag `old_label_gate`, which no preset sets. Variants with KA-Net spend a fifth of a step's
optimizer steps on it, or `ka_steps`; the others train so much longer. After every step all known
keypoints are evaluated on all test images. This is a row of the matrix from which AAA, AT, MT and
A-MRE are computed.

`self_training` is the control: the old model's own points in place of KA-Net's. Controls named
`_short` train for the steps that KA-Net leaves its student. `kamp_true_points` is the ceiling: the
true old points in place of KA-Net's, which it reads from labels that the setting does not have.
`--triples 2` gives a step two tasks, each with a KA-Net of its own; l_KA is their mean. Every variant has a
weight of its own, chosen once on the protocol of the preset `demo_tuning`; `online_ewc` has that of
`ewc`. AT above 0 is no mark of KA-Net: a well weighted distillation has it.
"""

from kpjax.papers.engine import Paper, Predicting
from kpjax.papers.incremental.config import SYNTHETIC, Config
from kpjax.papers.incremental.measures import columns, draw, measure
from kpjax.papers.incremental.runs import Data
from kpjax.papers.incremental.variants import VARIANTS

PAPER = Paper(
    "incremental",
    "an old model, labels of new keypoints, and its old data are gone (KAMP, CVPR 2025)",
    SYNTHETIC,
    VARIANTS,
    # earlier steps: see `stages.evaluated`
    lambda job, data: {f"step_{len(data.protocol.steps) - 1}": data.evaluation},
    measure,
    columns,
    predicting=lambda stored: Predicting(
        VARIANTS[stored.variant].method(stored.config, stored.skeleton),
        stored.config.data.square_of_new(),
        VARIANTS[stored.variant].score_kind,
    ),
    short_list=lambda preset, config: ("finetune", "ksd_only", "kamp", "joint"),
    applicable=lambda preset, config: tuple(VARIANTS),
    draw=draw,
)
__all__ = ["PAPER", "VARIANTS", "Config", "Data", "columns"]
