"""Trajectories over time: where lines break, what a band spans, and how many frames become few points."""
import re
from xml.etree import ElementTree

import numpy as np

from kpjax.drawing.trajectories import COLUMNS, trajectory_plot


def paths(svg, kind):
    """The paths of one kind, each as its parts between gaps: (n, 2) of x and y."""
    return [[np.array(re.findall(r"([\d.]+) ([\d.]+)", part), float) for part in path.split("M")[1:]]
            for path in re.findall(rf'<path class="{kind}" d="([^"]*)"', svg)]


def test_lines_break_at_gaps_and_bands_are_two_deviations():
    frames, points = np.arange(10, 20), np.zeros((10, 1, 2))
    points[:, 0, 0] = np.arange(10)
    points[4:6] = np.nan
    svg = trajectory_plot(frames, points, np.ones((10, 1)), ["a <b> & 鼠"], title="t", after=points,
                          deviation=np.full((10, 1, 2), 0.5), cutoff=0.4)
    ElementTree.fromstring(svg)  # names are escaped
    assert "a &lt;b&gt; &amp; 鼠" in svg
    across, _ = paths(svg, "after")
    assert [len(part) for part in across] == [4, 4]
    np.testing.assert_allclose(np.diff(across[0][:, 0]), COLUMNS / 9, atol=0.1)
    assert (np.diff(across[0][:, 1]) < 0).all()  # x grows upwards
    assert len(paths(svg, "band")) == 4
    assert svg.count('class="cut"') == 1


def test_a_point_alone_and_nothing_at_all():
    points = np.full((5, 2, 2), np.nan)
    points[2, 0] = 3.0
    svg = trajectory_plot(np.arange(5), points, np.zeros((5, 2)), ["one", "none"], title="t")
    assert len(paths(svg, "before")) == 2
    assert "h.5" in svg
    assert 'class="after"' not in svg


def test_of_many_frames_each_pixel_keeps_its_extremes():
    points = np.zeros((20 * COLUMNS, 1, 2))
    points[777, 0, 1] = 50.0
    svg = trajectory_plot(np.arange(len(points)), points, np.ones((len(points), 1)), ["a"], title="t")
    line, = paths(svg, "before")[1]
    assert len(line) <= 2 * COLUMNS
    assert np.ptp(line[:, 1]) > 60  # y grows downwards, over nearly the whole panel
