"""Rows about Keypoint Pyramids: its step beside those of its baselines, prediction without decoders, reading video."""
import functools
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import optax

from data.figure_videos import figure_videos
from experiments.benchmark.row import Effort, Row, Samples, compared, exact, milliseconds
from experiments.benchmark.rows import on_device
from experiments.benchmark.steps import Step, cases, noise_streams
from experiments.configs import changed, flat
from experiments.pyramids import build, network_of
from experiments.pyramids_presets import PRESETS, Config
from kpjax import Skeleton, Trained
from kpjax.images.transforms import Letterbox
from kpjax.images.video import open_video, write_video
from kpjax.input.pairs import frame_pairs
from kpjax.input.stream import read_ahead
from kpjax.input.video_source import read_videos
from kpjax.methods import imagenet_normalise, pyramids, pyramids_objective
from kpjax.models.pyramid import Decoder

DEMO = PRESETS["demo"]
LARGE = changed(PRESETS["h36m"], dtype="bfloat16")


def pyramids_rows(effort: Effort) -> Iterator[Row]:
    """A step, a prediction, and reading video."""
    for name, config in cases(DEMO, **{"ResNet-18, 128 px, bfloat16": LARGE}).items():
        yield step_row(effort, name, config)
        yield prediction_row(name, config)
    yield from reading_rows(effort, "demo", DEMO)


def step_row(effort: Effort, name: str, config: Config) -> Row:
    """A step over one of KeyNet and one of Transporter together, with the same keypoints, images and parts.

    It renders once more than both.
    """
    variants = ("pyramids", "keynet", "transporter")
    times = effort.times({variant: pair_step(config, variant) for variant in variants})
    each = ", ".join(f"{variant} {milliseconds(times[variant])}" for variant in variants)
    times["both"] = Samples(*(tuple(a + b for a, b in zip(*parts, strict=True))
                              for parts in zip(times["keynet"], times["transporter"], strict=True)))
    return compared(f"pyramids / (keynet + transporter), {name}", times, "pyramids", "both", bar=1.2,
                    note=f"{each}; {config.batch_size} pairs")


def pair_step(config: Config, variant: str) -> Step:
    """Compiles a step of a variant on pairs of noise."""
    method = build(config, Skeleton(()), variant)
    return Step(method, noise_streams(method, config))


def prediction_row(name: str, config: Config) -> Row:
    """Operations of a prediction with decoders of twice the width, over those of one with the preset's."""
    counts = []
    for factor in (1, 2):
        network = network_of(config, config.pyramid.level_sizes)
        network = network.clone(
            decoder=_widened(network.decoder, factor),
            transport_decoders=tuple(_widened(decoder, factor) for decoder in network.transport_decoders))
        method = pyramids(objective=pyramids_objective(), optimizer=optax.identity(), learning_rate=lambda step: 0.0,
                          normalise=imagenet_normalise, network=network)
        streams = noise_streams(method, config)
        state = jax.eval_shape(method.init, jax.random.key(0), streams, {})
        program = jax.jit(method.predict).lower(
            Trained(state.variables, state.frozen), streams[method.streams[0]]).compile()
        counts.append(program.cost_analysis()["flops"])
    millions = [count / config.batch_size / 1e6 for count in counts]
    return Row(f"predict, decoders of twice the width, {name}", exact(counts[1] / counts[0]), bar=1.0,
               note=f"{millions[0]:.1f} and {millions[1]:.1f} million operations an image")


def _widened(decoder: Decoder, factor: int) -> Decoder:
    return decoder.clone(widths=tuple(factor * width for width in decoder.widths))


def reading_rows(effort: Effort, name: str, config: Config, frames: int = 200) -> Iterator[Row]:
    """A batch of pairs as `fit` reads them, and as many frames decoded from a file, over a step."""
    rendered = figure_videos(2, frames // 2, 2 * flat(config)["image_size"])
    with tempfile.TemporaryDirectory() as folder:
        path = write_video(Path(folder) / "people.mp4", (rendered[n].image for n in range(len(rendered))))
        video, transform = open_video(path), Letterbox(flat(config)["image_size"])
        streams = frame_pairs(read_videos([video], transform), window=flat(config)["window"],
                              batch_size=config.batch_size, seed=0, crop="own", repeats=True)
        batches = read_ahead(functools.partial(on_device, list(streams.values())), itertools.count())
        needed = 2 * config.batch_size
        times = effort.times({"pairs": lambda: next(batches), "step": pair_step(config, "pyramids"),
                              "decoding": lambda: _decode(video, transform, needed)})
        batches.close()
    width, height = video.size
    yield compared(f"a batch of pairs / step, {name}", times, "pairs", "step", bar=1.0,
                   note="frames are decoded once and kept")
    yield compared(f"decoding a batch from a file / step, {name}", times, "decoding", "step", bar=1.0,
                   note=f"{needed} frames of {width}x{height}, H.264, one after the other")


def _decode(video, transform, count: int) -> None:
    nothing = np.zeros((0, 2), np.float32), np.zeros(0, np.float32), np.float32(1)
    for _, image in itertools.islice(video, count):
        transform(image, *nothing)
