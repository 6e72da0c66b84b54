"""Tables of results: their numbers, what is best and what is missing, in a terminal and in a
report.
"""

import importlib
import json
import math
import re
from fnmatch import fnmatchcase
from html import unescape

import numpy as np
import pytest

from kpjax.drawing.overlays import write_png
from kpjax.papers import paper_numbers as module
from kpjax.papers.paper_numbers import lines_of, paper_numbers
from kpjax.papers.reports import report
from kpjax.training.finished_runs import read_history, runs_in

NASTY = "<script>alert('&')</script>"
PCK = report.Column("target/pck", "PCK", "%", 100.0)
MAE = report.Column("target/mae", "MAE", "px", decimals=2, better="lower")
COLUMNS = (PCK, MAE)
ENTRIES = (
    report.Entry("oracle", "oracle"),
    report.Entry("adabn", "control"),
    report.Entry("source_only", "baseline", paper={"target/pck": 61.8}),
    report.Entry("regda", "method", NASTY, {"target/pck": 72.5}, note="a & b"),
    report.Entry("dann", "baseline"),
    report.Entry("mcd", "baseline"),
)
VALUES = {
    "regda": (0.90, 0.92, 0.97),
    "adabn": (0.80, 0.70, 0.98),
    "source_only": (0.3,),
    "oracle": (1.0, 1.0),
    "stranger": (0.1,),
}
ERRORS = {
    "regda": (1.10, 1.08, 1.03),
    "adabn": (1.0, 1.0, 1.0),
    "source_only": (1.07,),
    "oracle": (0.5, 0.5),
    "stranger": (0.9,),
}


def write(folder, variant, seed, metrics, steps=100, **more):
    """One results.json."""
    path = folder / variant / f"seed-{seed}"
    path.mkdir(parents=True)
    known = {
        "experiment": "regda",
        "preset": "demo",
        "variant": variant,
        "seed": seed,
        "steps": steps,
    }
    (path / "results.json").write_text(json.dumps(known | {"metrics": metrics} | more))
    return path


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "runs of mine" / "regda" / "demo"
    for variant, values in VALUES.items():
        for seed, (pck, mae) in enumerate(zip(values, ERRORS[variant], strict=True)):
            run = write(
                folder,
                variant,
                seed,
                {
                    "target/pck": pck,
                    "target/pck/head": pck - 0.01,
                    "target/pck/left <foot>": "nan",
                    "target/mae": mae,
                },
                50 if variant == "adabn" else 100,
                images_per_second=1234.5,
                wall_seconds=65.0,
                devices={"backend": "cpu", "count": 2},
                versions={"jax": "0.10.2"},
                config={"model": {"width": 16}, "rate": 0.2 if variant == "adabn" else 0.1},
            )
            rows = [
                {
                    "step": step,
                    "stage": "x",
                    "loss/total": 1 / step,
                    "target/pck": step / 100,
                    "target/pck/head": 0.5,
                }
                for step in range(1, 101)
            ]
            (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
            write_png(run / "images" / "target_predictions.png", np.full((4, 4, 3), seed, np.uint8))
    (folder / "mcd" / "seed-0").mkdir(parents=True)
    (folder / "stages" / "pretraining" / "seed-0").mkdir(parents=True)
    return folder


# Numbers


def test_mean_deviation_and_the_best_among_the_rows_that_compete(folder):
    lines = {line.entry.variant: line for line in report.tabulate(folder, ENTRIES, COLUMNS)}
    assert list(lines) == ["regda", "source_only", "dann", "mcd", "adabn", "oracle"]
    regda = lines["regda"].cells[0]
    assert regda.mean == pytest.approx((90 + 92 + 97) / 3)
    assert regda.deviation == pytest.approx(math.sqrt((3.0**2 + 1.0**2 + 4.0**2) / 2))
    assert [
        report.cell_text(lines[name].cells[0], PCK) for name in ("regda", "source_only", "dann")
    ] == ["93.0 ± 3.6", "30.0", "–"]
    best = {name: line.best for name, line in lines.items()}
    assert (best["oracle"], best["regda"], best["adabn"]) == (
        (False, False),
        (True, False),
        (False, True),
    )
    # 1.07 prints as 1.1, and what prints as 1.1 is equally good; adabn's 1.0 is better than both.
    alike = report.tabulate(folder, ENTRIES, (MAE._replace(decimals=1),))
    assert [line.entry.variant for line in alike if line.best[0]] == ["adabn"]
    assert not any(line.best[0] for line in report.tabulate(folder, ENTRIES[:1], (PCK,)))
    # where all print the same number, none is best
    equal = report.tabulate(folder, ENTRIES, (PCK._replace(factor=0.0),))
    assert not any(line.best[0] for line in equal)


def test_tuning_seeds_never_enter_a_mean_with_others(tmp_path):
    for seed, value in ((0, 0.8), (1, 0.82), (100, 0.2)):
        write(tmp_path, "regda", seed, {"target/pck": value})
    found = [report.tabulate(tmp_path, ENTRIES, (PCK,), tuning) for tuning in (False, True)]
    means = [
        next(line for line in lines if line.entry.variant == "regda").cells[0].mean
        for lines in found
    ]
    assert means == pytest.approx([81, 20])


def test_a_value_that_is_not_finite_is_never_averaged_away(folder):
    write(folder, "dann", 0, {"target/pck": 0.99})
    write(folder, "dann", 1, {"target/pck": "nan"})  # as strict JSON holds it
    line = next(
        line for line in report.tabulate(folder, ENTRIES, (PCK,)) if line.entry.variant == "dann"
    )
    assert report.cell_text(line.cells[0], PCK) == "undefined in 1 of 2"
    assert not line.best[0]


def test_history_reads_the_last_stage_and_survives_a_broken_line(tmp_path):
    rows = [
        {"step": 5, "stage": "pretraining", "loss/total": 9.0},
        {"step": 1, "stage": "adaptation", "loss/total": 2.0},
        {"step": 2, "stage": "adaptation", "loss/total": "nan", "target/pck": 0.5},
        {"step": 3, "stage": "adaptation", "loss/total": 1.0},
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)) + '\n{"step": 4, "los')
    assert read_history(tmp_path) == {
        "loss/total": [(1.0, 2.0), (3.0, 1.0)],
        "target/pck": [(2.0, 0.5)],
    }
    assert read_history(tmp_path / "nowhere") == {}


