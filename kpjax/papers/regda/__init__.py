"""RegDA (Jiang et al., CVPR 2021): keypoints for unlabelled images from labelled ones that look
different.

Two stages. A network learns the source domain from labels; all variants of a seed share it. Then
each method continues from its features with labelled source batches and unlabelled target batches.
`source_only` and `oracle` get the steps of both. The result of a run is its last step. Beside it
stand the step that is best on validation images, of the source domain except for the oracle, and
the step that is best on the target's test images, as the authors choose. Only the evaluation reads
labels of the target domain.
"""

from kpjax.heatmaps import score_kind
from kpjax.images.transforms import Letterbox
from kpjax.papers import engine
from kpjax.papers.engine import Paper, Predicting
from kpjax.papers.regda.config import SMALL_BODIES, Config
from kpjax.papers.regda.measures import columns, errors
from kpjax.papers.regda.stages import Data, choices
from kpjax.papers.regda.variants import VARIANTS

# Variants of a keypoint in a known area, and of several keypoints. The area's map is a sum already,
# and is that of `regda` on sprites; the other keypoints' map of a single one is empty.
OF_AREAS = ("clipped_ground_false", "constant_centre", "adabn_in_area")
OF_SEVERAL_KEYPOINTS = ("area_ground_false", "unclipped_ground_false")


def applicable(preset: str, config: Config) -> tuple[str, ...]:
    """Returns the variants that suit a preset; an oracle needs other images than the test's."""
    unsuited = OF_SEVERAL_KEYPOINTS if config.data.sprites else OF_AREAS
    if config.augment.augmentation.endswith("colour"):  # all variants have these colours already
        unsuited += tuple(name for name in VARIANTS if "augmented" in name)
    if config.data.target == "lsp":  # all its images are both unlabelled training and test images
        unsuited += tuple(name for name, variant in VARIANTS.items() if variant.kind == "oracle")
    return tuple(name for name in VARIANTS if name not in unsuited)


def kind_of_scores(variant: str, config: Config) -> str:
    """Returns what the scores of a variant are; scores of two kinds do not compare."""
    return VARIANTS[variant].score_kind or score_kind(config.heatmaps.decoder, logits=True)


PAPER = Paper(
    "regda",
    "labels of one kind of images, and none of another (RegDA, CVPR 2021)",
    SMALL_BODIES,
    VARIANTS,
    evaluated=lambda job, data: {
        name: images
        for name, images in (("source", data.source.test), ("target", data.target.test))
        if images
    },
    measure=lambda job, data, outcome, predictions: errors(
        predictions, outcome.method.skeleton, job.config, details=True
    ),
    columns=columns,
    predicting=lambda stored: Predicting(
        VARIANTS[stored.variant].method(stored.config, stored.skeleton),
        Letterbox(stored.config.data.image_size),
        kind_of_scores(stored.variant, stored.config),
    ),
    short_list=lambda preset, config: (
        "source_only",
        "dd" if config.data.sprites else "source_only_augmented",
        "regda",
        "oracle",
    ),
    applicable=applicable,
    draw=lambda job, data, outcome, predictions: engine.draw_predictions(
        outcome,
        data.target.test or data.target.train,
        job.folder / engine.IMAGES / "target.png",
        predictions.get("target"),
    ),
    choices=choices,
)
__all__ = ["PAPER", "VARIANTS", "Config", "Data", "columns"]
