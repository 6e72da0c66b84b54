"""Numbers in files, and the tables and plots that are rendered from them."""
import json
import pathlib
import re

import pytest

from experiments.commands.results import stale
from experiments.engine import pages, results
from experiments.engine.command_line import read_command
from experiments.engine.configs import settings_text
from experiments.engine.pages import (
    Column,
    Row,
    Table,
    forest_of,
    on_former_split,
    on_present_split,
    system_in,
    table_text,
)
from experiments.engine.results import (
    BY_HAND,
    Numbers,
    Result,
    merged,
    read_results,
    run_results,
    write_results,
)
from experiments.engine.tables import points_of, share_interval, share_text
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


def test_wilson_interval_of_a_share():
    """(2 n p + z^2 +- z sqrt(z^2 + 4 n p (1 - p))) / (2 (n + z^2)); at 0 and 1 one end is the share."""
    z = 1.959963984540054
    for share, points in ((0.0, 10), (1.0, 10), (0.5, 4), (140 / 144, 144)):
        half = z * (z * z + 4 * points * share * (1 - share)) ** 0.5
        ends = [(2 * points * share + z * z + sign * half) / (2 * (points + z * z)) for sign in (-1, 1)]
        assert share_interval(share, points) == pytest.approx(ends)
    assert share_interval(0.0, 10) == pytest.approx((0, z * z / (10 + z * z)))
    assert [round(100 * end, 1) for end in share_interval(140 / 144, 144)] == [93.1, 98.9]


def test_a_pck_of_few_points_has_an_interval_where_pages_and_runs_show_it():
    assert share_text("test/pck", 0.5, 4) == " [0.150, 0.850]"
    assert [share_text(*of) for of in (("test/pck", 0.5, 1000), ("test/pck", 0.5, None), ("test/nme", 0.5, 4))] == [
        "", "", ""]
    assert points_of("best_target/target/pck") == "best_target/target/points"
    table = Table("demo", (Row("ours", "ours"),), [
        Column("PCK, %", "test/pck", 100), Column("by seed", "test/pck", 100, show="seeds"),
        Column("error", "test/nme"), Column("less", "test/pck", 100, minus="control")], points={"demo": 16})
    found = [*measured("ours", 0.25, 0.75, metric="test/pck"), *measured("ours", 0.5, metric="test/nme"),
             *measured("control", 0.25, 0.75, metric="test/pck")]
    lines = table_text(table, Numbers(found)).splitlines()
    assert lines[2] == (  # of the mean over one run's points
        "| ours | 50.0 ± 35.4 [28.0, 72.0] | 25.0 / 75.0 [28.0, 72.0] | 0.5 | +0.0 [+0.0, +0.0] |")
    assert lines[4] == "*In brackets behind a PCK: its 95 % interval over 16 points (Wilson).*"
    recorded = [*found, *measured("ours", 4.0, 4.0, metric="test/points")]  # of the runs themselves
    assert "50.0 ± 35.4 [15.0, 85.0]" in table_text(table, Numbers(recorded))
    many = [*found, *measured("ours", 4000.0, metric="test/points")]
    assert "| 50.0 ± 35.4 | 25.0 / 75.0 | 0.5 |" in table_text(table, Numbers(many))


def test_numbers_of_the_former_split_stand_apart():
    table = Table("demo", ROWS[:2], (Column("PCK, %", "pck", 100), Column("less", "pck", 100, minus="control")))
    former = [one._replace(settings="split=former") for one in FOUND if not one.settings]
    lines = table_text(on_former_split(table), Numbers([*former, *measured("ours", 0.1)])).splitlines()
    assert lines[0] == "| variant, former split | PCK, % | less |"
    assert lines[2] == "| ours | 85.0 ± 5.0 | +10.0 [-2.4, +22.4] |"
    assert "not run" in table_text(on_former_split(table), Numbers(FOUND))  # never those of today
    present = on_present_split(on_former_split(table))
    assert table_text(present, Numbers(FOUND)) == table_text(table, Numbers(FOUND))


def test_only_equal_seeds_are_paired():
    found = [*FOUND, Result("demo", "", "ours", "7", "pck", 0.1)]
    assert "+10.0 [-2.4, +22.4]" in table_text(TABLE, Numbers(found))


def test_tuning_seeds_are_shown_where_a_row_asks_for_them():
    found = [*FOUND, Result("demo", "", "ours", "100", "pck", 0.2), Result("demo", "", "ours", "100-102", "pck", 0.3)]
    rows = (Row("ours", "ours"), Row("tuning", "ours", seeds=range(100, 101)))
    lines = table_text(TABLE._replace(rows=rows, columns=TABLE.columns[:1]), Numbers(found)).splitlines()
    assert lines[2:4] == ["| ours | 85.0 ± 5.0 |", "| tuning | 20.0 |"]


