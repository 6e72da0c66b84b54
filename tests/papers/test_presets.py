"""The papers' presets, field by field: `paper.csv` beside each paper names an element, the presets
that have it, the field, its value, and where the paper, its code or neither states it.

What is built of them is in `test_<paper>_presets.py`.
"""

import csv
import fnmatch
import json
from pathlib import Path

import pytest

import kpjax.papers
from experiments import experiment_of
from kpjax.papers.configs import flat

PAPERS = ("regda", "semi_supervised", "incremental", "pyramids", "adaptation")
DOCS = Path(__file__).parents[2] / "docs" / "papers"
EVERY = pytest.mark.parametrize("paper", PAPERS)


def table(paper, name):
    """The header and the rows of a table beside a paper."""
    path = Path(kpjax.papers.__file__).parent / paper / name
    header, *rows = csv.reader(path.read_text("utf-8").splitlines())
    return header, rows


@EVERY
def test_presets_have_the_papers_elements(paper):
    presets = experiment_of(paper).presets
    header, rows = table(paper, "paper.csv")
    assert header == ["element", "presets", "field", "value", "where"]
    wrong = []
    for element, patterns, field, value, where in rows:
        for pattern in patterns.split():
            named = fnmatch.filter(presets, pattern)
            assert named, (element, pattern)
            for preset in named:
                found = json.loads(json.dumps(flat(presets[preset])[field]))
                if found != json.loads(value):
                    wrong.append(f"{preset}: {field} is {found}; {element}, {where}: {value}")
    assert not wrong


@EVERY
def test_a_papers_page_shows_its_elements_and_differences(paper):
    page = (DOCS / f"{paper}.md").read_text("utf-8")
    for name in ("differences", "paper"):
        assert f":file: ../../kpjax/papers/{paper}/{name}.csv" in page
