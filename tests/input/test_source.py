"""Sources: arrays, subsets, stripped labels, prepared records; and the draw of labelled images."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from kpjax.errors import InputError
from kpjax.images.transforms import PersonCrop, Stretch
from kpjax.input import source as sources
from kpjax.structures import Skeleton

SKELETON = Skeleton(("nose", "tail"))


def stored_record(number: int, bytes_kept: float = 1.0):
    """A record as tfds returns it: an image of one grey level, perhaps cut off in the middle of its
    file.
    """
    file = io.BytesIO()
    noise = np.random.default_rng(number).integers(0, 256, (20, 10, 3), np.uint8)
    Image.fromarray(noise).save(file, "JPEG")
    image = file.getvalue()
    return {
        "image": image[: int(len(image) * bytes_kept)],
        "keypoints": np.array([[4.5, 9.5], [0, 0]], np.float32),
        "visible": np.array([1, 0], np.float32),
        "scale": np.float32(7),
        "id": f"image_{number}.jpg".encode(),
    }


def random_source(count=10, side=8, visible=1.0):
    generator = np.random.default_rng(0)
    return sources.arrays(
        generator.integers(0, 256, (count, side, side, 3), np.uint8),
        generator.uniform(0, side - 1, (count, 2, 2)),
        np.full((count, 2), visible),
        SKELETON,
        "toy",
    )


def test_subset_renumbers_and_changes_the_digest():
    source = random_source()
    part = sources.subset(source, [7, 2])
    assert (len(part), part[0].index) == (2, 0)
    np.testing.assert_array_equal(part[0].image, source[7].image)
    digests = {
        source.digest,
        part.digest,
        sources.subset(source, [2, 7]).digest,
        sources.without_labels(source).digest,
    }
    assert len(digests) == 4
    assert random_source().digest == source.digest


def test_other_labels_over_the_same_images():
    source = random_source()
    points, kept = np.full((10, 2, 2), 3.0), np.tile([1.0, 0.0], (10, 1))
    points[:, 1] = np.nan
    relabelled = sources.with_labels(sources.without_labels(source), points, kept, "pseudo")
    assert (relabelled.name, len(relabelled)) == ("pseudo", 10)
    example = relabelled[4]
    np.testing.assert_array_equal(example.image, source[4].image)
    np.testing.assert_array_equal(example.keypoints, [[3, 3], [0, 0]])
    np.testing.assert_array_equal(example.visible, [1, 0])
    assert [np.asarray(field).dtype.name for field in example] == [
        "uint8",
        *["float32"] * 4,
        "int32",
    ]
    other = sources.with_labels(sources.without_labels(source), points, kept * 0, "pseudo")
    assert len({source.digest, relabelled.digest, other.digest}) == 3


def test_prepared_records_are_placed_in_a_square():
    source = sources.TfdsSource(
        [stored_record(0), stored_record(1)], SKELETON, Stretch(10), "set/train"
    )
    example = source[1]
    assert example.image.shape == (10, 10, 3)
    np.testing.assert_allclose(example.keypoints, [[4.5, 4.5], [0, 0]])
    np.testing.assert_allclose(example.crop @ np.array([4.5, 4.5, 1]), [4.5, 9.5, 1], atol=1e-5)
    assert source.identity(1) == "image_1.jpg"
    kept = sources.in_memory(source)
    np.testing.assert_array_equal(kept[1].image, example.image)
    records = [stored_record(0), stored_record(1)]
    assert source.digest == sources.TfdsSource(records, SKELETON, Stretch(5), "other").digest
    turned = sources.without_labels(sources.subset(source, [1, 0]))
    assert sources.identities(sources.in_memory(turned)) == ("image_1.jpg", "image_0.jpg")
    assert sources.identities(random_source()) is None
    # By its box, if it has one.
    boxed = stored_record(0) | {"box": np.array([2, 7, 4, 5], np.float32)}
    source = sources.TfdsSource(
        [boxed, stored_record(1)], SKELETON, PersonCrop(10, margin=2.0), "set/train"
    )
    # the middle of the box is (4, 9.5)
    np.testing.assert_allclose(source[0].keypoints[0], [5.5, 5])
    with pytest.raises(InputError, match=r"set/train, image_1\.jpg: box: "):
        source[1]


def test_joined_sources_keep_their_names_and_skeleton():
    points = Skeleton(("a", "b"))
    one, other = (
        replace(
            sources.arrays(
                np.full((count, 4, 4, 3), count, np.uint8),
                np.zeros((count, 2, 2)),
                np.ones((count, 2)),
                points,
                str(count),
            ),
            names=tuple(f"{count}.{n}" for n in range(count)),
        )
        for count in (2, 3)
    )
    both = sources.join_sources([one, other], "both")
    assert [both.identity(number) for number in range(5)] == ["2.0", "2.1", "3.0", "3.1", "3.2"]
    assert [int(both[number].image[0, 0, 0]) for number in range(5)] == [2, 2, 3, 3, 3]
    assert sources.join_sources([one, replace(other, names=())], "both").identity(0) is None


def test_a_source_with_some_keypoints_only():
    """Points, edges, mirror images and groups follow."""
    body = Skeleton(
        ("left", "pelvis", "right", "head"),
        edges=((0, 1), (1, 2), (2, 3)),
        flip=(2, 1, 0, 3),
        groups={"hips": (0, 1, 2), "middle": (1,)},
    )
    source = sources.arrays(
        np.zeros((2, 8, 8, 3), np.uint8),
        np.arange(16).reshape(2, 4, 2),
        np.full((2, 4), 2),
        body,
        "made up",
    )
    chosen = sources.without_keypoints(source, ["pelvis"])
    assert chosen.skeleton == Skeleton(
        ("left", "right", "head"), ((1, 2),), (1, 0, 2), {"hips": (0, 1)}
    )
    np.testing.assert_array_equal(chosen[1].keypoints, source[1].keypoints[[0, 2, 3]])
    np.testing.assert_array_equal(chosen[1].visible, np.float32([1, 1, 1]))  # 2 is COCO's
    assert chosen.digest != source.digest


# The draw of labelled images: the published rule, nested, the same for any order of storage


def named(numbers):
    """Four by four images of random pixels whose names are padded numbers."""
    images = np.stack(
        [np.random.default_rng(number).integers(0, 256, (4, 4, 3), np.uint8) for number in numbers]
    )
    source = sources.arrays(
        images,
        np.ones((len(numbers), 1, 2)),
        np.ones((len(numbers), 1)),
        Skeleton(("centre",)),
        "set",
    )
    return replace(source, names=tuple(f"image_{number:03d}" for number in numbers))


def test_subsets_are_nested_and_do_not_depend_on_the_order_of_storage():
    for count, published in ((5864, [293, 586, 1173, 2932]), (3610, [181, 361, 722, 1805])):
        assert [sources.rounded_share(share, count) for share in (0.05, 0.1, 0.2, 0.5)] == published
    source = named(range(20))
    small, large = (sources.labelled_subset(source, count=count, seed=3) for count in (3, 11))
    np.testing.assert_array_equal(large.labelled[:3], small.labelled)
    shuffled = named([*range(7, 20), *range(7)])
    again = sources.labelled_subset(shuffled, count=3, seed=3)
    assert [shuffled.names[n] for n in again.labelled] == [source.names[n] for n in small.labelled]
    digests = {
        sources.labelled_subset(one, count=count, seed=seed).digest
        for one, count, seed in (
            (source, 3, 3),
            (source, 3, 1),
            (source, 4, 3),
            (replace(source, names=()), 3, 3),
            (named(range(1, 21)), 3, 3),
        )
    }
    assert len(digests) == 5  # it says which images are labelled
    assert sources.labelled_subset(named(range(20)), count=3, seed=3).digest == small.digest


def test_only_images_with_a_label_are_drawn_and_the_others_are_among_the_rest():
    source = named(range(20))
    visible = np.ones((20, 1), np.float32)
    visible[[0, 7, 13]] = 0
    examples = source.examples._replace(visible=visible)
    some = sources.subset(replace(source, examples=examples), np.arange(19, -1, -1))
    with_label = sources.has_label(some)
    np.testing.assert_array_equal(np.flatnonzero(~with_label), [6, 12, 19])
    for seed in range(5):
        chosen = sources.labelled_subset(some, share=1.0, seed=seed, with_label=with_label)
        assert sorted(chosen.rest) == [6, 12, 19]
        chosen = sources.labelled_subset(
            some, share=0.3, seed=seed, with_label=with_label, need_unlabelled=True
        )
        assert len(chosen.labelled) == 5  # of 17
        assert with_label[chosen.labelled].all()
        assert sorted([*chosen.labelled, *chosen.rest]) == list(range(20))
    every = np.ones(20, bool)
    for found, expected in zip(
        sources.labelled_subset(source, count=5, seed=1, with_label=every),
        sources.labelled_subset(source, count=5, seed=1),
        strict=True,
    ):
        np.testing.assert_array_equal(found, expected)


def test_a_image_of_the_test_split_among_the_training_images_is_named():
    whole = named(range(20))
    train, test = (
        sources.subset(whole, range(12), "train"),
        sources.subset(whole, range(12, 20), "test"),
    )
    unnamed = replace(whole, names=())
    sources.check_disjoint(train, test)
    sources.check_disjoint(train, sources.subset(unnamed, range(12, 20), "test"))
    with pytest.raises(
        InputError,
        match="train: 2 of 14 images are in the test split: image_012 is image_012 of test",
    ):
        sources.check_disjoint(sources.subset(whole, range(14), "train"), test)
    with pytest.raises(InputError, match=r"2 of 14 .*number 12 is number 0 of test"):
        sources.check_disjoint(
            sources.subset(unnamed, range(14), "train"),
            sources.subset(unnamed, range(12, 20), "test"),
        )
