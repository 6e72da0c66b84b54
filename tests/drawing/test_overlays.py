"""Where points land, what is left out, the sheets, and names in alphabets that the font has or
lacks.
"""

import numpy as np
import pytest
from PIL import ImageDraw

from kpjax.drawing import fonts
from kpjax.drawing.moving import FRAMES, moving_rows
from kpjax.drawing.overlays import BACKGROUND, contact_sheet, draw_keypoints, legend_strip
from kpjax.structures import Skeleton

PAIR = Skeleton(("left", "right"), ((0, 1),))
APART = Skeleton(("left", "right"))
BLACK = np.zeros((64, 80, 3), np.uint8)
MANY = Skeleton(tuple(f"left metatarsal {number}" for number in range(40)))


def centre_of(image):
    """Centre of the drawn light, in pixels of `image`."""
    light = image.astype(float).sum(-1)
    y, x = np.mgrid[: light.shape[0], : light.shape[1]]
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


@pytest.fixture
def written(monkeypatch):
    """Notes what is written on images: each text, its left end, its top and its right end in px."""
    notes, write = [], ImageDraw.ImageDraw.text

    def noted(canvas, corner, text, **more):
        notes.append((text, *corner, corner[0] + more["font"].getlength(text)))
        write(canvas, corner, text, **more)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", noted)
    return notes


def test_a_long_legend_names_every_point_in_lines_within_its_width(written):
    strip = legend_strip(300, MANY)
    assert [text for text, *_ in written] == list(MANY.names)
    ends = {}  # of the lines so far, by their top
    for _, left, top, right in written:
        assert left > ends.get(top, 0)
        ends[top] = right
    assert len(ends) > 1
    assert max(ends.values()) < 300
    assert max(ends) + 11 < len(strip)
    assert (strip[:, -8:] == BACKGROUND).all()


def test_a_name_that_no_line_of_a_legend_holds_is_cut(written):
    legend_strip(120, Skeleton(("a very long name of a single point",)))
    ((text, _, _, right),) = written
    assert text.startswith("a very")
    assert text.endswith("…")
    assert right < 120


@pytest.mark.parametrize(
    ("most", "animals", "words"),
    [
        (1000, ["ann", "bob"], [*MANY.names, "ann", "bob", "note"]),
        (60, ["ann", "bob"], ["40 keypoints", "ann", "bob", "note"]),
        (60, [f"animal {number}" for number in range(30)], ["40 keypoints", "note"]),
    ],
    ids=["all", "without names", "without animals"],
)
def test_a_legend_that_is_too_high_counts_its_points_and_then_leaves_out_animals(
    written, most, animals, words
):
    strip = legend_strip(300, MANY, animals=animals, note="note", most=most)
    assert [text for text, *_ in written] == words
    assert len(strip) <= most


@pytest.mark.parametrize(
    ("times", "count", "rate", "rows", "milliseconds"),
    [
        (None, 5, 10.0, [0, 1, 2, 3, 4], 100),
        (None, 100, 30.0, [*range(0, 88, 3)], 100),
        (None, 1, 25.0, [0], 80),
        ([0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.12], 7, 25.0, [0, 5], 100),
        ([3.0, 3.0], 2, 5.0, [0, 1], 200),
    ],
)
def test_the_first_seconds_at_about_ten_frames_a_second(times, count, rate, rows, milliseconds):
    assert moving_rows(times, count, rate) == (rows, milliseconds)
    assert len(rows) <= FRAMES
