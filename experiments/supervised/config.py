"""What a supervised run depends on, and settings for small sets on a laptop."""
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Config:
    """Everything that a run depends on besides its seed."""

    summary: str  # one line
    dataset: str  # of `python -m data`, or "figures:<domain>"
    scale_is: str  # what the dataset's reference length is, in words
    pck_threshold: float = 0.1  # of the reference length
    image_size: int = 128  # px; pictures are letterboxed to it
    heatmap_size: int = 64  # px
    sigma: float = 1.5  # of a keypoint's Gaussian, heatmap px
    grid: Literal["half_pixel", "index"] = "half_pixel"  # how heatmaps lie in the image
    decoder: Literal["dark", "quarter", "soft_argmax", "argmax"] = "dark"  # heatmaps to points; see supervised.py
    network: Literal["small_unet", "pose_resnet"] = "small_unet"
    widths: tuple[int, ...] = (16, 32, 32, 64, 64)  # of the small U-net
    depth: int = 50  # of the residual network
    imagenet: str = ""  # safetensors file or hub name of ImageNet weights for it; "" starts from random weights
    head_layers: int = 2
    head_width: int = 32
    dtype: Literal["float32", "bfloat16"] = "float32"  # of the computation; parameters are float32
    batch_size: int = 16
    steps: int = 1000
    learning_rate: float = 3e-3  # Adam's; falls to zero along a cosine
    rising_steps: int = 50  # over which it rises from zero
    weight_decay: float = 1e-4
    rotation: float = 180.0  # degrees either way
    zoom: tuple[float, float] = (0.75, 1.4)
    shift: float = 0.15  # of the side, either way
    flip: bool = False  # mirrored pictures; the skeleton must say which points change places
    jitter: float = 0.4  # brightness, contrast, saturation
    blur: float = 1.0  # px, the most
    noise: float = 0.05  # of the range of pixel values, the most
    validation_share: float = 0.15  # of the training pictures, held out to choose the checkpoint
    selection: Literal["nme", "pck", "last"] = "nme"  # by which validation error
    evaluations: int = 15
    training_examples: int = 500  # of drawn figures
    test_examples: int = 100


PRESETS: dict[str, Config] = {
    "demo": Config(
        "drawn people; 2 cores, seconds", "figures:source", "the picture's side", pck_threshold=0.05, image_size=64,
        heatmap_size=16, sigma=1.0, widths=(16, 32, 32, 64, 64), steps=300, rotation=30.0, zoom=(0.9, 1.2), shift=0.05,
        jitter=0.25, blur=0.8, evaluations=6),
    "openfield": Config(
        "a mouse from above, or any DeepLabCut project of one animal; 2 cores, minutes", "deeplabcut",
        "the labelled body's diagonal"),
    "faces": Config(
        "68 points of faces in videos; 2 cores, minutes", "youtube_faces", "the distance between the eyes",
        heatmap_size=32, sigma=1.0, widths=(16, 32, 64, 64, 128, 128), head_width=64, rotation=30.0, flip=True),
}
