"""Rows of prediction: a video from its file to a table of points beside PyTorch and PyAV, of one
network, learnt here in a minute.

It is the only module of `experiments` that reads the laboratory, whose command it times.
"""

import contextlib
import csv
import functools
import importlib.util
import io
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np

from data.figures import DOMAINS, figures
from experiments.measure.benchmark.steps import skeleton
from experiments.measure.benchmark.timing import Effort, Row, compare, spread
from kpjax import Method, Trained, methods
from kpjax.cores import usable_cores
from kpjax.heatmaps import codec, named_decoder
from kpjax.images.inputs import find_inputs
from kpjax.images.video import write_video
from kpjax.lab.commands import BATCH, Predict
from kpjax.lab.commands.predict import carry_out, plan_work
from kpjax.lab.own.places import BoxOrWhole
from kpjax.lab.predictors import Predictor, as_function
from kpjax.losses.heatmap import heatmap_mse
from kpjax.models import MobileNetV2
from kpjax.structures import named_key

KEYPOINTS = 10
WIDTH, HEIGHT = 640, 480  # px, of frames
SIDE, STRIDE, SIGMA = 128, 2, 2.0  # px, px of a cell, and cells
FRAMES, TRIED = 500, 64  # of the video, and of the one on which PyTorch's batch is chosen
LEARNT = 40  # steps, after which maps have peaks
BATCHES = (4, 8, 16)  # of which PyTorch has its best
NEAR = 1e-3  # px of a frame, within which points are the same


def rows(effort: Effort) -> Iterator[Row]:
    """Yields the time of a loop in PyTorch over ours."""
    method, trained = learnt_network()
    predictor = Predictor(
        method.skeleton,
        SIDE,
        BoxOrWhole(SIDE),
        as_function(method, trained),
        "mse_peak",
        np.full(KEYPOINTS, -np.inf),
        "benchmark",
        {"experiment": "benchmark", "preset": "figures", "variant": "supervised", "digest": ""},
    )
    with tempfile.TemporaryDirectory() as folder:
        yield from video_rows(effort, predictor, trained, Path(folder))


def learnt_network() -> tuple[Method, Trained]:
    """Trains a MobileNetV2 on rendered figures until its maps have peaks."""
    setup = methods.default_setup(skeleton(KEYPOINTS), image_size=SIDE)._replace(
        model=MobileNetV2().build(KEYPOINTS, stride=STRIDE),
        codec=codec(
            image_size=SIDE,
            heatmap_size=SIDE // STRIDE,
            sigma=SIGMA,
            grid="half_pixel",
            decoder=named_decoder("dark", sigma=SIGMA),
            rounded=False,
            window=None,
        ),
    )
    method = methods.supervised(setup, loss=heatmap_mse)
    streams = {"labelled": figures(8, DOMAINS["photo"], 0, SIDE).examples}
    key = jax.random.key(0)
    state, update = (
        jax.jit(method.init)(key, streams, {}),
        jax.jit(method.update, donate_argnums=0),
    )
    for step in range(LEARNT):
        state, _ = update(state, streams, named_key(key, str(step)))
    return method, Trained(state.variables, state.frozen)


# A video


def video_rows(
    effort: Effort, predictor: Predictor, trained: Trained, folder: Path
) -> Iterator[Row]:
    """The time of a loop in PyTorch with PyAV over that of all that `kpjax predict` does with a video
    once it has started: a table of points and a sheet.

    The loop has the same network and decoder, channels last, and its best batch. It reads ahead in
    another thread and writes a table. Its images are resized by Pillow as ours are, or by OpenCV.
    """
    if importlib.util.find_spec("torchvision") is None:
        yield Row("beside PyTorch", note="it is not installed: pip install torch torchvision")
        return
    import torch

    from experiments.measure.benchmark import pytorch_networks, pytorch_video

    video, short = (
        write_video(folder / name, moving_figures(count))
        for name, count in (("figures.mp4", FRAMES), ("short.mp4", TRIED))
    )
    ours, table = our_command(predictor, video, folder)
    network = pytorch_networks.MobileNetV2(KEYPOINTS, STRIDE)
    network.load_state_dict(pytorch_video.tensors_of(trained.variables), strict=False)
    torch.set_num_threads(usable_cores())
    network.eval().to(memory_format=torch.channels_last)  # the better layout, as `pytorch` finds
    resizers = {"Pillow": functools.partial(pytorch_video.by_pillow, side=SIDE)}
    if importlib.util.find_spec("cv2"):
        resizers["OpenCV"] = functools.partial(pytorch_video.by_opencv, side=SIDE)
    for name, resize in resizers.items():
        loop = functools.partial(
            pytorch_video.predict_video,
            network,
            table=folder / "pytorch.csv",
            resize=resize,
            stride=STRIDE,
            sigma=SIGMA,
        )
        tried = Effort(3, 0).times(
            {str(batch): functools.partial(loop, short, batch_size=batch) for batch in BATCHES}
        )
        best = min(BATCHES, key=lambda batch: spread(tried[str(batch)].wall).median)
        whole = functools.partial(loop, video, batch_size=best)
        times = effort.times({"PyTorch": whole, "kpjax": ours})
        note = f"batches of {best}; {same_points(table, *whole())}"
        yield compare(
            f"beside PyTorch: a video, MobileNetV2, 128 px, resized by {name}",
            times["PyTorch"],
            times["kpjax"],
            f"{FRAMES / spread(times['kpjax'].wall).median:.0f} frames/s; {note}",
        )


def moving_figures(count: int) -> Iterator[np.ndarray]:
    """Yields frames of figures that are shifted by two pixels from one to the next."""
    images = [
        example.image
        for example in map(figures(8, DOMAINS["photo"], 1, WIDTH).__getitem__, range(8))
    ]
    for number in range(count):
        image = images[number * len(images) // count]
        yield np.roll(image, 2 * number, 1)[(WIDTH - HEIGHT) // 2 :][:HEIGHT]


def our_command(predictor: Predictor, video: Path, folder: Path) -> tuple[Callable[[], None], Path]:
    """Returns what `kpjax predict` does with a video, its lines left out, and its table."""
    asked = Predict(run="", inputs=(video,), out=folder / "kpjax", overwrite=True, batch_size=BATCH)

    def predict() -> None:
        (sequence,) = find_inputs(asked.inputs)
        with contextlib.redirect_stdout(io.StringIO()):
            carry_out(plan_work(sequence, predictor, ("csv",), asked), predictor, ("csv",), asked)

    return predict, folder / "kpjax" / "figures.csv"


def same_points(table: Path, keypoints: np.ndarray, inside: np.ndarray) -> str:
    """Returns how many points of a table lie where they were found otherwise.

    keypoints: (N, K, 2). inside: (N, K), those so far from the border of their map that it plays no
    part: the loop has zeros beyond it, and ours goes on as the Gaussian.
    """
    with table.open(encoding="utf-8", newline="") as file:
        found = np.array([(float(row["x"]), float(row["y"])) for row in csv.DictReader(file)])
    away = np.abs(found.reshape(keypoints.shape) - keypoints).max(-1)[inside]
    return (
        f"{(away < NEAR).sum()} of {away.size} points off the border within {NEAR:g} px, "
        f"the farthest {away.max():.2g} px apart"
    )
