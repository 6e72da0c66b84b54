"""Claims on made-up rows: their gates, what stands in the first line, tries, and what pages say."""

import importlib
from pathlib import Path

import pytest

from experiments.measure import render
from experiments.measure.claims import (
    LEAST_SEEDS,
    answer,
    claims_text,
    measured,
    printed,
    settings_of_claims,
    systems_text,
    tries,
)
from experiments.measure.render import (
    ABOUT,
    Ahead,
    Claim,
    Front,
    Learnt,
    Metric,
    Room,
    Verdict,
    cell_of,
    rooms,
)
from experiments.measure.rows import EXPERIMENTS, Result, by_run

METRICS = {
    "target/pck": Metric("PCK, %", 100),
    "source/pck": Metric("source PCK, %", 100),
    "left": Metric("error left, %", 100, lower=True),
    "forward": Metric("forward error, %", lower=True),
    "mean": Metric("error of the mean, %", lower=True),
}
PAPER = ("surreal_lsp/regda - source_only_mse", "target/pck_batchwise/all")


def rows(variant, *values, metric="target/pck", preset="demo", settings="", first=0):
    return [
        Result(preset, settings, variant, str(seed), metric, value)
        for seed, value in enumerate(values, first)
    ]


def room(found, *claims, front=()):
    return Room(
        EXPERIMENTS / "regda",
        {},
        claims,
        METRICS,
        {},
        by_run(found),
        by_run(found, tuning=True),
        front,
    )


def named(line):
    """Returns the two rows of a line, each with its preset."""
    one, other = line.split(" - ")
    return one, other if "/" in other else f"{one.rpartition('/')[0]}/{other}"


def claim(*gates, line="demo/regda - source_only", setting="", reason=""):
    return Claim("RegDA helps", PAPER, setting, line, "target/pck", gates, reason)


BETTER = [*rows("regda", 0.9, 0.8, 0.85), *rows("source_only", 0.6, 0.5, 0.57)]
SOURCE = Learnt("learnt the source", "demo/regda", "source/pck", 0.9, ("demo/oracle", "target/pck"))


@pytest.mark.parametrize(
    ("learnt", "why"),
    [
        ((0.90, 0.84, 0.9), ""),
        ((0.80, 0.82, 0.81), "`regda` has not learnt the source (source PCK, %: 81.0)"),
        ((), "whether `regda` has learnt the source was not measured"),
    ],
)
def test_without_a_learnt_source_nothing_is_tested(learnt, why):
    """Nine tenths of the oracle's 0.97 are 0.873."""
    found = [*BETTER, *rows("regda", *learnt, metric="source/pck"), *rows("oracle", 0.96, 0.98)]
    assert measured(room(found), SOURCE).closed == why
    said = "not tested" if why else "yes"
    assert answer(room(found), claim(SOURCE)) == (said, why)
    # what was never run is not called untested
    assert answer(room(found[6:]), claim(SOURCE))[0] == "not run"


def test_labelled_images_are_learnt_below_a_share_of_the_error():
    gate = Learnt("learnt its labelled images", "demo/regda", "left", 0.2)
    assert measured(room(rows("regda", 0.1, 0.29, metric="left")), gate)[:3] == (
        "`demo/regda` has learnt its labelled images",
        "error left, %: 19.5",
        "at most 20.0",
    )
    assert measured(room(rows("regda", 0.1, 0.29, metric="left")), gate).closed == ""
    assert (
        measured(room(rows("regda", 0.1, 0.32, metric="left")), gate).closed
        == "`regda` has not learnt its labelled images (error left, %: 21.0)"
    )


def test_the_best_row_must_be_ahead_of_a_trivial_answer_by_more_than_the_deviation():
    gate = Ahead("random colours", ("demo/regda",), "demo/colours", "target/pck")
    # gains of 10, 30 and 20: a mean of 20, a deviation of 10
    ahead = [*BETTER, *rows("colours", 0.8, 0.5, 0.65)]
    assert measured(room(ahead), gate).closed == ""
    assert measured(room(ahead), gate)[1:3] == (
        "+20.0 [-4.8, +44.8] points of PCK",
        "above 10, the deviation over seeds",
    )
    # 10, 30 and -10: a mean of 10, a deviation of 20
    level = [*BETTER, *rows("colours", 0.8, 0.5, 0.95)]
    assert measured(room(level), gate).closed.startswith(
        "`regda` does not outperform random colours (+10.0 ["
    )
    assert answer(room(level), claim(gate))[0] == "not tested"
    assert answer(room(ahead), claim(gate))[0] == "yes"
    assert (
        measured(room(BETTER), gate).closed
        == "whether `demo/regda` outperforms random colours was not measured"
    )


