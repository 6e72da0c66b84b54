"""Tables, plots and pages from files, and the numbers in the
files.
"""

import functools
import json
import shutil

import pytest
from tiny_regda import TINY

from experiments import experiment_of
from experiments.measure import render, rows
from experiments.measure.render import Metric, Room, Run, Table, cell_of, render_all, rooms, runs_of
from experiments.measure.rows import (
    EXPERIMENTS,
    Result,
    by_run,
    merge_rows,
    read_results,
    write_results,
)
from experiments.results import stale
from kpjax import InputError
from kpjax.papers.configs import config_as_json, read_settings, replace_fields


def measured(variant, *values, preset="demo", metric="pck", commit="abc", settings=""):
    return [
        Result(
            preset,
            settings,
            variant,
            str(seed),
            metric,
            value,
            seconds=10.0,
            device="1 cpu",
            date="2026-01-02",
            commit=commit,
        )
        for seed, value in enumerate(values)
    ]


of_people = functools.partial(measured, preset="people", metric="target/pck")
FOUND = [
    *measured("ours", 0.9, 0.8, 0.85),
    *measured("control", 0.8, 0.75, 0.7),
    *measured("ours", 0.5, preset="other"),
    *measured("ours", 0.3, 0.2, 0.1, metric="error"),
    Result("demo", "", "ours", "100", "pck", 0.0),
]  # a tuning seed
TABLE = Table(
    "demo", ("ours", "control", "later", "other/ours", "ours - control"), ("pck", "error")
)


def room(table=TABLE, found=FOUND, path=EXPERIMENTS / "peers", **metrics):
    known = {"pck": Metric("PCK, %", 100), "error": Metric("error, px", lower=True), **metrics}
    return Room(path, {"headline": table}, (), known, {"later": "a later one"}, by_run(found))


def test_a_line_names_its_preset_and_settings_and_the_subtracted_inherits_them():
    assert runs_of("ours", "demo") == [Run("demo", "", "ours")]
    assert runs_of("other/ours - control", "demo") == [
        Run("other", "", "ours"),
        Run("other", "", "control"),
    ]
    assert runs_of("ours - other/control", "demo") == [
        Run("demo", "", "ours"),
        Run("other", "", "control"),
    ]
    (run,) = runs_of("lsp labelled=0.1 warp=affine/ours", "demo")
    assert run == Run("lsp", "labelled=0.1 warp=affine", "ours")
    assert read_settings(run.settings) == {"labelled": 0.1, "warp": "affine"}
    assert Table(("a", "b"), ("ours",), ("pck", "error")).columns == [
        ("a", "pck"),
        ("a", "error"),
        ("b", "pck"),
        ("b", "error"),
    ]


def test_cells_are_means_and_differences_over_equal_seeds():
    lines = render.table_text(room(), TABLE).splitlines()
    assert lines[0] == "| demo | PCK, % | error, px | seeds | training, s |"
    assert lines[2] == "| ours | 85.0 ± 5.0 | 0.2 ± 0.1 | 3 | 10 |"
    assert lines[3] == "| control | 75.0 ± 5.0 |  | 3 | 10 |"  # it ran, and has no such metric
    assert lines[4] == "| a later one | not run | not run |  |  |"
    assert lines[5] == "| other/ours | 50.0 |  | 1 | 10 |"
    # 10, 5, 15: a mean of 10 and 4.303 * 5 / sqrt(3) to either side
    assert lines[6] == "| ours - control | +10.0 [-2.4, +22.4] |  | 3 |  |"
    assert lines[-1] == "*2026-01-02, 1 cpu, commit abc.*"
    assert render.table_text(room(found=[]), TABLE).splitlines()[-1] == "*Not run.*"
    elsewhere = room(found=[*FOUND[:2], *(one._replace(device="1 gpu") for one in FOUND[3:6])])
    # computers do not mix
    assert cell_of(elsewhere, "ours - control", "demo", "pck").text() == "not run"


def test_a_row_without_the_first_metric_has_its_seeds_and_seconds_all_the_same():
    """Five seeds of a row, and of its difference, stood there without their number."""
    found = [*FOUND, *measured("coarse", 0.4, 0.6, metric="error")]
    table = TABLE._replace(lines=("coarse", "ours - coarse"))
    lines = render.table_text(room(table, found), table).splitlines()
    assert lines[2] == "| coarse |  | 0.5 ± 0.1 | 2 | 10 |"
    assert lines[3].endswith("| 2 |  |")


def test_a_cell_says_not_run_where_nothing_was_measured_beside_others_that_were():
    """A run has no such metric: empty. It never was: "not run", also for a preset among several."""
    found = [
        *measured("ours", 0.9, 0.8),
        *measured("ours", 0.5, 0.3, preset="other", metric="error"),
        *measured("control", 0.8, 0.7),
    ]
    table = Table(("demo", "other"), ("ours", "control", "ours - control"), ("pck", "error"))
    lines = render.table_text(room(table, found), table).splitlines()
    cells = [line.strip("| ").split("|")[1:5] for line in lines[2:5]]
    shown = [[cell.strip() for cell in row] for row in cells]
    assert shown == [
        ["85.0 ± 7.1", "", "", "0.4 ± 0.1"],
        ["75.0 ± 7.1", "", "not run", "not run"],
        ["+10.0", "", "not run", "not run"],
    ]


