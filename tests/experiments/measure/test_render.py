"""Tables, plots and pages from files, and the advice that follows from them."""
import pathlib
import re

import pytest
from tiny_regda import TINY

from experiments.commands.results import stale
from experiments.engine.configs import changed
from experiments.incremental import own as incremental_own
from experiments.measure import render
from experiments.measure.advice import ADVICE
from experiments.measure.render import (
    METRICS,
    Metric,
    Room,
    Run,
    Table,
    cell_of,
    forest_of,
    rendered,
    rooms,
    runs_of,
    settings_of,
    status_text,
    table_text,
)
from experiments.measure.rows import BY_HAND, EXPERIMENTS, Numbers, Result, read_results
from experiments.regda import own as regda_own
from experiments.semi_supervised import own as semi_supervised_own
from kpjax import InputError

ROOT = pathlib.Path(__file__).parents[3]
BY_HAND_ROWS = 90  # may only become fewer


def measured(variant, *values, preset="demo", metric="pck", commit="abc", settings=""):
    return [Result(preset, settings, variant, str(seed), metric, value, seconds=10.0, device="1 cpu",
                   date="2026-01-02", commit=commit) for seed, value in enumerate(values)]


FOUND = [*measured("ours", 0.9, 0.8, 0.85), *measured("control", 0.8, 0.75, 0.7),
         *measured("ours", 0.5, preset="other"), *measured("ours", 0.3, 0.2, 0.1, metric="error")]
TABLE = Table("demo", ("ours", "control", "later", "other/ours", "ours - control"), ("pck", "error"))


def room(table=TABLE, found=FOUND, path=EXPERIMENTS / "peers", **metrics):
    known = {"pck": Metric("PCK, %", 100), "error": Metric("error, px", lower=True), **metrics}
    return Room(path, {"headline": table}, known, {"later": "a later one"}, Numbers(found))


def test_a_line_names_its_preset_and_settings_and_the_subtracted_inherits_them():
    assert runs_of("ours", "demo") == [Run("demo", "", "ours")]
    assert runs_of("other/ours - control", "demo") == [Run("other", "", "ours"), Run("other", "", "control")]
    assert runs_of("ours - other/control", "demo") == [Run("demo", "", "ours"), Run("other", "", "control")]
    (run,) = runs_of("lsp labelled=0.1 warp=affine/ours", "demo")
    assert run == Run("lsp", "labelled=0.1 warp=affine", "ours")
    assert settings_of(run) == {"labelled": 0.1, "warp": "affine"}
    assert Table(("a", "b"), ("ours",), ("pck", "error")).columns == [
        ("a", "pck"), ("a", "error"), ("b", "pck"), ("b", "error")]


def test_cells_are_means_and_differences_over_equal_seeds():
    lines = table_text(room(), TABLE).splitlines()
    assert lines[0] == "| demo | PCK, % | error, px | seeds | training, s |"
    assert lines[2] == "| ours | 85.0 ± 5.0 | 0.2 ± 0.1 | 3 | 10 |"
    assert lines[3] == "| control | 75.0 ± 5.0 |  | 3 | 10 |"  # it ran, and has no such metric
    assert lines[4] == "| a later one | not run | not run |  |  |"
    assert lines[5] == "| other/ours | 50.0 |  | 1 | 10 |"
    # 10, 5, 15: a mean of 10 and 4.303 * 5 / sqrt(3) to either side
    assert lines[6] == "| ours - control | +10.0 [-2.4, +22.4] |  | 3 |  |"
    assert lines[-1] == "*2026-01-02, 1 cpu, commit abc.*"
    more = [*FOUND, Result("demo", "", "ours", "7", "pck", 0.1)]
    assert "+10.0 [-2.4, +22.4]" in table_text(room(found=more), TABLE)


def test_what_was_recorded_by_hand_is_said():
    by_hand = measured("later", 0.5, commit=BY_HAND)
    assert table_text(room(found=[*FOUND, *by_hand]), TABLE).splitlines()[-1].endswith("; recorded by hand: later.*")
    assert table_text(room(found=by_hand), TABLE).splitlines()[-1] == "*recorded by hand: later.*"
    assert table_text(room(found=[]), TABLE).splitlines()[-1] == "*Not run.*"


@pytest.mark.parametrize(("values", "answer"), [
    ((0.9, 0.8, 0.85), "not decided"), ((0.9, 0.86, 0.8), "yes"), ((0.7, 0.66, 0.6), "no"), ((0.9,), "not decided")])
