"""The front page: short, and each of its numbers is that of a row."""

import re
from pathlib import Path

import pytest

from experiments.measure.render import ABOUT, ROOT, rooms
from experiments.measure.situations import (
    SITUATIONS,
    Trial,
    papers_text,
    situations_text,
    trial_text,
)
from kpjax import InputError

PAGE = ROOT / "README.md"
TRIALS = [trial for one in SITUATIONS for trial in one.trials]


def test_the_front_page_is_short_and_its_numbers_are_rendered():
    """Words with those of commands, without the example in Python. Names of code are what stands in
    backticks, but for whole commands, and every word with an underscore, of commands too."""
    shown = re.sub(r"```python.*?```|\]\([^)]*\)", "]", PAGE.read_text("utf-8"), flags=re.S)
    text = re.sub(r"<!--.*?-->", "", shown)
    assert len(re.findall(r"\S*\w\S*", text)) <= 600
    quoted = re.findall(r"`((?!kpjax |python )[^`\n]+)`", text)
    assert len({*quoted, *re.findall(r"[a-z]\w*_\w+", text)}) <= 10
    by_hand = re.sub(r"<!-- (situations|papers) -->.*?<!-- end -->", "", shown, flags=re.S)
    assert re.findall(r"\d+\.\d+|\d+ ?(?:%|px)", by_hand) == ["3.11", "2.0"]  # Python's, Apache's


@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.taken)
def test_a_trial_compares_two_rows_with_seeds_and_says_where_it_does_not_help(trial):
    room = rooms()[trial.room]
    text = trial_text(PAGE, rooms(), trial)
    plain, taken = map(float, re.search(r"\[([\d.]+) → ([\d.]+) ", text).groups())
    helps = taken < plain if room.metrics[trial.metric].lower else taken > plain
    assert helps == (trial.verdict != "no gain")
    assert (PAGE.parent / re.search(r"\]\(([^)]+)\)", text)[1]).is_file()


def test_a_row_that_was_not_run_is_refused():
    never = Trial("dogs", "regda", "target/pck", "demo/source_only", "dogs/regda")
    with pytest.raises(InputError, match="dogs/regda of regda was not run"):
        trial_text(PAGE, rooms(), never)


def test_both_tables_stand_on_the_page_and_name_every_paper():
    text = PAGE.read_text("utf-8")
    assert situations_text(PAGE, rooms()) in text
    papers = papers_text(PAGE, rooms())
    assert papers in text
    assert all(f"experiments.{name} " in papers for name in ABOUT)
    assert all(Path(PAGE.parent / f"kpjax/papers/{name}/variants.py").is_file() for name in ABOUT)
