"""Rows about input: how fast images are decoded, and whether that keeps a chip busy."""
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from data.figures import DOMAINS, TEN_POINTS, figures
from data.prepared import at_side
from experiments.benchmark.row import (
    Effort,
    Row,
    Spread,
    memory_growth_row,
    milliseconds,
    ratio,
    resident_bytes,
    spread,
)
from experiments.benchmark.steps import read_batches, regda_step
from experiments.engine.image_sets import open_domain
from experiments.regda.presets import PRESETS
from kpjax.images.transforms import Letterbox, PersonCrop, Transform
from kpjax.input.source import TfdsSource
from kpjax.input.stream import BatchStream, stream

WIDTH, HEIGHT, SIDE = 640, 480, 256
BATCH = 32
SHARING = 500  # examples of each image
# Images a second that training PoseResNet-101 takes, assumed: 100 GFLOP an image at 40 % of the chips' peak.
MACHINES = {"a host of 4 TPU v4": 4_400, "a box of 8 H100": 30_000}


class Crop(NamedTuple):
    """What is shown of the images, and what the first pass must gain."""

    name: str
    transform: Transform
    box: tuple[float, float, float, float]
    bar: float | None


WHOLE = (0.0, 0.0, WIDTH, HEIGHT)
CROPS = (
    Crop("whole images", Letterbox(SIDE), WHOLE, 1.5),
    Crop("people of 460 px", PersonCrop(SIDE), (200.0, 10.0, 200.0, 460.0), 1.5),
    Crop("people of 360 px, not reduced", PersonCrop(SIDE), (200.0, 60.0, 160.0, 360.0), None),
)


class AsArrays(NamedTuple):
    """A transform that is given arrays, as all were before: decoded in full and copied twice."""

    transform: Transform

    def __call__(self, image, *labels):
        return self.transform(np.asarray(image.convert("RGB")), *labels)


def input_rows(effort: Effort) -> Iterator[Row]:
    """The rate of reading over that of RegDA's steps, JPEG files read in several ways, and the memory that it takes."""
    yield from step_rows(effort)
    records = photographs(8)
    for crop in CROPS:
        yield from crop_rows(effort, crop, records)
    yield memory_row()


def step_rows(effort: Effort) -> Iterator[Row]:
    """The rate of reading batches as `fit` does over the rate of RegDA's steps; neither disturbs the other here."""
    for name, preset in (("demo figures", "demo"), ("small sprites", "dsprites_small_colour_noisy")):
        config = PRESETS[preset]
        sources = [open_domain(domain, side=config.data.image_size, seed=0, data_dir=Path(), train=512, test=32).train
                   for domain in (config.data.source, config.data.target)]
        batches = read_batches([stream(source, batch_size=config.batch_size, seed=0) for source in sources])
        times = effort.times({"input": lambda batches=batches: next(batches),
                              "step": regda_step(config, len(sources[0].skeleton.names))})
        batches.close()
        yield Row(f"input rate / step rate, {name}", ratio(times["step"], times["input"]), bar=2.0, at_most=False,
                  note=f"{milliseconds(times['input'])} a pair of batches, {milliseconds(times['step'])} a step")


def photographs(count: int, width: int = WIDTH, height: int = HEIGHT) -> list[dict]:
    """Renders records of people as JPEG files, 90 kB each at 640 x 480 px, as photographs have."""
    rendered = figures(count, DOMAINS["photo"], 0, width)
    records = []
    for number in range(count):
        file, example = io.BytesIO(), rendered[number]
        Image.fromarray(example.image[(width - height) // 2:][:height]).save(file, "JPEG", quality=90)
        records.append({"image": file.getvalue(), "keypoints": example.keypoints, "visible": example.visible,
                        "scale": example.scale, "id": b"%d" % number})
    return records


def read_in_ways(crop: Crop, records: list[dict], *, batch: int = BATCH) -> dict[str, BatchStream]:
    """Returns a stream of `batch` images for each way of reading them, by name."""
    boxed = [{**record, "box": np.array(crop.box, np.float32)} for record in records]
    # More examples than images, as many sets have: grain shuffles few numbers slowly.
    now = TfdsSource(boxed * SHARING, TEN_POINTS, crop.transform, "photographs", "photographs")
    sources = {"as arrays": replace(now, transform=AsArrays(crop.transform)), "in full": now,
               "reduced": replace(now, reduced=True),
               "prepared at size": replace(now, records=[at_side(record, SIDE) for record in boxed] * SHARING)}
    return {name: stream(source, batch_size=batch, seed=0) for name, source in sources.items()}


def crop_rows(effort: Effort, crop: Crop, records: list[dict]) -> Iterator[Row]:
    """Images a second of one core, over those of reading through arrays, and how many cores feed a machine."""
    streams = read_in_ways(crop, records)
    times = effort.times({name: lambda batches=batches: batches[0] for name, batches in streams.items()})
    rates = {name: spread(BATCH / seconds for seconds in samples.processor) for name, samples in times.items()}
    name, ways = f"{WIDTH}x{HEIGHT} to {SIDE} px, {crop.name}", ("in full", "reduced", "prepared at size")
    for way in ways:
        over = spread(a / b for a, b in zip(times["as arrays"].processor, times[way].processor, strict=True))
        yield Row(f"{name}: {way} / as arrays", over, bar=crop.bar if way == "reduced" else None, at_most=False,
                  note=f"{rates['as arrays'].median:.0f} images/s of one core before, {rates[way].median:.0f} now, "
                       "processor time with stacking")
    for machine, needed in MACHINES.items():
        counts = ", ".join(f"{way} {needed / rates[way].median:.1f}" for way in ways)
        yield Row(f"cores for {machine}, {crop.name}", Spread(*(needed / rates["reduced"][n] for n in (0, 2, 1))),
                  "cores", note=f"{counts}; assumed: PoseResNet-101 takes {needed:,} images/s there")


def memory_row(batches: int = 10_000) -> Row:
    """The growth of a process between a tenth of the batches that it reads and the last."""
    return memory_growth_row(
        f"memory of reading, batch {batches // 10:,} to {batches:,}",
        f"from experiments.benchmark.input import print_memory; print_memory({batches})",
        "batches of 4, one in ten decoded at reduced size, the others prepared at size")


def print_memory(batches: int, images: int = 4) -> None:
    """Reads batches and prints how many bytes the process had after a tenth of them and after the last."""
    streams = read_in_ways(CROPS[0], photographs(images), batch=4)
    for step in range(1, batches + 1):
        streams["prepared at size" if step % 10 else "reduced"][step]
        if step in (batches // 10, batches):
            print(resident_bytes())
