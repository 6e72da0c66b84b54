"""What we would run stands on measured rows, and the presets `own` run it."""
import re

import pytest

from experiments import advice
from experiments.advice import ADVICE, advice_text
from experiments.engine.configs import changed
from experiments.engine.results import EXPERIMENTS
from experiments.incremental import own as incremental_own
from experiments.regda import own as regda_own
from experiments.semi_supervised import own as semi_supervised_own
from kpjax import InputError


def test_every_line_has_a_gain_with_an_interval():
    lines = advice_text(EXPERIMENTS).splitlines()[2:]
    assert len(lines) == len(ADVICE)
    for line, one in zip(lines, ADVICE, strict=True):
        assert re.search(r"\| [+-][\d.]+ \[[+-][\d.]+, [+-][\d.]+\] ", line), line
        assert one.unit in line


def test_a_gain_is_positive_where_an_error_falls():
    """Distances of the method less those of its control, turned about."""
    one = next(one for one in ADVICE if one.lower_is_better)
    pairs = one.cell().pairs()
    line = next(line for line in advice_text(EXPERIMENTS).splitlines() if one.images in line)
    shown = float(re.search(r"\| ([+-][\d.]+) \[", line)[1])
    assert shown == pytest.approx(-one.cell().column.factor * sum(pairs) / len(pairs), abs=0.01)


@pytest.mark.parametrize(("difference", "says"), [
    (("regda", "machines", "no such row", "target PCK at 5 mm, %"), "no row 'no such row'"),
    (("regda", "machines", "teacher_adaptation - its views", "no such column"), "no column 'no such column'"),
    (("regda", "source_rates", "RegDA", "0.001"), "was not run")])
def test_a_line_without_numbers_is_refused(difference, says, monkeypatch):
    monkeypatch.setattr(advice, "ADVICE", (ADVICE[0]._replace(difference=difference),))
    with pytest.raises(InputError, match=says):
        advice_text(EXPERIMENTS)


def test_own_projects_are_trained_as_advised():
    weights = changed(semi_supervised_own.OWN, weights="mobilenet_v2.google_in1k")
    assert semi_supervised_own.short_list("own", weights) == ("supervised_warped",)
    assert "teacher_adaptation" in regda_own.SYSTEM.short_list("own", regda_own.OWN)
    assert incremental_own.SYSTEM.short_list("own", incremental_own.OWN) == ("combination", "ksd_only")
