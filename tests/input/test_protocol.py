"""Protocols: how images are drawn, what is refused and seen, variants, the files of the experiment,
and triples.
"""

import json
import pathlib
import re

import numpy as np
import pytest

from experiments.keypoints import skeleton_of
from kpjax.errors import InputError
from kpjax.input import protocols
from kpjax.input.source import ArraySource, arrays, subset
from kpjax.structures import Skeleton

FILES = pathlib.Path(__file__).parents[2] / "kpjax" / "systems" / "incremental" / "protocols"
BODY = Skeleton(
    ("head", "neck", "left_hand", "right_hand", "left_foot", "right_foot"),
    ((0, 1), (1, 2), (1, 3), (1, 4), (1, 5)),
    flip=(0, 1, 3, 2, 5, 4),
)
HANDS, FEET = ("left_hand", "right_hand"), ("left_foot", "right_foot")


@pytest.fixture
def source():
    rng = np.random.default_rng(0)
    made = arrays(
        rng.integers(0, 256, (20, 4, 4, 3), np.uint8),
        rng.uniform(0, 4, (20, 6, 2)),
        np.ones((20, 6)),
        BODY,
        "figures/train",
    )
    return ArraySource(
        made.examples, BODY, made.name, tuple(f"image_{number:02d}" for number in range(20))
    )


def content(**changes):
    return {
        "name": "made up",
        "dataset": "figures",
        "images": {"parts": [4, 8, 6], "seed": 3},
        "steps": [
            {"keypoints": ["head", "neck"]},
            {"keypoints": list(HANDS), "triples": [{"old": "neck", "new": list(HANDS)}]},
            {"keypoints": list(FEET), "triples": [{"old": "left_hand", "new": ["left_foot"]}]},
        ],
    } | changes


@pytest.fixture
def written(tmp_path):
    def write(changed):
        path = tmp_path / "protocol.json"
        path.write_text(json.dumps(changed))
        return path

    return write


@pytest.fixture
def protocol(written, source):
    return protocols.resolve(written(content()), source)


def test_images_are_disjoint_and_of_the_asked_size(protocol, written, source):
    assert [len(step.images) for step in protocol.steps] == [4, 8, 6]
    drawn = [image for step in protocol.steps for image in step.images]
    assert len(set(drawn)) == 18
    assert drawn != sorted(drawn)
    for parts, sizes in (("equal", [7, 6, 7]), ([0.5, 0.25, 0.125], [10, 5, 3])):
        made = protocols.resolve(written(content(images={"parts": parts, "seed": 3})), source)
        assert [len(step.images) for step in made.steps] == sizes
        # one order for every partition
        assert [image for step in made.steps for image in step.images][:18] == drawn
    assert (
        protocols.resolve(written(content(images={"parts": [4, 8, 6], "seed": 4})), source).steps
        != protocol.steps
    )
    by_name = protocols.resolve(
        written(with_images(["image_03", "image_01"], ["image_00"], ["image_19"])), source
    )
    assert [step.images for step in by_name.steps] == [(3, 1), (0,), (19,)]
    assert protocols.resolve(written(with_images([3, 1], [0], [19])), source) == by_name
    steps = content()["steps"]
    del steps[1]["triples"]
    digests = {
        protocol.digest,
        protocols.resolve(written(content(steps=steps)), source).digest,
        by_name.digest,
        *(protocols.low_shot(protocol, count).digest for count in (2, 3)),
    }
    assert len(digests) == 5
    assert (
        protocols.resolve(written(content(about="words", name="another")), source).digest
        == protocol.digest
    )


def test_another_order_of_the_source_gives_the_same_images(protocol, written, source):
    order = np.random.default_rng(1).permutation(20)
    shuffled = subset(source, order)
    made = protocols.resolve(written(content()), shuffled)
    for one, other in zip(protocol.steps, made.steps, strict=True):
        assert [source.identity(image) for image in one.images] == [
            shuffled.identity(image) for image in other.images
        ]
    assert made.digest != protocol.digest  # the numbers are others, and so is the source


def with_images(*images):
    return {
        "name": "n",
        "dataset": "d",
        "steps": [
            step | {"images": of_step}
            for step, of_step in zip(content()["steps"], images, strict=True)
        ],
    }


def changed_step(**fields):
    first, second, third = content()["steps"]
    return content(steps=[first, second | fields, third])


