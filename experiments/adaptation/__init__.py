"""Frozen-core adaptation (Sanchez and Tzimiropoulos, NeurIPS 2019): landmarks of a new category,
without labels.

Command   python -m experiments.adaptation demo               (2 CPU cores, renders its own data)
          python -m experiments.adaptation demo --core-background patches --workdir elsewhere     (another core)
          kpjax train adaptation --core RUN --images FOLDER    (one's own run and images)
          python -m experiments study adaptation --seeds 5                                 (runs of the headline table)
          python -m experiments.adaptation mpii_mafl --perceptual vgg19.tv_in1k --seeds 3  (one GPU)
          python -m experiments.adaptation mpii_mafl_printed --perceptual vgg19.tv_in1k    (one GPU)
Expected  the tables in experiments/adaptation/results.md; the paper's numbers stand beside ours in every report

Presets named mpii_... follow the paper, and the authors' code where the two differ. Each asks for
the weights by which images are compared: `--perceptual random` takes random features instead.
"""

from dataclasses import replace

from experiments.adaptation.images import open_images
from experiments.keypoints import skeleton_of
from kpjax.methods.adaptation_family.adaptation import PRINTED_SIGMA
from kpjax.models import MobileNetV2
from kpjax.papers import adaptation
from kpjax.papers.adaptation.config import SYNTHETIC, Config, resolve
from kpjax.papers.adaptation.measures import check_data
from kpjax.papers.configs import replace_fields
from kpjax.papers.engine import Experiment

MAFL = replace_fields(
    Config("faces, CelebA and MAFL; one GPU"),
    core_uncounted_keypoints=("pelvis", "thorax"),
    fit="celeba/mafl_train+mafl_tune",
    test="celeba/mafl_test",
    extra=1,
)
ALIKE = replace(MAFL, core_kept_by="mpii_mafl")
FACES = replace_fields(
    SYNTHETIC,
    target="youtube_faces/train",
    test="youtube_faces/test",
    target_transform="landmark_crop",
    target_side=80,
    target_tightness=40,
    test_transform="landmark_crop",
    test_tightness=25,
    shown=0.83,
    core_background="patches",
    median_length=True,
    labelled_images=(10, 50),
)
LEEDS = {
    "core": "lspet/train",
    "core_test": "lspet/test",
    "core_transform": "person_crop",
    "core_crop_smallest": 100.0,
    "core_unused_keypoints": ("pelvis", "thorax"),
    "core_pck_threshold": 0.2,
    "core_pck_over": "box",
}
PUBLISHED = {"core": "", "core_test": "", "core_epochs": 0}
FLIES = replace_fields(
    SYNTHETIC,
    network=MobileNetV2(padding="tensorflow"),
    normalisation="symmetric",
    core_kept=(),
    target="flies/first",
    test="flies/second",
    lengths="object",
    median_length=True,
    decay_to="start",
    steps=1000,
    labelled_images=(10, 50),
)
PRESETS: dict[str, Config] = {
    "demo": replace_fields(SYNTHETIC, network=MobileNetV2(), steps=1000, core_epoch_steps=25),
    "figures_faces": replace_fields(
        FACES,
        summary="68 points of faces in videos, from a core for synthetic people; random features; 2 cores",
    ),
    "lspet_faces": replace_fields(
        FACES,
        summary="68 points of faces in videos, from a core for people; random features; 2 cores",
        **LEEDS,
        core_epoch_steps=600,
    ),
    "faces_cores": replace_fields(
        FACES,
        **PUBLISHED,
        summary="68 points of faces in videos, from published weights: --weights NAME; 2 cores",
        core_kept=(),
        network=MobileNetV2(),
        steps=500,
        core_epoch_steps=25,
    ),
    "flies_pose": replace_fields(
        FLIES,
        **PUBLISHED,
        summary="13 points of flies in a clip, from a published network of human pose; 2 cores",
        weights="movenet_lightning.google",
    ),
    "flies_imagenet": replace_fields(
        FLIES,
        **PUBLISHED,
        summary="the same, from ImageNet's weights; 2 cores",
        weights="mobilenet_v2.google_in1k",
    ),
    "flies_learnt": replace_fields(
        FLIES, **LEEDS, summary="the same, from a core trained on athletes; 2 cores"
    ),
    "mpii_mafl": MAFL,
    "mpii_mafl_printed": replace_fields(
        ALIKE,
        summary="the same, by the paper's text where the authors' code differs; one GPU",
        projected="every",
        point_sigma=PRINTED_SIGMA,
        perceptual_distance="absolute",
        generator_width=64,
    ),
    "mpii_aflw": replace_fields(
        ALIKE,
        summary="faces in the wild, AFLW, by what was trained on CelebA; one GPU",
        fit="aflw/train+tune",
        test="aflw/test",
        training_kept_by="mpii_mafl",
    ),
    "mpii_ls3d": replace_fields(
        ALIKE,
        summary="68 points of faces in all poses, LS3D-W, by what was trained on CelebA; one GPU",
        fit="w300_lp/train+tune",
        test="ls3d/test",
        training_kept_by="mpii_mafl",
    ),
    "mpii_zappos": replace_fields(
        ALIKE,
        summary="shoes, UT Zappos50K, without annotation; one GPU",
        target="ut_zappos50k/train+tune",
        fit="",
        test="ut_zappos50k/test",
        target_transform="letterbox",
        test_transform="letterbox",
        target_side=128,
        shown=1.0,
        lengths="none",
    ),
    "mpii_cats": replace_fields(
        ALIKE,
        summary="heads of cats, the CAT dataset; one GPU",
        target="cats/train+tune",
        fit="cats/train+tune",
        test="cats/test",
        labelled_images=(1, 5, 10, 100, 500, 1000),
    ),
    "mpii_bbc": replace_fields(
        ALIKE,
        summary="signers, BBC-Pose; the paper's core knows faces: --core w300_lp/train+tune --core-test '' "
        "--core-transform landmark_crop; one GPU",
        target="bbc_pose/train",
        fit="bbc_pose/train",
        test="bbc_pose/test",
        target_transform="margin_crop",
        test_transform="window_crop",
        target_side=128,
        shown=0.9,
        lengths="object",
        labelled_images=(1, 5, 10, 100, 500, 1000),
    ),
}

EXPERIMENT = Experiment(
    adaptation.PAPER,
    PRESETS,
    lambda job: check_data(job.config, open_images(job.config.data, job.seed, job.data_dir)),
    skeleton_of,
    resolve,
)
