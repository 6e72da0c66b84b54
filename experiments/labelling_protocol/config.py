"""What a run of the protocol depends on, and settings for two small sets."""
from dataclasses import dataclass, replace
from typing import Literal

from experiments import supervised
from experiments.command_line import Variant


@dataclass(frozen=True)
class Config(supervised.Config):
    """Everything that a run depends on besides its seed: how networks learn, and how many labels there are."""

    first_labels: int = 16
    more_labels: int = 16
    loss: Literal["mse", "kl"] = "mse"  # between heatmaps; the score says more with mse
    selection: Literal["last"] = "last"  # nobody with 16 labels has others to choose a checkpoint by


SMALL = Config("", "", "", image_size=64, heatmap_size=32, sigma=1.0, widths=(16, 32, 32, 64), steps=500)
PRESETS: dict[str, Config] = {
    "demo": replace(
        SMALL, summary="drawn people; 2 cores, a minute", dataset="figures:target", scale_is="the picture's side",
        pck_threshold=0.05, heatmap_size=16, steps=200, rotation=30.0, zoom=(0.9, 1.2), shift=0.05,
        training_examples=200, test_examples=100),
    "mouse": replace(
        SMALL, summary="a mouse from above, or any prepared DeepLabCut project of one animal; one core, minutes",
        dataset="deeplabcut", scale_is="the labelled body's diagonal"),
    "faces": replace(
        SMALL, summary="68 points of faces in videos; one core, minutes", dataset="youtube_faces",
        scale_is="the distance between the eyes", widths=(16, 32, 64, 64, 128), rotation=30.0,
        flip=True, steps=400),
}

MEANING = {
    "score": "the lowest mean score",
    "equivariance": "the largest error under turning and scaling",
    "poses": "the pose that is least like the labelled ones",
    "disagreement": "the largest difference between two networks",
    "oracle": "the largest true error",
}
VARIANTS = {
    "random": Variant("control", "drawn by chance"),
    "diversity": Variant("control", "pictures that look least like those with labels"),
} | {
    f"{name}{suffix}": Variant("oracle" if name == "oracle" else kind, f"{line}{how}")
    for name, line in MEANING.items()
    for suffix, kind, how in (("_diverse", "method", ", of the best those that look least alike"),
                              ("", "ablation", ", as it comes"))
}
