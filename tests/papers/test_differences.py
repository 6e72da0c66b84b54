"""differences.csv of each paper: all cells, each element once, and a line for every setting of ours.

A setting is ours where a preset of `experiments`, or that of one's own data, gives a field a value
that no published preset gives it: those hold the paper's and the authors' values, or what stands in
for values that neither states.
"""

import csv
import importlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from experiments import experiment_of
from kpjax import papers
from kpjax.papers.configs import flat, replace_fields

COLUMNS = ["element", "paper", "authors' code", "here", "why", "fields"]
PUBLISHED = {
    "regda": (
        "rhd_",
        "freihand_",
        "surreal_",
        "dsprites_colour",
        "dsprites_noisy",
        "dsprites_scream",
    ),
    "semi_supervised": ("mpii", "lsp", "cub", "atrw"),
    "incremental": ("mpii", "atrw", "cephalometric", "chest", "upper_lower", "single", "low_shot"),
    "pyramids": ("h36m",),
    "adaptation": ("mpii_",),
}
# begin as a published one does
OURS = ("lspet", "lspet_steps")


def differences(paper: str) -> list[dict[str, str]]:
    path = Path(papers.__file__).parent / paper / "differences.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def unexplained(paper: str, presets: Mapping, lines: list[dict[str, str]]) -> set[str]:
    """Returns the fields to which a preset gives a value of its own, without a line for them.

    Fields that no published preset has, as those of other networks and of people's projects, have
    no value in the paper.
    """

    def published(name: str) -> bool:
        return name.startswith(PUBLISHED[paper]) and name not in OURS

    known: dict[str, set[str]] = {}
    for name in filter(published, presets):
        for field, value in flat(presets[name]).items():
            known.setdefault(field, set()).add(repr(value))
    explained = {field for line in lines for field in line["fields"].split()} | {"summary"}
    return {
        field
        for name, config in presets.items()
        if not published(name)
        for field, value in flat(config).items()
        if field in known and repr(value) not in known[field] and field not in explained
    }


def presets_of(paper: str) -> dict:
    own = importlib.import_module(f"kpjax.lab.own.{paper}").OWN
    return dict(experiment_of(paper).presets) | {"own": own}


@pytest.mark.parametrize("paper", PUBLISHED)
def test_every_difference_has_its_cells_and_each_element_one_line(paper):
    rows = differences(paper)
    assert list(rows[0]) == COLUMNS
    assert all(row[name].strip() for row in rows for name in COLUMNS[:-1])
    assert len({row["element"] for row in rows}) == len(rows)


@pytest.mark.parametrize("paper", PUBLISHED)
def test_every_setting_of_ours_has_a_line(paper):
    assert not unexplained(paper, presets_of(paper), differences(paper))


@pytest.mark.parametrize("paper", PUBLISHED)
def test_every_field_of_a_line_is_a_setting_of_ours(paper):
    """A line whose fields all presets have as published would say what is no longer so."""
    presets, lines = presets_of(paper), differences(paper)
    of_lines = {field for line in lines for field in line["fields"].split()}
    without = [line | {"fields": ""} for line in lines]
    assert of_lines == unexplained(paper, presets, without)


def test_a_value_of_ours_without_a_line_is_found():
    presets = presets_of("regda")
    presets["demo"] = replace_fields(presets["demo"], coefficient=0.5)
    assert unexplained("regda", presets, differences("regda")) == {"coefficient"}
