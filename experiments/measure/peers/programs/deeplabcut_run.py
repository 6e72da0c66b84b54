"""Trains DeepLabCut 3 by its defaults on a folder of `prepare`, and predicts the test images.

Its ResNet-50, whose weights lie on a server, gives way to the given MobileNetV2. Runs in
DeepLabCut's environment; see the package.
"""

import time
from pathlib import Path

import deeplabcut
import numpy as np
import torch
import yaml
from deeplabcut.core.engine import Engine
from deeplabcut.pose_estimation_pytorch.apis.analyze_images import analyze_images
from deeplabcut.pose_estimation_pytorch.models.backbones.base import BACKBONES, BaseBackbone
from deeplabcut.pose_estimation_pytorch.models.model import PoseModel
from deeplabcut.utils.auxiliaryfunctions import read_config
from mobilenet_v2 import CHANNELS, MobileNetV2Trunk
from peer import epochs_within, flags_of, predict_timed, split_of, write_predictions
from PIL import Image

SHUFFLE, EPOCHS = 1, 200
MILESTONES = (90, 120)  # epochs at which its ResNet-50 lowers the rate
EVALUATIONS = 20  # of a training, among which it chooses the best
CROP = 448  # px, the sides of what it trains on, at most


@BACKBONES.register_module
class GivenMobileNetV2(BaseBackbone):
    """MobileNetV2 whose last blocks are dilated in place of a stride, so that maps have a sixteenth of
    the side, as those of DeepLabCut's own ResNet-50."""

    def __init__(self, weights: str, pretrained: bool = False, **options):
        super().__init__(stride=16, **options)
        # With the last convolution it learnt the mouse in a mirror several times slower.
        self.trunk = MobileNetV2Trunk(weights, output_stride=16, whole=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.trunk(images)


def without_download(build):
    """Returns DeepLabCut's builder of models, which leaves its own weights on their server."""
    return lambda cfg, weight_init=None, pretrained_backbone=False: build(
        cfg, weight_init, pretrained_backbone=False
    )


def every_epochs(epochs: int) -> int:
    """Returns after how many epochs each it is evaluated, as often as in its usual training."""
    return max(epochs // EVALUATIONS, 1)


def main():
    asked = flags_of(__doc__).parse_args()
    split = split_of(asked.folder)
    project = (asked.folder / "deeplabcut").absolute()
    config = project / "config.yaml"
    # A project that was moved has to know where it is.
    content = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump(content | {"project_path": str(project), "engine": "pytorch"}))
    deeplabcut.convertcsv2h5(str(config), userfeedback=False)
    PoseModel.build = staticmethod(without_download(PoseModel.build))
    # Draws the frames that it keeps to choose a snapshot by.
    np.random.seed(split["subset"])  # noqa: NPY002
    deeplabcut.create_training_dataset(
        str(config),
        Shuffles=[SHUFFLE],
        userfeedback=False,
        net_type="resnet_50",
        engine=Engine.PYTORCH,
    )
    head, points = "model.heads.bodypart", len(split["keypoints"])
    with Image.open(asked.folder / "images" / split["train"][0]) as image:
        width, height = image.size
    updates = {
        "model.backbone": {
            "type": "GivenMobileNetV2",
            "weights": str(asked.weights.absolute()),
            # With those of ImageNet's images it learnt the mouse in a mirror several times slower.
            "freeze_bn_stats": False,
            "freeze_bn_weights": False,
        },
        # else smaller images are padded with black
        "data.train.crop_sampling.width": min(CROP, width),
        "data.train.crop_sampling.height": min(CROP, height),
        "model.backbone_output_channels": CHANNELS,
        f"{head}.heatmap_config.channels": [CHANNELS, points],
        f"{head}.locref_config.channels": [CHANNELS, 2 * points],
        "train_settings.seed": split["subset"],
    }

    def train(epochs: int) -> float:
        for snapshot in project.rglob("snapshot*.pt"):
            snapshot.unlink()
        milestones = [round(at * epochs / EPOCHS) for at in MILESTONES]
        every = every_epochs(epochs)
        began = time.monotonic()
        deeplabcut.train_network(
            str(config),
            shuffle=SHUFFLE,
            device="cpu",
            epochs=epochs,
            save_epochs=every,
            pytorch_cfg_updates=updates
            | {
                "runner.eval_interval": every,
                "runner.scheduler.params.milestones": milestones,
            },
        )
        return time.monotonic() - began

    epochs = epochs_within(asked.seconds, EPOCHS, train)
    epochs -= epochs % every_epochs(epochs)  # the last is evaluated, too
    seconds = train(epochs)

    def predict(images: list[Path]) -> dict[str, list]:
        found = analyze_images(
            str(config),
            [str(path) for path in images],
            shuffle=SHUFFLE,
            device="cpu",
            output_dir=str(asked.folder / "deeplabcut_points"),
        )
        return {Path(path).name: one["bodyparts"][0, :, :3].tolist() for path, one in found.items()}

    keypoints, rate = predict_timed(asked.folder, predict)
    write_predictions(
        asked,
        "deeplabcut",
        deeplabcut.__version__,
        length=f"{epochs} of {EPOCHS} epochs",
        cut=epochs < EPOCHS,
        seconds=seconds,
        rate=rate,
        cutoffs=read_config(str(config))["pcutoff"],
        keypoints=keypoints,
    )


if __name__ == "__main__":
    main()