@pytest.mark.parametrize(
    ("values", "answer"),
    [
        ((0.9, 0.8, 0.85), "open"),
        ((0.9, 0.86, 0.8), "yes"),
        ((0.7, 0.66, 0.6), "no"),
        ((0.9,), "open"),
    ],
)
def test_whether_a_method_helps_follows_from_the_interval(values, answer):
    found = [*measured("ours", *values), *measured("control", 0.8, 0.75, 0.7)]
    table = Table("demo", ("ours - control",), ("pck",))
    ((line, cell),) = render.differences(room(table, found))
    assert (line, cell.helps()) == ("ours - control", answer)
    errors = [one._replace(metric="error", value=-one.value) for one in found]
    turned = cell_of(room(found=errors), "ours - control", "demo", "error")
    assert turned.helps() == answer  # less of an error is better
    assert len(values) == 1 or turned.gain_text().endswith(" px (error)")


def test_errors_that_vary_much_are_compared_by_their_ratio():
    """A half, a quarter, an eighth: a ratio of 4 on each of three seeds, or twice that or half."""
    errors = functools.partial(measured, metric="error")
    found = [*errors("ours", 0.1, 0.1, 0.1), *errors("control", 0.2, 0.4, 0.8)]
    cell = cell_of(room(found=found), "ours - control", "demo", "error")
    # log 4 and 4.303 * log 2 / sqrt(3) to either side
    assert cell.gain_text() == "ratio 4.00 [0.71, 22.38] (error)"
    assert cell.helps() == "open"
    assert cell.gain().value == pytest.approx(1.1 / 3)
    even = [*errors("ours", 0.1, 0.15, 0.2), *errors("control", 0.2, 0.3, 0.35)]
    assert not cell_of(room(found=even), "ours - control", "demo", "error").ratios()
    shares = [one._replace(metric="pck") for one in found]  # of which more is better
    assert not cell_of(room(found=shares), "ours - control", "demo", "pck").ratios()
    zero = [*errors("ours", 0.0, 0.1), *errors("control", 0.2, 0.8)]
    assert not cell_of(room(found=zero), "ours - control", "demo", "error").ratios()


def test_a_table_of_tries_shows_tuning_seeds_alone():
    found = [*FOUND, Result("demo", "rate=2", "ours", "100", "pck", 0.25)]
    tried = Table("demo", ("ours", "demo rate=2/ours", "control"), ("pck",), tuning=True)
    shown = room(tried, found)._replace(tries=by_run(found, tuning=True))
    table = render.table_text(shown, tried).splitlines()[2:5]
    lines = [line.strip("| ").split(" | ")[1] for line in table]
    assert lines == ["0.0", "25.0", "not run"]


# Rooms


@pytest.mark.parametrize("name", sorted(rooms()))
def test_a_room_has_few_tables_of_what_can_be_run_and_no_other_rows(name):
    found = rooms()[name]
    assert len(found.tables.keys() - {"claims", "front"}) <= 5
    assert all(
        metric in found.metrics for table in found.tables.values() for metric in table.metrics
    )
    for run in (
        {run for table in found.tables.values() for run in table.runs()} if found.experiment else ()
    ):
        assert run.variant in found.experiment.paper.variants, run
        assert read_settings(run.settings).keys() <= found.fields(run).keys()
        assert run.preset in found.experiment.presets, run
    assert {(*one[:3], one.metric) for one in read_results(found.path)} <= found.shown()


# Pages


def test_pages_show_what_the_files_hold(tmp_path, monkeypatch):
    """`python -m experiments results render` writes them anew."""
    assert not stale()
    (tmp_path / "page.md").write_text("<!-- table: regda/no_such -->\n<!-- end -->\n")
    monkeypatch.setattr(render, "pages", lambda: [tmp_path / "page.md"])
    with pytest.raises(InputError, match=r"page.md: .*regda/no_such"):
        list(render_all({}))


# Numbers in files: read as written, replaced when measured again, gathered from finished runs


def write_run(workdir, preset="people", settings="", device="cpu", config=None, **metrics):
    folder = workdir / "regda" / preset / "regda" / "seed-3"
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(
        json.dumps(
            {
                "experiment": "regda",
                "preset": preset,
                "variant": "regda",
                "seed": 3,
                "steps": 5,
                "metrics": metrics,
                "wall_seconds": 2.0,
                "commit": "abc",
                "settings": settings,
                "config": config_as_json(config or TINY.presets["people"]),
                "devices": {"kind": device, "count": 2},
            }
        )
    )


