"""Trains DeepLabCut 3 for given seconds on a folder of `prepare`, and predicts the test images.

Runs in DeepLabCut's environment; see the package.
"""

import time
from pathlib import Path

import deeplabcut
import torch
import yaml
from deeplabcut.core.engine import Engine
from deeplabcut.generate_training_dataset.trainingsetmanipulation import merge_annotateddatasets
from deeplabcut.pose_estimation_pytorch.apis.analyze_images import analyze_images
from deeplabcut.pose_estimation_pytorch.models.backbones.base import BACKBONES, BaseBackbone
from deeplabcut.pose_estimation_pytorch.models.model import PoseModel
from deeplabcut.utils import auxiliaryfunctions
from mobilenet_v2 import CHANNELS, MobileNetV2Trunk
from peer import epochs_within, flags_of, split_of, write_predictions

# shares of the epochs at which the preset lowers its rate: 90 and 120 of 200
SHUFFLE, MILESTONES = 1, (0.45, 0.6)


@BACKBONES.register_module
class GivenMobileNetV2(BaseBackbone):
    """MobileNetV2 with its last blocks dilated, as DeepLabCut's own of 2018 has them."""

    def __init__(self, weights: str, pretrained: bool = False, **options):
        super().__init__(stride=16, **options)
        self.trunk = MobileNetV2Trunk(weights, output_stride=16)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.trunk(images)


def without_download(build):
    """Returns DeepLabCut's builder of models, which leaves its own weights on their server."""
    return lambda cfg, weight_init=None, pretrained_backbone=False: build(
        cfg, weight_init, pretrained_backbone=False
    )


def main():
    asked = flags_of(__doc__, batch_size=8).parse_args()
    split = split_of(asked.folder)
    project = (asked.folder / "deeplabcut").absolute()
    config = project / "config.yaml"
    # A project that was moved has to know where it is.
    content = yaml.safe_load(config.read_text())
    share = round(len(split["train"]) / (len(split["train"]) + len(split["test"])), 2)
    config.write_text(
        yaml.safe_dump(
            content
            | {"project_path": str(project), "engine": "pytorch", "TrainingFraction": [share]}
        )
    )
    deeplabcut.convertcsv2h5(str(config), userfeedback=False)

    settings = auxiliaryfunctions.read_config(str(config))
    (asked.folder / "merged").mkdir(exist_ok=True)
    merged = merge_annotateddatasets(settings, asked.folder.absolute() / "merged")
    names = [row[-1] if isinstance(row, tuple) else Path(row).name for row in merged.index]
    indices = {part: [[names.index(name) for name in split[part]]] for part in ("train", "test")}
    PoseModel.build = staticmethod(without_download(PoseModel.build))
    deeplabcut.create_training_dataset(
        str(config),
        Shuffles=[SHUFFLE],
        trainIndices=indices["train"],
        testIndices=indices["test"],
        userfeedback=False,
        net_type="resnet_50",
        engine=Engine.PYTORCH,
    )
    head, points = "model.heads.bodypart", len(split["keypoints"])
    updates = {
        "model.backbone": {
            "type": "GivenMobileNetV2",
            "weights": str(asked.weights.absolute()),
            "freeze_bn_stats": False,
            "freeze_bn_weights": False,
        },
        "model.backbone_output_channels": CHANNELS,
        f"{head}.heatmap_config.channels": [CHANNELS, points],
        f"{head}.locref_config.channels": [CHANNELS, 2 * points],
    }

    def train(epochs: int) -> float:
        began = time.monotonic()
        deeplabcut.train_network(
            str(config),
            shuffle=SHUFFLE,
            device="cpu",
            epochs=epochs,
            save_epochs=epochs,
            batch_size=asked.batch_size,
            pytorch_cfg_updates=updates
            | {
                "runner.eval_interval": epochs + 1,
                "runner.scheduler.params.milestones": [
                    round(share * epochs) + 1 for share in MILESTONES
                ],
            },
        )
        return time.monotonic() - began

    epochs = epochs_within(asked, train)
    for snapshot in project.rglob("snapshot*.pt"):
        snapshot.unlink()
    seconds = train(epochs)
    found = analyze_images(
        str(config),
        [str(path) for path in sorted((project / "labeled-data").rglob("test*.png"))],
        shuffle=SHUFFLE,
        snapshot_index=-1,
        device="cpu",
        output_dir=str(asked.folder / "analysed"),
    )
    keypoints = {
        Path(path).name: one["bodyparts"][0, :, :2].tolist() for path, one in found.items()
    }
    write_predictions(
        asked,
        "DeepLabCut",
        deeplabcut.__version__,
        epochs=epochs,
        seconds=seconds,
        keypoints=keypoints,
    )


if __name__ == "__main__":
    main()