def test_a_method_that_does_not_outperform_a_trivial_answer_loses_to_a_rival_that_does():
    """A gate that asked the method's row alone would leave it untested."""
    found = [
        *rows("regda", 0.3, 0.35, 0.32),
        *rows("source_only", 0.6, 0.5, 0.57),
        *rows("colours", 0.4, 0.4, 0.41),
    ]
    gate = Ahead("random colours", ("demo/regda", "demo/source_only"), "demo/colours", "target/pck")
    assert measured(room(found), gate)[0] == "`demo/source_only` outperforms random colours"
    assert answer(room(found), claim(gate))[0] == "no"
    worse = [*found[:3], *rows("source_only", 0.2, 0.1, 0.15), *found[6:]]
    assert answer(room(worse), claim(gate))[0] == "not tested"
    assert measured(room(worse), gate).closed.startswith("`regda` does not outperform")
    assert measured(room(found[:3]), gate).closed == (
        "whether `demo/regda` or `demo/source_only` outperforms random colours was not measured"
    )


def test_points_are_compared_with_the_mean_of_labels_in_the_same_row():
    gate = Ahead("the labels' mean", ("demo/adapted",), "demo/adapted", "forward", "mean")
    mean = rows("adapted", 33, 33, 33, metric="mean")
    assert (
        measured(room([*rows("adapted", 24, 26, 25, metric="forward"), *mean]), gate).closed == ""
    )
    worse = room([*rows("adapted", 34, 36, 35, metric="forward"), *mean])
    assert measured(worse, gate).closed.startswith(
        "`adapted` does not outperform the labels' mean (-2.0 ["
    )


def test_a_claim_is_shown_where_it_is_tested_best_whatever_came_out():
    """Gates that hold come before more seeds, and these before the order of the list."""
    found = [
        *rows("regda", 0.9, 0.8, 0.85, preset="untested"),
        *rows("source_only", 0.1, 0.2, 0.15, preset="untested"),
        *rows("regda", 0.5, 0.4, 0.6, preset="three"),
        *rows("source_only", 0.9, 0.81, 0.99, preset="three"),
        *rows("regda", 0.5, 0.4, 0.6, 0.4, preset="four"),
        *rows("source_only", 0.9, 0.81, 0.99, 0.8, preset="four"),
    ]
    never = Learnt("learnt anything", "untested/regda", "source/pck", 1.0)
    untested = claim(never, line="untested/regda - source_only", setting="untested")
    three, four, none = (
        claim(line=f"{name}/regda - source_only", setting=name)
        for name in ("three", "four", "none")
    )
    (order,) = settings_of_claims(room(found, none, untested, three, four))
    assert [one.setting for one in order] == ["four", "three", "untested", "none"]
    assert answer(room(found), four) == ("no", "")
    assert answer(room(found), four._replace(reason="as tested")) == ("no", "as tested")


def test_two_seeds_are_no_claim():
    found = [*rows("regda", 0.9, 0.91), *rows("source_only", 0.1, 0.12)]
    assert answer(room(found), claim()) == ("not tested", "3 seeds are the least")


def test_tries_on_tuning_seeds_are_counted_for_each_row():
    found = [
        *BETTER,
        *rows("regda", 0.5, first=100),
        *rows("regda", 0.6, settings="learning_rate=0.004", first=100),
        *rows("regda", 0.6, settings="learning_rate=0.004", metric="source/pck", first=100),
        *rows("dd", 0.4, first=100, preset="elsewhere"),
    ]
    assert tries(room(found), "demo/regda - demo/dd") == "2 / –"


def test_pages_show_one_line_a_claim_and_four_numbers_a_problem():
    front = Front("people", "target/pck", "demo/source_only", "demo/dd", "demo/regda", "demo/regda")
    never = Front("dogs", "target/pck", *(f"dogs/{name}" for name in ("a", "b", "c", "d")))
    found = [*BETTER, *rows("regda", 0.3, 0.4, preset="small")]
    one = claim(setting="people")
    other = claim(line="small/regda - source_only", setting="small people")
    known = {name: room((), front=()) for name in ABOUT} | {
        "regda": room(found, one, other, front=(never, front))
    }
    first, _, below = claims_text(Path("page.md"), known).partition("<details>")
    assert "| people | " in first
    assert "small people" not in first
    assert "| small people | not run | 0 | – / – | not run |" in below
    assert "Of 1 claims: 1 yes. Of 1 intervals" in first
    shown = systems_text(EXPERIMENTS.parent / "README.md", known)
    assert "dogs" not in shown  # no row of it was run
    assert (
        "\n| people (`demo`): PCK, % ↑ | `source_only` 55.7 ± 5.1 (3) | `dd` not run | `regda` 85.0 ± 5.0 (3) "
        "| `regda` 85.0 ± 5.0 (3) |\n" in shown
    )
    assert "\n*The paper's ranking here*: Of 1 claims: 1 yes.\n" in shown


