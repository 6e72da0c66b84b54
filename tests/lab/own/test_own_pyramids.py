"""The preset `own` of Keypoint Pyramids: settings that are chosen, and labels, which only measure."""
import json
import pathlib
import shutil

import numpy as np
import pytest

from kpjax.images.video import find_videos, write_video
from kpjax.lab.own.pyramids import OWN, SYSTEM, place_choice
from kpjax.systems.command_line import exit_code_of, run
from kpjax.systems.configs import changed

TINY_SYSTEM = SYSTEM._replace(presets={
    "own": changed(OWN, image_size=32, level_sizes=(2, 4), batch_size=8, steps=3, window=5)})


@pytest.mark.parametrize(("width", "height", "side"), [(96, 80, 0), (240, 160, 85)])
def test_the_part_is_looked_at_in_which_something_moves(tmp_path, width, height, side):
    """A dot that moves over a dark video: of the larger one a square around its way, of the smaller one all of it."""
    places = np.array([[24 + 6 * number, 50 - 3 * number] for number in range(9)])
    y, x = np.mgrid[:height, :width]
    dots = [200 * np.clip(1 - ((x - a) ** 2 + (y - b) ** 2) / 400, 0, 1) for a, b in places]
    write_video(tmp_path / "dot.mp4", [np.repeat(dot.astype(np.uint8)[..., None], 3, -1) for dot in dots],
                times=np.arange(9) / 10)
    place = place_choice(find_videos(tmp_path), 1).value
    assert bool(place) == bool(side)
    if place:
        assert place[2:] == pytest.approx((side, side), abs=4)
        assert (np.abs(places - np.add(place[:2], side / 2)) < side / 2).all()


@pytest.mark.slow
def test_own_labels_reach_the_probe_only(given, tmp_path):
    (tmp_path / "videos").mkdir()
    videos = pathlib.Path(shutil.copy(given["CLIP"], tmp_path / "videos")).parent

    def own(*flags):
        return exit_code_of(lambda: run(TINY_SYSTEM, ["own", "--videos", str(videos), "--workdir", str(tmp_path),
                                                      "--variants", "untrained", "image_moments", *flags]))

    assert own() == 2  # `image_moments` is measured by labels alone
    table = ["video,frame,keypoint,x,y"] + [
        f"clip.mp4,{frame},nose,{10 + frame},20" for frame in range(9)]
    (videos / "keypoints.csv").write_text("\n".join(table))
    assert own() == 0
    results = json.loads((tmp_path / "pyramids" / "own" / "untrained" / "seed-0" / "results.json").read_text())
    assert {"rmse/flat", "rmse/flat/nose"} <= set(results["metrics"])
    (videos / "keypoints.csv").write_text("\n".join([*table, "clip9.mp4,0,nose,1,1"]))
    assert own("--every", "2", "--fresh") == 2  # other settings, so that the table is read again
