"""Numbers in files, and the tables and plots that are rendered from them."""
import json
import pathlib
import re

import pytest

from experiments.commands.results import stale
from experiments.engine import pages
from experiments.engine.configs import settings_text
from experiments.engine.pages import Column, Row, Table, forest_of, system_in, table_text
from experiments.engine.results import (
    BY_HAND,
    Numbers,
    Result,
    merged,
    read_results,
    run_results,
    write_results,
)
from kpjax import InputError

ROOT = pathlib.Path(__file__).parents[3]


def measured(variant, *values, metric="pck", settings="", commit="abc"):
    return [Result("demo", settings, variant, str(seed), metric, value, steps=10, device="1 cpu", date="2026-01-02",
                   commit=commit) for seed, value in enumerate(values)]


ROWS = (Row("ours", "ours"), Row("control", "control"), Row("later", "later"))
TABLE = Table("demo", ROWS, (
    Column("PCK, %", "pck", 100), Column("by seed", "pck", 100, show="seeds"), Column("steps", "pck", show="steps"),
    Column("less control", "pck", 100, minus="control"), Column("10 labels", "pck", 100, settings={"labelled": 10})))
FOUND = [*measured("ours", 0.9, 0.8, 0.85), *measured("control", 0.8, 0.75, 0.7),
         *measured("ours", 0.5, settings="labelled=10")]


def test_cells_are_means_seeds_steps_paired_differences_and_other_settings():
    lines = table_text(TABLE, Numbers(FOUND)).splitlines()
    assert lines[0] == "| variant | PCK, % | by seed | steps | less control | 10 labels |"
    # 10, 5, 15: a mean of 10 and 4.303 * 5 / sqrt(3) to either side
    assert lines[2] == "| ours | 85.0 ± 5.0 | 90.0 / 80.0 / 85.0 | 10 | +10.0 [-2.4, +22.4] | 50.0 |"
    assert lines[3] == "| control | 75.0 ± 5.0 | 80.0 / 75.0 / 70.0 | 10 |  | not run |"
    assert lines[4] == "| later | not run |  |  | not run | not run |"
    assert lines[-1] == "*2026-01-02, 1 cpu, commit abc.*"


def test_only_equal_seeds_are_paired():
    found = [*FOUND, Result("demo", "", "ours", "7", "pck", 0.1)]
    assert "+10.0 [-2.4, +22.4]" in table_text(TABLE, Numbers(found))


def test_means_that_were_kept_by_hand_are_shown_with_what_was_kept():
    found = [Result("demo", "", "ours", "0-4", "pck", 0.943, deviation=0.012),
             Result("demo", "", "ours - control", "0-4", "pck", 0.021, low=-0.001, high=0.043)]
    text = table_text(TABLE, Numbers(found))
    assert "| 94.3 ± 1.2 |" in text
    assert "| +2.1 [-0.1, +4.3] |" in text
    assert text.splitlines()[-1] == "*Recorded by hand from earlier runs.*"
    mixed = table_text(TABLE, Numbers([*found, *measured("control", 0.5)]))
    assert "recorded by hand from earlier runs: ours, ours - control" in mixed


def test_measured_numbers_replace_equal_keys_and_what_was_recorded_by_hand():
    old = [*measured("ours", 0.1, 0.2), Result("demo", "", "control", "0-4", "pck", 0.9),
           *measured("control", 0.7, commit=BY_HAND), Result("demo", "", "other", "0-4", "pck", 0.3)]
    new = [*measured("ours", 0.5), *measured("control", 0.6)]
    assert sorted((one.variant, one.seed, one.value) for one in merged(old, new)) == [
        ("control", "0", 0.6), ("other", "0-4", 0.3), ("ours", "0", 0.5), ("ours", "1", 0.2)]


def test_a_file_is_read_as_it_was_written_and_a_bad_line_is_named(tmp_path):
    write_results(tmp_path, FOUND)
    assert sorted(read_results(tmp_path)) == sorted(FOUND)
    path = tmp_path / "results.csv"
    path.write_text(path.read_text().replace("0.85", "much"))
    with pytest.raises(InputError, match=r"results.csv, line \d+: .*much"):
        read_results(tmp_path)


def test_settings_that_differ_from_the_presets_are_read_from_runs(tmp_path, tiny_regda):
    config = {"summary": "", "data": {"image_size": 16}, "optimizer": {"learning_rate": 1e-3}}
    folder = tmp_path / "regda" / "people-image_size-16" / "regda" / "seed-3"
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps({
        "experiment": "regda", "preset": "people-image_size-16", "variant": "regda", "seed": 3, "steps": 5,
        "metrics": {"target/pck": 0.25, "other": 1.0}, "wall_seconds": 2.0, "commit": "abc", "config": config,
        "devices": {"kind": "cpu", "count": 2}}))
    found = [one for one in run_results(tiny_regda, tmp_path, {"other"}) if one.metric != "source/pck"]
    assert {(one.metric, one.value) for one in found} == {("target/pck", 0.25), ("other", 1.0)}
    assert {one[:4] for one in found} == {("people", "image_size=16 learning_rate=0.001", "regda", "3")}
    assert (found[0].steps, found[0].seconds, found[0].device, found[0].commit) == (5, 2.0, "2 cpu", "abc")


def test_a_folder_is_of_the_preset_with_the_longest_name_that_fits(tmp_path):
    for name in ("demo_midway_True", "demo_tuning-kamp-3", "demonstration"):
        folder = tmp_path / "incremental" / name / "kamp" / "seed-0"
        folder.mkdir(parents=True)
        (folder / "results.json").write_text(json.dumps({
            "experiment": "incremental", "preset": name, "variant": "kamp", "seed": 0, "steps": 5,
            "metrics": {"aaa": 0.5}, "config": {"data": {"midway": name.endswith("True")}, "weights": {"kamp": 3.0}}}))
    found = {(one.preset, one.settings) for one in run_results(system_in("incremental"), tmp_path, set())}
    assert found == {("demo", "kamp=3 midway=True"), ("demo_tuning", "kamp=3")}


def test_settings_are_spelled_alike_whatever_their_order():
    assert settings_text({"b": (1, 2.0), "a": 1e-3}) == "a=0.001 b=1,2"


def test_a_forest_plot_has_a_row_for_each_interval():
    plot = forest_of(Table("demo", (Row("a", "ours", minus="control"), Row("b", "later", minus="control")), (
        Column("PCK", "pck", 100),)), Numbers(FOUND), "made up")
    assert plot.count("<rect") == 1
    assert "+10.0 [-2.4, +22.4]" in plot
    assert 'class="open"' in plot


def test_an_unknown_table_names_the_page(tmp_path, monkeypatch):
    (tmp_path / "page.md").write_text("<!-- table: regda/no_such -->\n<!-- end -->\n")
    monkeypatch.setattr(pages, "pages", lambda: [tmp_path / "page.md"])
    with pytest.raises(InputError, match=r"page.md: .*regda/no_such"):
        list(pages.rendered())


def test_pages_show_what_the_files_hold():
    """`python -m experiments results render` writes them anew."""
    assert not stale()


def test_numbers_stand_in_files():
    """Measured numbers are rendered; few are typed into prose: settings, and numbers of others."""
    results = [*(ROOT / "experiments").rglob("*.md"), ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    typed = {}
    for path in results:
        text = pages.MARKED.sub("", path.read_text(encoding="utf-8"))
        text = re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.S)
        typed[path.name] = typed.get(path.name, 0) + len(re.findall(r"\d\.\d", text))
    assert sum(typed.values()) <= 100, typed
