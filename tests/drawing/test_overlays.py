"""Where points land, what is left out, the sheets, and names in alphabets that the font has or lacks."""
import numpy as np
import pytest

from kpjax.drawing import fonts
from kpjax.drawing.overlays import (
    animal_colours,
    contact_sheet,
    dot_radius,
    draw_keypoints,
    draw_on_frame,
    keypoint_colours,
    legend_strip,
    opacity_of_scores,
    prediction_sheet,
)
from kpjax.structures import Skeleton

PAIR = Skeleton(("left", "right"), ((0, 1),))
APART = Skeleton(("left", "right"))
CHAIN = Skeleton(("a", "b", "c"), ((0, 1), (1, 2)))
BLACK = np.zeros((64, 80, 3), np.uint8)


def centre_of(image):
    """Centre of the drawn light, in pixels of `image`."""
    light = image.astype(float).sum(-1)
    y, x = np.mgrid[:light.shape[0], :light.shape[1]]
    return np.asarray([(x * light).sum(), (y * light).sum()]) / light.sum()


@pytest.mark.parametrize(("shape", "factor"), [((64, 80), 3), ((200, 300), 1), ((10, 400), 20)])
def test_a_point_lands_on_its_coordinate_to_a_fraction_of_a_pixel(shape, factor):
    point = np.asarray([shape[1] * 0.4 + 0.3, shape[0] * 0.6 + 0.2])
    drawn = draw_keypoints(np.zeros((*shape, 3), np.uint8), point[None], None, Skeleton(("only",)))
    assert drawn.shape == (shape[0] * factor, shape[1] * factor, 3)
    np.testing.assert_allclose((centre_of(drawn) + 0.5) / factor - 0.5, point, atol=0.15 / factor)


def test_rings_mark_true_positions_and_only_visible_ones():
    off = np.full((2, 2), np.nan)
    true = np.asarray([[20.0, 20.0], [60.0, 40.0]])
    drawn = draw_keypoints(BLACK, off, None, APART, true=true, true_visible=np.asarray([1.0, 0.0]))
    np.testing.assert_allclose((centre_of(drawn) + 0.5) / 3 - 0.5, [20, 20], atol=0.2)
    assert drawn[61, 61].sum() == 0  # hollow
    assert draw_keypoints(BLACK, off, None, PAIR).sum() == 0


def test_faded_points_are_fainter_and_hidden_ones_take_their_edges_along():
    points = np.asarray([[20.0, 20.0], [60.0, 40.0]])

    def light(opacity, skeleton=APART):
        return draw_keypoints(BLACK, points, np.asarray(opacity), skeleton).astype(float).sum()

    assert 0 == light([0.0, 0.0]) < light([0.25, 0.0]) < light([1.0, 0.0]) < light([1.0, 1.0])
    assert light([1.0, 0.0], PAIR) == light([1.0, 0.0])
    assert light([1.0, 1.0], PAIR) > light([1.0, 1.0])


def test_opacity_follows_scores_on_any_positive_scale():
    scores = np.asarray([0.0, 0.25, 1.0, 1.0, 1.0])
    np.testing.assert_allclose(opacity_of_scores(scores), [0.25, 0.5, 1, 1, 1])
    np.testing.assert_allclose(opacity_of_scores(1e-3 * scores), [0.25, 0.5, 1, 1, 1])
    np.testing.assert_allclose(opacity_of_scores(scores, usual=4.0), [0.25, 0.25, 0.5, 0.5, 0.5])
    np.testing.assert_allclose(opacity_of_scores(np.asarray([-3.0, -1.0, np.nan])), [1, 1, 0.25])
    assert opacity_of_scores(np.zeros((0,))).shape == (0,)


