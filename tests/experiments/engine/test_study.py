"""Tables that are run by one command: what they need, what they show, and how they go on."""
import importlib

import numpy as np
import pytest
import tiny_regda

from experiments import incremental, regda, semi_supervised
from experiments.adaptation.paper_tables import CORE_BACKGROUNDS
from experiments.commands import study
from experiments.engine import queue as job_queue
from experiments.engine.command_line import read_command
from experiments.engine.configs import changed
from experiments.engine.pages import Column, Row, Table, presets_of, system_in, table_text, tables_of
from experiments.engine.paper_numbers import paper_numbers
from experiments.engine.results import EXPERIMENTS, Numbers, Result
from experiments.engine.study import chosen_rows, jobs_of, page, places_of
from experiments.engine.tables import Ratio, ratios_text
from experiments.incremental.paper_tables import GRIDS, TUNING
from experiments.regda.paper_tables import DIRECTIONS
from kpjax import InputError, RunError
from kpjax.evaluation.probes.regression_errors import Interval
from kpjax.files import write_json

STUDIES = {
    "adaptation": ("core_epochs", "core_epochs_paper", "images", "core_backgrounds"),
    "incremental": ("triples", "made", "softmax_forms", "alpha", "heads", "ka_net_forms", "filter", "noise", "hops",
                    "tuning"),
    "regda": ("all_sprites", "all_sprites_pck", "sprites_paper", "sprites_paper_pck", "sprites_features"),
    "semi_supervised": ("table1", "table2", "table3", "table4", "warp", "sensitivity")}
PCK = Column("PCK, %", "target/pck", 100.0)
BY_TRADE_OFF = Table("people", (Row("regda", "regda"), Row("adabn", "adabn")), (
    PCK, PCK._replace(heading="at 3", settings={"trade_off": 3.0}), PCK._replace(heading="less", minus="adabn")))


def commands_of(table, system, *flags):
    return {preset: read_command(system, [preset, *flags]) for preset in presets_of(table)}


def jobs_by_place(table, commands):
    return {place: jobs_of(place, commands) for place in places_of(table, commands)}


def write_run(job, metrics, **more):
    write_json(job.folder / "results.json", {
        "experiment": job.system, "preset": job.preset, "variant": job.variant, "seed": job.seed, "steps": 800,
        "metrics": metrics, **more})


@pytest.fixture
def ran(monkeypatch):
    """Returns a list of the jobs that studies of the tiny RegDA run; none of them trains, and one fails."""
    jobs = []

    def run(system, job):
        jobs.append(job)
        if (job.variant, job.seed) == ("adabn", 1):
            raise InputError("made up")
        write_run(job, {"target/pck": 0.5 + 0.1 * job.seed})

    monkeypatch.setattr(job_queue, "run", run)
    monkeypatch.setattr(study, "tables_of", lambda room: {"by_trade_off": BY_TRADE_OFF})
    return jobs


def run_study(tmp_path, *flags, system=tiny_regda.TINY):
    return study.main(["regda", "by_trade_off", "--workdir", str(tmp_path), *flags], system=system)


# What is run


@pytest.mark.parametrize(("system", "name"), [(system, name) for system, names in STUDIES.items() for name in names])
def test_every_study_names_runs_that_exist_and_a_folder_holds_one_config(system, name):
    table = tables_of(EXPERIMENTS / system)[name]
    jobs = [job for of_place in jobs_by_place(table, commands_of(table, system_in(system))).values()
            for job in of_place]
    assert len({row.title for row in table.rows}) == len(table.rows)
    assert len({job.folder for job in jobs}) == len(set(jobs)) > 1
    if system == "incremental":  # equal bases are shared
        bases = {job.base_preset: job.config.of_base() for job in jobs}
        assert all(job.config.of_base() == bases[job.base_preset] for job in jobs)


def test_tables_share_runs_of_other_settings():
    tables = tables_of(EXPERIMENTS / "semi_supervised")
    commands = commands_of(tables["table1"], semi_supervised.SYSTEM)
    first, second, third = ({job for jobs in jobs_by_place(tables[name], commands).values() for job in jobs}
                            for name in ("table1", "table2", "table3"))
    assert len(first) == 8 * 5 - 2 + 1  # PL is undefined where everything is labelled; all_labels is one run
    assert len(second) == 7 * 5
    assert len(first & second) == 2 * 5
    assert {job.preset for job in first} == {"lsp", *(f"lsp-labelled-{share}" for share in ("0.1", "0.2", "0.5", "1"))}
    assert {job.config.data.unlabelled_share for job in third} == {0.1, 0.2, 0.5, 1.0}
    assert commands["lsp"].job("ours", 0) in first & second & third


def test_settings_of_columns_leave_a_fixed_row_as_it_is():
    columns = [PCK._replace(settings={"trade_off": value}, minus=minus) for minus in ("", "dd") for value in (2.0, 3.0)]
    table = Table("people", [Row("oracle", "oracle", fixed=True), Row("regda", "regda")], columns)
    places = places_of(table, commands_of(table, tiny_regda.TINY))
    assert [place.settings for place in places if place.variant == "oracle"] == [()]
    assert [dict(place.settings)["trade_off"] for place in places if place.variant == "dd"] == [2.0, 3.0]


