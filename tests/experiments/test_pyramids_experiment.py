"""The experiment of Keypoint Pyramids: its videos, its rows, a few steps of some of them, own videos, bad input."""
import csv
import json
import time
from dataclasses import replace

import jax
import numpy as np
import pytest
from PIL import Image

import experiments.pyramids as experiment
from data.figure_videos import figure_videos
from experiments.benchmark import pyramids as benchmark
from experiments.benchmark.row import Effort
from experiments.command_line import Job, exit_code_of, read_command, run, run_folder
from experiments.predict import predict_folder
from experiments.pyramids import order, probes, published, repainting, videos
from experiments.pyramids.config import PRESETS
from experiments.pyramids.variants import RECIPES, RIVALS, VARIANTS, WITHOUT_NETWORK, build
from kpjax.errors import InputError, RunError
from kpjax.images.video import open_video, write_video
from kpjax.structures import Example, Skeleton, Trained
from kpjax.training.evaluation import Gathered
from kpjax.training.fit import Fitted, fit
from kpjax.training.trees import load_trained

TINY = replace(
    PRESETS["demo"], image_size=32, level_sizes=(2, 4), batch_size=8, steps=3, evaluations=1, training_videos=8,
    test_videos=18, video_frames=6, window=5, action_window=6, action_every=6, action_steps=3, action_per_level=True,
    action_training_videos=0)
EXPERIMENT = experiment.EXPERIMENT._replace(presets={
    "tiny": TINY, "own": replace(PRESETS["own"], **{
        name: getattr(TINY, name) for name in ("image_size", "level_sizes", "batch_size", "steps", "window")})})
