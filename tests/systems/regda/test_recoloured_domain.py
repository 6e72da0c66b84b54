"""Halves of a prepared set as two domains, one of them in other colours."""
from pathlib import Path

import numpy as np
import pytest

import data.prepared
from data.other_colours import LIGHT, in_other_colours
from experiments.images import open_domain
from kpjax import Skeleton, arrays
from kpjax.input.source import check_disjoint

POINTS = Skeleton(("nose", "tail"))


def images(count, seed=0):
    """Images of which no two are the same, the first white in one corner and black in another."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (count, 16, 16, 3), np.uint8)
    pixels[0, :4, :4], pixels[0, 8:, 8:] = 255, 0
    return arrays(pixels, random.uniform(0, 15, (count, 2, 2)), np.ones((count, 2)), POINTS, "made")


def test_white_turns_dark_black_takes_the_colour_and_labels_stay():
    plain = images(3)
    shown, again = (in_other_colours(plain, noise=noise) for noise in (0.0, 0.06))
    np.testing.assert_array_equal(shown[0].image[:4, :4], 0)
    np.testing.assert_allclose(shown[0].image[8:, 8:], np.broadcast_to(255 * LIGHT, (8, 8, 3)), atol=1)
    np.testing.assert_array_equal(shown[2].keypoints, plain[2].keypoints)
    np.testing.assert_array_equal(again[1].image, in_other_colours(plain)[1].image)
    assert not np.array_equal(again[1].image, shown[1].image)
    assert len({shown.digest, again.digest, plain.digest}) == 3


@pytest.fixture
def prepared(monkeypatch):
    monkeypatch.setattr(data.prepared, "open_source", lambda name, split, *, data_dir, transform: images(
        {"train": 41, "tune": 5, "test": 6}[split], seed=sum(map(ord, split))))
    open_domain.cache_clear()
    yield
    open_domain.cache_clear()


def test_domains_share_no_training_image_and_the_test_images_are_the_same_animals(prepared):
    first, second = (open_domain(f"{kind}:deeplabcut", side=16, seed=0, data_dir=Path())
                     for kind in ("recoloured", "plain"))
    assert [len(part) for part in first[:3]] == [21, 5, 6]
    assert [len(part) for part in second[:3]] == [20, 5, 6]
    labels = [{train[number].keypoints.tobytes() for number in range(len(train))}
              for train in (first.train, second.train)]
    assert not labels[0] & labels[1]
    for one in (first, second):
        check_disjoint(one.train, one.test, by_name=False)
    np.testing.assert_array_equal(first.test[3].keypoints, second.test[3].keypoints)
    np.testing.assert_array_equal(second.test[3].image, images(6, seed=sum(map(ord, "test")))[3].image)
    assert not np.array_equal(first.test[3].image, second.test[3].image)
