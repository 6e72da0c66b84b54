"""Rows about Keypoint Pyramids: its step beside those of its rivals, prediction without decoders, reading video."""
import functools
import itertools
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import optax

from data.figure_videos import figure_videos
from experiments.benchmark.row import Effort, Row, milliseconds
from experiments.benchmark.steps import made_batch, step_of
from experiments.benchmark.timing import Samples, Spread, interleaved, processor_ratio, ratio
from experiments.pyramids.config import PRESETS, Config
from experiments.pyramids.variants import build, network_of
from experiments.pyramids.videos import Videos, pairs_of, place_of
from kpjax.images.video import open_video, write_video
from kpjax.input.prefetch import read_ahead
from kpjax.input.video_source import read_videos
from kpjax.methods.discovery.objectives import pyramids_objective
from kpjax.methods.discovery.pyramids import pyramids
from kpjax.methods.forward import imagenet_normalise
from kpjax.models.pyramid import Decoder
from kpjax.structures import Skeleton, Trained

DEMO = PRESETS["demo"]
LARGE = replace(PRESETS["h36m"], dtype="bfloat16")


def pyramids_rows(effort: Effort) -> Iterator[Row]:
    """What Keypoint Pyramids costs."""
    cases = {"demo": DEMO}
    if jax.devices()[0].platform != "cpu":
        cases["ResNet-18, 128 px, bfloat16"] = LARGE
    for name, config in cases.items():
        yield step_row(effort, name, config)
        yield prediction_row(name, config)
    yield from reading_rows(effort, "demo", DEMO)


def step_row(effort: Effort, name: str, config: Config) -> Row:
    """A step over one of KeyNet and one of Transporter together, with the same keypoints, pictures and parts: it paints
    once more than both."""
    steps = {variant: pair_step(config, variant) for variant in ("pyramids", "keynet", "transporter")}
    times = interleaved(steps, rounds=effort.rounds, seconds=effort.seconds)
    rivals = Samples(*(tuple(a + b for a, b in zip(*parts, strict=True))
                       for parts in zip(times["keynet"], times["transporter"], strict=True)))
    each = ", ".join(f"{variant} {milliseconds(times[variant])}" for variant in steps)
    return Row(f"pyramids / (keynet + transporter), {name}", ratio(times["pyramids"], rivals), bar=1.2, note=(
        f"{each}; processor time {processor_ratio(times['pyramids'], rivals):.2f}; {config.batch_size} pairs"))


def pair_step(config: Config, variant: str) -> Callable[[], None]:
    """One compiled step of a row on made pairs."""
    return step_of(build(config, Skeleton(()), variant), config)


def prediction_row(name: str, config: Config) -> Row:
    """The operations of a prediction with decoders of twice the width, over those of one with the preset's."""
    counts = []
    for factor in (1, 2):
        network = network_of(config, config.level_sizes)
        network = network.clone(
            decoder=_widened(network.decoder, factor),
            transport_decoders=tuple(_widened(decoder, factor) for decoder in network.transport_decoders))
        method = pyramids(objective=pyramids_objective(), optimizer=optax.identity(), learning_rate=lambda step: 0.0,
                          normalise=imagenet_normalise, network=network)
        batch = made_batch(config, 0, 0)
        state = jax.eval_shape(method.init, jax.random.key(0), dict.fromkeys(method.streams, batch), {})
        program = jax.jit(method.predict).lower(Trained(state.variables, state.frozen), batch).compile()
        counts.append(program.cost_analysis()["flops"])
    share = counts[1] / counts[0]
    return Row(f"predict, decoders of twice the width, {name}", Spread(share, share, share), bar=1.0,
               note=f"{counts[0] / config.batch_size / 1e6:.1f} and {counts[1] / config.batch_size / 1e6:.1f} million "
                    "operations a picture")


def _widened(decoder: Decoder, factor: int) -> Decoder:
    return decoder.clone(widths=tuple(factor * width for width in decoder.widths))


def reading_rows(effort: Effort, name: str, config: Config, frames: int = 200) -> Iterator[Row]:
    """A batch of pairs as `fit` reads them, and as many frames decoded from a file, over a step."""
    drawn = figure_videos(2, frames // 2, 2 * config.image_size)
    with tempfile.TemporaryDirectory() as folder:
        path = write_video(Path(folder) / "drawn.mp4", (drawn[number].image for number in range(len(drawn))))
        video = open_video(path)
        placed = place_of(replace(config, data="own"))
        source = read_videos([video], placed)
        streams = pairs_of(replace(config, pair_crop="own"), Videos(source, source), 0)
        batches = read_ahead(functools.partial(_on_device, streams), itertools.count())
        needed = 2 * config.batch_size
        times = interleaved({
            "pairs": lambda: next(batches), "step": pair_step(config, "pyramids"),
            "decoding": lambda: _decoded(video, placed, needed)}, rounds=effort.rounds, seconds=effort.seconds)
        batches.close()
    yield Row(f"a batch of pairs / step, {name}", ratio(times["pairs"], times["step"]), bar=1.0, note=(
        f"{milliseconds(times['pairs'])} and {milliseconds(times['step'])}; frames are decoded once and kept"))
    yield Row(f"decoding a batch from a file / step, {name}", ratio(times["decoding"], times["step"]), bar=1.0, note=(
        f"{milliseconds(times['decoding'])} for {needed} frames of {video.size[0]}x{video.size[1]}, H.264, one after "
        "the other"))


def _on_device(streams, step: int):
    return jax.block_until_ready(jax.device_put([batches[step] for batches in streams.values()]))


def _decoded(video, transform, count: int) -> None:
    nothing = np.zeros((0, 2), np.float32), np.zeros(0, np.float32), np.float32(1)
    for _, image in itertools.islice(video, count):
        transform(image, *nothing)
