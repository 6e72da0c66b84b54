"""What a search for hostile input found, each as it was found: refused in a line, or read as it is."""
import io
import json
import os
import sys
from dataclasses import asdict

import av
import jax
import numpy as np
import pytest
from damaging import PROJECTS
from hostile import put, text_of
from own_runs import untrained_run
from PIL import Image

from experiments.engine.configs import config_as_json, config_from_json
from experiments.engine.parsing import exit_code_of
from experiments.engine.predictors import open_run
from experiments.engine.system import Job, finished, read_predictions
from experiments.engine.tables import cost_text, runs_in
from experiments.semi_supervised.presets import PRESETS
from kpjax.annotations import deeplabcut
from kpjax.annotations.boxes_file import read_boxes
from kpjax.annotations.project_source import frames_at, reference_lengths
from kpjax.annotations.reading import read_project
from kpjax.drawing import label_sheet
from kpjax.drawing.overlays import draw_keypoints
from kpjax.errors import InputError, printable
from kpjax.files import read_content, read_json
from kpjax.images.inputs import find_inputs
from kpjax.images.reading import read_image
from kpjax.images.video import open_video
from kpjax.input.source import TfdsSource
from kpjax.models.weights.pretrained import read_weights
from kpjax.reports.table import read_history, read_run
from kpjax.structures import Skeleton, skeleton_from_json
from kpjax.training import hosts, run_folder

TABLE = "labeled-data/vid 1/CollectedData_Ann.csv"
POINTS = Skeleton(("nose", "left_ear", "right_ear"), ((0, 1),), (0, 2, 1), {"ears": (1, 2)})