def test_a_row_names_or_completes_the_metrics_of_columns():
    found = [*measured("ours", 0.5, metric="pck/neck"), *measured("ours", 0.25, metric="neck")]
    columns = (Column("PCK, %", "pck/{}", 100), Column("other, %", "other", 100))
    table = Table("demo", [Row("neck", "ours", metric="neck")], columns)
    assert table_text(table, Numbers(found)).splitlines()[2] == "| neck | 50.0 | 25.0 |"


def test_a_metric_that_a_run_does_not_have_is_not_said_to_be_not_run():
    table = TABLE._replace(columns=(Column("AT", "at"), Column("less control", "at", minus="control")))
    lines = table_text(table, Numbers(FOUND)).splitlines()
    assert [line.replace(" ", "") for line in lines[2:5]] == ["|ours|||", "|control|||", "|later|notrun|notrun|"]


def test_a_difference_to_a_variant_that_was_not_run_is_not_run():
    table = TABLE._replace(columns=(Column("less later", "pck", 100, minus="later"),))
    assert "| ours | not run |" in table_text(table, Numbers(FOUND))


def test_means_that_were_kept_are_subtracted_where_no_seeds_are():
    found = [Result("demo", "", variant, "0-4", "pck", value) for variant, value in (("ours", 0.5), ("control", 0.4))]
    table = TABLE._replace(rows=ROWS[:1], columns=(Column("less control", "pck", 100, minus="control"),))
    assert table_text(table, Numbers(found)).splitlines()[2] == "| ours | +10.0 |"
    assert "| ours | +10.0 [-2.4, +22.4] |" in table_text(table, Numbers([*FOUND, *found]))


def test_differences_that_were_kept_by_seed_have_an_interval():
    found = measured("ours - control", 0.1, 0.05, 0.15)
    table = TABLE._replace(columns=(Column("less control", "pck", 100, minus="control"),))
    assert "| ours | +10.0 [-2.4, +22.4] |" in table_text(table, Numbers(found))


def test_means_that_were_kept_by_hand_are_shown_with_what_was_kept():
    found = [Result("demo", "", "ours", "0-4", "pck", 0.943, deviation=0.012),
             Result("demo", "", "ours - control", "0-4", "pck", 0.021, low=-0.001, high=0.043)]
    text = table_text(TABLE, Numbers(found))
    assert "| 94.3 ± 1.2 |" in text
    assert "| +2.1 [-0.1, +4.3] |" in text
    assert text.splitlines()[-1] == "*Recorded by hand from earlier runs.*"
    mixed = table_text(TABLE, Numbers([*found, *measured("control", 0.5)]))
    assert "recorded by hand from earlier runs: ours, ours - control" in mixed


def test_a_mean_that_was_kept_is_no_difference():
    found = [*FOUND, Result("demo", "", "ours", "0-2", "pck", 0.86, deviation=0.04)]
    line = table_text(TABLE, Numbers(found)).splitlines()[2]
    assert line == "| ours | 86.0 ± 4.0 | 90.0 / 80.0 / 85.0 |  | +10.0 [-2.4, +22.4] | 50.0 |"


def test_measured_numbers_replace_equal_keys_and_what_was_recorded_by_hand():
    old = [*measured("ours", 0.1, 0.2), Result("demo", "", "control", "0-4", "pck", 0.9),
           *measured("control", 0.7, commit=BY_HAND), Result("demo", "", "other", "0-4", "pck", 0.3)]
    new = [*measured("ours", 0.5), *measured("control", 0.6)]
    assert sorted((one.variant, one.seed, one.value) for one in merged(old, new)) == [
        ("control", "0", 0.6), ("other", "0-4", 0.3), ("ours", "0", 0.5), ("ours", "1", 0.2)]


def test_a_tuning_seed_replaces_no_reported_one():
    old = [Result("demo", "", "ours", seed, "pck", 0.9) for seed in ("0", "1-4", "100", "101-102")]
    new = [Result("demo", "", "ours", "100", "pck", 0.5, commit="abc")]
    assert sorted((one.seed, one.value) for one in merged(old, new)) == [("0", 0.9), ("1-4", 0.9), ("100", 0.5)]


def test_a_file_is_read_as_it_was_written_and_a_bad_line_is_named(tmp_path):
    write_results(tmp_path, FOUND)
    assert sorted(read_results(tmp_path)) == sorted(FOUND)
    path = tmp_path / "results.csv"
    path.write_text(path.read_text().replace("0.85", "much"))
    with pytest.raises(InputError, match=r"results.csv, line \d+: .*much"):
        read_results(tmp_path)


