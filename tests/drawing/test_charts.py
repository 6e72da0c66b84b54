"""Charts by the data in their figures: lines, bands, squares, dots and the cells of a matrix."""

from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.colors import to_hex

from kpjax.drawing import charts

NAN = np.nan


@pytest.fixture
def figures(monkeypatch):
    """Makes charts return their figures."""
    monkeypatch.setattr(charts, "svg_of", lambda figure, title: figure)


def lines_of(figure, panel=0):
    """Every line of a panel: its points (n, 2) and its colour."""
    return [(line.get_xydata(), to_hex(line.get_color())) for line in figure.axes[panel].lines]


def test_a_file_is_well_formed_the_same_each_time_and_fetches_nothing():
    rows = [charts.Difference("a <b> & 鼠 $x$", 1.0, 0.5, 1.5)]
    text = charts.forest_plot(rows, title="x < y", axis="points")
    assert text == charts.forest_plot(rows, title="x < y", axis="points")
    root = ElementTree.fromstring(text)
    assert root.get("role") == "img"
    said = "".join(root.itertext())
    assert "x < y" in said
    assert "a <b> & 鼠 $x$" in said
    assert charts.INK not in text  # text has the colour of its page
    assert "2026" not in text
    assert 'href="http' not in text
    assert charts.image_tag(text, "x < y").startswith(
        '<img class="chart" alt="x &lt; y" src="data:image/svg+xml;'
    )
    assert not charts.image_tag("", "none")


def test_forest_plot_has_an_interval_and_a_mean_for_each_row(figures):
    figure = charts.forest_plot(
        [
            charts.Difference("up", 2.0, 1.0, 3.0),
            charts.Difference("open", 0.0, -1.0, 1.5),
            charts.Difference("down", -2.0, -3.0, -0.5),
        ],
        title="",
        axis="points",
    )
    _, *found = lines_of(figure)  # the first is at zero
    rows = (1, 2, 3, charts.ABOVE), (-1, 0, 1.5, charts.OPEN), (-3, -2, -0.5, charts.BELOW)
    for number, (low, mean, high, colour) in enumerate(rows):
        np.testing.assert_array_equal(found[2 * number][0][:, 0], [low, high])
        np.testing.assert_array_equal(found[2 * number + 1][0][:, 0], [mean])
        assert found[2 * number][1] == colour
    assert [text.get_text() for text in figure.axes[0].texts][:2] == ["up", "+2.0 [+1.0, +3.0]"]
    assert charts.forest_plot([], title="", axis="") == ""


def test_band_is_mean_lowest_and_highest_of_the_seeds():
    found = charts.band([[(1, 1.0), (2, 2.0), (5, 3.0)], [(1, 3.0), (2, 2.0)]])
    np.testing.assert_array_equal(found, [(1, 2, 5), (2, 2, 3), (1, 2, 3), (3, 2, 3)])
    assert charts.band([[], []]).steps.shape == (0,)


def test_long_histories_are_averaged_in_equal_stretches():
    steps = np.arange(1000)
    found = charts.band(
        [[(float(s), float(s)) for s in steps], [(float(s), float(s) + 10) for s in steps]],
        points=10,
    )
    assert len(found.steps) == 10
    np.testing.assert_allclose(found.mean - found.steps, 5, atol=1e-6)
    np.testing.assert_allclose(found.high - found.low, 10, atol=1e-6)
    assert (np.diff(found.steps) > 0).all()


@pytest.mark.parametrize("logarithmic", [False, True])
def test_line_plot_has_a_line_and_a_band_per_curve(figures, logarithmic):
    curves = [
        charts.Curve("two", 0, [[(1, 1.0), (2, 0.1)], [(1, 2.0), (2, 0.2)]]),
        charts.Curve("alone", 9, [[(1, 1.0), (2, -3.0), (3, 4.0)]]),
        charts.Curve("never run", 2, []),
    ]
    figure = charts.line_plot(curves, title="", logarithmic=logarithmic, factor=10.0)
    (two, colour), (alone, other) = lines_of(figure)
    np.testing.assert_allclose(two, [[1, 15], [2, 1.5]])
    np.testing.assert_allclose(
        alone, [[1, 10], [3, 40]] if logarithmic else [[1, 10], [2, -30], [3, 40]]
    )
    assert (colour, other) == (charts.COLOURS[0], charts.COLOURS[1])
    assert figure.axes[0].lines[1].get_linestyle() == "--"
    (shaded,) = figure.axes[0].collections
    np.testing.assert_allclose(shaded.get_paths()[0].get_extents().extents, [1, 1, 2, 20])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["two", "alone"]