@pytest.fixture
def project(tmp_path):
    """Makes a project of a kind, with one text of one of its files replaced."""
    def make(kind, file, old, new):
        PROJECTS[kind](tmp_path / kind)
        path = tmp_path / kind / file
        whole = path.read_bytes()
        path.write_bytes(text_of(put(json.loads(whole), old, new)) if kind == "coco" else
                         whole.replace(old.encode(), new.encode(), 1))
        return tmp_path / kind
    return make


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run."""
    return untrained_run(tmp_path_factory.mktemp("runs"), POINTS)


@pytest.fixture
def changed(run):
    """Changes a file of the run for one test."""
    kept = {}

    def change(name, old, new):
        path = run / name
        kept[path] = path.read_bytes()
        assert old.encode() in kept[path]
        path.write_bytes(kept[path].replace(old.encode(), new.encode(), 1))
        return run

    def back():
        for path, content in kept.items():
            path.write_bytes(content)
    change.back = back
    yield change
    back()


# Numbers and frames that mean nothing


@pytest.mark.parametrize(("kind", "file", "old", "new"), [
    ("coco", "labels.json", "annotations/0/keypoints/0", 1e308), ("coco", "labels.json", "annotations/0/bbox/2", 1e308),
    ("coco", "labels.json", "annotations/0/keypoints/0", 10 ** 400), ("table", "labels.csv", ",4,9,", ",1e308,9,"),
    ("table", "labels.csv", ",30,20", ",1e308,20"), ("deeplabcut", TABLE, ",2,13", ",-1e19,13"),
    ("lightning pose", "bbox.csv", ",20,30", ",20,1e308")])
def test_numbers_beyond_any_image(project, kind, file, old, new):
    with pytest.raises(InputError, match=r"beyond|belong"):
        read_project(project(kind, file, old, new))


@pytest.mark.parametrize("frame", ["inf", "9" * 5000, "²", "1e3"])
def test_frames_that_no_video_has(project, frame):
    with pytest.raises(InputError, match="frame"):
        read_project(project("video table", "labels.csv", "mp4,3,", f"mp4,{frame},"))


def test_a_label_beyond_its_frame_is_no_reference_length(project):
    whole = read_project(project("table", "labels.csv", "nose,5,", "nose,5,"))
    bare = whole._replace(instances=tuple(one._replace(box=np.full(4, np.nan)) for one in whole.instances))
    far = bare.instances[1].keypoints + [[4000, 0], [0, 0]]
    slip = bare._replace(instances=(bare.instances[0], bare.instances[1]._replace(keypoints=far), *bare.instances[2:]))
    assert reference_lengths(slip).max() <= 1.5 * reference_lengths(bare).max()
    assert reference_lengths(bare)[0] == reference_lengths(slip)[0]


def test_labels_that_all_lie_outside_are_refused(tmp_path):
    PROJECTS["deeplabcut"](tmp_path / "p")
    path = tmp_path / "p" / TABLE
    path.write_text(path.read_text().replace(",2,13,4", ",200,1300,400"))
    with pytest.raises(InputError, match="all 12 labelled points lie outside"):
        read_project(tmp_path / "p")


def test_a_frame_of_a_folder_is_read_as_an_image(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = np.arange(600, dtype=np.uint16).reshape(20, 30) * 100
    for name, save in (("16 bits.png", lambda path: Image.fromarray(deep).save(path)),
                       ("turned.jpg", lambda path: Image.new("RGB", (30, 20), (9, 99, 199)).save(path, exif=exif))):
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir()
        save(folder / name)
        video = open_video(folder)
        np.testing.assert_array_equal(video[0], read_image(folder / name))
        assert video.size == video[0].shape[1::-1]
    assert open_video(tmp_path / "16 bits")[0].max() == 59900 >> 8


def test_a_bomb_among_frames_is_left_out(tmp_path, monkeypatch):
    Image.new("RGB", (400, 300)).save(tmp_path / "0.png")
    Image.new("RGB", (4, 3)).save(tmp_path / "1.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert open_video(tmp_path).size == (4, 3)


def test_no_program_is_started_for_an_image(tmp_path):
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n%%EOF\n")
    with pytest.raises(InputError, match=r"a\.png"):
        read_image(tmp_path / "a.png")


# Runs


def test_small_files_of_a_run_are_what_was_written(changed, capsys):
    for name, old, new in (("skeleton.json", "nose", "nase"), ("config.json", '"grid": "', '"grid": "x'),
                           ("config.json", '"seed"', '"sead"')):
        with pytest.raises(InputError, match=rf"{name}.*not what was written"):
            open_run(changed(name, old, new))
        changed.back()
    run_folder._say.cache_clear()
    assert read_run(changed("results.json", "0.5", "0.99")).metrics == {"test/pck": 0.99}
    assert "results.json: edited" in capsys.readouterr().err


def test_runs_of_earlier_versions_are_read_with_a_word(run, changed, capsys):
    stored = read_json(run / "results.json")
    changed("results.json", "{", "{")
    (run / "results.json").write_text(json.dumps({
        name: value for name, value in stored.items() if name not in ("files", "digest")}))
    run_folder._say.cache_clear()
    assert open_run(run).method.skeleton == POINTS
    assert "earlier version" in capsys.readouterr().err


@pytest.mark.parametrize(("field", "value"), [
    ("grid", "indey"), ("normalisation", "imafenet"), ("widths", [4, "x"]), ("steps", "3"), ("learning_rate", [1]),
    ("colour", None), ("network", {"name": "unett"}), ("sigma", float("nan"))])
def test_a_config_has_values_of_its_fields(field, value):
    stored = config_as_json(PRESETS["demo"])

    def put_into(part):
        return {name: value if name == field else put_into(inner) if isinstance(inner, dict) else inner
                for name, inner in part.items()}
    if put_into(stored) == stored:
        stored.pop(next(iter(stored)))
    with pytest.raises(InputError, match=r"config\.json"):
        config_from_json(PRESETS["demo"], put_into(stored))


@pytest.mark.parametrize(("field", "value"), [
    ("edges", [["a"]]), ("edges", [[0, 1, 2]]), ("edges", [1.5]), ("edges", None), ("edges", [[0, "/etc/passwd"]]),
    ("flip", [[]]), ("flip", ["x", 1, 2]), ("flip", None), ("groups", {"ears": -0.5}), ("groups", {"ears": [None]}),
    ("groups", 3), ("names", [["nose"]]), ("names", ["", "b", "c"]), ("names", ["a\x1bb", "b", "c"]), ("names", "abc")])
def test_a_skeleton_has_values_of_its_fields(field, value):
    stored = json.loads(json.dumps(asdict(POINTS)))
    assert skeleton_from_json(stored) == POINTS
    with pytest.raises(InputError, match=r"skeleton\.json"):
        skeleton_from_json({**stored, field: value})
    with pytest.raises(InputError, match=field):
        skeleton_from_json({name: value for name, value in stored.items() if name != field})


@pytest.mark.parametrize(("field", "value"), [
    ("variant", 3), ("variant", "a\nb"), ("seed", [0]), ("steps", 10 ** 400), ("metrics", {"a": 10 ** 400}),
    ("metrics", [1]), ("images", ["x"]), ("images_per_second", "fast"), ("config", [1])])
def test_results_have_values_of_their_fields(tmp_path, field, value):
    stored = {"experiment": "regda", "preset": "demo", "variant": "a", "seed": 0, "steps": 1, "metrics": {}}
    (tmp_path / "results.json").write_text(json.dumps({**stored, field: value}))
    with pytest.raises(InputError, match=r"results\.json"):
        read_run(tmp_path)


def test_a_history_has_numbers_that_an_axis_can_have(tmp_path):
    rows = [{"step": 0, "a": 1.0}, {"step": "nan", "a": 2.0}, {"step": 10 ** 400, "a": 2.0}, {"step": 1, "a": -1e308}]
    (tmp_path / "metrics.jsonl").write_text("\n".join([*map(json.dumps, rows), "[" * 9999]))
    assert read_history(tmp_path) == {"a": [(0.0, 1.0)]}


def test_a_finished_run_without_its_model_is_not_finished(run, tmp_path):
    config = config_from_json(PRESETS["demo"], read_json(run / "config.json")["config"])
    job = Job("semi_supervised", config, "demo", "supervised", 0, run.parents[3], None)
    assert finished(job)
    assert "1 steps" in cost_text(runs_in([job.folder]))
    (run / "model").rename(tmp_path / "model")
    try:
        with pytest.raises(InputError, match="model"):
            finished(job)
    finally:
        (tmp_path / "model").rename(run / "model")


def test_predictions_that_are_damaged_are_named(tmp_path):
    (tmp_path / "predictions.npz").write_bytes(b"PK\3\4 and no more")
    with pytest.raises(InputError, match=r"predictions\.npz"):
        read_predictions(tmp_path)


def test_a_record_that_is_damaged_is_named():
    class Damaged(list):
        def __getitem__(self, index):
            raise RuntimeError("checksum")
    with pytest.raises(InputError, match="record 0 cannot be read"):
        TfdsSource(Damaged([0]), POINTS, None, "a set")[0]


# Files of other tools


def test_a_billion_laughs_come_to_an_end(tmp_path):
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"] + [f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]"
                                                     for a, b in zip("abcdefgh", "bcdefghi", strict=True)]
    for field in ("bodyparts: [*i]", "bodyparts: [n]\nscorer: *i", "bodyparts: [n]\nskeleton: [[*i, *i]]"):
        (tmp_path / "config.yaml").write_text("\n".join([*lines, field]))
        faults = []
        found = deeplabcut._read_config(tmp_path / "config.yaml", [], faults)
        assert len("".join(faults)) < 2000
        assert faults or found.pairs == ()


@pytest.mark.parametrize("line", ["date: 2024-13-45", "x: !!int foo", "x: !!bool foo", "x: !!timestamp foo",
                                  "x: " + "9" * 5000, "x: " + "[" * 2000, "x: !!python/name:os.system", "<<: [{a: 1}]"])
def test_a_config_that_yaml_cannot_build(tmp_path, line):
    (tmp_path / "config.yaml").write_text(f"bodyparts: [nose]\n{line}\n")
    faults = []
    assert deeplabcut._read_config(tmp_path / "config.yaml", [], faults) is None
    assert "config.yaml cannot be read" in faults[0]


def test_a_title_in_latin_1_is_no_fault(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(path, "w") as container:
        container.metadata["title"] = "caf=="
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 32
        for part in (av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24"), None):
            container.mux(stream.encode(part))
    path.write_bytes(path.read_bytes().replace(b"caf==", b"caf\xe9\xe8"))
    assert len(open_video(path)) == 1
    assert open_video(path)[0].shape == (32, 32, 3)


@pytest.mark.parametrize("look", [lambda folder: find_inputs([folder]), lambda folder: frames_at([folder])])
def test_a_name_that_is_not_utf_8_is_said_before_the_work(tmp_path, look):
    Image.new("RGB", (4, 4)).save(os.fsencode(tmp_path) + b"/\xe9.png")
    with pytest.raises(InputError, match="not UTF-8"):
        look(tmp_path)


def test_hundreds_of_points_are_drawn_without_places_for_each(monkeypatch):
    monkeypatch.setattr(label_sheet, "_free_corner", lambda *of: pytest.fail("quadratic"))
    names = tuple(f"p{n}" for n in range(300))
    points = label_sheet.Labels(np.random.default_rng(0).uniform(0, 60, (300, 2)), np.zeros(300, bool))
    assert label_sheet.named(np.zeros((64, 64, 3), np.uint8), points, Skeleton(names)).any()


def test_a_sleap_frame_that_is_labelled_twice(tmp_path):
    sio = pytest.importorskip("sleap_io", reason="sleap-io reads .slp files; install the extra kpjax[sleap]")
    PROJECTS["sleap"](tmp_path / "p")
    labels = sio.load_slp(str(tmp_path / "p" / "labels.slp"), open_videos=False)
    labels.labeled_frames[1].frame_idx = labels.labeled_frames[0].frame_idx
    sio.save_slp(labels, str(tmp_path / "p" / "labels.slp"))
    with pytest.raises(InputError, match="listed twice"):
        read_project(tmp_path / "p")


def test_a_sleap_backend_that_is_a_list(tmp_path):
    h5py = pytest.importorskip("h5py")
    pytest.importorskip("sleap_io", reason="sleap-io reads .slp files; install the extra kpjax[sleap]")
    PROJECTS["sleap"](tmp_path / "p")
    with h5py.File(tmp_path / "p" / "labels.slp", "a") as file:
        videos = [{**json.loads(text), "backend": ["x"]} for text in file["videos_json"][()]]
        del file["videos_json"]
        file["videos_json"] = [json.dumps(video) for video in videos]
    with pytest.raises(InputError, match=r"labels\.slp"):
        read_project(tmp_path / "p")


@pytest.mark.parametrize(("suffix", "text"), [
    (".json", '{"images": [{"id": [1], "file_name": "a"}], "annotations": []}'),
    (".json", '{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": [1], "bbox": [1, 1, 1, 1]}]}'),
    (".json", '{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 1, "bbox": "1234"}]}'),
    (".json", '{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 1, "bbox": [1, 1, 1, '
              + "9" * 400 + "]}]}"), (".json", "[" * 100_000), (".json", '{"images": ' + "9" * 5000 + "}"),
    (".csv", "video,frame,x,y,w,h\na.mp4,²,1,2,3,4"), (".csv", f"video,frame,x,y,w,h\na.mp4,{'9' * 5000},1,2,3,4"),
    (".csv", "image,x,y,w,h\na.png,1,2,1e308,4")])
def test_boxes_that_are_none(tmp_path, suffix, text):
    path = tmp_path / f"boxes{suffix}"
    path.write_text(text)
    with pytest.raises(InputError, match="boxes"):
        read_boxes(path)


def test_weights_are_finite_numbers_that_numpy_has(tmp_path):
    from safetensors.numpy import save_file

    save_file({"a": np.array([1, np.nan], np.float32)}, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="not finite"):
        read_weights(tmp_path / "a.safetensors")
    header = json.dumps({"a": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}).encode()
    (tmp_path / "b.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\1\1")
    with pytest.raises(InputError, match=r"b\.safetensors"):
        read_weights(tmp_path / "b.safetensors")


@pytest.mark.parametrize("far", [1e19, 1e21, -1e308, np.inf, np.nan])
def test_a_point_beyond_pillows_numbers_is_not_drawn(far):
    points, image = np.array([[3.0, 3.0], [far, 2.0], [1.0, far]]), np.zeros((20, 20, 3), np.uint8)
    assert draw_keypoints(image, points, None, POINTS, true=points).any()
    assert label_sheet.named(image, label_sheet.Labels(points, np.zeros(3, bool)), POINTS).any()


def test_a_box_has_all_four_numbers(project):
    with pytest.raises(InputError, match="four numbers"):
        read_project(project("lightning pose", "bbox.csv", ",1,1,20,30", ",,1,20,30"))


# What is waited for, and what a terminal is sent


@pytest.mark.parametrize(("kind", "file"), [("coco", "labels.json"), ("table", "labels.csv"), ("sleap", "labels.slp"),
                                            ("deeplabcut", TABLE), ("lightning pose", "CollectedData.csv")])
def test_a_pipe_is_not_waited_for(tmp_path, kind, file):
    if kind == "sleap":
        pytest.importorskip("sleap_io", reason="sleap-io reads .slp files; install the extra kpjax[sleap]")
    PROJECTS[kind](tmp_path / "p")
    (tmp_path / "p" / file).unlink()
    os.mkfifo(tmp_path / "p" / file)
    with pytest.raises(InputError):
        read_project(tmp_path / "p")
    with pytest.raises(InputError, match="is not a file"):
        read_content(tmp_path / "p" / file)


@pytest.mark.parametrize("step", [None, "1", "x"])
def test_one_process_of_slurms_four_is_told_at_once(monkeypatch, step):
    for name, value in {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_LOCALID": "0",
                        "SLURM_STEP_NODELIST": "localhost", **({"SLURM_STEP_NUM_TASKS": step} if step else {})}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(jax.distributed, "initialize", lambda *of, **options: pytest.fail("waits"))
    with pytest.raises(InputError, match=r"4 processes.*srun.*num_processes"):
        hosts.join()
    hosts.join(num_processes=1)


def test_control_characters_are_shown_and_not_sent(capsys):
    def main():
        print("a\x1b[31m\r\x00\N{RIGHT-TO-LEFT OVERRIDE}\ud800 ± b")
        raise InputError("c\x1b[2J\nd")
    assert exit_code_of(main) == 2
    told = capsys.readouterr()
    assert told.out == "a\\x1b[31m\\r\\x00\\u202e\\ud800 ± b\n"
    assert told.err == "error: c\\x1b[2J\\nd\n"
    assert printable("a b\tc", keep="\t") == "a b\tc"


@pytest.mark.parametrize(("place", "value"), [
    ("categories/0/keypoints/0", ""), ("categories/0/keypoints/0", "a\x1b[31m"), ("images/0/session", "a\x00b"),
    ("images/0/file_name", "a\nb.png")])
def test_names_with_control_characters_are_refused(project, place, value):
    with pytest.raises(InputError, match=r"rename|name belongs"):
        read_project(project("coco", "labels.json", place, value))


def test_output_that_cannot_be_written_is_one_line(monkeypatch, capsys):
    def main():
        raise OSError(28, "No space left on device")
    assert exit_code_of(main) == 1
    assert "cannot be written: No space left" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "ascii", write_through=True))
    assert exit_code_of(lambda: print("±")) == 0