ROWS = ("pyramids", "transporter", "untrained", "mean_pose", "image_moments", "supervised_bound")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of the preset after one run of ROWS."""
    workdir = tmp_path_factory.mktemp("runs")
    return run(EXPERIMENT, ["tiny", "--variants", *ROWS, "--workdir", str(workdir)]).parent


def results_of(folder, variant):
    return json.loads((folder / variant / "seed-0" / "results.json").read_text())


# Runs


def test_results_are_complete(finished):
    joints = videos.open_videos(TINY, 0, None).joints
    for variant in ROWS:
        found, folder = results_of(finished, variant), finished / variant / "seed-0"
        metrics = found["metrics"]
        levels = {"flat", "level1", "level2"} if variant in RECIPES else {"flat"}
        for level in levels:
            pixels = metrics[f"rmse/{level}"]
            assert {f"random_halves/{level}", *(f"rmse/{level}/{name}" for name in joints.names)} <= set(metrics)
            assert metrics[f"units/pixels_per_coordinate/{level}"] == pixels
            assert metrics[f"units/normalised_per_coordinate/{level}"] == pytest.approx(pixels * 2 / 31)
            assert metrics[f"units/original_per_image/{level}"] == pytest.approx(pixels * 34**0.5, rel=1e-5)
        assert {name.partition("/")[2] for name in metrics if name.startswith("rmse/") and name.count("/") == 1} == (
            levels)
        assert found["steps"] == (0 if variant in ("untrained", *WITHOUT_NETWORK) else 3)
        assert ("live_points" in metrics) == ("point_spread" in metrics) == (variant not in WITHOUT_NETWORK)
        assert ("action/accuracy" in metrics) == (variant != "mean_pose")
        assert ("action/level1" in metrics) == (variant in RECIPES)
        assert ("action/accuracy_of_true_joints" in metrics) == (variant == "supervised_bound")
        pictures = sorted(path.name for path in (folder / "images").glob("*"))
        assert pictures == ([] if variant in WITHOUT_NETWORK else ["keypoints.png", "keypoints_moving.png"] + [
            "masks.png"] * (variant != "supervised_bound"))
    with Image.open(finished / "pyramids" / "seed-0" / "images" / "keypoints_moving.png") as moving:
        assert (moving.n_frames, moving.mode) == (6, "RGB")
    report = (finished / "report.html").read_text()
    assert "error from all keypoints" in report
    assert report.count("keypoints moving") >= 4


def test_probes_of_all_rows_are_tested_on_the_same_frames(finished, capsys):
    errors = order.read_errors(finished)
    assert set(errors) == set(ROWS)
    frames = [found["seed-0"]["frames"] for found in errors.values()]
    assert all(np.array_equal(frames[0], one) for one in frames)
    assert len(frames[0]) == 9 * 6  # half of the test videos
    order.main(["tiny", "--workdir", str(finished.parents[1])])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(ROWS) * (len(ROWS) - 1) // 2
    rmse = {name: results_of(finished, name)["metrics"]["rmse/flat"] for name in ("pyramids", "image_moments")}
    found = next(one for one in order.compare(errors) if (one.variant, one.other) == ("pyramids", "image_moments"))
    assert found.ratio.value == pytest.approx(rmse["pyramids"] / rmse["image_moments"])
    assert found.of_seeds == pytest.approx((found.ratio.value,))


def test_frames_are_painted_again_from_coordinates_alone(finished, capsys):
    repainting.main(["tiny", "--workdir", str(finished.parents[1]), "--steps", "2"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == ["pyramids", "transporter", "untrained"]
    stored = json.loads((finished / "pyramids" / "seed-0" / "repainting.json").read_text())
    levels = {"flat", "level1", "level2", "mean_picture"}
    assert set(stored["errors"]) == {f"{kind}/{level}" for kind in ("psnr", "mse") for level in levels}
    assert 0 < stored["errors"]["mse/mean_picture"] < 1
    with Image.open(finished / "pyramids" / "seed-0" / "images" / "repainted.png") as sheet:
        assert sheet.width > 4 * repainting.SIDE
    with pytest.raises(InputError, match="none of pyramids, keynet, transporter, untrained is finished for seed 7"):
        repainting.main(["tiny", "--workdir", str(finished.parents[1]), "--seed", "7"])


def test_the_untrained_row_is_where_pyramids_starts(finished, monkeypatch):
    """Its network is the first state of the run of the same seed."""
    first = load_trained(finished / "untrained" / "seed-0" / "model")
    seen = []

    def remembered(method, streams, **options):
        state = jax.jit(method.init)(experiment.named_key(experiment.named_key(options["key"], options["stage"]),
                                                          "init"), {name: one[0] for name, one in streams.items()}, {})
        seen.append(jax.tree.map(np.asarray, state.variables))
        raise RunError("enough")

    monkeypatch.setattr(experiment, "fit", remembered)
    job = Job(TINY, "tiny", "pyramids", 0, finished / "elsewhere", None)
    with pytest.raises(RunError, match="enough"):
        experiment.run(job)
    jax.tree.map(np.testing.assert_array_equal, dict(first.variables)["params"], seen[0]["params"])


def test_a_second_call_trains_nothing_and_other_pictures_are_predicted(finished, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(experiment, "fit", None)
    run(EXPERIMENT, ["tiny", "--variants", *ROWS, "--workdir", str(finished.parents[1])])
    assert capsys.readouterr().out.count("finished before") == len(ROWS)
    (tmp_path / "pictures").mkdir()
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / "pictures" / "one.png")
    for variant, points in (("pyramids", 6), ("supervised_bound", 17)):
        table = predict_folder(finished / variant / "seed-0", tmp_path / "pictures", tmp_path / variant,
                               tell=lambda line: None)
        assert len(table.read_text().splitlines()) == 1 + points


def test_a_resumed_run_is_the_same(finished, tmp_path, monkeypatch):
    """Stopped after two of three steps and called again."""
    class Stopped(Exception):
        pass

    def first_two(method, streams, **options):
        fit(method, streams, **options | {"steps": 2, "save_every": 1, "between": None})
        raise Stopped

    job = Job(TINY, "tiny", "pyramids", 0, tmp_path, None)
    with monkeypatch.context() as patch:
        patch.setattr(experiment, "fit", first_two)
        with pytest.raises(Stopped):
            experiment.run(job)
    assert not (run_folder(job, "pyramids") / "results.json").exists()
    experiment.run(job)
    whole, resumed = (load_trained(folder / "model").variables for folder in
                      (finished / "pyramids" / "seed-0", run_folder(job, "pyramids")))
    jax.tree.map(np.testing.assert_array_equal, whole, resumed)
    again = json.loads((run_folder(job, "pyramids") / "results.json").read_text())["metrics"]
    assert again == results_of(finished, "pyramids")["metrics"]


def test_a_run_that_collapses_stops_with_one_line(tmp_path, monkeypatch, capsys):
    """No painter of two steps is better than a copy of the reference."""
    monkeypatch.setattr(experiment, "COLLAPSE_CHECK", 1)
    arguments = ["tiny", "--variants", "pyramids", "--collapse-steps", "2", "--workdir", str(tmp_path)]
    assert exit_code_of(lambda: run(EXPERIMENT, arguments)) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(lines) == 1
    assert "nothing is being discovered" in lines[0]


def test_rivals_have_a_run_for_each_level_if_asked(tmp_path, monkeypatch):
    """With the keypoints of a level each, under stages; the levels are networks of their own."""
    trained = Trained({"params": {"nothing": np.zeros(1)}}, {})
    sizes = []

    def train(job, method, material, folder, name):
        sizes.append((name, len(method.skeleton.names)))
        return Fitted(trained, trained, 1, {}, 1.0, 1.0, 1)

    def predict(method, state, source, config):
        truth = probes.truth_of(source)
        points = np.random.default_rng(0).uniform(0, 31, (len(source), len(method.skeleton.names), 2))
        return Gathered(points.astype(np.float32), np.ones(points.shape[:2]), np.arange(len(source)), truth.joints,
                        truth.visible, np.ones(len(source)), truth.crop)

    for name, stand_in in (("train", train), ("predict", predict), ("draw_pictures", lambda *arguments: None),
                           ("actions_of", lambda source: None)):
        monkeypatch.setattr(experiment, name, stand_in)
    job = Job(replace(TINY, rivals_per_level=True), "tiny", "keynet", 0, tmp_path, None)
    experiment.run(job)
    metrics = json.loads((run_folder(job, "pyramids") / "results.json").read_text())["metrics"]
    assert {"rmse/level1", "rmse/level2", "rmse/flat"} <= set(metrics)
    assert sizes == [("keynet", 6), ("keynet_2", 2), ("keynet_4", 4)]
    assert {path.name for path in (tmp_path / "pyramids" / "tiny" / "stages").iterdir()} == {"keynet_2", "keynet_4"}


# Rows


def test_every_row_can_be_traced_and_drops_what_it_says():
    joints = videos.open_videos(TINY, 0, None).joints
    batch = Example(np.zeros((8, 32, 32, 3), np.uint8), np.zeros((8, 17, 2), np.float32), np.ones((8, 17), np.float32),
                    np.ones(8, np.float32), np.zeros((8, 3, 3), np.float32), np.arange(8, dtype=np.int32))
    assert set(VARIANTS) == {*RECIPES, *RIVALS, *WITHOUT_NETWORK, "supervised_bound"}
    terms = {}
    for name in (*RECIPES, *RIVALS):
        method = build(TINY, joints, name)
        streams = dict.fromkeys(method.streams, batch)
        state = jax.eval_shape(method.init, jax.random.key(0), streams, {})
        _, metrics = jax.eval_shape(method.update, state, streams, jax.random.key(1))
        terms[name] = {name.removeprefix("loss/") for name in metrics if name.startswith("loss/")} - {"total"}
        assert len(method.skeleton.names) == 6
    full = {"reconstruction", "transport_level1", "transport_level2", "spring"}
    assert terms == {
        "pyramids": full, "untrained": full, "unconditioned": full, "no_reconstruction": full - {"reconstruction"},
        "no_transport": {"reconstruction", "spring"}, "no_spring": full - {"spring"},
        "all_transport": full - {"reconstruction"} | {"transport_flat"},
        "all_reconstruction": {"reconstruction", "reconstruction_level1", "reconstruction_level2", "spring"},
        "keynet": {"reconstruction"}, "transporter": {"transport"}}


def test_the_papers_preset_has_the_papers_numbers():
    paper, demo = PRESETS["h36m"], PRESETS["demo"]
    assert (paper.transport, paper.spring, paper.learning_rate, paper.window) == ((0.1, 1.0), 1.0, 1e-4, 250)
    assert (paper.level_sizes, paper.flat_size, len(paper.actions)) == ((10, 20), 30, 11)
    assert (demo.reconstruction_width, demo.transport_widths, demo.spring) == (0.2, (0.2, 0.1), 0.01)
    assert published.paper_numbers("h36m", "pyramids")["units/pixels_per_image/flat"] == 43.30
    assert published.paper_numbers("h36m", "supervised_bound")["units/pixels_per_image/flat"] == 37.97
    assert published.paper_numbers("demo", "pyramids") == {}
    metrics = {column.metric for column in EXPERIMENT.columns(paper)}
    assert set(published.paper_numbers("h36m", "pyramids")) - metrics <= {"action/level1", "action/level2"}
    for name in ("pyramids", "keynet", "transporter", "supervised_bound"):  # the networks fit the pictures
        build(paper, Skeleton(("a", "b")), name)


# Probes


def test_a_linear_pose_is_found_and_the_bound_is_not_fitted():
    source = videos.open_videos(TINY, 0, None).test
    truth = probes.truth_of(source)
    turned = truth.joints @ np.array([[0.0, 2.0], [-1.0, 0.5]]) + 3
    found = probes.regression({"flat": turned}, truth, source, TINY, 0)
    shown = truth.visible[found.frames]
    assert shown.all()
    assert found.values["rmse/flat"] == pytest.approx(0, abs=1e-3)
    direct = probes.regression({"flat": truth.joints + 2}, truth, source, TINY, 0, direct=True)
    assert direct.values["rmse/flat"] == pytest.approx(2)
    assert direct.squares == pytest.approx(np.full(len(found.frames), 17 * 8))
    split, groups = probes.split_of(source, truth.labelled, 0)
    assert not set(groups[split.fit]) & set(groups[split.test])
    shows = videos.actions_of(source)
    assert set(shows[split.fit]) == set(shows[split.test]) == set(shows)


# Own videos


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A folder with two videos of 48 x 40 pixels and nine frames, and what is in them."""
    folder = tmp_path_factory.mktemp("own")
    drawn = figure_videos(2, 9, 48)
    for number in range(2):
        frames = [drawn[row].image[:40] for row in range(9 * number, 9 * number + 9)]
        write_video(folder / f"clip{number}.mp4", frames, times=np.arange(9) / 10)
    return folder


