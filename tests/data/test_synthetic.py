"""Rendered people, faces, animals and tabletops: repeatable, labelled on the body, moving as they
should.
"""

import numpy as np
import pytest

from data.figure_actions import ACTIONS, SEVENTEEN
from data.figure_backgrounds import BACKGROUNDS
from data.figure_categories import PEOPLE, render_category
from data.figure_faces import FACES
from data.figure_four_legged import FOUR_LEGGED
from data.figure_looks import limb_colours
from data.figure_videos import figure_videos
from data.figures import ALL_JOINTS, DOMAINS, SOURCE, Domain, figures, target
from data.tabletop import ARM_AND_TOYS, tabletop_videos
from kpjax.errors import InputError

CATEGORIES = {category.name: category for category in (PEOPLE, FACES, FOUR_LEGGED)}
MADE = {  # (count, first, seed) -> images, and how many of them are one item
    "figures": (
        lambda count, **given: figures(count, SOURCE, given.pop("seed", 0), 32, **given),
        1,
    ),
    "figure videos": (lambda count, **given: figure_videos(count, 4, 32, **given), 4),
    "tabletop videos": (lambda count, **given: tabletop_videos(count, 5, 32, **given), 5),
} | {
    name: (
        lambda count, made=made, **given: render_category(
            made, count, given.pop("seed", 0), 32, **given
        ),
        1,
    )
    for name, made in CATEGORIES.items()
}


@pytest.mark.parametrize("kind", MADE)
def test_an_item_depends_on_its_seed_and_number_only(kind):
    render, images = MADE[kind]
    whole, part = render(5), render(2, first=3)
    for number in range(2 * images):
        np.testing.assert_array_equal(part[number].image, whole[3 * images + number].image)
        np.testing.assert_array_equal(part[number].keypoints, whole[3 * images + number].keypoints)
    assert (render(1, seed=1)[0].image != whole[0].image).any()
    assert len({whole[number].image.tobytes() for number in range(0, 5 * images, images)}) == 5
    if images > 1:
        assert part.titles == whole.titles[3:5]


def test_domains_show_the_same_figures_and_labels_lie_on_the_body():
    easy, hard = figures(3, target(0), 0, 64), figures(3, target(1), 0, 64)
    np.testing.assert_array_equal(easy.examples.keypoints, hard.examples.keypoints)
    assert easy.digest != hard.digest
    assert (figures(3, SOURCE, 0, 64)[0].image != easy[0].image).any()
    plain = figures(24, SOURCE, 0, 64, skeleton=ALL_JOINTS)
    assert all(on_the_body(plain[number], plain[number].keypoints) for number in range(24))
    assert 0 < plain.examples.keypoints.min() < plain.examples.keypoints.max() < 63


def test_a_nearer_domain_lies_between_its_neighbours():
    """Its limbs' colours are further from each other than the source's, nearer than the target's."""
    looks = [np.random.default_rng(7) for _ in range(3)]
    spread = [
        limb_colours(domain, look).std(0).mean()
        for domain, look in zip((SOURCE, DOMAINS["nearer"], target()), looks, strict=True)
    ]
    assert spread[0] < spread[1] < spread[2]


# Images of people


def on_the_body(example, points):
    """Whether the pixels of points are brighter than the corner."""
    cells = np.rint(points).astype(int)
    return (
        example.image[cells[:, 1], cells[:, 0]].max(axis=-1) > int(example.image[:3, :3].max()) + 30
    ).all()


def test_hidden_joints_are_covered_and_not_labelled():
    shown, hidden = (
        figures(40, domain, 0, 64, skeleton=ALL_JOINTS).examples
        for domain in (SOURCE, Domain("source", hidden=0.2))
    )
    assert 0.1 < 1 - hidden.visible.mean() < 0.3
    assert not hidden.keypoints[hidden.visible == 0].any()
    np.testing.assert_array_equal(
        hidden.keypoints[hidden.visible > 0], shown.keypoints[hidden.visible > 0]
    )


# Videos of people


def test_seventeen_joints_lie_on_the_body():
    videos = figure_videos(len(ACTIONS), 6, 64, domain=SOURCE)
    assert videos.skeleton == SEVENTEEN
    assert videos.facts["action"] == tuple(ACTIONS)
    assert sorted(k for members in SEVENTEEN.groups.values() for k in members) == list(range(17))
    crown = SEVENTEEN.index("head_top")  # on the outline
    for index in range(0, len(videos), 3):
        assert videos[index].visible.all()
        assert on_the_body(videos[index], np.delete(videos[index].keypoints, crown, axis=0))


# Categories


@pytest.fixture
def noiseless(monkeypatch):
    monkeypatch.setattr("data.figure_categories.NOISE", 0.0)


def bare(category, count, side=64):
    """Renders objects on black."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("data.figure_categories.AMPLITUDE", 0.0)
        return render_category(category, count, 0, side, background="plain").examples


@pytest.mark.parametrize("category", CATEGORIES.values(), ids=CATEGORIES)
@pytest.mark.usefixtures("noiseless")
def test_backgrounds_change_neither_object_nor_points(category):
    plain, *others = (
        render_category(category, 4, 0, 64, background=kind).examples for kind in BACKGROUNDS
    )
    alone = bare(category, 4).image.astype(int)
    for other in others:
        np.testing.assert_array_equal(other.keypoints, plain.keypoints)
        same = np.abs(other.image.astype(int) - plain.image).max(-1) == 0
        assert same[alone.sum(-1) == 0].mean() < 0.2
        assert same[alone.min(-1) > 60].mean() > 0.7  # of the object all but its border


@pytest.mark.parametrize("category", CATEGORIES.values(), ids=CATEGORIES)
@pytest.mark.usefixtures("noiseless")
def test_points_are_inside_and_on_the_object(category):
    rendered = bare(category, 30)
    points = rendered.keypoints
    assert points.shape == (30, len(category.skeleton.names), 2)
    assert points.min() > 0
    assert points.max() < 63
    assert rendered.visible.all()
    cells = np.rint(points).astype(int)
    on_object = rendered.image[np.arange(30)[:, None], cells[..., 1], cells[..., 0]].max(-1) > 10
    assert on_object.mean() > 0.95  # a few lie on an outline whose pixel they share
    first, last = (category.skeleton.index(name) for name in category.ends)
    np.testing.assert_allclose(
        rendered.scale, np.linalg.norm(points[:, first] - points[:, last], axis=-1), rtol=1e-5
    )
    assert rendered.scale.min() > 2
    # Larger images are the same ones.
    np.testing.assert_allclose(
        (bare(category, 3, 128).keypoints + 0.5) / 2, points[:3] + 0.5, atol=1e-3
    )


# Tabletops


def test_the_gripper_is_rendered_at_its_label():
    video = tabletop_videos(1, 6, 64, first=3)
    assert video.skeleton == ARM_AND_TOYS
    colours = []
    for index in range(6):
        assert video[index].visible.all()
        x, y = video[index].keypoints[ARM_AND_TOYS.index("gripper")].round().astype(int)
        colours.append(video[index].image[y - 1 : y + 2, x - 1 : x + 2].astype(float).mean((0, 1)))
    assert np.ptp(colours, axis=0).max() < 40  # of one colour, but for noise
    with pytest.raises(InputError, match="found 3 videos of 0 frames"):
        tabletop_videos(3, 0, 32)
