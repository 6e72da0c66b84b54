"""The table over all directions of the sprites."""
import pytest

from experiments.engine.parsing import exit_code_of
from experiments.regda.studies import DIRECTIONS, gap_closed, main, open_directions, printed_errors, text

OPEN = {"constant_centre": 0.5, "adabn": 0.2, "adabn_in_area": 0.1, "regda": 0.05, "oracle": 0.02}
CLOSED = {"constant_centre": 0.5, "adabn": 0.03, "regda": 0.025, "oracle": 0.02}


def test_a_direction_is_open_where_every_control_is_far_from_the_oracle():
    assert open_directions({"colour_noisy": OPEN, "colour_scream": CLOSED, "noisy_scream": {"adabn": 0.1}}) == [
        "colour_noisy"]


def test_the_gap_is_counted_from_the_best_control():
    assert gap_closed(OPEN) == pytest.approx(0.05 / 0.08)
    assert gap_closed(OPEN | {"regda": 0.3}) < 0
    assert gap_closed(OPEN | {"source_only": 0.06}) == pytest.approx(0.01 / 0.04)  # no adaptation at all


def test_what_was_not_run_is_named_and_not_averaged():
    table = {direction: {"regda": 0.1} for direction in DIRECTIONS}
    table[DIRECTIONS[0]] = {"regda": 0.1, "dd": 0.2}
    lines = text(table, 3).splitlines()
    assert lines[2].startswith("| dd | 0.200 | not run |")
    assert lines[2].endswith("|  |")
    assert lines[3].endswith("| 0.100 |")


def test_the_papers_rows_average_to_its_own_means():
    """Printed averages of the paper: .314, .079, .029, .017."""
    printed = printed_errors()
    means = [sum(printed[direction][name] for direction in DIRECTIONS) / 6
             for name in ("source_only", "dd", "regda", "oracle")]
    assert means == pytest.approx([0.314, 0.079, 0.029, 0.017], abs=6e-4)


def test_an_unknown_direction_is_refused(capsys):
    assert exit_code_of(lambda: main(["--only", "colour_red"])) == 2
    assert "colour_red" in capsys.readouterr().err