@pytest.fixture
def own(tmp_path):
    """Runs the preset of own videos and returns (exit code, the run's folder)."""
    def command(*arguments):
        code = exit_code_of(lambda: run(EXPERIMENT, ["own", *map(str, arguments), "--workdir", str(tmp_path)]))
        return code, tmp_path / "pyramids" / "own"
    return command


def test_own_videos_come_back_annotated(clip, own):
    code, folder = own("--videos", clip, "--no-control")
    assert code == 0
    made = folder / "pyramids" / "seed-0"
    rows = list(csv.DictReader((made / "points.csv").read_text().splitlines()))
    assert len(rows) == 2 * 9 * 6
    assert [(row["video"], row["frame"], row["keypoint"]) for row in rows[6:8]] == [
        ("clip0.mp4", "1", "level1_0"), ("clip0.mp4", "1", "level1_1")]
    assert float(rows[6]["time"]) == pytest.approx(0.1)
    for number in range(2):
        annotated = open_video(made / "annotated" / f"{number:03d}_clip{number}.mp4")
        assert len(annotated) == 9
        assert annotated.times - annotated.times[0] == pytest.approx(np.arange(9) / 10)
    assert "rmse/flat" not in results_of(folder, "pyramids")["metrics"]
    # Points lie where the letterbox put the frame: in pixels of the video, which is wider than high.
    x, y = np.array([[float(row["x"]), float(row["y"])] for row in rows]).T
    assert 0 <= x.min() <= x.max() <= 47.5
    assert -4.5 <= y.min() <= y.max() <= 43.5