def test_fast_points_lines_and_opacity():
    image = np.full((60, 80, 3), 128, np.uint8)
    points = np.array([[[10, 20], [60, 20], [30, 50]], [[40, 5], [np.nan, np.nan], [1e9, 3]]])
    drawn = draw_on_frame(image, points, np.array([[1, 1, 0], [1, 1, 1.0]]), CHAIN)
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
    colours = keypoint_colours(3)
    for x, y, k in ((10, 20, 0), (60, 20, 1), (40, 5, 0)):
        np.testing.assert_array_equal(drawn[y, x], colours[k])
    assert (drawn[20, 35] != 128).any()  # the line from a to b
    assert (drawn[50, 30] == 128).all()
    marked = np.argwhere((drawn[:, :8] != 128).any(-1) | (drawn[:, 72:] != 128).any(-1))
    assert (abs(marked[:, 0] - 20) < 8).all()
    nothing = draw_on_frame(image, points, np.zeros((2, 3)), CHAIN)
    np.testing.assert_array_equal(nothing, image)
    assert (draw_on_frame(image, points, np.zeros((2, 3)), CHAIN, caption="17") != image).any()


def test_dots_shrink_with_the_animal_and_with_the_number_of_its_points():
    square = np.array([[[0.0, 0.0], [0, 20], [20, 0], [20, 20]]])
    all_shown = np.ones((1, 4), bool)
    assert dot_radius(square, all_shown, 480) == 5
    assert dot_radius(square / 2, all_shown, 480) == 2.5
    assert dot_radius(square, np.array([[True, False, False, True]]), 4800) == pytest.approx(5 * 2 ** 0.5)
    assert dot_radius(square * 100, all_shown, 480) == 6  # an eightieth of the image
    assert dot_radius(square * 0, all_shown, 480) == 1.5
    pairs = np.array([[[0.0, 0.0], [0, 0], [80, 0], [80, 0]]])  # at two places, as an unsure network has them
    assert dot_radius(pairs, all_shown, 480) == 80 / (20 * 2)
    assert dot_radius(square * np.nan, all_shown, 480) == dot_radius(square, ~all_shown, 480) == 6
    face = np.random.default_rng(0).uniform(0, 200, (1, 68, 2))
    drawn = draw_keypoints(np.zeros((240, 240, 3), np.uint8), face[0], None, Skeleton(tuple(map(str, range(68)))))
    assert (drawn.sum(-1) > 0).mean() < 0.2


def test_a_legend_names_keypoints_and_animals_and_fits():
    names = Skeleton(("nose", "tail"))
    strip = legend_strip(400, names, animals=("male", "female"), note="cutoff 0.4")
    assert strip.shape[1:] == (400, 3)
    for colour in (*keypoint_colours(2), *animal_colours(2)):
        assert (strip == colour).all(-1).any()
    assert not any((legend_strip(400, names, animals=("only",)) == colour).all(-1).any() for colour in
                   animal_colours(1))
    many = Skeleton(tuple(f"point {number}" for number in range(68)))
    assert legend_strip(400, many).shape[0] > 100 > 40 >= legend_strip(400, many, most=40).shape[0]
    assert legend_strip(60, Skeleton(("a name that is far too long",))).shape[1] == 60
    sheet = prediction_sheet([BLACK], np.full((1, 2, 2), 20.0), None, PAIR, legend=True)
    assert sheet.shape[0] > prediction_sheet([BLACK], np.full((1, 2, 2), 20.0), None, PAIR).shape[0]


# Names

@pytest.fixture(autouse=True)
def no_other_font(monkeypatch):
    monkeypatch.delenv(fonts.VARIABLE, raising=False)


def test_europes_alphabets_are_drawn_and_other_letters_become_escapes():
    text, font = fonts.text_and_font("e\u0301  Жα\n1", 14)  # é, as macOS spells it
    assert (text, font.size) == ("é Жα 1", 14)
    assert fonts.text_and_font("鼠 1", 12)[0] == r"\u9f20 1"
    assert fonts.lacking(["nose é", "鼠左"]) == "左鼠"
    image = np.zeros((40, 200, 3), np.uint8)
    one, other = (contact_sheet([image], captions=[text]) for text in ("лапа", "клюв"))
    assert (one != other).any()
