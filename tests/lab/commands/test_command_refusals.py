"""What the commands refuse, each in one line that names the flag or the file; nothing is
written."""

import shlex
import shutil

import numpy as np
import pytest
from brightest import as_system, write_run
from PIL import Image

from kpjax.errors import InputError
from kpjax.images.video import write_video
from kpjax.lab.commands import run_command

POINTS = "video,frame,instance,keypoint,x,y,score,status\n"
FILES = {
    "earlier/points.csv": POINTS,
    "boxes.csv": "image,x,y,w,h\nother.png,1,1,5,5\n",
    "text.mp4": "text",
    "pair.csv": "video,frame,instance,x,y,w,h\n"
    + "".join(f"clip.mp4,{n},{a},1,1,9,9\n" for n in (0, 1) for a in "ab"),
    "images/labels.csv": "image,keypoint,x,y\na.png,tail,5,5\n",
}
REFUSED = (  # what is typed, in which RUN is a finished run; a part of the line
    ("predict RUN nowhere", "does not exist"),
    ("predict RUN empty", "no image or video in"),
    ("predict nowhere images", "is no folder"),
    ("predict empty images", "not a run's folder"),
    ("predict runs/brightest/demo/spot images", "seed-0"),
    ("predict runs/brightest images", "brightest/demo/spot/seed-0"),
    ("predict all_systems images", "all_systems/brightest/demo/spot/seed-0"),
    ("predict runs/unfinished images", "not finished"),
    ("predict runs/unknown images", "'os.path' is unknown"),
    ("predict RUN images --out earlier", "--overwrite"),
    ("predict RUN images --batch-size 0", "--batch-size: 0; must be at least 1"),
    ("predict RUN images --frames 0:2", "selects frames of videos, and the inputs are images only"),
    ("predict RUN images/a.png points.mp4", "points.csv would hold two inputs"),
    ("predict RUN text.mp4", "not a video that can be read"),
    ("predict RUN clip.mp4 --formats xls", "'xls' is unknown"),
    ("predict RUN clip.mp4 --cutoff nan", "--cutoff: nan; must be a finite number"),
    ("predict RUN images --boxes boxes.csv", "no box belongs to one of the 1 frames"),
    *(
        (f"predict RUN clip.mp4 --frames={text}", "is not a range")
        for text in ("5", "a:b", "0:9:0", "-3:")
    ),
    ("predict RUN clip.mp4 --level 0.99", "--level: 0.99; choose 0.5, 0.8, 0.9, 0.95"),
    ("predict RUN clip.mp4 --overlay --no-overlay", "--no-overlay is given too"),
    ("predict RUN clip.mp4 --animals 2", "sees one animal in a frame"),
    ("predict RUN clip.mp4 --animals 1000", "give how many there are, or 0"),
    ("predict RUN clip.mp4 --animals 2 --boxes pair.csv", "--boxes says where they are"),
    ("evaluate RUN images", "labels tail, the run finds spot; beside; no name is shared"),
    ("evaluate RUN images --threshold 0", "--threshold: 0"),
    ("evaluate RUN images --out RUN", "is the run's own folder"),
    ("suggest RUN clip.mp4 --boxes pair.csv --to lp", "Lightning Pose holds one animal"),
    ("suggest RUN clip.mp4 --labelled images", "labels tail, the run predicts spot, beside"),
    ("export RUN --out RUN", "is not empty"),
)


@pytest.mark.parametrize(("typed", "words"), REFUSED, ids=[typed for typed, _ in REFUSED])
def test_what_is_refused_is_one_line_and_writes_nothing(tmp_path, monkeypatch, typed, words):
    as_system(monkeypatch)
    monkeypatch.chdir(tmp_path)
    run = write_run(tmp_path / "runs", (10, 0))
    unfinished, unknown = (
        shutil.copytree(run, tmp_path / "runs" / name) for name in ("unfinished", "unknown")
    )
    shutil.copytree(tmp_path / "runs" / "brightest", tmp_path / "all_systems" / "brightest")
    (unfinished / "results.json").unlink()
    (unknown / "results.json").write_text(
        (run / "results.json").read_text().replace('"brightest"', '"os.path"')
    )
    for folder in ("images", "empty", "earlier"):
        (tmp_path / folder).mkdir()
    Image.fromarray(np.full((32, 48, 3), 20, np.uint8)).save(tmp_path / "images" / "a.png")
    for name in ("clip.mp4", "points.mp4"):
        write_video(tmp_path / name, [np.full((32, 48, 3), 20, np.uint8)] * 2)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    command, *arguments = [str(run) if word == "RUN" else word for word in shlex.split(typed)]
    with pytest.raises(InputError) as caught:
        run_command(command, [*arguments, *["--out", "out"] * ("--out" not in arguments)])
    assert words in str(caught.value)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before