def test_variants_choose_rows_and_differences_between_them():
    rows = (Row("regda", "regda"), Row("dd", "dd"), Row("dd, too", "dd"), Row("regda - dd", "regda", minus="dd"))
    table = Table("people", rows, [PCK])
    assert [row.title for row in chosen_rows(table, ["regda"]).rows] == ["regda"]
    assert chosen_rows(table, ["dd", "regda"]).rows == list(rows)
    with pytest.raises(InputError, match=r"variants: .*'mcd'.* regda, dd$"):
        chosen_rows(table, ["mcd"])


# What is shown


def test_a_study_goes_on_and_names_what_is_missing(ran, tmp_path):
    odd = tiny_regda.TINY._replace(presets={"people": changed(tiny_regda.TINY.presets["people"], batch_size=13)})
    for _ in range(2):
        with pytest.raises(RunError, match="2 runs failed: people adabn, seed 1"):
            run_study(tmp_path, "--seeds", "2", system=odd)
    assert [job.config.batch_size for job in ran] == 16 * [16]  # rounded to the devices
    assert [job.seed for job in ran[:8]] == 4 * [0] + 4 * [1]
    text = (tmp_path / "regda" / "people" / "by_trade_off.md").read_text()
    assert "| regda | 55.0 ± 7.1 | 55.0 ± 7.1 | +0.0 |" in text
    assert "| adabn | 50.0 | 50.0 |  |" in text
    assert "Not finished: people adabn, seed 1; people-trade_off-3 adabn, seed 1." in text
    assert "| people | trade_off=3 | regda | 800 steps, 0 images, 0 s |" in text


def test_rows_are_compared_by_seed_and_show_their_cost(tmp_path):
    """Differences of 1, 2 and 3 points: 2, and t = 4.303 times a standard error of 1 / sqrt(3)."""
    table = Table("people", [Row(name, name) for name in ("regda", "dd", "adabn", "oracle")],
                  [PCK._replace(minus="adabn")])
    jobs = jobs_by_place(table, commands_of(table, tiny_regda.TINY, "--seeds", "3", "--workdir", str(tmp_path)))
    for job in (job for of_place in jobs.values() for job in of_place):
        if job.variant != "oracle" and (job.variant, job.seed) != ("dd", 2):
            higher = {"regda": 0.01 * (job.seed + 1), "dd": -0.01}.get(job.variant, 0)
            write_run(job, {"target/pck": 0.5 + 0.2 * job.seed + higher}, images=25_600, wall_seconds=60 + job.seed)
    found = page("made up", table, jobs, "regda")
    assert "| regda | +2.0 [-0.5, +4.5] |" in found
    assert "| dd | -1.0 [-1.0, -1.0] |" in found
    assert "| oracle | not run |" in found
    assert "| adabn |  |" in found
    assert "| people |  | regda | 800 steps, 25,600 images, 61 s |" in found


def test_a_run_that_two_places_name_counts_once(tmp_path):
    table = Table("demo", [Row("plain", "regda"), Row("the same", "regda", {"trade_off": 1.0})], [PCK])
    jobs = jobs_by_place(table, commands_of(table, regda.SYSTEM, "--workdir", str(tmp_path)))
    write_run(jobs[next(iter(jobs))][0], {"target/pck": 0.25})
    text = page("made up", table, jobs, "regda")
    assert "| plain | 25.0 |" in text
    assert "| the same | 25.0 |" in text
    assert text.count("800 steps") == 1


def test_settings_that_are_the_presets_own_are_found_among_its_numbers():
    table = Table("demo", [Row("frozen", "kamp", {"freeze_old_heads": True}),
                           Row("free", "kamp", {"freeze_old_heads": False})], [Column("AAA", "aaa")])
    numbers = Numbers([Result("demo", "", "kamp", "0", "aaa", 1.0),
                       Result("demo", "freeze_old_heads=False", "kamp", "0", "aaa", 2.0)])
    text = table_text(table, numbers, "incremental")
    assert "| frozen | 1.0 |" in text
    assert "| free | 2.0 |" in text


def test_a_difference_between_settings_is_over_pairs_of_equal_seeds():
    numbers = Numbers([Result("demo", settings, "kamp_rerendered", str(seed), "aaa", value)
                       for settings, values in (("", (0.5, 0.6, 0.7)), ("freeze_old_heads=False", (0.4, 0.4, 0.6)))
                       for seed, value in enumerate(values)])
    text = table_text(tables_of(EXPERIMENTS / "incremental")["heads"], numbers, "incremental")
    compared = "| kamp_rerendered, freeze_old_heads False - kamp_rerendered, freeze_old_heads True |"
    assert f"{compared}  | -13.3 [-27.7, +1.0] |" in text


