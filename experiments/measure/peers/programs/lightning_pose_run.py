"""Trains Lightning Pose by its own recommendations on a folder of `prepare`, and predicts the test
images.

Its supervised part, since what learns from videos needs a GPU. The given MobileNetV2 takes the
place of the recommended backbone, whose weights lie on a server. Runs in Lightning Pose's
environment; see the package.
"""

import shutil
import time
from pathlib import Path

import lightning_pose
import pandas as pd
from lightning_pose.models import base
from lightning_pose.models.backbones import factory
from lightning_pose.train import train
from lightning_pose.utils import recommender
from mobilenet_v2 import WHOLE_CHANNELS, MobileNetV2Trunk
from omegaconf import DictConfig
from peer import epochs_within, flags_of, predict_timed, split_of, write_predictions

GIVEN = "mobilenet_v2"  # the name under which the given weights are registered
RATE = 1e-3  # of backbones that convolve, and
OPTIMIZER = "Adam"  # their optimizer, by its recommendations
SCHEDULED = 300  # epochs, for which its milestones were made


def register(weights: str) -> None:
    """Makes the given MobileNetV2 a backbone."""
    base.build_backbone = lambda backbone_arch, **options: (
        MobileNetV2Trunk(weights, output_stride=32, whole=True),
        WHOLE_CHANNELS,
    )
    factory.BACKBONE_STRIDES[GIVEN] = 32


def recommended(folder: Path, seed: int, top_view: bool) -> DictConfig:
    """Returns what it recommends for a project.

    top_view: its answer to the question whether animals are seen from above and move freely.
    """
    analysis = recommender.analyze_dataset(folder / "CollectedData.csv")
    chosen = recommender.build_config(recommender.recommend(analysis, None, top_view), analysis)
    chosen.model.backbone = GIVEN
    chosen.training.optimizer = OPTIMIZER
    chosen.training.optimizer_params.learning_rate = RATE
    chosen.training.rng_seed_data_pt = chosen.training.rng_seed_model_pt = seed
    chosen.eval.predict_vids_after_training = False
    chosen.data.video_dir = str(folder)  # must be there, and is not read
    return chosen


def shortened(chosen: DictConfig, epochs: int) -> DictConfig:
    """Returns the settings for so many epochs; where they end before those that its schedule is for,
    the schedule is shortened in proportion."""
    found = chosen.copy()
    training, share = found.training, min(epochs / SCHEDULED, 1.0)
    training.min_epochs = training.max_epochs = epochs
    training.check_val_every_n_epoch = min(training.check_val_every_n_epoch, epochs)
    training.unfreezing_epoch = round(share * training.unfreezing_epoch)
    steps = training.lr_scheduler_params.multisteplr
    steps.milestones = [round(share * at) for at in steps.milestones]
    return found


def main():
    asked = flags_of(__doc__).parse_args()
    split = split_of(asked.folder)
    folder = (asked.folder / "lightning_pose").absolute()
    register(str(asked.weights.absolute()))
    chosen = recommended(folder, split["subset"], split["top_view"])
    usual = chosen.training.max_epochs
    out = asked.folder.absolute() / "lightning_pose_run"

    def trained(epochs: int) -> tuple[float, lightning_pose.api.Model]:
        shutil.rmtree(out, ignore_errors=True)
        began = time.monotonic()
        model = train(shortened(chosen, epochs), out, skip_evaluation=True)
        return time.monotonic() - began, model

    epochs = epochs_within(asked.seconds, usual, lambda epochs: trained(epochs)[0])
    every = min(chosen.training.check_val_every_n_epoch, epochs)
    epochs -= epochs % every  # the last can be chosen, too
    seconds, model = trained(epochs)

    labels = pd.read_csv(folder / "CollectedData.csv", header=[0, 1, 2], index_col=0)

    def predict(images: list[Path]) -> dict[str, list]:
        # It predicts images that a table of labels names, which are not read here.
        table = pd.DataFrame(0.0, index=[path.name for path in images], columns=labels.columns)
        asking = asked.folder.absolute() / "lightning_pose_asked.csv"
        table.to_csv(asking)
        found = model.predict_on_label_csv(
            asking, data_dir=images[0].parent.absolute(), compute_metrics=False
        ).predictions
        count = len(split["keypoints"])
        points = found.iloc[:, : 3 * count].to_numpy(float).reshape(len(found), count, 3)
        return {
            Path(name).name: values.tolist()
            for name, values in zip(found.index, points, strict=True)
        }

    keypoints, rate = predict_timed(asked.folder, predict)
    write_predictions(
        asked,
        "lightning_pose",
        lightning_pose.__version__,
        length=f"{epochs} of {usual} epochs, images of {chosen.data.image_resize_dims.width} px",
        cut=epochs < usual,
        seconds=seconds,
        rate=rate,
        cutoffs=chosen.eval.confidence_thresh_for_vid,
        keypoints=keypoints,
    )


if __name__ == "__main__":
    main()