@pytest.mark.parametrize(
    ("made", "fault"),
    [
        (changed_step(keypoints=[*HANDS, "neck"]), "step 1: keypoints: neck is already in step 0"),
        (
            changed_step(keypoints=["left_hand"], triples=[]),
            "step 1: keypoints: left_hand and right_hand are mirror",
        ),
        (
            changed_step(keypoints=[*HANDS, "tail"]),
            "step 1: keypoints: figures has no keypoint 'tail'",
        ),
        (
            changed_step(triples=[{"old": "left_foot", "new": ["right_hand"]}]),
            "'left_foot' is in no earlier step",
        ),
        (
            changed_step(triples=[{"old": "neck", "new": ["left_foot"]}]),
            "'left_foot' is not a new keypoint of step 1",
        ),
        (with_images([0, 1], [2, 1], [3]), "step 1: images: number 1 is already in step 0"),
        (with_images([0], [1], [20]), "step 2: images: 1 of 1 are not in figures/train: 20"),
        (with_images([0], [1, "image_02"], [3]), "step 1: images: neither names nor numbers only"),
        (content(images={"parts": [14, 4, 6], "seed": 0}), "images: parts add up to 24 images"),
        (content(images={"parts": [4, 6], "seed": 0}), "images: parts is [4, 6]"),
        (content(images={"parts": "equal"}), "images: field seed is missing"),
        ([1, 2], "[1, 2] where an object with name, "),
        ('{"name": ', "invalid json"),
        (None, "No such file"),
    ],
)
def test_bad_protocols_are_one_line(made, fault, tmp_path, source):
    path = tmp_path / "protocol.json"
    if made is not None:
        path.write_text(made if isinstance(made, str) else json.dumps(made))
    with pytest.raises(InputError, match=f"^{path}.*{re.escape(fault)}"):
        protocols.resolve(path, source)


def test_a_step_sees_its_own_images_and_labels_only(protocol, source):
    for number, labelled in enumerate(((0, 1), (2, 3), (4, 5))):
        step = protocols.step_source(protocol, number, source)
        assert len(step) == len(protocol.steps[number].images)
        others = [k for k in range(6) if k not in labelled]
        for place, image in enumerate(protocol.steps[number].images):
            example = step[place]
            np.testing.assert_array_equal(example.image, source[image].image)
            np.testing.assert_array_equal(
                example.keypoints[list(labelled)], source[image].keypoints[list(labelled)]
            )
            assert not example.keypoints[others].any()
            assert not example.visible[others].any()
            assert example.index == place
            assert step.identity(place) == f"image_{image:02d}"
    assert len({protocols.step_source(protocol, number, source).digest for number in range(3)}) == 3
    for call, words in (
        (
            lambda: protocols.step_source(protocol, 0, subset(source, range(19))),
            "resolved for other images",
        ),
        (lambda: protocols.low_shot(protocol, 7), "7 images a step"),
    ):
        with pytest.raises(InputError, match=words):
            call()


def test_triples_are_stated_or_chosen(protocol):
    assert protocols.step_triples(protocol, 0, BODY) == ()
    assert protocols.step_triples(protocol, 1, BODY) == (protocols.Triple("neck", HANDS),)
    assert protocols.step_triples(protocol, 2, BODY, count=0) == ()
    bare = protocol._replace(steps=tuple(step._replace(triples=()) for step in protocol.steps))
    by_image = np.ones((6, 6))
    by_image[3, 4:] = 0.2
    assert protocols.step_triples(bare._replace(triple="automatic"), 2, BODY, apart=by_image) == (
        protocols.Triple("right_hand", FEET),
    )
    ((old, new),) = protocols.step_triples(bare._replace(triple="random", seed=0), 2, BODY)
    assert (old in BODY.names, new) == (True, FEET)


def test_low_shot_draws_from_every_step_but_the_base(protocol):
    few, fewer = protocols.low_shot(protocol, 5), protocols.low_shot(protocol, 2)
    assert [len(step.images) for step in few.steps] == [4, 5, 5]
    assert few.steps[0] == protocol.steps[0]
    for whole, five, two in zip(protocol.steps[1:], few.steps[1:], fewer.steps[1:], strict=True):
        assert set(two.images) < set(five.images) < set(whole.images)
        assert (five.keypoints, five.triples) == (whole.keypoints, whole.triples)


@pytest.mark.parametrize("path", sorted(FILES.glob("*.json")), ids=lambda path: path.stem)
def test_the_files_of_the_experiment(path):
    described = json.loads(path.read_text())
    dataset, skeleton = described["dataset"], skeleton_of(described["dataset"])
    parts, points = described["images"]["parts"], len(skeleton.names)
    count = sum(parts) if isinstance(parts[0], int) else 3300
    source = arrays(
        np.zeros((count, 1, 1, 3), np.uint8),
        np.ones((count, points, 2)),
        np.ones((count, points)),
        skeleton,
        dataset,
    )
    protocol = protocols.resolve(path, source)
    assert protocol.name == path.stem
    never = {
        skeleton.names[k] for k in np.flatnonzero(protocols.introduced_in(protocol, skeleton) < 0)
    }
    assert never == ({"pelvis", "thorax"} if dataset in ("lspet", "bodies:target") else set())
    assert all(step.triples or protocol.triple == "automatic" for step in protocol.steps[1:])
    assert not protocol.steps[0].triples
    assert all(
        len(triple.new) == min(2, len(step.keypoints))
        for step in protocol.steps
        for triple in step.triples
    )