def test_an_order_is_open_until_images_and_seeds_agree():
    """Ratios e^-1 and e^-2 of two seeds: the mean of their logarithms is -1.5 ± 12.706 / 2."""
    def of(*singles, low=0.4, high=0.6):
        return Ratio("ours / control", "error", Interval(0.5, low, high), singles)

    found = of(np.exp(-1), np.exp(-2))
    assert found.over_seeds == pytest.approx(np.exp([-1.5, -1.5 - 6.353, -1.5 + 6.353]), rel=1e-3)
    assert (found.order, of(0.5, 0.51, 0.5).order, of(0.5, 0.51, 0.5, high=1.1).order) == ("open", "lower", "open")
    assert of(2.0, 2.1, 2.0, low=1.9, high=2.2).order == "higher"
    assert of(0.5).over_seeds is of(0.0, 0.5).over_seeds is None
    assert of(0.5).order == "open"
    text = ratios_text([of(0.5, 0.5), of(0.5)], "test images").splitlines()
    assert text[2] == "| ours / control | error | 0.50 | 0.40 to 0.60 | 0.50, 0.50 to 0.50 | 0.50 0.50 | lower |"
    assert text[3] == "| ours / control | error | 0.50 | 0.40 to 0.60 | – | 0.50 | open |"


# The papers' numbers


def test_the_papers_numbers_stand_behind_ours():
    def text(system, name, preset=""):
        table = tables_of(EXPERIMENTS / system)[name]
        return table_text(table._replace(preset=preset or table.preset), Numbers([]), system)

    assert "not run (paper 66.98 ± 0.94)" in text("semi_supervised", "table1")
    assert "not run (paper 85.33) |" in text("semi_supervised", "table3", "cub")
    assert "paper" not in text("semi_supervised", "table1", "demo")
    assert "| dd | not run (paper 0.037) |" in text("regda", "sprites_paper")
    early, *_, last = text("adaptation", "core_epochs_paper").splitlines()[2:6]
    assert early.endswith("(paper 33.72) | not run (paper 15.09) | not run (paper 22.95) |")
    assert last.endswith("(paper 9.19) | not run (paper 2.52) | not run (paper 79.00) |")
    firsts = [line.split(" | ")[1] for line in text("adaptation", "images", "mpii_aflw").splitlines()[2:6]]
    assert firsts == [f"not run (paper {number})" for number in ("16.55", "11.31", "11.25", "11.09")]


def test_the_papers_errors_on_sprites_average_to_its_own_means():
    """Printed averages of the paper: .314, .079, .029, .017."""
    def printed(name):
        return [paper_numbers("regda", "sprites", preset=f"dsprites_{direction}", variant=name)["target/mae"]
                for direction in DIRECTIONS]

    means = [sum(printed(name)) / 6 for name in ("source_only", "dd", "regda", "oracle")]
    assert means == pytest.approx([0.314, 0.079, 0.029, 0.017], abs=6e-4)


# Bad input


@pytest.mark.parametrize(("arguments", "words"), [
    (["nothing", "table1"], "SYSTEM: 'nothing' .*semi_supervised"), (["benchmark", "table1"], "SYSTEM: 'benchmark'"),
    (["regda", "table9"], "TABLE: 'table9' .*sprites"), (["regda", "all_sprites", "--no-such", "1"], "no-such"),
    (["regda", "all_sprites", "--preset", "nowhere"], "nowhere"),
    (["regda", "all_sprites", "--variants", "mcd"], "'mcd'"), (["regda", "all_sprites", "--fresh"], "--fresh: "),
    (["regda", "all_sprites", "--measure-again"], "--measure-again: ")])
def test_bad_arguments_are_refused_before_anything_runs(arguments, words, monkeypatch, tmp_path):
    monkeypatch.setattr(job_queue, "run", None)
    with pytest.raises(InputError, match=words):
        study.main([*arguments, "--workdir", str(tmp_path)])


@pytest.mark.parametrize(("arguments", "words"), [
    (["incremental", "tuning", "--preset", "demo"], "--preset: .*test images"),
    (["incremental", "tuning", "--held-out", "0"], "--preset: .*hold out none"),
    (["incremental", "tuning", "--reduction", "element_mean"], "reduction: "),
    (["adaptation", "core_backgrounds", "--preset", "mpii_mafl"], "--preset: .*rendered")])
def test_a_preset_that_does_not_suit_a_table_is_refused(arguments, words, tmp_path):
    with pytest.raises(InputError, match=words):
        study.main([*arguments, "--workdir", str(tmp_path)])


def test_every_weight_is_tuned_and_stated_in_its_units():
    assert set(GRIDS) == {"kamp", "kamp_rerendered", "ksd_only", "self_training", "mse_distillation", "lwf", "ewc",
                          "online_ewc", "mas", "rw", "afec", "cpr"}
    assert "kamp, 10 line_sum = 160 element_mean" in {row.title for row in TUNING.rows}
    assert "lwf, 4" in {row.title for row in TUNING.rows}
    assert TUNING.check(incremental.SYSTEM.presets["demo_tuning"]) is CORE_BACKGROUNDS.check(
        importlib.import_module("experiments.adaptation").SYSTEM.presets["demo"]) is None