def test_runs_are_gathered_by_what_was_asked_for(tmp_path, tiny_regda):
    content = {"experiment": "regda", "preset": "people-image_size-16", "variant": "regda", "seed": 3, "steps": 5,
               "metrics": {"target/pck": 0.25, "other": 1.0}, "wall_seconds": 2.0, "commit": "abc",
               "settings": "image_size=16 learning_rate=0.001", "devices": {"kind": "cpu", "count": 2}}
    for seed in (3, 4):
        folder = tmp_path / "regda" / "people-image_size-16" / "regda" / f"seed-{seed}"
        folder.mkdir(parents=True)
        (folder / "results.json").write_text(json.dumps(content))
        content.pop("settings", None)  # of a version that did not record it
    found = list(run_results(tiny_regda, tmp_path, {"other"}))
    assert {(one.metric, one.value) for one in found} == {("target/pck", 0.25), ("other", 1.0)}
    assert {one[:4] for one in found} == {("people", "image_size=16 learning_rate=0.001", "regda", "3")}
    assert (found[0].steps, found[0].seconds, found[0].device, found[0].commit) == (5, 2.0, "2 cpu", "abc")


def test_a_difference_of_two_metrics():
    """A rival's only error less that of one level, seed by seed."""
    found = [*measured("rival", 0.5, 0.7, metric="all"), *measured("ours", 0.1, 0.2, metric="level"),
             *measured("ours", 9.0, 9.0, metric="all")]
    column = Column("error", "all", decimals=1, show="seeds")
    row = Row("rival - level", "rival", minus="ours", minus_metric="level")
    own = Row("level - all", "ours", minus="ours", metric="level", minus_metric="all")
    text = table_text(Table("demo", (row, own), (column,)), Numbers(found), source=False)
    assert "| rival - level | +0.4 / +0.5 |" in text
    assert "| level - all | -8.9 / -8.8 |" in text


def test_runs_that_repeat_others_are_gathered_apart(tmp_path, tiny_regda, monkeypatch):
    """Under a setting of their own they replace nothing, and join no mean."""
    found = Result("people", "image_size=16 step=3", "regda", "3", "target/pck", 0.25)
    monkeypatch.setattr(results, "EXPERIMENTS", tmp_path)
    monkeypatch.setattr(results, "run_results", lambda *of: iter([found]))
    (tmp_path / tiny_regda.name).mkdir()
    write_results(tmp_path / tiny_regda.name, [found._replace(value=0.5)])
    assert results.gathered(tiny_regda, tmp_path, (), beside="lambda") == 1
    kept = read_results(tmp_path / tiny_regda.name)
    assert {(one.settings, one.value) for one in kept} == {
        ("image_size=16 step=3", 0.5), ("beside=lambda image_size=16 step=3", 0.25)}


def test_a_command_knows_what_was_asked_for(tiny_regda, tmp_path):
    command = read_command(tiny_regda, ["people", "--image-size", "16", "--steps", "3", "--evaluations", "2"])
    assert command.job("regda", 0).settings == "evaluations=2 image_size=16"  # 3 steps are the preset's
    assert command.varied_job("regda", 0, {"trade_off": 0.5, "batch_size": 8}).settings == (
        "evaluations=2 image_size=16 trade_off=0.5")
def test_a_folder_is_of_the_preset_with_the_longest_name_that_fits(tmp_path):
    for name in ("demo_midway_True", "demo_tuning-kamp-3", "demonstration"):
        folder = tmp_path / "incremental" / name / "kamp" / "seed-0"
        folder.mkdir(parents=True)
        (folder / "results.json").write_text(json.dumps({
            "experiment": "incremental", "preset": name, "variant": "kamp", "seed": 0, "steps": 5,
            "metrics": {"aaa": 0.5}, "config": {}, "settings": ""}))
    found = {one.preset for one in run_results(system_in("incremental"), tmp_path, set())}
    assert found == {"demo", "demo_tuning"}


def test_settings_are_spelled_alike_whatever_their_order():
    assert settings_text({"b": (1, 2.0), "a": 1e-3}) == "a=0.001 b=1,2"


def test_a_forest_plot_has_a_row_for_each_interval():
    plot = forest_of(Table("demo", (Row("a", "ours", minus="control"), Row("b", "later", minus="control")), (
        Column("PCK", "pck", 100),)), Numbers(FOUND), "made up")
    assert "+10.0 [-2.4, +22.4]" in plot
    assert plot.count("[") == 1


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