def test_a_difference_is_paired_and_has_an_interval(tmp_path):
    """Differences of 1, 2 and 3: 2, and t = 4.303 times a standard error of 1 / sqrt(3).

    A pair needs both.
    """

    def runs(name, count=3):
        return runs_in([tmp_path / name / f"seed-{seed}" for seed in range(count)])

    assert (
        report.difference_text(report.paired_differences(runs("one"), runs("other"), "score"), 3)
        == "not run"
    )
    for seed in range(3):
        write(tmp_path, "one", seed, {"score": 10.0 * seed + seed + 1}, steps=1)
        if seed:
            write(tmp_path, "other", seed, {"score": 10.0 * seed})
    assert (
        report.difference_text(
            report.paired_differences(runs("one", 2), runs("other", 2), "score"), 2
        )
        == "+2.0 (1 of 2)"
    )
    write(tmp_path, "other", 0, {"score": 0.0})
    assert (values := report.paired_differences(runs("one"), runs("other"), "score")) == [1, 2, 3]
    assert report.difference_text(values, 3, decimals=2) == "+2.00 [-0.48, +4.48]"
    assert report.difference_text([0.8064, 0.8065, 0.8064], 3) == "+0.8"  # equal but for rounding
    assert report.cost_text(runs("one")) == "1 steps, 0 images, 0 s"


def test_numbers_at_a_half_print_alike_whatever_summed_them():
    """The sum in order, as older Pythons have it, is below the half, the exact one at it."""
    seconds = [209.9, 178.7, 156.7, 70.9, 71.3]
    in_order = 0.0
    for one in seconds:
        in_order += one
    assert in_order / 5 < 137.5 == math.fsum(seconds) / 5
    assert report.decimal_text(in_order / 5, ",.0f") == "138"
    assert report.decimal_text(math.fsum(seconds) / 5, ",.0f") == "138"
    for value, form, text in (
        (136.5, ".0f", "136"),  # to the even neighbour
        (math.nextafter(136.5, 137), ".0f", "136"),
        (2.675, ".2f", "2.68"),  # whose binary neighbour is below
        (0.05, "+.1f", "+0.0"),
        (-0.15, "+.1f", "-0.2"),
        (1234567.5, ",.0f", "1,234,568"),
        (136.5000001, ".0f", "137"),
        (math.nan, "+.1f", "+nan"),
        (math.inf, ".1f", "inf"),
    ):
        assert report.decimal_text(value, form) == text


