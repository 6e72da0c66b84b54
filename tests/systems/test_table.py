"""The numbers of a table: means, deviations, what is best, what is missing, and what the report says in words."""
import json
import math

import pytest

from kpjax.errors import InputError
from kpjax.systems.reports.report import finding, leaders, seeds_ahead
from kpjax.systems.reports.table import (
    Column,
    Entry,
    cell_text,
    read_history,
    read_run,
    read_variants,
    tabulate,
    text_table,
)

PCK = Column("target/pck", "PCK", "%", 100.0)
MAE = Column("target/mae", "MAE", "px", decimals=2, better="lower")
ENTRIES = (
    Entry("oracle", "oracle"), Entry("adabn", "control"), Entry("source_only", "baseline", paper={"target/pck": 61.8}),
    Entry("regda", "method", "RegDA", {"target/pck": 72.5}), Entry("dann", "baseline"), Entry("mcd", "baseline"))


def write(folder, variant, seed, metrics, steps=100, **more):
    """One results.json."""
    path = folder / variant / f"seed-{seed}"
    path.mkdir(parents=True)
    (path / "results.json").write_text(json.dumps({
        "experiment": "regda", "preset": "demo", "variant": variant, "seed": seed, "steps": steps, "metrics": metrics,
    } | more))
    return path


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "regda" / "demo"
    for seed, value in enumerate((0.90, 0.92, 0.97)):
        write(folder, "regda", seed, {"target/pck": value, "target/mae": 2 - value})
    for seed, value in enumerate((0.80, 0.70, 0.98)):
        write(folder, "adabn", seed, {"target/pck": value, "target/mae": 1.0})
    write(folder, "source_only", 0, {"target/pck": 0.3, "target/mae": 1.07})
    for seed in range(2):
        write(folder, "oracle", seed, {"target/pck": 1.0, "target/mae": 0.5})
    (folder / "mcd" / "seed-0").mkdir(parents=True)
    (folder / "stages" / "pretraining" / "seed-0").mkdir(parents=True)
    return folder


def test_mean_and_deviation_over_seeds(folder):
    lines = {line.entry.variant: line for line in tabulate(folder, ENTRIES, (PCK, MAE))}
    assert list(lines) == ["regda", "source_only", "dann", "mcd", "adabn", "oracle"]
    regda = lines["regda"].cells[0]
    assert regda.mean == pytest.approx((90 + 92 + 97) / 3)
    assert regda.deviation == pytest.approx(math.sqrt((3.0**2 + 1.0**2 + 4.0**2) / 2))
    assert cell_text(regda, PCK) == "93.0 ± 3.6"
    assert cell_text(lines["source_only"].cells[0], PCK) == "30.0"
    assert cell_text(lines["dann"].cells[0], PCK) == "–"


def test_the_best_of_a_column_is_among_the_rows_that_compete(folder):
    best = {line.entry.variant: line.best for line in tabulate(folder, ENTRIES, (PCK, MAE))}
    assert best["oracle"] == (False, False)
    assert best["regda"] == (True, False)
    assert best["adabn"] == (False, True)  # lower is better
    alike = tabulate(folder, ENTRIES, (MAE._replace(decimals=1),))
    # 1.07 prints as 1.1, and what prints as 1.1 is equally good; adabn's 1.0 is better than both.
    assert [line.entry.variant for line in alike if line.best[0]] == ["adabn"]
    assert not any(line.best[0] for line in tabulate(folder, ENTRIES[:1], (PCK,)))


def test_text_table_shows_what_is_missing_and_the_papers_numbers(folder):
    text = text_table(tabulate(folder, ENTRIES, (PCK, MAE)), (PCK, MAE))
    lines = {line.split("  ")[1].strip() if line.startswith("  ") else line: line.split() for line in text.splitlines()}
    assert lines["RegDA"] == ["RegDA", "3", "93.0", "±", "3.6", "*", "72.5", "1.07", "±", "0.04"]
    assert lines["source_only"] == ["source_only", "1", "30.0", "61.8", "1.07"]
    assert lines["dann"] == ["dann", "not", "run", "–", "–", "–"]
    assert lines["mcd"] == ["mcd", "unfinished", "–", "–", "–"]
    assert [line for line in text.splitlines()[1:] if not line.startswith(" ")] == [
        "method", "baselines", "controls", "upper bounds"]
    assert "PCK (%)" in text
    assert "MAE (px)" in text


def test_a_value_that_is_not_finite_is_never_averaged_away(folder):
    write(folder, "dann", 0, {"target/pck": 0.99})
    write(folder, "dann", 1, {"target/pck": "nan"})  # as strict JSON holds it
    line = next(line for line in tabulate(folder, ENTRIES, (PCK,)) if line.entry.variant == "dann")
    assert cell_text(line.cells[0], PCK) == "undefined in 1 of 2"
    assert not line.best[0]


def test_the_finding_compares_with_the_best_control_and_the_bound(folder):
    lines = tabulate(folder, ENTRIES, (PCK, MAE))
    best = leaders(lines, PCK)
    assert {kind: line.entry.variant for kind, line in best.items()} == {
        "method": "regda", "baseline": "source_only", "control": "adabn", "oracle": "oracle"}
    assert seeds_ahead(best["method"], best["control"], PCK) == (2, 3)
    text = finding(lines, PCK)
    for words in ("93.0 ± 3.6 %", "the best control (adabn) on 2 of 3 seeds",
                  "the best baseline (source_only) on 1 of 1 seed", "The upper bound: oracle: 100.0"):
        assert words in text
    alone = tabulate(folder, [Entry("adabn", "control")], (PCK,))  # all that was asked for
    assert finding(alone, PCK) == "adabn: 82.7 ± 14.2 % PCK."
    both = tabulate(folder, [Entry("adabn", "control"), Entry("mcd", "method")], (PCK,))
    assert "no finished run" in finding(both, PCK)


def test_results_that_cannot_be_used_are_named(folder):
    path = folder / "regda" / "seed-1" / "results.json"
    whole = path.read_text()
    for broken, message in ((whole[:40], "cannot be read"), ("[]", "holds no object"), ("{}", "lacks experiment"),
                            (whole.replace("0.92", '"high"'), "target/pck is not what a run writes")):
        path.write_text(broken)
        with pytest.raises(InputError, match=message) as caught:
            read_variants(folder)
        assert str(path) in str(caught.value)
    with pytest.raises(InputError, match="not a finished run"):
        read_run(folder / "mcd" / "seed-0")


def test_history_reads_the_last_stage_and_survives_a_broken_line(tmp_path):
    rows = [{"step": 5, "stage": "pretraining", "loss/total": 9.0},
            {"step": 1, "stage": "adaptation", "loss/total": 2.0},
            {"step": 2, "stage": "adaptation", "loss/total": "nan", "target/pck": 0.5},
            {"step": 3, "stage": "adaptation", "loss/total": 1.0}]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)) + '\n{"step": 4, "los')
    assert read_history(tmp_path) == {"loss/total": [(1.0, 2.0), (3.0, 1.0)], "target/pck": [(2.0, 0.5)]}
    assert read_history(tmp_path / "nowhere") == {}
