"""Tables of results in a terminal: they fit it, and say what their marks mean."""
import pytest

from experiments.engine.tables import console_table
from kpjax.reports.table import Column, Entry, FinishedRun, VariantRuns, lines_of

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
    assert text.splitlines()[-1] == "*: the best of its column, upper bounds aside"
    alone = console_table(lines(COLUMNS[:1])[:1], COLUMNS[:1], 110)
    assert "best of its column" in alone  # it was the better of two


def test_wide_columns_are_named_by_letters():
    text = console_table(lines(COLUMNS), COLUMNS, 110)
    assert max(map(len, text.splitlines())) <= 110
    assert text.splitlines()[0].split() == ["variant", "seeds", "A", "B", "C"]
    assert "B: nme of the labelled body's diagonal, last step (%), lower is better" in text.splitlines()
    assert text.count(" *") == 3


@pytest.mark.parametrize("count", [20, 40])
def test_many_columns_are_cut_into_several_tables(count):
    columns = [Column(f"test/{n}", f"joint {n}", "%", 100.0) for n in range(count)]
    text = console_table(lines(columns), columns, 110)
    assert max(map(len, text.splitlines())) <= 110
    assert text.count("variant") > 1
    assert text.count("50.0 *") == count