# Triples: the rule with its ties, distances in images, and random ones

#  a - b - c - d       and h, which no image shows
#      |
#      e - f - g
LETTERS = Skeleton(tuple("abcdefgh"))
APART = np.array(
    [
        [0, 1, 2, 3, 2, 3, 4],
        [1, 0, 1, 2, 1, 2, 3],
        [2, 1, 0, 1, 2, 3, 4],
        [3, 2, 1, 0, 3, 4, 5],
        [2, 1, 2, 3, 0, 1, 2],
        [3, 2, 3, 4, 1, 0, 1],
        [4, 3, 4, 5, 2, 1, 0],
    ],
    np.float64,
)
APART = np.pad(APART, (0, 1), constant_values=np.inf)


@pytest.mark.parametrize(
    ("old", "new", "chosen"),
    [
        ("ag", "bcd", ("a", "bc")),  # 1 + 2; a|bd takes 4
        # a|bc and d|bc take 3 both, so do their new ones among each other: the first
        ("ad", "bce", ("a", "bc")),
        ("b", "acde", ("b", "ac")),  # a|c, a|e, c|e: 2, and 2 apart; the lowest numbers
        ("c", "abd", ("c", "bd")),  # 1 + 1
        ("af", "cd", ("a", "cd")),
        ("bh", "d", ("b", "d")),
    ],
)  # one new keypoint
def test_the_closest_triple(old, new, chosen):
    expected = protocols.Triple(chosen[0], tuple(chosen[1]))
    assert protocols.automatic_triples(LETTERS, old, new, apart=APART) == (expected,)
    # in any order
    assert protocols.automatic_triples(LETTERS, old[::-1], new[::-1], apart=APART) == (expected,)


def test_ties_go_to_new_keypoints_that_are_close_and_several_triples_have_different_old_keypoints():
    apart = np.full((4, 4), 2.0)
    apart[2, 3] = apart[3, 2] = 1
    assert protocols.automatic_triples(Skeleton(tuple("oxyz")), "o", "xyz", apart=apart) == (
        protocols.Triple("o", ("y", "z")),
    )
    assert protocols.automatic_triples(LETTERS, "be", "cdf", apart=APART, count=5) == (
        protocols.Triple("b", ("c", "d")),
        protocols.Triple("e", ("c", "f")),
    )
    assert len(protocols.random_triples(LETTERS, "be", "cdf", seed=0, count=5)) == 2


def test_distances_in_images_use_labels_of_new_keypoints_only():
    skeleton = Skeleton(("old", "far", "new", "other"))
    predicted = np.array(
        [[[0, 0], [50, 0], [9, 9], [9, 9]], [[0, 0], [50, 0], [9, 9], [9, 9]]], np.float32
    )
    labelled = np.array(
        [[[7, 7], [7, 7], [3, 4], [0, 20]], [[7, 7], [7, 7], [6, 8], [0, 0]]], np.float32
    )
    visible = np.array([[0, 0, 1, 1], [0, 0, 1, 0]], np.float32)
    apart = protocols.mean_distances(
        skeleton, ["new", "other"], predicted, labelled, visible, np.array([10.0, 20.0])
    )
    np.testing.assert_allclose(apart[0, 1], (50 / 10 + 50 / 20) / 2)
    np.testing.assert_allclose(apart[0, 2], 0.5)  # 5 of 10 px, 10 of 20 px
    np.testing.assert_allclose(apart[0, 3], 2)  # labelled in the first image only
    triples = protocols.automatic_triples(skeleton, ["far", "old"], ["new", "other"], apart=apart)
    assert triples == (protocols.Triple("old", ("new", "other")),)
    never = protocols.mean_distances(
        skeleton, ["new"], predicted, labelled, 0 * visible, np.ones(2)
    )
    assert np.isinf(never[0, 2])


def test_random_triples_depend_on_the_seed_alone():
    drawn = {protocols.random_triples(LETTERS, "abc", "defg", seed=seed) for seed in range(40)}
    assert len(drawn) > 8
    one, other = (
        protocols.random_triples(LETTERS, *of, seed=[1, 2])
        for of in (("abc", "defg"), ("cba", "gfed"))
    )
    assert one == other
    assert all(
        triple.old in "abc" and set(triple.new) <= set("defg") and len(set(triple.new)) == 2
        for (triple,) in drawn
    )
    assert protocols.random_triples(LETTERS, "a", "b", seed=0) == (protocols.Triple("a", ("b",)),)