def test_a_file_is_read_as_it_was_written_and_a_bad_line_is_named(tmp_path):
    found = [*of_people("regda", 0.9, 0.85), *of_people("dd", 0.5)]
    write_results(tmp_path, found)
    assert sorted(read_results(tmp_path)) == sorted(found)
    path = tmp_path / "results.csv"
    path.write_text(path.read_text().replace("0.85", "much"))
    with pytest.raises(InputError, match=r"results.csv, line \d+: .*much"):
        read_results(tmp_path)
    path.write_text("preset,variant\n")
    with pytest.raises(InputError, match="the first line must be preset,settings"):
        read_results(tmp_path)


def test_a_run_measured_again_keeps_no_number_of_before():
    old = [
        *of_people("regda", 0.1, 0.2),
        *measured("regda", 0.3, 0.4, preset="people", metric="target/mae"),
    ]
    found = merge_rows(old, [*of_people("regda", 0.5), *of_people("dd", 0.6)])
    assert sorted((one.variant, one.seed, one.metric, one.value) for one in found) == [
        ("dd", "0", "target/pck", 0.6),
        ("regda", "0", "target/pck", 0.5),
        ("regda", "1", "target/mae", 0.4),
        ("regda", "1", "target/pck", 0.2),
    ]


@pytest.fixture
def empty_room(tmp_path, monkeypatch):
    """The folder of an empty results.csv."""
    monkeypatch.setattr(rows, "EXPERIMENTS", tmp_path / "rooms")
    (tmp_path / "rooms" / "regda").mkdir(parents=True)
    return tmp_path / "rooms" / "regda"


PCK = {("people", "", "regda", "target/pck")}


def test_only_what_a_table_shows_is_gathered(empty_room, tmp_path, capsys):
    write_run(tmp_path, **{"target/pck": 0.25, "other": 1.0})
    other = replace_fields(TINY.presets["people"], margin=5.0)
    write_run(tmp_path, "people-margin-5", "margin=5", config=other, **{"target/pck": 0.5})
    assert rows.gather_rows(TINY, tmp_path, PCK) == 1
    assert [one.value for one in read_results(empty_room)] == [0.25]
    assert capsys.readouterr().out == "regda: no table shows people margin=5/regda\n"


def test_a_copy_of_a_run_and_one_of_no_preset_are_not_the_run(empty_room, tmp_path, capsys):
    write_run(tmp_path, **{"target/pck": 0.25})
    shutil.copytree(tmp_path / "regda" / "people", tmp_path / "regda" / "people-before")
    write_run(tmp_path, "people_of_old", **{"target/pck": 0.5})
    assert rows.gather_rows(TINY, tmp_path, PCK) == 1
    assert [one.value for one in read_results(empty_room)] == [0.25]
    said = capsys.readouterr().out
    assert "people-before/regda/seed-3 is a run of people, in a folder of another name" in said
    assert "people_of_old/regda/seed-3 is of a preset that there is no more" in said


def test_a_folder_is_of_the_longest_preset_that_it_names():
    presets = {"demo": TINY.presets["people"], "demo_full": TINY.presets["people"]}
    several = TINY._replace(presets=presets)
    assert rows._preset_of(several, "demo_full-margin-5") == "demo_full"
    assert rows._preset_of(several, "demo-margin-5") == "demo"
    assert not rows._preset_of(several, "demo_image_size_64")
    shared = experiment_of("incremental")
    assert "image_size" in shared.presets["demo"].of_base()
    assert rows._preset_of(shared, "demo_image_size_64") == "demo"


@pytest.mark.parametrize(
    ("settings", "changes", "said"),
    [
        ("margin=5", {"margin": 5.0}, ""),
        ("", {"margin": 5.0}, "margin is 5, not 4"),
        ("margin=5", {"margin": 5.0, "coefficient_steps": 77}, "coefficient_steps is 77, not"),
    ],
)
def test_a_run_of_another_config_than_its_name_says_is_left_out(
    settings, changes, said, empty_room, tmp_path, capsys
):
    """As it is where a preset has changed since."""
    config = replace_fields(TINY.presets["people"], **changes)
    write_run(tmp_path, settings=settings, config=config, **{"target/pck": 0.25})
    shown = {("people", settings, "regda", "target/pck")}
    assert rows.gather_rows(TINY, tmp_path, shown) == (0 if said else 1)
    assert said in capsys.readouterr().out


def test_a_run_of_another_kind_of_computer_replaces_none(empty_room, tmp_path, capsys):
    write_run(tmp_path, device="NVIDIA H200", **{"target/pck": 0.25})
    assert rows.gather_rows(TINY, tmp_path, PCK) == 1
    write_run(tmp_path / "later", **{"target/pck": 0.5})
    assert rows.gather_rows(TINY, tmp_path / "later", PCK) == 0
    assert [one.value for one in read_results(empty_room)] == [0.25]
    assert "seed 3, was measured on 2 NVIDIA H200 before" in capsys.readouterr().out
