"""The page about one's own run: what it shows of the runs in a folder, nothing cut or fetched."""
import json
import shlex

import numpy as np
import pytest
from test_pixel_errors import NAMES, made

from kpjax.lab.out.reports.pixel_errors import TRAINED, joined, write_errors
from kpjax.lab.own.report import own_report, unknown_of
from kpjax.systems.reports.report import Column, Entry, tabulate

COLUMNS = (Column("test/pck", "PCK", "%", 100.0), Column("test/equivariance_px", "equivariance error", "px of 128"))
COMMAND = shlex.join(["kpjax", "train", "--project", "/home/me/my data/mice"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two variants' runs, whose images are not there any more, and a video of predictions."""
    folder = tmp_path_factory.mktemp("my runs") / "semi_supervised" / "own"
    for variant, error in (("supervised_warped", 4.0), ("ours", 5.0)):
        run = folder / variant / "seed-0"
        run.mkdir(parents=True)
        (run / "results.json").write_text(json.dumps({
            "experiment": "semi_supervised", "preset": "own", "variant": variant, "seed": 0, "steps": 300,
            "config": {}, "metrics": {"test/pck": 0.864, "test/equivariance_px": 1.25, "held_out/px": error}}))
        (run / "config.json").write_text(json.dumps({"config": {}}))
        (run / "skeleton.json").write_text(json.dumps({"names": NAMES, "edges": [], "flip": [], "groups": {}}))
        write_errors(run, joined([made(np.full((12, 3), error), folder="<b>"), made(
            np.full((20, 3), 3.5), part=TRAINED, first=50)]), 0.25)
        rows = [{"step": step, "loss/total": 1 / step, "validation/distance": 9 - step / 100, "validation/pck": 0.5}
                for step in (100, 200, 300)]
        (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "points").mkdir()
    (folder / "points" / "a video_overlay.mp4").touch()
    return folder


def test_the_best_run_is_shown_in_pixels_with_videos_beside_the_page_and_nothing_is_fetched(folder, capsys):
    lines = tabulate(folder, [Entry("ours", "method"), Entry("supervised_warped", "control")], COLUMNS)
    page = own_report(folder, lines, COLUMNS, summary="mice, 20 animals", notes=["MobileNetV2"], command=COMMAND)
    text, said = page.read_text(), capsys.readouterr().out
    assert "This page shows supervised_warped" in text
    for shown in (text, said):
        assert "the mean error is 4.0 px" in shown
        assert "cannot be known" not in shown
    assert "no pictures in the report: " in said
    assert '<video controls loop preload="metadata" src="points/a%20video_overlay.mp4"' in text
    for word in ("<script", "http://", "https://", "@import", "<b>/"):
        assert word not in text
    assert own_report(folder, [], COLUMNS, summary="", notes=[], command=COMMAND) is None


@pytest.mark.parametrize(("data", "known"), [({"target": "V", "source": "P"}, False),
                                             ({"target": "V", "target_project": "Q"}, True), ({}, True)])
def test_without_labels_of_the_target_it_says_what_cannot_be_known(folder, data, known, capsys):
    (folder / "ours" / "seed-0" / "config.json").write_text(json.dumps({"config": {"data": data}}))
    assert (not unknown_of(folder / "ours" / "seed-0")) == known
    if not known:
        lines = tabulate(folder, [Entry("ours", "method")], COLUMNS)
        page = own_report(folder, lines, COLUMNS, summary="", notes=[], command=COMMAND).read_text()
        for text in (page, " ".join(capsys.readouterr().out.split())):
            assert "cannot be known" in text
            assert "All errors above are of the source" in text
