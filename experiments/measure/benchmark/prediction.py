"""Rows about prediction on videos: whether reading and the network overlap."""
import collections
import functools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
from PIL import Image

from data.figure_videos import figure_videos
from experiments.measure.benchmark.steps import noise_batch, skeleton
from experiments.measure.benchmark.timing import Effort, Row, milliseconds, spread
from experiments.supervised import PRESETS
from kpjax import Trained
from kpjax.images.inputs import ImageSequence, from_video
from kpjax.images.transforms import Letterbox
from kpjax.images.video import open_video, write_video
from kpjax.lab.commands.predict.pipeline import predicted, prepared
from kpjax.lab.predictors import Predictor, as_function
from kpjax.models import PoseResNet
from kpjax.systems.configs import changed
from kpjax.systems.supervised import Config, build

KEYPOINTS, BATCH = 4, 16
SMALL = PRESETS["openfield"]
LARGE = changed(SMALL, network=PoseResNet(18, head_layers=2), image_size=256, heatmap_size=64)


def rows(effort: Effort) -> Iterator[Row]:
    """Prediction on a video beside its parts."""
    with tempfile.TemporaryDirectory() as folder:
        sequence = rendered_video(Path(folder) / "short.mp4", 128, (640, 480))
        for name, config in (("small U-net, 128 px", SMALL), ("ResNet-18, 256 px", LARGE)):
            yield overlap_row(effort, name, config, sequence)


def rendered_video(path: Path, frames: int, size: tuple[int, int]) -> ImageSequence:
    """Writes a video of synthetic people of a width and height; after 64 frames it begins anew.

    They are rendered small and enlarged: full of fine noise, a frame would take ten times the bytes of a filmed one.
    """
    rendered = figure_videos(1, min(frames, 64), max(size) // 4)
    images = [np.asarray(Image.fromarray(rendered[number].image[:size[1] // 4, :size[0] // 4]).resize(
        size, Image.Resampling.BILINEAR)) for number in range(len(rendered))]
    write_video(path, (images[number % len(images)] for number in range(frames)))
    return from_video(open_video(path), path.stem)


def untrained_predictor(config: Config) -> Predictor:
    """Returns the predictor of a network with random weights."""
    method, side = build(config, skeleton(KEYPOINTS), "supervised"), config.data.image_size
    streams = dict.fromkeys(method.streams, noise_batch(1, side, KEYPOINTS))
    state = jax.jit(method.init)(jax.random.key(0), streams, {})
    return Predictor(method.skeleton, side, Letterbox(side), as_function(
        method, Trained(state.variables, state.frozen)), "peak", 0.6, "untrained", {})


def overlap_row(effort: Effort, name: str, config: Config, sequence: ImageSequence) -> Row:
    """The rate of prediction over that of the slower of reading (decoding and transforming) and the network."""
    predictor, exhaust = untrained_predictor(config), functools.partial(collections.deque, maxlen=0)
    images = np.asarray(noise_batch(BATCH, predictor.side, KEYPOINTS).image)
    times = effort.times({
        "reading": lambda: exhaust(prepared(sequence, predictor.transform, KEYPOINTS, depth=2 * BATCH)),
        "network": lambda: exhaust(predictor.predict(images) for _ in range(len(sequence) // BATCH)),
        "together": lambda: exhaust(predicted(predictor, sequence, batch_size=BATCH))}, warm_up=1)
    shares = [max(alone) / both for *alone, both in zip(*(part.wall for part in times.values()), strict=True)]
    each = ", ".join(f"{part} {milliseconds(samples)}" for part, samples in times.items())
    width, height = sequence.video.size
    return Row(f"prediction / the slower of its parts, {name}", spread(shares),
               note=f"{each} for {len(sequence)} frames of {width}x{height}, H.264, batches of {BATCH}")
