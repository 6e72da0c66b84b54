"""Sources: arrays, subsets, stripped labels, prepared records, and the pass that checks them."""
from dataclasses import replace

import numpy as np
import pytest
from records import stored_record

from kpjax.errors import InputError
from kpjax.images.transforms import PersonCrop, Stretch
from kpjax.input.source import (
    TfdsSource,
    arrays,
    identities,
    in_memory,
    joined,
    subset,
    with_labels,
    without_keypoints,
    without_labels,
)
from kpjax.structures import Skeleton

SKELETON = Skeleton(("nose", "tail"))


def random_source(count=10, side=8, visible=1.0):
    generator = np.random.default_rng(0)
    return arrays(generator.integers(0, 256, (count, side, side, 3), np.uint8),
                  generator.uniform(0, side - 1, (count, 2, 2)), np.full((count, 2), visible), SKELETON, "toy")


def test_subset_renumbers_and_changes_the_digest():
    source = random_source()
    part = subset(source, [7, 2])
    assert len(part) == 2
    assert part[0].index == 0
    np.testing.assert_array_equal(part[0].image, source[7].image)
    digests = {source.digest, part.digest, subset(source, [2, 7]).digest, without_labels(source).digest}
    assert len(digests) == 4
    assert random_source().digest == source.digest


def test_other_labels_over_the_same_images():
    source = random_source()
    points, kept = np.full((10, 2, 2), 3.0), np.tile([1.0, 0.0], (10, 1))
    points[:, 1] = np.nan
    relabelled = with_labels(without_labels(source), points, kept, "pseudo")
    assert (relabelled.name, len(relabelled)) == ("pseudo", 10)
    example = relabelled[4]
    np.testing.assert_array_equal(example.image, source[4].image)
    np.testing.assert_array_equal(example.keypoints, [[3, 3], [0, 0]])
    np.testing.assert_array_equal(example.visible, [1, 0])
    assert [np.asarray(field).dtype.name for field in example] == ["uint8", *["float32"] * 4, "int32"]
    other = with_labels(without_labels(source), points, kept * 0, "pseudo")
    assert len({source.digest, relabelled.digest, other.digest}) == 3


def test_names_of_examples_survive_subsets_and_memory():
    records = TfdsSource([stored_record(number) for number in range(3)], SKELETON, Stretch(8), "set/train")
    part = in_memory(without_labels(subset(records, [2, 0])))
    assert identities(part) == ("image_2.jpg", "image_0.jpg")
    assert identities(random_source()) is None


def test_prepared_records_are_placed_in_a_square():
    source = TfdsSource([stored_record(0), stored_record(1)], SKELETON, Stretch(10), "set/train")
    example = source[1]
    assert example.image.shape == (10, 10, 3)
    np.testing.assert_allclose(example.keypoints, [[4.5, 4.5], [0, 0]])
    np.testing.assert_allclose(example.crop @ np.array([4.5, 4.5, 1]), [4.5, 9.5, 1], atol=1e-5)
    assert source.identity(1) == "image_1.jpg"
    kept = in_memory(source)
    np.testing.assert_array_equal(kept[1].image, example.image)
    assert source.digest == TfdsSource([stored_record(0), stored_record(1)], SKELETON, Stretch(5), "other").digest


def test_records_with_a_box_are_placed_by_it():
    source = TfdsSource([{**stored_record(0), "box": np.array([2, 7, 4, 5], np.float32)}, stored_record(1)], SKELETON,
                        PersonCrop(10, margin=2.0), "set/train")
    np.testing.assert_allclose(source[0].keypoints[0], [5.5, 5])  # the middle of the box is (4, 9.5)
    with pytest.raises(InputError, match=r"set/train, image_1\.jpg: box: .* prepare it again"):
        source[1]


def test_joined_sources_keep_their_names_and_skeleton():
    points = Skeleton(("a", "b"))
    one, other = (replace(
        arrays(np.full((count, 4, 4, 3), count, np.uint8), np.zeros((count, 2, 2)), np.ones((count, 2)), points,
               str(count)), names=tuple(f"{count}.{n}" for n in range(count))) for count in (2, 3))
    both = joined([one, other], "both")
    assert [both.identity(number) for number in range(5)] == ["2.0", "2.1", "3.0", "3.1", "3.2"]
    assert [int(both[number].image[0, 0, 0]) for number in range(5)] == [2, 2, 3, 3, 3]
    assert joined([one, replace(other, names=())], "both").identity(0) is None


def test_a_source_with_some_keypoints_only():
    """Points, edges, mirror images and groups follow."""
    body = Skeleton(("left", "pelvis", "right", "head"), edges=((0, 1), (1, 2), (2, 3)), flip=(2, 1, 0, 3),
                    groups={"hips": (0, 1, 2), "middle": (1,)})
    source = arrays(np.zeros((2, 8, 8, 3), np.uint8), np.arange(16).reshape(2, 4, 2), np.ones((2, 4)), body, "made up")
    chosen = without_keypoints(source, ["pelvis"])
    assert chosen.skeleton == Skeleton(("left", "right", "head"), ((1, 2),), (1, 0, 2), {"hips": (0, 1)})
    np.testing.assert_array_equal(chosen[1].keypoints, source[1].keypoints[[0, 2, 3]])
    assert chosen[1].visible.shape == (3,)
    assert len(chosen) == 2
    assert chosen.digest != source.digest
    assert identities(chosen) is None
    assert without_keypoints(source, []) is source
