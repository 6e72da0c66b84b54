"""Trains Lightning Pose for given seconds on a folder of `prepare`, and predicts the test images.

Its supervised part, with the settings of its default config. Runs in Lightning Pose's environment;
see the package.
"""

import argparse
import shutil
import time
from pathlib import Path

import lightning_pose
import pandas as pd
from lightning_pose.models import base
from lightning_pose.models.backbones import factory
from lightning_pose.train import train
from mobilenet_v2 import CHANNELS, MobileNetV2Trunk
from omegaconf import OmegaConf
from peer import epochs_within, flags_of, split_of, write_predictions

GIVEN = "mobilenet_v2"  # the name under which the given weights are registered
EPOCHS, MILESTONES, UNFREEZING = 300, (150, 200, 250), 20  # epochs of the default config


def register(weights: str) -> None:
    """Makes the given MobileNetV2 a backbone, and leaves all others at random weights."""
    build = factory.build_backbone
    base.build_backbone = lambda backbone_arch, pretrained=True, **options: (
        (MobileNetV2Trunk(weights, output_stride=32), CHANNELS)
        if backbone_arch == GIVEN
        else build(backbone_arch, pretrained=False, **options)
    )
    factory.BACKBONE_STRIDES[GIVEN] = 32


def settings(folder: Path, split: dict, epochs: int, asked: argparse.Namespace) -> dict:
    """Returns the config: the default one, with counts of epochs in proportion."""
    image, batch = asked.image, asked.batch_size

    def scaled(count: int) -> int:
        return round(count * epochs / EPOCHS)

    return {
        "data": {
            "image_resize_dims": {"height": image, "width": image},
            "data_dir": str(folder),
            "video_dir": str(folder),
            "csv_file": "labels.csv",
            "downsample_factor": 2,
            "num_keypoints": len(split["keypoints"]),
            "keypoint_names": split["keypoints"],
            "mirrored_column_matches": None,
            "columns_for_singleview_pca": None,
        },
        "training": {
            "imgaug": "dlc",
            "train_batch_size": batch,
            "val_batch_size": 32,
            "test_batch_size": 32,
            "train_prob": 0.95,
            "val_prob": 0.05,
            "train_frames": 1,
            "num_gpus": 1,
            "num_workers": 0,
            "unfreezing_epoch": scaled(UNFREEZING),
            "min_epochs": epochs,
            "max_epochs": epochs,
            "log_every_n_steps": 10,
            "check_val_every_n_epoch": max(scaled(5), 1),
            "ckpt_every_n_epochs": None,
            "early_stopping": False,
            "early_stop_patience": 3,
            "rng_seed_data_pt": 0,
            "rng_seed_model_pt": 0,
            "optimizer": "Adam",
            "optimizer_params": {"learning_rate": 1e-3},
            "lr_scheduler": "multisteplr",
            "lr_scheduler_params": {
                "multisteplr": {"milestones": [scaled(at) for at in MILESTONES], "gamma": 0.5}
            },
            "uniform_heatmaps_for_nan_keypoints": True,
        },
        "model": {
            "losses_to_use": [],
            "backbone": GIVEN,
            "model_type": "heatmap",
            "heatmap_loss_type": "mse",
            "model_name": "test",
            "checkpoint": None,
        },
        "dali": {"general": {"seed": 123456}},
        "losses": {},
        "eval": {"predict_vids_after_training": False, "test_videos_directory": str(folder)},
    }


def main():
    flags = flags_of(__doc__, batch_size=16)
    flags.add_argument(
        "--image", type=int, default=256, help="px to which it resizes images, a multiple of 128"
    )
    asked = flags.parse_args()
    split = split_of(asked.folder)
    folder = (asked.folder / "lightning_pose").absolute()
    # Files of these names are predicted after training.
    table = pd.read_csv(folder / "CollectedData.csv", header=[0, 1, 2], index_col=0)
    for part, suffix in (("train", ""), ("test", "_new")):
        table[[Path(name).name in split[part] for name in table.index]].to_csv(
            folder / f"labels{suffix}.csv"
        )
    register(str(asked.weights.absolute()))

    out = asked.folder.absolute() / f"lightning_pose_{GIVEN}"

    def trained(epochs: int, *, skip_evaluation: bool = True) -> float:
        shutil.rmtree(out, ignore_errors=True)
        began = time.monotonic()
        train(
            OmegaConf.create(settings(folder, split, epochs, asked)),
            out,
            skip_evaluation=skip_evaluation,
        )
        return time.monotonic() - began

    epochs = epochs_within(asked, trained)
    seconds = trained(epochs, skip_evaluation=False)
    found = pd.read_csv(out / "predictions_new.csv", header=[0, 1, 2], index_col=0)
    points = (
        found.iloc[:, : 3 * len(split["keypoints"])]
        .to_numpy(float)
        .reshape(len(found), -1, 3)[..., :2]
    )
    keypoints = {
        Path(name).name: values.tolist() for name, values in zip(found.index, points, strict=True)
    }
    write_predictions(
        asked,
        "Lightning Pose",
        lightning_pose.__version__,
        epochs=epochs,
        seconds=seconds,
        keypoints=keypoints,
    )


if __name__ == "__main__":
    main()