def test_the_front_page_says_units_and_what_is_of_another_preset_and_answers_the_main_claim():
    front = Front(
        *("people", "target/pck", "demo/source_only", "small/dd", "demo/regda", "demo/regda"),
        unit="within 5 % of the side",
    )
    found = [*BETTER, *rows("dd", 0.3, preset="small")]
    known = {name: room((), front=()) for name in ABOUT}
    measured_rooms = room(found, claim(setting="people"), front=(front,))._replace(
        main_claim="RegDA helps", verdict=Verdict("It finds them.")
    )
    page = EXPERIMENTS.parent / "README.md"
    shown = systems_text(page, known | {"regda": measured_rooms})
    assert "| people (`demo`): PCK, % within 5 % of the side ↑ |" in shown
    assert "| `dd` † 30.0 (1) | `regda` 85.0" in shown
    assert (
        "\n\nIt finds them.\n\n*The paper's ranking here*: RegDA helps (people): **yes**. Of 1 "
        "claims: 1 yes.\n\n" in shown
    )
    of_error = front._replace(metric="forward", trivial="mean")
    rows_of_error = [
        *rows("regda", 3, metric="forward"),
        *rows("regda", 4, 6, metric="mean"),
    ]
    errors = room(rows_of_error, claim(setting=""), front=(of_error,))
    shown = systems_text(page, known | {"regda": errors})
    assert (
        "| people (`demo`): forward error, % within 5 % of the side ↓ (always answering the labels' "
        "mean: 5.0 ± 1.4) |" in shown
    )


@pytest.mark.parametrize("name", tuple(ABOUT))
def test_the_words_of_the_front_page_rest_on_rows(name):
    found = rooms()[name]
    assert found.verdict.text
    assert found.verdict.rests_on
    for line, metric, said in found.verdict.rests_on:
        assert cell_of(found, line, "", metric).helps() == said, line
    for gate, holds in found.verdict.gates:
        seen = measured(found, gate)
        assert seen.number != "–", gate
        assert (not seen.closed) == holds, gate


@pytest.mark.parametrize(
    ("name", "metric", "presets", "without"),
    [
        ("adaptation", "forward/10", ("demo", "flies_pose", "flies_imagenet", "flies_learnt"), "?"),
        ("semi_supervised", "labelled/left_to_learn", ("athletes", "fifty_athletes"), "steps="),
    ],
)
def test_where_the_front_page_says_of_no_row_it_rests_on_every_row(name, metric, presets, without):
    """With ten labels, or in trainings on athletes as short as the preset's."""
    found = rooms()[name]
    rows_of_file = {
        f"{preset} {settings}".strip() + f"/{variant}"
        for preset, settings, variant, measured_by in found.numbers
        if measured_by == metric and preset in presets and without not in settings
    }
    rows_of_gates = {
        row
        for gate, _ in found.verdict.gates
        if gate.metric == metric
        for row in (gate.rows if isinstance(gate, Ahead) else (gate.row,))
    }
    assert rows_of_gates == rows_of_file


@pytest.mark.parametrize("name", tuple(ABOUT))
def test_what_is_called_best_is_outperformed_only_with_more_labels(name):
    found = rooms()[name]
    paper = importlib.import_module(f"kpjax.papers.{name}").PAPER
    for front in found.front:
        begun, _, best = front.ours.rpartition("/")
        preset, _, settings = begun.partition(" ")
        rivals = {
            run[2]
            for *run, metric in found.numbers
            if (run[0], run[1], metric) == (preset, settings, front.metric)
            and paper.variants[run[2]].kind != "oracle"
        }
        of_three = {
            rival
            for rival in rivals
            if len(found.numbers[preset, settings, rival, front.metric]) >= LEAST_SEEDS
        }
        assert best in of_three
        assert len(of_three) >= 2
        for rival in of_three - {best}:
            line = f"{begun}/{rival} - {best}"
            cell = cell_of(found, line, "", front.metric)
            assert len(cell.pairs()) >= LEAST_SEEDS, line
            assert cell.helps() != "yes", line


@pytest.mark.parametrize("name", tuple(ABOUT))
def test_the_front_page_answers_a_claim_of_every_paper(name):
    found = rooms()[name]
    assert [claims[0].says for claims in settings_of_claims(found)].count(found.main_claim) == 1


@pytest.mark.parametrize("name", tuple(ABOUT))
def test_claims_have_gates_and_are_of_lines_that_the_paper_prints(name):
    """What the paper's own numbers say is what the claim says: the difference is a gain. Gates
    against a trivial answer ask both rows, or an upper bound of what the method could gain.
    """
    found = rooms()[name]
    for one in found.claims:
        mine, other = map(float, printed(found, *one.paper).partition(" (")[0].split(" / "))
        assert mine < other if found.metrics[one.metric].lower else mine > other, one
        assert one.gates, one
        assert one.setting, one
        for gate in one.gates:
            if isinstance(gate, Ahead) and not gate.rows[0].endswith("/kamp_true_points"):
                # a row may hold a trivial answer beside its own, by another metric
                trivial = set() if gate.of else {gate.answer}
                assert set(gate.rows) == set(named(one.line)) - trivial, one
    for claims in settings_of_claims(found):
        assert len({one.says for one in claims}) == 1
    assert len(found.front) >= 2  # rendered and real images
    known = {render.Run(*run[:3]) for run in found.shown()}
    assert {
        found.stored(run) for table in ("claims", "front") for run in found.tables[table].runs()
    } <= known
