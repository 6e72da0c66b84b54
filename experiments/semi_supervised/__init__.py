"""Semi-supervised keypoint localization (Moskvyak et al., ICLR 2021): a few labelled images and
many without labels.

Command   python -m experiments.semi_supervised demo          (2 CPU cores, renders its own data)
          python -m experiments.semi_supervised openfield --labelled 10 --seeds 3      (2 CPU cores, a few minutes each)
          kpjax train semi_supervised --project P --unlabelled V ...     (one's own project: minutes)
          python -m experiments study semi_supervised paper --preset "lsp labelled=0.05" --seeds 3              (a GPU)
Expected  the tables in experiments/semi_supervised/results.md; the paper's numbers stand beside ours in every report
"""

from dataclasses import replace

from experiments.keypoints import skeleton_of
from experiments.semi_supervised.images import open_data
from kpjax.models import MobileNetV2, MoveNet
from kpjax.papers import semi_supervised
from kpjax.papers.configs import replace_fields
from kpjax.papers.engine import Experiment
from kpjax.papers.semi_supervised.config import (
    SMALL_FORM,
    SMALL_REAL,
    SYNTHETIC,
    Config,
    LabelledSubset,
)

# The paper stops when the validation accuracy has stopped improving: here after ten evaluations, one
# an epoch of the unlabelled images, that were no better. The best one is the result. Steps are
# capped at 50 such epochs, as in the authors' settings for birds.
PAPER = Config("", LabelledSubset(scale_is="the box's longer side"))
LEEDS = replace_fields(PAPER, crop_smallest=100.0, unused_keypoints=("pelvis", "thorax"))
PRETRAINED = {
    "weights": "mobilenet_v2.google_in1k",
    "normalisation": "symmetric",
    "learning_rate": 1e-3,
    "warm_start_learning_rate": 1e-3,
    "evaluations": 1,
    "image_size": 128,
    "heatmap_size": 32,
}
MOBILENET = MobileNetV2(padding="tensorflow", frozen_stride=4)
SPEECH = replace_fields(
    SMALL_REAL,
    **PRETRAINED,
    network=replace(MOBILENET, head_layers=2),
    labelled=50,
    generator_size=96,
    generator_widths=(8, 16, 32),
    rotation=15.0,
)
SHORT = {
    **SMALL_FORM,
    "train": "lspet/train",
    "validation": "lspet/tune",
    "test": "lspet/test",
    "augmentation": "strong",
    "batch_size": 16,
    "decoder": "dark",
    "grid": "half_pixel",
    "schedule": "cosine",
    "selection": "last",
    "patience": 0,
    "sigma": 1.0,
    "steps": 300,
    "targets": "sub_pixel",
    "warm_start_steps": 190,
}
# From ImageNet's weights, on 32 cells.
ATHLETES = replace_fields(LEEDS, **SHORT, **PRETRAINED, network=MOBILENET)
PRESETS: dict[str, Config] = {
    "demo": replace_fields(
        SYNTHETIC, batch_size=16, warm_start_steps=200, steps=200, evaluations=2
    ),
    # the rate, of 1.6e-2, 1e-2 and 5e-3, that was best for the labels alone on tuning seed 100
    "people": replace_fields(
        SYNTHETIC,
        summary="the demo's people at 128 px, on the paper's maps of 64 cells; 2 cores, half an hour",
        image_size=128,
        heatmap_size=64,
        sigma=2.0,
        batch_size=16,
        warm_start_steps=600,
        steps=600,
        evaluations=1,
        learning_rate=1e-2,
        warm_start_learning_rate=1e-2,
    ),
    "openfield": replace_fields(
        SMALL_REAL,
        summary="a mouse from above, or any DeepLabCut project of one animal, 10 labelled; 2 cores",
        train="deeplabcut/train",
        validation="deeplabcut/tune",
        test="deeplabcut/test",
        scale_is="the labelled body's diagonal",
        labelled=10,
        image_size=128,
        generator_size=64,
        generator_widths=(8, 16, 32),
        rotation=180.0,
        flip=False,
    ),
    "faces": replace_fields(
        SMALL_REAL,
        summary="68 keypoints of faces in videos, 10 % labelled; 2 cores",
        train="youtube_faces/train",
        validation="youtube_faces/tune",
        test="youtube_faces/test",
        scale_is="the distance between the eyes",
        labelled=0.1,
        widths=(16, 32, 64, 64, 128),
        head_width=64,
    ),
    "tongue": replace_fields(
        SPEECH,
        summary="the tongue in ultrasound, 50 of 420 frames labelled, other speakers test; 2 cores",
        train="tongue/train",
        validation="tongue/tune",
        test="tongue/test",
        further="tongue/videos",
        flip=False,
        scale_is="a centimetre",
        contours=("surface",),
        pck_threshold=0.5,
    ),
    "lips": replace_fields(
        SPEECH,
        summary="the inner border of the lips, 50 of 164 frames labelled, other speakers test; 2 cores",
        train="lips/train",
        validation="lips/tune",
        test="lips/test",
        further="lips/videos",
        scale_is="the mouth's width",
        contours=("upper_lip", "lower_lip"),
        pck_threshold=0.05,
    ),
    "lspet": replace_fields(
        LEEDS,
        summary="athletes, 5 % of 1,800 images of LSP Extended labelled; one GPU",
        train="lspet/train",
        validation="lspet/tune",
        test="lspet/test",
    ),
    # As in the paper a constant rate, until the validation accuracy has stopped improving: of 15
    # evaluations at most, five that were no better.
    "athletes": replace_fields(
        ATHLETES,
        summary="athletes, 200 of 1,800 images of LSP Extended labelled, from ImageNet's weights, "
        "stopped by validation; 2 cores",
        labelled=200,
        learning_rate=3e-4,
        warm_start_learning_rate=3e-4,
        schedule="constant",
        steps=1500,
        evaluations=15,
        selection="validation",
        patience=5,
    ),
    "fifty_athletes": replace_fields(
        ATHLETES,
        summary="athletes, 50 of 1,800 images of LSP Extended labelled, from ImageNet's weights, a "
        "short training; 2 cores",
        labelled=50,
    ),
    "ten_athletes": replace_fields(
        LEEDS,
        **SHORT | {"sigma": 2.0, "steps": 1500, "warm_start_steps": 0},
        summary="athletes, 10 of 1,800 images labelled, from a published network of people; 2 cores",
        labelled=10,
        network=MoveNet(frozen_stride=16, sigmoid=True),
        weights="movenet_lightning.google",
        normalisation="symmetric",
        backbone_statistics="frozen",
        relative_steps=True,
        image_size=192,
        heatmap_size=48,
        learning_rate=3e-3,
        rotation=45.0,
        evaluations=1,
    ),
    "mpii": replace_fields(
        PAPER,
        summary="people, 5 % of 10,000 MPII images labelled; one GPU",
        train="mpii/train",
        test="mpii/test",
        scale_is="the head's size",
        validation="mpii/validation",
        pck_over="scale",
        pck_threshold=0.5,
        uncounted_keypoints=("pelvis", "thorax"),
    ),
    "lsp": replace_fields(
        LEEDS,
        summary="athletes, LSP Extended to LSP, 5 % of 10,000 labelled; one GPU",
        train="lspet/train+tune+test",
        validation="lsp/first_half",
        test="lsp/second_half",
    ),
    "cub": replace_fields(
        PAPER,
        summary="birds of other species, CUB-200-2011, 5 % labelled; one GPU",
        train="cub200_2011/train",
        validation="cub200_2011/validation",
        test="cub200_2011/test",
        steps=17_500,
    ),
    "atrw": replace_fields(
        PAPER,
        summary="tigers, ATRW, 5 % labelled; one GPU",
        train="atrw/train+unlabelled",
        validation="atrw/validation",
        test="atrw/test",
        crop_margin=1.0,
        steps=10_800,
    ),
}

EXPERIMENT = Experiment(semi_supervised.PAPER, PRESETS, open_data, skeleton_of)
