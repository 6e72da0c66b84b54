"""What a report says, and that nothing in it is invented, broken by odd names, or fetched from elsewhere."""
import base64
import json
import re

import numpy as np
import pytest
from pages import Page

from kpjax.drawing.overlays import write_png
from kpjax.systems.reports.report import described, duration, write_report
from kpjax.systems.reports.table import Column, Entry, tabulate

NASTY = "<script>alert('&')</script>"
ENTRIES = (Entry("ours", "method", NASTY, {"target/pck": 72.5}, note="a & b"), Entry("other", "baseline"),
           Entry("later", "baseline"), Entry("oracle", "oracle"))
COLUMNS = (Column("target/pck", "PCK", "%", 100.0), Column("target/mae", "MAE", "px", decimals=2, better="lower"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs of mine") / "regda" / "demo"
    for variant, level in (("ours", 0.9), ("other", 0.5), ("oracle", 0.95), ("stranger", 0.1)):
        for seed in range(2):
            run = folder / variant / f"seed-{seed}"
            run.mkdir(parents=True)
            pck = level + 0.02 * seed
            (run / "results.json").write_text(json.dumps({
                "experiment": "regda", "preset": "demo", "variant": variant, "seed": seed,
                "steps": 100 if variant != "other" else 50,
                "metrics": {"target/pck": pck, "target/pck/head": pck - 0.01, "target/pck/left <foot>": "nan",
                            "target/mae": 1 - pck},
                "images_per_second": 1234.5, "wall_seconds": 65.0, "devices": {"backend": "cpu", "count": 2},
                "versions": {"jax": "0.10.2"},
                "config": {"model": {"width": 16}, "rate": 0.1 if level > 0.6 else 0.2}}))
            rows = [{"step": step, "stage": "x", "loss/total": 1 / step, "target/pck": step / 100,
                     "target/pck/head": 0.5} for step in range(1, 101)]
            (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_png(folder / "ours" / "seed-0" / "images" / "target_predictions.png", np.zeros((4, 4, 3), np.uint8))
    write_png(folder / "ours" / "seed-1" / "images" / "target_predictions.png", np.ones((4, 4, 3), np.uint8))
    return folder


@pytest.fixture(scope="module")
def text(folder):
    path = write_report(folder, tabulate(folder, ENTRIES, COLUMNS), COLUMNS, title=f"A title {NASTY}",
                        summary="Its summary.",
                        commands=["python -m experiments.regda demo --workdir 'runs of mine' && echo <done>"])
    assert path == folder / "report.html"
    return path.read_text()


def test_the_tables_have_ours_beside_the_papers_and_say_what_was_not_run(text):
    rows = [[cell.strip() for cell in row] for row in Page(text).rows]
    for row in (["variant", "seeds", "PCK (%)", "paper", "MAE (px)"],
                [NASTY + "a & b", "2", "91.0 ± 1.4", "72.5", "0.09 ± 0.01"],
                ["other", "2", "51.0 ± 1.4", "–", "0.49 ± 0.01"], ["later", "not run", "–", "–", "–"],
                ["keypoint", NASTY, "other", "oracle"], ["head", "90.0 ± 1.4", "50.0 ± 1.4", "95.0 ± 1.4"],
                ["left <foot>"] + ["undefined in 2 of 2"] * 3):
        assert row in rows
    assert [row[0] for row in rows if len(row) == 1] == ["Method", "Baselines", "Upper bounds"]
    assert '<td class="best">91.0 ± 1.4</td>' in text
    assert '<td class="best">96.0 ± 1.4</td>' not in text  # an upper bound competes with nobody


def test_it_is_one_file_without_scripts_and_with_every_name_escaped(text):
    page = Page(text)
    assert NASTY in "".join(page.texts)
    for word in ("<script", "https://", "http://", "@import"):
        assert word not in text
    assert [value for name, value in page.attributes if name in ("src", "href") and not value.startswith("data:")] == []
    assert "prefers-color-scheme: dark" in text


def test_images_of_the_lowest_seed_and_charts_are_inside(folder, text):
    found = re.findall(r"data:image/png;base64,([^\"]+)", text)
    expected = folder / "ours" / "seed-0" / "images" / "target_predictions.png"
    assert [base64.b64decode(data) for data in found] == [expected.read_bytes()]
    assert re.findall(r'class="chart" alt="([^"]*)"', text) == [
        "PCK (%)", "target/pck over steps", "loss/total over steps"]  # none of keypoints


def test_what_a_reader_must_know_to_compare_and_to_repeat(text):
    said = "".join(Page(text).texts)
    assert f"the same number of optimizer steps: {NASTY} 100; other 50; oracle 100." in said
    assert "In this folder but not in the table: stranger." in said
    assert "runs of mine' && echo <done>" in said
    assert "backend cpu, count 2; jax 0.10.2" in said
    rows = Page(text).rows
    for row in ([NASTY, "0", "100", "1,234", "1 min 05 s"], ["model.width", "16"], ["rate", "0.2"]):
        assert row in rows
    assert described({"kind": "cpu", "list": [1, None, "x"]}) == "kind cpu, list 1, , x"
    assert [duration(s) for s in (0.25, 42, 65.2, 7805)] == ["0.2 s", "42 s", "1 min 05 s", "2 h 10 min"]


def test_a_folder_without_any_run_gives_a_page_that_says_so(tmp_path):
    text = write_report(tmp_path, tabulate(tmp_path, ENTRIES, COLUMNS), COLUMNS, title="Empty").read_text()
    assert "no finished run" in text
    assert text.count("not run") == 4
    assert 'class="chart"' in text  # the paper's number alone
