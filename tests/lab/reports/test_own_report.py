"""The page about one's own run: pixels and words first, what few ask for folded away, nothing cut or fetched."""
import base64
import json
import re
import shlex

import numpy as np
import pytest
from pages import Page
from test_pixel_errors import NAMES, made

from kpjax.lab.out.reports.pixel_errors import TRAINED, joined
from kpjax.lab.own.report import Film, OwnRun, Picture, films_in, write_own_report
from kpjax.systems.reports.table import Column, Entry, tabulate

LONG = "a recording with a long name_2018-08-30/img0000000001 <b>.png"
COLUMNS = (Column("test/pck", "PCK", "%", 100.0), Column("test/equivariance_px", "equivariance error", "px of 128"))
COMMAND = shlex.join(["kpjax", "train", "--project", "/home/me/my data/mice"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("my runs") / "semi_supervised" / "own"
    for variant in ("supervised_warped", "ours"):
        run = folder / variant / "seed-0"
        run.mkdir(parents=True)
        (run / "results.json").write_text(json.dumps({
            "experiment": "semi_supervised", "preset": "own", "variant": variant, "seed": 0, "steps": 300,
            "metrics": {"test/pck": 0.864, "test/equivariance_px": 1.25, "held_out/px": 4.0 if "_" in variant else 5.0},
            "config": {"rate": 0.1}}))
        rows = [{"step": step, "loss/total": 1 / step, "validation/distance": 9 - step / 100, "validation/pck": 0.5}
                for step in (100, 200, 300)]
        (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def page_of(folder, variants=("supervised_warped",), cutoff=0.25, **more):
    lines = tabulate(folder, [Entry(name, {"ours": "method"}.get(name, "control")) for name in variants], COLUMNS)
    scores = np.ones((12, 3))
    scores[:3, 1] = 0.1
    animals = joined([made(np.full((12, 3), 4.0), scores=scores), made(np.full((20, 3), 3.5), part=TRAINED, first=50)])
    run = OwnRun(lines[-1], animals, cutoff, folder / "supervised_warped" / "seed-0")
    picture = Picture(LONG, "mean error 4.0 px", b"labels", b"predictions")
    return write_own_report(folder, run, lines, COLUMNS, summary="mice, 20 animals", notes=["MobileNetV2"], **{
        "worst": [picture], "others": [picture], "films": [Film("points/a video_overlay.mp4", "predicted", b"x")],
        "commands": {"again:": COMMAND}} | more).read_text()


@pytest.fixture(scope="module")
def text(folder):
    return page_of(folder)


def test_words_and_pixels_come_first_and_what_a_biologist_does_not_know_is_folded(text):
    page = Page(text)
    said = "".join(page.texts)
    assert said.index("the mean error is 4.0 px") < said.index("What would help most") < said.index("Errors in pixels")
    rows = [[cell.strip() for cell in row] for row in page.rows]
    assert ["", "held out: 12 frames", "trained on: 20 frames"] in rows
    assert ["left ear", "12", "4.0", "4.0", "4.0", "3", "20", "3.5", "3.5", "3.5", "0"] in rows
    for words in ("median, px", "mean, px", "shown, px", "score of at least 0.25 (the cutoff)"):
        assert words in said
    shown = re.sub(r"<details>.*?</details>", "", text, flags=re.DOTALL).partition("</style>")[2]
    for word in ("equivariance", "gradient", "config", "images/s", "Best control", "no finished run", "All variants"):
        assert word not in shown


def test_curves_have_units_the_command_can_be_pasted_and_pictures_have_whole_names(text):
    assert "<b>Mean error on held-out frames</b>, px of the original images" in text
    assert re.findall(r'alt="([^"]*) over steps"', text)[:3] == [
        "Mean error on held-out frames", "Held-out points found (PCK)", "What training makes small (loss)"]
    assert "<pre>kpjax train --project &#39;/home/me/my data/mice&#39;</pre>" in text
    assert text.count(f"<b>{LONG.replace('<', '&lt;').replace('>', '&gt;')}</b>") == 2
    found = [base64.b64decode(data) for data in re.findall(r'src="data:image/jpeg;base64,([^"]+)"', text)]
    assert found == [b"labels", b"predictions"] * 2
    assert all(f'"></i>{name}</span>' in text for name in NAMES)  # the legend


def test_videos_are_played_from_beside_the_page_and_nothing_is_fetched(folder, text):
    assert '<video controls loop preload="metadata" src="points/a%20video_overlay.mp4"' in text
    for word in ("<script", "http://", "https://", "@import"):
        assert word not in text
    (folder / "points").mkdir()
    (folder / "points" / "a video_overlay.mp4").touch()
    assert [film.path for film in films_in(folder)] == ["points/a video_overlay.mp4"]


def test_several_variants_are_compared_in_pixels(folder):
    text = page_of(folder, ("ours", "supervised_warped"), cutoff=-np.inf, worst=[], others=[])
    page = Page(text)
    rows = [[cell.strip() for cell in row] for row in page.rows]
    assert ["supervised_warped", "1", "4.0", "–", "–"] in rows
    assert ["ours", "1", "5.0", "–", "–"] in rows
    assert "This page shows supervised_warped, which has the smallest held-out error." in "".join(page.texts)
    assert "There is no cutoff: all points are shown." in text
    assert "Largest errors" not in text
