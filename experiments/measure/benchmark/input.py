"""Rows about input: how fast images are decoded, and whether that keeps a chip busy."""

import io
import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
from PIL import Image

from data.figures import DOMAINS, TEN_POINTS, figures
from data.prepared import at_side
from experiments.images import open_domain
from experiments.measure.benchmark.steps import DEMO, supervised_step
from experiments.measure.benchmark.timing import Effort, Row, milliseconds, spread
from kpjax.images.transforms import Letterbox, PersonCrop, Transform
from kpjax.input.source import TfdsSource
from kpjax.input.stream import BatchStream, read_ahead, stream

WIDTH, HEIGHT, SIDE = 640, 480, 256
BATCH = 32
SHARING = 500  # examples of each image
# What is shown of the images, with the box of a person.
CROPS = {
    "whole images": (Letterbox(SIDE), (0.0, 0.0, WIDTH, HEIGHT)),
    "people of 460 px": (PersonCrop(SIDE), (200.0, 10.0, 200.0, 460.0)),
}


def rows(effort: Effort) -> Iterator[Row]:
    """The rate of reading over that of a step, and JPEG files read in several ways."""
    yield step_row(effort)
    records = photographs(8)
    for name, (transform, box) in CROPS.items():
        yield from ways_rows(effort, name, transform, box, records)


def step_row(effort: Effort) -> Row:
    """The rate of reading batches as `fit` does over the rate of steps; neither disturbs the other
    here.
    """
    source = open_domain(
        DEMO.data.source, side=DEMO.data.image_size, seed=0, data_dir=Path(), train=512, test=32
    ).train
    batches = stream(source, batch_size=DEMO.batch_size, seed=0)
    ahead = read_ahead(
        lambda step: jax.block_until_ready(jax.device_put(batches[step])), itertools.count()
    )
    times = effort.times({"input": lambda: next(ahead), "step": supervised_step(DEMO)})
    ahead.close()
    shares = (a / b for a, b in zip(times["step"].wall, times["input"].wall, strict=True))
    return Row(
        "input rate / step rate, demo figures",
        spread(shares),
        note=f"{milliseconds(times['input'])} a batch, {milliseconds(times['step'])} a supervised step",
    )


def photographs(count: int, width: int = WIDTH, height: int = HEIGHT) -> list[dict]:
    """Renders records of people as JPEG files, 90 kB each at 640 x 480 px, as photographs have."""
    rendered = figures(count, DOMAINS["photo"], 0, width)
    records = []
    for number in range(count):
        file, example = io.BytesIO(), rendered[number]
        Image.fromarray(example.image[(width - height) // 2 :][:height]).save(
            file, "JPEG", quality=90
        )
        records.append(
            {
                "image": file.getvalue(),
                "keypoints": example.keypoints,
                "visible": example.visible,
                "scale": example.scale,
                "id": b"%d" % number,
            }
        )
    return records


def read_in_ways(
    transform: Transform, box: tuple[float, ...], records: list[dict]
) -> dict[str, BatchStream]:
    """Returns a stream for each way of reading the images, by name."""
    boxed = [{**record, "box": np.array(box, np.float32)} for record in records]
    # More examples than images, as many sets have: grain shuffles few numbers slowly.
    whole = TfdsSource(boxed * SHARING, TEN_POINTS, transform, "photographs", "photographs")
    sources = {
        "in full": whole,
        "reduced": replace(whole, reduced=True),
        "prepared at size": replace(
            whole, records=[at_side(record, SIDE) for record in boxed] * SHARING
        ),
    }
    return {name: stream(source, batch_size=BATCH, seed=0) for name, source in sources.items()}


def ways_rows(
    effort: Effort, crop: str, transform: Transform, box: tuple[float, ...], records: list[dict]
) -> Iterator[Row]:
    """Images a second of one core in each way, by processor time with stacking."""
    streams = read_in_ways(transform, box, records)
    times = effort.times(
        {name: lambda batches=batches: batches[0] for name, batches in streams.items()}
    )
    for name, samples in times.items():
        yield Row(
            f"{WIDTH}x{HEIGHT} to {SIDE} px, {crop}, {name}",
            spread(BATCH / seconds for seconds in samples.processor),
            "images/s",
            "JPEG, of one core",
        )