# A report


def rows_of_page(text):
    """The words of the cells of every table row."""
    return [
        [
            unescape(re.sub("<.*?>", "", cell)).strip()
            for cell in re.findall("<t[dh].*?>(.*?)</t[dh]>", row, re.S)
        ]
        for row in re.findall("<tr.*?>(.*?)</tr>", text, re.S)
    ]


def test_a_report_has_ours_beside_the_papers_by_keypoint_and_escaped(folder):
    path = report.write_report(
        folder,
        report.tabulate(folder, ENTRIES, COLUMNS),
        COLUMNS,
        title=f"A title {NASTY}",
        summary="Its summary.",
        commands=["python -m experiments.regda demo --workdir 'runs of mine' && echo <done>"],
    )
    assert path == folder / "report.html"
    text = path.read_text()
    rows = rows_of_page(text)
    assert [f"{NASTY}a & b", "3", "93.0 ± 3.6", "72.5", "1.07 ± 0.04"] in rows
    assert ["dann", "not run", "–", "–", "–"] in rows
    assert any(row[0] == "head" and row[1] == "92.0 ± 3.6" for row in rows)
    assert any(row[0] == "left <foot>" and row[1] == "undefined in 3 of 3" for row in rows)
    assert "Its summary." in text
    for word in ("<script", "https://", "http://", "@import"):
        assert word not in text
    assert not re.search("""(src|href)=["'](?!data:)""", text)


# Numbers that the papers print


@pytest.mark.parametrize(
    "name", sorted(path.parent.name for path in module.PAPERS.glob("*/paper.txt"))
)
def test_every_line_is_of_a_preset_and_a_variant(name):
    experiment = importlib.import_module(f"experiments.{name}").EXPERIMENT
    assert lines_of(name)
    for line in lines_of(name):
        assert line.numbers, line
        assert (
            line.keys.get("variant", next(iter(experiment.paper.variants)))
            in experiment.paper.variants
        ), line
        assert any(
            fnmatchcase(preset, line.keys.get("preset", "*")) for preset in experiment.presets
        ), line


# What is printed beside no column: deviations of printed means, a difference of two rows, and of
# Frozen-core adaptation curves, of which the table shows three points.
WITHOUT_COLUMN = {
    "semi_supervised": ("deviation", "test/pck/less_sskl"),
    "adaptation": ("forward/*", "backward/*", "consistency/rank_*"),
}


@pytest.mark.parametrize(
    "name", sorted(path.parent.name for path in module.PAPERS.glob("*/paper.txt"))
)
def test_every_printed_number_stands_beside_a_column(name):
    """Of each preset that a line is of."""
    experiment = importlib.import_module(f"experiments.{name}").EXPERIMENT
    alone = set()
    for preset, config in experiment.presets.items():
        columns = {column.metric for column in experiment.paper.columns(config)}
        for line in lines_of(name):
            if fnmatchcase(preset, line.keys.get("preset", "*")):
                alone |= line.numbers.keys() - columns
    known = WITHOUT_COLUMN.get(name, ())
    assert not {metric for metric in alone if not any(fnmatchcase(metric, one) for one in known)}
    assert all(any(fnmatchcase(metric, one) for metric in alone) for one in known)


def test_the_first_table_counts_and_no_line_has_keys_that_were_not_given(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PAPERS", tmp_path)
    (tmp_path / "made_up").mkdir()
    (tmp_path / "made_up" / "paper.txt").write_text(
        "A paper\n\n[one]\nA remark.\n\nvariant share | a b\nsskl 0.5 | 1 -\nall * | 2 3\n\n"
        "[two]\nvariant | a b\nsskl | 4 5\n"
    )
    assert paper_numbers("made_up", variant="sskl", share=0.5) == {"a": 1.0, "b": 5.0}
    assert paper_numbers("made_up", variant="sskl") == {"a": 4.0, "b": 5.0}
    assert paper_numbers("made_up", variant="all", share=10) == {"a": 2.0, "b": 3.0}
    assert (
        paper_numbers("made_up", variant="all") == paper_numbers("no_paper", variant="sskl") == {}
    )
