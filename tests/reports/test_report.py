"""What a report says, and that nothing in it is invented, broken by odd names, or fetched from elsewhere."""
import base64
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from kpjax.drawing.overlays import write_png
from kpjax.reports.report import described, duration, write_report
from kpjax.reports.table import Column, Entry, tabulate

NASTY = "<script>alert('&')</script>"
ENTRIES = (Entry("ours", "method", NASTY, {"target/pck": 72.5}, note="a & b"), Entry("other", "baseline"),
           Entry("later", "baseline"), Entry("oracle", "oracle"))
COLUMNS = (Column("target/pck", "PCK", "%", 100.0), Column("target/mae", "MAE", "px", decimals=2, better="lower"))
EMPTY = {"meta", "br", "img"}


class Page(HTMLParser):
    """Checks that tags nest, and keeps the text and the cells of every table row."""

    def __init__(self, text):
        super().__init__()
        self.open, self.texts, self.rows, self.attributes = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.attributes += attributes
        if tag not in EMPTY:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attributes):
        self.attributes += attributes

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.texts.append(data)
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


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
            with (run / "metrics.jsonl").open("w") as file:
                for step in range(1, 101):
                    file.write(json.dumps({"step": step, "stage": "x", "loss/total": 1 / step, "target/pck": step / 100,
                                           "target/pck/head": 0.5}) + "\n")
    write_png(folder / "ours" / "seed-0" / "images" / "target_predictions.png", np.zeros((4, 4, 3), np.uint8))
    write_png(folder / "ours" / "seed-1" / "images" / "target_predictions.png", np.ones((4, 4, 3), np.uint8))
    return folder


@pytest.fixture(scope="module")
def text(folder):
    path = write_page(folder, title=f"A title {NASTY}", summary="Its summary.",
                        commands=["python -m experiments.regda demo --workdir 'runs of mine' && echo <done>"])
    assert path == folder / "report.html"
    return path.read_text()


def write_page(folder, **options):
    return write_report(folder, tabulate(folder, ENTRIES, COLUMNS), COLUMNS, **options)


def test_the_table_has_ours_beside_the_papers_and_says_what_was_not_run(text):
    rows = [[cell.strip() for cell in row] for row in Page(text).rows]
    assert ["variant", "seeds", "PCK (%)", "paper", "MAE (px)"] in rows
    assert [NASTY + "a & b", "2", "91.0 ± 1.4", "72.5", "0.09 ± 0.01"] in rows
    assert ["other", "2", "51.0 ± 1.4", "–", "0.49 ± 0.01"] in rows
    assert ["later", "not run", "–", "–", "–"] in rows
    assert [row[0] for row in rows if len(row) == 1] == ["Method", "Baselines", "Upper bounds"]
    assert '<td class="best">91.0 ± 1.4</td>' in text
    assert '<td class="best">96.0 ± 1.4</td>' not in text  # an upper bound competes with nobody


def test_keypoints_have_a_table_of_their_own(text):
    rows = [[cell.strip() for cell in row] for row in Page(text).rows]
    assert ["keypoint", NASTY, "other", "oracle"] in rows
    assert ["head", "90.0 ± 1.4", "50.0 ± 1.4", "95.0 ± 1.4"] in rows
    assert ["left <foot>"] + ["undefined in 2 of 2"] * 3 in rows


def test_it_is_one_file_without_scripts_and_with_every_name_escaped(text):
    page = Page(text)
    assert "<script" not in text
    assert NASTY in "".join(page.texts)
    assert "https://" not in text
    assert "http://" not in text
    assert [value for name, value in page.attributes if name in ("src", "href") and not value.startswith("data:")] == []
    assert "@import" not in text
    assert "prefers-color-scheme: dark" in text


def test_images_of_the_lowest_seed_are_inside(folder, text):
    found = re.findall(r"data:image/png;base64,([^\"]+)", text)
    expected = folder / "ours" / "seed-0" / "images" / "target_predictions.png"
    assert [base64.b64decode(data) for data in found] == [expected.read_bytes()]
    none = write_page(folder, title="", images={"other": "Others"}).read_text()
    assert "base64" not in none
    captioned = write_page(folder, title="",
                             images={"target_predictions": "Rings are <true>"}).read_text()
    assert "Rings are &lt;true&gt;" in captioned


def test_curves_of_metrics_and_losses_but_not_of_keypoints(folder, text):
    titles = re.findall(r"<title>([^<]*) over steps</title>", text)
    assert titles == ["target/pck", "loss/total"]
    chosen = write_page(folder, title="", curves=["loss/total", "nothing"]).read_text()
    assert re.findall(r"<title>([^<]*) over steps</title>", chosen) == ["loss/total"]


def test_what_a_reader_must_know_to_compare_and_to_repeat(text):
    said = "".join(Page(text).texts)
    assert "Not all runs have the same number of optimizer steps: 100 in most; 50 in other." in said
    assert "In this folder but not in the table: stranger." in said
    assert "runs of mine' && echo <done>" in said
    assert "backend cpu, count 2; jax 0.10.2" in said
    rows = Page(text).rows
    assert [NASTY, "0", "100", "1,234", "1 min 05 s"] in rows
    assert ["model.width", "16"] in rows
    assert ["rate", "0.2"] in rows


def test_a_folder_without_any_run_gives_a_page_that_says_so(tmp_path):
    folder = tmp_path / "regda" / "demo"
    folder.mkdir(parents=True)
    text = write_page(folder, title="Empty").read_text()
    assert "no finished run" in text
    assert text.count("not run") == 4
    assert "<svg" in text  # the paper's number alone


def test_words_for_values():
    assert described({"kind": "cpu", "list": [1, None, "x"]}) == "kind cpu, list 1, , x"
    assert [duration(s) for s in (0.25, 42, 65.2, 7805)] == ["0.2 s", "42 s", "1 min 05 s", "2 h 10 min"]
