"""Tables of results in a terminal: they fit it, and say what their marks mean."""
import pytest

from kpjax.systems.reports.table import Column, Entry, FinishedRun, VariantRuns, lines_of
from kpjax.systems.tables import console_table, points_of, share_interval, share_text

COLUMNS = [Column(f"test/{name}", f"{name} of the labelled body's diagonal, last step", "%", 100.0, 1, better)
           for name, better in (("pck", "higher"), ("nme", "lower"), ("mae", "lower"))]


def runs(value, columns):
    return VariantRuns((FinishedRun(None, "s", "p", "v", 0, 1, {column.metric: value for column in columns}, None, None,
                                    None, None, None, {}),), ())


def lines(columns):
    return lines_of([(Entry("ours", "method"), runs(0.5, columns)), (Entry("plain", "control"), runs(0.4, columns))],
                    columns)


def test_a_table_that_fits_stays_and_its_star_is_explained():
    text = console_table(lines(COLUMNS[:1]), COLUMNS[:1], 110)
    assert COLUMNS[0].heading in text
    assert text.splitlines()[-1] == "*: the best of its kind, upper bounds aside"
    alone = console_table(lines(COLUMNS[:1])[:1], COLUMNS[:1], 110)
    assert "best of its kind" in alone  # it was the better of two


@pytest.mark.parametrize("count", [3, 20])
@pytest.mark.parametrize("width", [60, 110])
def test_columns_that_are_too_wide_are_lines(count, width):
    columns = [Column(f"test/{n}", f"joint {n} of the labelled body's diagonal, last step", "%", 100.0)
               for n in range(count)]
    found = console_table(lines(columns), columns, width).splitlines()
    assert max(map(len, found)) <= width
    assert found[0].split() == ["ours", "plain"]
    assert sum(line.endswith("50.0 *  40.0") for line in found) == count


def test_wilson_interval_of_a_share():
    """(2 n p + z^2 +- z sqrt(z^2 + 4 n p (1 - p))) / (2 (n + z^2)); at 0 and 1 one end is the share."""
    z = 1.959963984540054
    for share, points in ((0.0, 10), (1.0, 10), (0.5, 4), (140 / 144, 144)):
        half = z * (z * z + 4 * points * share * (1 - share)) ** 0.5
        ends = [(2 * points * share + z * z + sign * half) / (2 * (points + z * z)) for sign in (-1, 1)]
        assert share_interval(share, points) == pytest.approx(ends)
    assert share_interval(0.0, 10) == pytest.approx((0, z * z / (10 + z * z)))
    assert [round(100 * end, 1) for end in share_interval(140 / 144, 144)] == [93.1, 98.9]


def test_a_pck_of_few_points_has_an_interval():
    assert share_text("test/pck", 0.5, 4) == " [0.150, 0.850]"
    assert [share_text(*of) for of in (("test/pck", 0.5, 1000), ("test/pck", 0.5, None), ("test/nme", 0.5, 4))] == [
        "", "", ""]
    assert points_of("best_target/target/pck") == "best_target/target/points"
