"""The page about one's own run: pixels and words first, what few ask for folded away, nothing cut or fetched."""
import json
import shlex

import numpy as np
import pytest
from test_pixel_errors import made

from kpjax.lab.out.reports.pixel_errors import TRAINED, joined
from kpjax.lab.own.report import Film, OwnRun, Picture, films_in, unknown_of, write_own_report
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


def test_without_labels_of_the_target_it_says_what_cannot_be_known(folder, tmp_path):
    for data, said in (({"target": "V", "source": "P"}, True), ({"target": "V", "target_project": "Q"}, False),
                       ({}, False)):
        (tmp_path / "config.json").write_text(json.dumps({"config": {"data": data}}))
        unknown = unknown_of(tmp_path)
        assert bool(unknown) == said
        assert not said or "cannot be known" in page_of(folder, unknown=unknown)


def test_videos_are_played_from_beside_the_page_and_nothing_is_fetched(folder, text):
    assert '<video controls loop preload="metadata" src="points/a%20video_overlay.mp4"' in text
    for word in ("<script", "http://", "https://", "@import"):
        assert word not in text
    (folder / "points").mkdir()
    (folder / "points" / "a video_overlay.mp4").touch()
    assert [film.path for film in films_in(folder)] == ["points/a video_overlay.mp4"]
