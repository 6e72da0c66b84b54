"""The datasets of this package as tfds knows them: `tfds.builder("kpjax/tabletop")`.

`import data` registers them. They are the configs of one builder, since tfds takes what stands
before the stroke for a builder's name. Records are written as array_record files, without
TensorFlow.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import tensorflow_datasets as tfds
from tqdm.auto import tqdm

from data.prepared import (
    BUILDER,
    RELEASE_NOTES,
    VERSION,
    Dataset,
    Record,
    as_rgb,
    at_side,
    datasets,
    described_skeleton,
)
from kpjax.errors import InputError, summarise
from kpjax.images.reading import BROKEN
from kpjax.structures import Skeleton


class _Card(tfds.core.DatasetInfo):
    """What is known of a set. It is not looked for among those that tfds itself publishes."""

    def initialize_from_bucket(self) -> None:
        """Leaves tfds' bucket alone, and with it a temporary folder that nobody would remove."""


@dataclass(eq=False, kw_only=True)
class SetConfig(tfds.core.BuilderConfig):
    """A dataset of this package, as a config of `Kpjax`."""

    dataset: Dataset

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """Returns the config of a dataset, the registered one if there is one."""
        known = Kpjax.builder_configs.get(dataset.name)
        if known is not None and known.dataset is dataset:
            return known
        return cls(name=dataset.name, description=dataset.where, dataset=dataset)


class _Configs:
    """The configs of all datasets. Their modules are imported when tfds asks for them."""

    def __get__(self, builder: object, owner: type) -> list[SetConfig]:
        return [
            SetConfig(name=name, description=dataset.where, dataset=dataset)
            for name, dataset in datasets().items()
        ]


class Kpjax(tfds.core.GeneratorBasedBuilder):
    """Images with keypoints, one config for each dataset of `python -m data`.

    Images that do not decode are reported together in one InputError; with `on_bad_image = "skip"`
    they are left out and listed in `skipped`. With `resized_for`, a side of crops in pixels,
    records are stored `at_side`. With `bar`, images are counted on a screen, beside tfds' own bars.
    """

    name = BUILDER
    VERSION = tfds.core.Version(VERSION)
    RELEASE_NOTES = RELEASE_NOTES
    BUILDER_CONFIGS = _Configs()
    on_bad_image = "stop"
    resized_for: int | None = None
    bar = False

    def __init__(self, **options):
        super().__init__(**{"file_format": "array_record"} | options)  # tfds' needs TensorFlow
        self.skipped: list[str] = []

    @classmethod
    def of(cls, dataset: Dataset, **options: Any) -> Self:
        """Makes the builder of a dataset, which need not be one of this package."""
        return cls(config=SetConfig.of(dataset), **options)

    @property
    def dataset(self) -> Dataset:
        """The declaration of the set."""
        return self.builder_config.dataset

    @property
    def MANUAL_DOWNLOAD_INSTRUCTIONS(self) -> str | None:
        """Where to download the set; None if it is rendered."""
        return self.dataset.where if self.dataset.check else None

    def _info(self) -> tfds.core.DatasetInfo:
        card = self.dataset.card
        return _Card(
            builder=self,
            description=card.about,
            homepage=card.homepage or card.where,  # without one, tfds names a page of its own
            citation=card.citation,
            license=card.licence,
            features=_features(self.dataset),
        )

    def _split_generators(self, dl_manager):
        folder = Path(dl_manager.manual_dir) if self.dataset.check else None
        return {
            split: self._generate_examples(split, records)
            for split, records in self.dataset.splits(folder).items()
        }

    def _generate_examples(
        self, split: str, records: Iterable[Record | str]
    ) -> Iterator[tuple[str, Record]]:
        name = self.dataset.name
        bad, seen, count = [], set(), 0
        hidden = None if self.bar else True  # None: where no screen is
        for example in tqdm(records, f"{name} {split}", unit=" images", disable=hidden):
            count += 1
            if isinstance(example, str):
                bad.append(example)
                continue
            if example["id"] in seen:
                raise InputError(
                    f"{name}, split {split}: {example['id']} occurs twice; list each image once"
                )
            seen.add(example["id"])
            try:
                image = as_rgb(example["image"])
            except BROKEN as error:
                bad.append(f"{example['id']}: {error}")
                continue
            whole = {**example, "image": image}
            yield (
                example["id"],
                whole if self.resized_for is None else at_side(whole, self.resized_for),
            )
        self.skipped += bad
        if bad and self.on_bad_image == "stop":
            raise InputError(
                f"{name}, split {split}: {len(bad)} of {count} images cannot be read: "
                f"{summarise(bad)}; replace them, or skip them with --on-bad-image skip"
            )

    def _download_and_prepare(self, dl_manager, download_config) -> None:
        super()._download_and_prepare(dl_manager, download_config)
        folder = Path(dl_manager.manual_dir) if self.dataset.check else None
        (self.data_path / "skeleton.json").write_text(
            json.dumps(described_skeleton(self.dataset.skeleton(folder)), indent=1)
        )


def _features(dataset: Dataset) -> tfds.features.FeaturesDict:
    """Returns the schema of the records. The number of keypoints may be the data's alone."""
    count = len(dataset.points.names) if isinstance(dataset.points, Skeleton) else None
    box = {"box": tfds.features.Tensor(shape=(4,), dtype=np.float32)} if dataset.boxed else {}
    return tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format=dataset.encoding),
            "keypoints": tfds.features.Tensor(shape=(count, 2), dtype=np.float32),
            "visible": tfds.features.Tensor(shape=(count,), dtype=np.float32),
            "scale": tfds.features.Scalar(dtype=np.float32),
            "id": tfds.features.Text(),
            **box,
        }
    )