def test_what_is_chosen_from_own_videos(clip, capsys):
    read = read_command(EXPERIMENT, ["own", "--videos", str(clip)])
    assert (read.config.window, read.config.every, read.config.mixed_sizes) == (4, 1, False)
    assert list(read.variants) == ["pyramids", "untrained"]
    assert "the longest video has 9 frames; pairs are at most half of it apart" in capsys.readouterr().out
    read = read_command(EXPERIMENT, ["own", "--videos", str(clip), "--size", "32", "--no-control"])
    assert (read.config.mixed_sizes, list(read.variants)) == (True, ["pyramids"])
    for flags, words in (([], "--videos: no video is named"),
                         (["--videos", str(clip), "--window", "5"], "has 9 frames, and a window of 5 needs 10"),
                         (["--videos", str(clip), "--every", "9"], r"1 frames \(every 9th\), and a window of 1")):
        with pytest.raises(InputError, match=words):
            read_command(EXPERIMENT, ["own", *flags])


def test_own_labels_reach_the_probe_only(clip, own, tmp_path_factory):
    folder = tmp_path_factory.mktemp("labelled")
    for file in clip.glob("*.mp4"):
        (folder / file.name).write_bytes(file.read_bytes())
    table = ["video,frame,keypoint,x,y"] + [
        f"clip{number}.mp4,{frame},nose,{10 + frame},{20 - number}" for number in range(2) for frame in range(9)]
    (folder / "keypoints.csv").write_text("\n".join(table))
    code, made = own("--videos", folder, "--variants", "untrained", "image_moments")
    assert code == 0
    assert {"rmse/flat", "rmse/flat/nose"} <= set(results_of(made, "untrained")["metrics"])
    (folder / "keypoints.csv").write_text("\n".join([*table, "clip9.mp4,0,nose,1,1"]))
    videos._opened.cache_clear()
    assert own("--videos", folder, "--fresh")[0] == 2


# The benchmark


