"""The preset `own` of Keypoint Pyramids: settings that are chosen, annotated videos, labels, and what it refuses."""
import csv
import json

import jax
import numpy as np
import pytest

from data.figure_videos import figure_videos
from kpjax.images.video import frames_of_one_size, open_video, write_video
from kpjax.lab.own.pyramids import OWN, SYSTEM
from kpjax.structures import Trained
from kpjax.systems.command_line import exit_code_of, read_command, run
from kpjax.systems.configs import changed
from kpjax.systems.system import no_training

TINY_SYSTEM = SYSTEM._replace(presets={
    "own": changed(OWN, image_size=32, level_sizes=(2, 4), batch_size=8, steps=3, window=5)})


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A folder with two videos of 48 x 40 pixels and nine frames."""
    folder = tmp_path_factory.mktemp("own")
    rendered = figure_videos(2, 9, 48)
    for number in range(2):
        frames = [rendered[row].image[:40] for row in range(9 * number, 9 * number + 9)]
        write_video(folder / f"clip{number}.mp4", frames, times=np.arange(9) / 10)
    return folder


@pytest.fixture
def own(monkeypatch, tmp_path):
    """Runs the preset of own videos, perhaps with another `fit`; returns (exit code, the preset's folder)."""
    def command(*arguments, fit=None):
        if fit:
            monkeypatch.setattr("kpjax.systems.system.fit", fit)
        code = exit_code_of(lambda: run(TINY_SYSTEM, ["own", *map(str, arguments), "--workdir", str(tmp_path)]))
        return code, tmp_path / "pyramids" / "own"
    return command


def metrics_of(folder, variant):
    return json.loads((folder / variant / "seed-0" / "results.json").read_text())["metrics"]


def seeing_dots(method, streams, **options):
    """Stands in for `fit`: convolutions read their middle, so that all keypoints lie on the brightest place."""
    batch = {name: one[0] for name, one in streams.items()}
    shapes = jax.eval_shape(method.init, options["key"], batch, options["start"]).variables

    def leaf(path, shape):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if not name.endswith("kernel"):
            return np.full(shape.shape, 1 if name.endswith("scale") else 10, np.float32)  # ReLU passes what is above 0
        size, kernel = shape.shape[0], np.zeros(shape.shape, np.float32)
        reach = 0 if "smooth" in name else (size - 1) // 2  # the pyramid's steps are smoothed
        kernel[reach:size - reach, reach:size - reach] = (3.5 if "/output/" in name else 1) / shape.shape[2]
        return kernel / (size - 2 * reach) ** 2 * ("lateral3" not in name)

    return no_training(Trained(jax.tree_util.tree_map_with_path(leaf, shapes), {}))


@pytest.mark.parametrize(("width", "height", "shown"), [
    pytest.param(96, 80, 96, marks=pytest.mark.slow), (240, 160, 85)])
def test_points_and_overlays_lie_on_what_is_seen(own, tmp_path_factory, width, height, shown):
    """A dot that moves over a dark video: in points.csv, and in the middle of what is drawn.

    Of the larger video, a square of about `shown` px around the dot's way is looked at.
    """
    folder = tmp_path_factory.mktemp("dots")
    places = np.array([[24 + 6 * number, 50 - 3 * number] for number in range(9)])
    y, x = np.mgrid[:height, :width]
    dots = [200 * np.clip(1 - ((x - a) ** 2 + (y - b) ** 2) / 400, 0, 1) for a, b in places]
    frames = [np.repeat(dot.astype(np.uint8)[..., None], 3, -1) for dot in dots]
    write_video(folder / "dot.mp4", frames, times=np.arange(9) / 10)
    code, made = own("--videos", folder, "--no-control", "--size", "32", fit=seeing_dots)
    assert code == 0
    made = made / "pyramids" / "seed-0"
    place = json.loads((made / "config.json").read_text())["config"]["data"]["place"]
    assert (place[2] if place else width) == pytest.approx(shown, abs=4)
    rows = list(csv.DictReader((made / "points.csv").read_text().splitlines()))
    found = np.array([[float(row["x"]), float(row["y"])] for row in rows]).reshape(9, 6, 2)
    assert np.abs(found - places[:, None]).max() < 0.5 * shown / 32  # half a pixel of the network's images
    annotated = open_video(made / "annotated" / "000_dot.mp4")
    for (number, image), plain, place in zip(frames_of_one_size(annotated), frames, places, strict=True):
        changed_pixels = np.abs(image[:height].astype(int) - plain).max(-1) > 80  # a legend stands below
        changed_pixels &= y < 65  # the frame's number is below
        rows, columns = np.nonzero(changed_pixels)
        assert np.abs([columns.mean() - place[0], rows.mean() - place[1]]).max() < 2.5, number


def test_settings_are_chosen_from_own_videos(clip, capsys):
    read = read_command(TINY_SYSTEM, ["own", "--videos", str(clip)])
    assert {"mean_image", "constant_colour"} <= set(read.config.collapse_baselines)
    assert (read.config.data.window, read.config.data.every) == (4, 1)
    assert list(read.variants) == ["untrained", "pyramids"]
    assert "the longest video has 9 frames; pairs are at most half of it apart" in capsys.readouterr().out
    read = read_command(TINY_SYSTEM, ["own", "--videos", str(clip), "--size", "32", "--no-control"])
    assert list(read.variants) == ["pyramids"]


@pytest.mark.slow
def test_own_labels_reach_the_probe_only(clip, own, tmp_path_factory):
    folder = tmp_path_factory.mktemp("labelled")
    for file in clip.glob("*.mp4"):
        (folder / file.name).write_bytes(file.read_bytes())
    table = ["video,frame,keypoint,x,y"] + [
        f"clip{number}.mp4,{frame},nose,{10 + frame},{20 - number}" for number in range(2) for frame in range(9)]
    (folder / "keypoints.csv").write_text("\n".join(table))
    code, made = own("--videos", folder, "--variants", "untrained", "image_moments")
    assert code == 0
    assert {"rmse/flat", "rmse/flat/nose"} <= set(metrics_of(made, "untrained"))
    (folder / "keypoints.csv").write_text("\n".join([*table, "clip9.mp4,0,nose,1,1"]))
    assert own("--videos", folder, "--every", "2", "--fresh")[0] == 2  # other settings, so that the table is read again
