"""Trains sleap-nn by its own recommendations on a folder of `prepare`, and predicts the test images.

By its recommendations it learns a U-net from random weights, not a given MobileNetV2. Runs in
sleap-nn's environment; see the package.
"""

import shutil
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

import numpy as np
import sleap_io
from lightning.pytorch.callbacks import Timer
from peer import flags_of, predict_timed, split_of, write_predictions
from sleap_nn.config_generator import ConfigGenerator
from sleap_nn.inference.run import predict as predict_video
from sleap_nn.train import run_training
from sleap_nn.training.model_trainer import ModelTrainer

CUTOFF = 0.2  # its default: points below are left out of what it writes
LARGE = 256  # px: longer images are halved, else two cores take few steps in the time


def stopped_by(timer: Timer) -> None:
    """Ends training when a timer has run out, with the validation of a whole epoch: no rate depends
    on how many epochs there are."""
    usual = ModelTrainer._setup_loggers_callbacks

    def with_timer(self, **options):
        loggers, callbacks = usual(self, **options)
        return loggers, [*callbacks, timer]

    ModelTrainer._setup_loggers_callbacks = with_timer


def main():
    asked = flags_of(__doc__).parse_args()
    split = split_of(asked.folder)
    labels = str(asked.folder / "sleap" / "labels.slp")
    _, height, width, channels = sleap_io.load_slp(labels).videos[0].shape
    config = (
        ConfigGenerator.from_slp(labels)
        .auto("top" if split["top_view"] else None)
        .pipeline("single_instance")
        .input_scale(0.5 if max(height, width) > LARGE else 1.0)
        .build()
    )
    runs = asked.folder.absolute() / "sleap_nn_runs"
    shutil.rmtree(runs, ignore_errors=True)
    trainer = config.trainer_config
    trainer.ckpt_dir, trainer.run_name = str(runs), "run"
    trainer.trainer_accelerator, trainer.seed = "cpu", split["subset"]
    trainer.visualize_preds_during_training = False  # pictures for a person who watches
    timer = Timer(timedelta(seconds=asked.seconds))
    stopped_by(timer)
    run_training(config)

    def predict(images: list[Path]) -> dict[str, list]:
        # As it learnt them: of grey pictures it would else read one channel where labels have three.
        video = sleap_io.Video.from_filename(
            [str(path) for path in images], grayscale=channels == 1
        )
        # Without a threshold every point is there, with its score.
        predicted = predict_video(
            video, model_paths=[str(runs / "run")], device="cpu", peak_threshold=0.0
        )
        nothing = np.full((len(split["keypoints"]), 3), np.nan)
        found = {path.name: nothing.tolist() for path in images}
        for frame in predicted:
            for one in frame.instances[:1]:
                points = {
                    node.name: [*xy, score]
                    for node, xy, score in zip(
                        one.skeleton.nodes, one.points["xy"], one.points["score"], strict=True
                    )
                }
                found[images[frame.frame_idx].name] = [
                    [float(value) for value in points[name]] for name in split["keypoints"]
                ]
        return found

    keypoints, rate = predict_timed(asked.folder, predict)
    cut = timer.time_remaining() <= 0
    write_predictions(
        asked,
        "sleap_nn",
        version("sleap-nn"),
        length=f"{'the first' if cut else 'all'} epochs until its loss stays, of {trainer.max_epochs} at most",
        cut=cut,
        seconds=timer.time_elapsed(),
        rate=rate,
        cutoffs=CUTOFF,
        keypoints=keypoints,
    )


if __name__ == "__main__":
    main()