def test_the_benchmarks_rows_are_measured(monkeypatch):
    """Steps are stood in for: each of the three rows takes as long, so the method has half of its rivals' time."""
    monkeypatch.setattr(benchmark, "pair_step", lambda config, variant: lambda: time.sleep(0.02))
    effort = Effort(rounds=1, seconds=0.01)
    found = [benchmark.step_row(effort, "tiny", TINY), benchmark.prediction_row("tiny", TINY),
             *benchmark.reading_rows(effort, "tiny", TINY, frames=20)]
    assert [row.bar for row in found] == [1.2, 1.0, 1.0, 1.0]
    assert all(row.figure.median > 0 for row in found)
    assert found[0].figure.median == pytest.approx(0.5, rel=0.3)
    assert found[1].figure.median == 1


# Bad input


@pytest.mark.parametrize(("flags", "words"), [
    (["--level-sizes", "4", "6"], "--level-sizes: 4 6; every keypoint"),
    (["--level-sizes", "0", "6"], "--level-sizes: 0 6; give two numbers above 0"),
    (["--window", "0"], "--window: 0"),
    (["--spring", "0"], "--spring: 0"),
    (["--collapse-baselines", "blue"], "--collapse-baselines: 'blue'"),
    (["--combine", "mean"], "--combine"),
    (["--variants", "pyramid"], "'pyramid' is unknown"),
])
def test_flags_that_no_run_can_be_made_of(flags, words):
    with pytest.raises(InputError, match=words):
        read_command(EXPERIMENT, ["tiny", *flags])


def test_drawn_videos_that_do_not_fit_are_refused(tmp_path, capsys):
    for flags, words in (
            (["--window", "9"], "the window is 9 frames, the longest video spans 6"),
            (["--recordings", "dancing"], "--recordings: 'dancing'; write it as"),
            (["--recordings", "dancing=a.asf,b.amc"], "--recordings: there is no file a.asf"),
            (["--image-size", "30"], "30")):
        assert exit_code_of(lambda flags=flags: run(
            EXPERIMENT, ["tiny", "--variants", "pyramids", *flags, "--workdir", str(tmp_path)])) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert words in lines[0]


def test_own_videos_that_cannot_be_used_are_named(clip, own, tmp_path_factory, capsys):
    def said(*arguments):
        capsys.readouterr()
        code, _ = own(*arguments)
        lines = capsys.readouterr().err.splitlines()
        assert code == 2
        assert len(lines) == 1
        return lines[0]

    other = tmp_path_factory.mktemp("bad")
    assert "--videos: no video is named" in said()
    assert "there is no video in this folder" in said("--videos", other)
    assert "there is no such file" in said("--videos", other / "gone.mp4")
    write_video(other / "single.mp4", [np.zeros((40, 48, 3), np.uint8)])
    assert "the longest video has 1 frames" in said("--videos", other)
    assert "the longest video has 9 frames, and a window of 10" in said("--videos", clip, "--window", 10)
    assert "is judged by labels" in said("--videos", clip, "--variants", "mean_pose")
    write_video(other / "large.mp4", [np.zeros((64, 64, 3), np.uint8)] * 3)
    assert "say with --size 32 to which" in said("--videos", clip, other / "large.mp4")
    folder = other / "frames"
    folder.mkdir()
    for number in range(7):
        Image.fromarray(np.full((40, 48, 3), 20 * number, np.uint8)).save(folder / f"{number}.png")
    (folder / "3.png").write_bytes(b"no picture")
    line = said("--videos", folder)
    assert "frame 3 does not decode (1 of 7)" in line
    assert "on_bad_frame='skip'" in line
    Image.new("RGB", (48, 40)).save(folder / "3.png")
    Image.new("RGB", (30, 40)).save(folder / "5.png")
    assert "frame 5 is 30x40, the first is 48x40" in said("--videos", folder)


def test_a_broken_frame_that_is_left_out_keeps_its_rows(own, tmp_path_factory, capsys):
    folder = tmp_path_factory.mktemp("frames") / "walk"
    folder.mkdir()
    drawn = figure_videos(1, 8, 32)
    for number in range(8):
        Image.fromarray(drawn[number].image).save(folder / f"{number}.png")
    (folder / "3.png").write_bytes(b"no picture")
    code, made = own("--videos", folder, "--on-bad-frame", "skip", "--variants", "untrained")
    assert code == 0
    assert "walk: 1 do not decode" in capsys.readouterr().err
    rows = list(csv.DictReader((made / "untrained" / "seed-0" / "points.csv").read_text().splitlines()))
    assert len(rows) == 8 * 6
    assert {row["frame"] for row in rows if row["status"] == "unreadable"} == {"3"}
    assert {row["x"] for row in rows if row["frame"] == "3"} == {"nan"}
    assert {row["time"] for row in rows} == {""}