def test_whether_a_method_helps_follows_from_the_interval(values, answer):
    found = [*measured("ours", *values), *measured("control", 0.8, 0.75, 0.7)]
    table = Table("demo", ("ours - control",), ("pck",))
    assert status_text(room(table, found)).startswith(f"{answer}: `ours` over `control`, ")
    errors = [one._replace(metric="error", value=-one.value) for one in found]
    turned = cell_of(room(found=errors), "ours - control", "demo", "error")
    assert turned.helps() == answer  # less of an error is better


def test_a_gain_is_above_zero_where_an_error_falls():
    found = [*measured("ours", 0.1, 0.2, metric="error"), *measured("control", 0.4, 0.5, metric="error")]
    cell = cell_of(room(found=found), "ours - control", "demo", "error")
    assert cell.text() == "-0.3 [-0.3, -0.3]"
    assert cell.gain_text() == "+0.3 [+0.3, +0.3] px (error)"


def test_a_forest_plot_has_a_row_for_each_interval(monkeypatch):
    monkeypatch.setattr(render, "forest_plot", lambda rows, title, axis: [(one.label, one.value) for one in rows])
    table = Table("demo", ("ours", "ours - control", "later - control"), ("pck",))
    assert forest_of(room(table)) == [("ours - control", pytest.approx(10))]


def test_methods_controls_and_the_papers_numbers_are_marked():
    found = rooms()
    text = table_text(found["regda"], found["regda"].tables["paper"])
    assert "| dsprites_colour_noisy: dd |  | not run (paper 0.037) |" in text.replace("| not run |", "|  |")
    assert "| rhd_h3d: **regda** | not run (paper 72.50) |" in text
    assert "constant_centre (control)" in text
    text = table_text(found["semi_supervised"], found["semi_supervised"].tables["paper"])
    line = next(line for line in text.splitlines() if line.startswith("| **ours**"))
    assert line.startswith("| **ours** | not run (paper 74.15) | not run (paper 76.56) |")


# Rooms


@pytest.mark.parametrize("name", sorted(rooms()))
def test_a_room_has_few_tables_of_what_can_be_run_and_no_other_rows(name):
    found = rooms()[name]
    assert len(found.tables) <= 3
    assert all(metric in found.metrics for table in found.tables.values() for metric in table.metrics)
    for run in {run for table in found.tables.values() for run in table.runs()} if found.system else ():
        assert run.variant in found.system.variants, run
        assert settings_of(run).keys() <= found.fields(run).keys()
        assert run.preset in found.system.presets, run
    assert {(*one[:3], one.metric) for one in read_results(found.path)} <= found.shown()


def test_rows_recorded_by_hand_become_fewer():
    assert sum(one.commit == BY_HAND for found in rooms().values() for one in read_results(found.path)) <= BY_HAND_ROWS


def test_advice_stands_on_rows_of_tables():
    found = rooms()
    for one in ADVICE:
        cell = cell_of(found[one.room], one.line, "", one.metric)
        assert cell.gain(), one
        assert {(*run, one.metric) for run in runs_of(one.line, "")} <= found[one.room].shown()
    assert len(METRICS) < 50


def test_own_projects_are_trained_as_advised():
    weights = changed(semi_supervised_own.OWN, weights="mobilenet_v2.google_in1k")
    assert semi_supervised_own.short_list("own", weights) == ("supervised_warped",)
    assert "teacher_adaptation" in regda_own.SYSTEM.short_list("own", regda_own.OWN)
    assert incremental_own.SYSTEM.short_list("own", incremental_own.OWN) == ("combination", "ksd_only")


# Pages


def test_an_unknown_table_names_the_page(tmp_path, monkeypatch):
    (tmp_path / "page.md").write_text("<!-- table: regda/no_such -->\n<!-- end -->\n")
    monkeypatch.setattr(render, "pages", lambda: [tmp_path / "page.md"])
    with pytest.raises(InputError, match=r"page.md: .*regda/no_such"):
        list(rendered({}))


def test_pages_show_what_the_files_hold():
    """`python -m experiments results render` writes them anew."""
    assert not stale()


def test_pages_of_results_are_short_and_few_numbers_are_typed():
    """Measured numbers are rendered: typed are settings, and numbers of others."""
    pages = {path: path.read_text(encoding="utf-8") for path in EXPERIMENTS.rglob("*.md")}
    assert sum(len(text.split()) for text in pages.values()) <= 9_000
    typed = {path: len(re.findall(r"\d\.\d", re.sub(r"```.*?```|`[^`]*`", "", render.MARKED.sub("", text), flags=re.S)))
             for path, text in pages.items()}
    assert sum(typed.values()) <= 10, typed
    assert TINY.about.problem in (ROOT / "docs" / "which.md").read_text(encoding="utf-8")
