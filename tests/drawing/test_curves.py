"""Bands over seeds, ticks, and plots that are well-formed SVG."""
from xml.etree import ElementTree

import numpy as np
import pytest

from kpjax.drawing.curves import Curve, Dots, band, dot_plot, line_plot, log_ticks, number_text, ticks


def test_band_is_mean_lowest_and_highest_of_the_seeds():
    found = band([[(1, 1.0), (2, 2.0), (5, 3.0)], [(1, 3.0), (2, 2.0)]])
    assert found == ((1, 2, 5), (2.0, 2.0, 3.0), (1.0, 2.0, 3.0), (3.0, 2.0, 3.0))
    assert band([[], []]).steps == ()


def test_long_histories_are_averaged_in_equal_stretches():
    steps = np.arange(1000)
    found = band([[(float(s), float(s)) for s in steps], [(float(s), float(s) + 10) for s in steps]], points=10)
    assert len(found.steps) == 10
    np.testing.assert_allclose(np.asarray(found.mean) - np.asarray(found.steps), 5, atol=1e-6)
    np.testing.assert_allclose(np.asarray(found.high) - np.asarray(found.low), 10, atol=1e-6)
    assert found.steps == tuple(sorted(found.steps))


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3, 7), (0.0001, 0.0003), (0, 123456), (97.1, 97.4)])
def test_ticks_are_round_few_and_inside(low, high):
    found = ticks(low, high)
    assert 3 <= len(found) <= 7
    assert min(found) >= low - 1e-9 * (high - low)
    assert max(found) <= high + 1e-9 * (high - low)
    np.testing.assert_allclose(np.diff(found), found[1] - found[0])


def test_log_ticks_and_number_texts():
    assert log_ticks(0.05, 20) == [0.1, 1.0, 10.0]
    assert log_ticks(0.4, 3) == [0.5, 1.0, 2.0]
    assert [number_text(v) for v in (0, 1500, 2e6, 0.25, 1e-5, 100)] == ["0", "1.5k", "2M", "0.25", "1e-5", "100"]
    assert number_text(0.00025) == "2.5e-4"  # seven letters would not fit beside the axis


@pytest.mark.parametrize(("low", "high"), [(2.1, 5.5), (2.1, 4.9), (0.21, 0.34), (1e-5, 2e-5), (0.05, 20), (3, 3.1)])
def test_a_logarithmic_axis_has_several_ticks(low, high):
    found = log_ticks(low, high)
    assert 2 <= len(found) <= 7
    assert low <= min(found) < max(found) <= high


def test_names_are_whole():
    name = "supervised_warped, a long name"
    for svg in (line_plot([Curve(name, 0, [[(1, 1.0), (2, 3.0)]])], title=""), dot_plot([("", [Dots(name, 0, [
            1.0])])], title="")):
        root = ElementTree.fromstring(svg)
        text = next(e for e in root.iter("text") if e.text == name)
        width = float(root.get("viewBox").split()[2])
        room = float(text.get("x")) if text.get("text-anchor") == "end" else width - float(text.get("x"))
        assert room >= 6.5 * len(name)
    alone = ElementTree.fromstring(line_plot([Curve("", 0, [[(1, 1.0), (2, 3.0)]])], title=""))
    assert not [e for e in alone.iter() if e.get("class") in ("leader", "name")]


def test_line_plot_has_a_line_a_band_and_an_escaped_name_per_curve():
    curves = [Curve("a <b> & c", 0, [[(1, 1.0), (2, 0.1)], [(1, 2.0), (2, 0.2)]]),
              Curve("alone", 9, [[(1, 1.0), (2, 3.0)]]), Curve("never run", 2, [])]
    for logarithmic in (False, True):
        svg = ElementTree.fromstring(line_plot(curves, title="x < y", logarithmic=logarithmic))
        classes = [element.get("class", "") for element in svg.iter()]
        assert [c for c in classes if c.startswith("line ")] == ["line line-0", "line line-1 dashed"]
        assert [c for c in classes if c.startswith("band ")] == ["band line-0"]
        assert [e.text for e in svg.iter("text") if e.get("class") == "name"] == ["a <b> & c", "alone"]
        assert "nan" not in ElementTree.tostring(svg, "unicode")


def test_line_plot_of_hardly_anything():
    assert line_plot([Curve("a", 0, [])], title="") == ""
    assert line_plot([Curve("a", 0, [[(1, -1.0)]])], title="", logarithmic=True) == ""
    for value in (0.0, 5.0):
        ElementTree.fromstring(line_plot([Curve("a", 0, [[(1, value)]])], title=""))
    ElementTree.fromstring(line_plot([Curve("a", 0, [[(1, 5.0), (2, 5.0)]])], title="", logarithmic=True))


def test_names_at_the_ends_do_not_overlap_and_keep_their_order():
    curves = [Curve(f"v{n}", n, [[(0, 0.0), (1, 1 + 0.001 * n)]]) for n in range(8)]
    svg = ElementTree.fromstring(line_plot(curves, title=""))
    heights = {e.text: float(e.get("y")) for e in svg.iter("text") if e.get("class") == "name"}
    ordered = [heights[f"v{n}"] for n in reversed(range(8))]
    assert min(np.diff(ordered)) >= 13


def test_dot_plot_shows_every_seed_the_mean_and_the_papers_number():
    groups = [("Method", [Dots("ours", 0, [90.0, 92.0, float("nan")], 72.5)]), ("Baselines", [Dots("not run", 1, [])])]
    svg = ElementTree.fromstring(dot_plot(groups, title=""))
    classes = [element.get("class") for element in svg.iter()]
    assert classes.count("ring line-0") == 2
    assert classes.count("mean line-0") == 1
    assert classes.count("diamond") == 1
    rings = [float(e.get("cx")) for e in svg.iter("circle")]
    mean = next(float(e.get("x1")) for e in svg.iter("line") if e.get("class", "").startswith("mean"))
    assert mean == pytest.approx(sum(rings) / 2, abs=0.1)
    assert "not run" not in "".join(svg.itertext())
    assert dot_plot([("Baselines", [Dots("not run", 1, [])])], title="") == ""
