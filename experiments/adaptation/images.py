"""Opens the images that presets of frozen-core adaptation name: rendered ones, and sets of `python
-m data`.
"""

import functools
from pathlib import Path

from data.figure_categories import PEOPLE, Category, render_category, render_masks
from data.figure_faces import FACES
from data.figure_four_legged import FOUR_LEGGED
from data.prepared import open_source, tuning_split
from experiments.images import without_split
from kpjax.errors import InputError
from kpjax.evaluation.probes.landmarks import draw_turns
from kpjax.images.transforms import Transform
from kpjax.input import source as sources
from kpjax.input.source import Source, TfdsSource
from kpjax.papers.adaptation.config import RENDERED, Config, TargetImages, transform
from kpjax.papers.adaptation.stages import Data, with_turns
from kpjax.papers.configs import TUNING_SEEDS, decoded_once

CATEGORIES: dict[str, Category] = {"people": PEOPLE, "faces": FACES, "four_legged": FOUR_LEGGED}
RENDERED_SETS = ", ".join(RENDERED + name for name in CATEGORIES)


def open_images(data: TargetImages, seed: int, data_dir: Path) -> Data:
    """Opens the images of one seed, kept for the next run on the same; rendered ones and
    `target_images` depend on it.

    A tuning seed is tested on the images for tuning of the set whose labels the regressors are
    fitted on, and no tuning seed learns from such images of any set.

    Raises InputError for an unknown set, for more images than there are, and for an image both
    adapted to and tested.
    """
    if not (data.rendered or data.target_images):
        seed = TUNING_SEEDS[0] if seed in TUNING_SEEDS else 0
    return _open(data, seed, data_dir)


@functools.lru_cache(maxsize=2)
def _open(data: TargetImages, seed: int, data_dir: Path) -> Data:
    side, once = data.image_size, None
    if data.rendered:
        render = functools.partial(_rendered_source, data.target, seed, data.background)
        target = render(data.target_side, data.training_images)
        fit = target if data.target_side == side else render(side, data.training_images)
        test = render(side, data.test_images, first=data.training_images)
    else:
        prepared = functools.partial(_prepared_source, data_dir=data_dir)
        target = prepared(
            _learnt_splits(data.target, seed),
            transform(data.target_transform, data.target_side, data.target_tightness),
        )
        square = transform(data.test_transform, side, data.test_tightness)
        fit, tested = (
            data.fit or data.target,
            _tested_split(data.test, data.fit or data.target, seed),
        )
        fit, test = (prepared(name, square) for name in (_learnt_splits(fit, seed), tested))
        once = sources.turned_originals(test, draw_turns(len(test)).first)
        target, fit, test = (decoded_once(source) for source in (target, fit, test))
        # Pixels of one image differ where it is cropped in two ways, and names hold within one set.
        same_set = data.target.partition("/")[0] == tested.partition("/")[0]
        sources.check_disjoint(target, test, by_name=same_set, by_pixels=False)
    chosen: tuple[str, ...] = ()
    objects = None
    if data.rendered:
        objects = render_masks(
            _category(data.target), data.test_images, seed, side, first=data.training_images
        )
    if data.target_images:
        numbers = sources.labelled_subset(target, count=data.target_images, seed=seed).labelled
        target = sources.subset(target, numbers, f"{target.name}, {len(numbers)} images")
        chosen = sources.identities(target) or tuple(map(str, numbers))
    return with_turns(sources.without_labels(target), fit, test, side, once)._replace(
        core_images=open_core_images, chosen=chosen, objects=objects
    )


def open_core_images(config: Config, seed: int, data_dir: Path) -> tuple[Source, Source | None]:
    """Opens the images that the core is trained and, if the config names any, tested on; raises as
    `open_images`.
    """
    core, data = config.core, config.data
    if core.core.startswith(RENDERED):
        render = functools.partial(
            _rendered_source, core.core, seed, core.core_background, data.image_size
        )
        return (
            render(core.core_images),
            render(core.core_test_images, first=core.core_images) if core.core_test else None,
        )
    square = core.square(data.image_size, data.test_tightness)
    larger = core.larger(data.image_size)
    tested = core.core_test and _tested_split(core.core_test, core.core, seed)
    learnt = without_split(core.core, tested)
    train, test = (
        name and decoded_once(_prepared_source(name, square, data_dir=data_dir))
        for name, square in ((learnt, larger[0] if larger else square), (tested, square))
    )
    return tuple(
        sources.without_keypoints(source, core.core_unused_keypoints) if source else None
        for source in (train, test)
    )


def _tested_split(test: str, learnt: str, seed: int) -> str:
    """Returns the split that a seed is tested on: for a tuning seed that for tuning of the set with
    labels.
    """
    return tuning_split(learnt) if seed in TUNING_SEEDS else test


def _learnt_splits(name: str, seed: int) -> str:
    """Returns the splits of a set that a seed learns from: for a tuning seed without that for
    tuning."""
    return without_split(name, tuning_split(name)) if seed in TUNING_SEEDS else name


def _rendered_source(
    name: str, seed: int, background: str, side: int, count: int, first: int = 0
) -> Source:
    return render_category(_category(name), count, seed, side, background=background, first=first)


def _category(name: str) -> Category:
    category = name.removeprefix(RENDERED)
    if category not in CATEGORIES:
        raise InputError(name, f"there are {RENDERED_SETS}")
    return CATEGORIES[category]


def _prepared_source(name: str, square: Transform, *, data_dir: Path) -> TfdsSource:
    dataset, _, split = name.partition("/")
    if not split:
        raise InputError(
            f"{name or 'no data'}: name a prepared set and its split, such as youtube_faces/train, or one "
            f"of {RENDERED_SETS}"
        )
    return open_source(dataset, split, data_dir=data_dir, transform=square)
