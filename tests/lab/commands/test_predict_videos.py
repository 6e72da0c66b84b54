"""Points on videos and on several animals, by a predictor that finds the brightest pixel, and how
work is shared.
"""

import contextlib
import errno
import io
import threading

import numpy as np
import pytest
from PIL import Image
from predict_folder import rows_of
from scipy import ndimage

import kpjax.lab.commands.predict as predict_command
from kpjax.centres import Animals
from kpjax.errors import InputError, RunError
from kpjax.formats import predictions
from kpjax.formats.boxes_file import boxes_of
from kpjax.formats.prediction_reading import read_predictions
from kpjax.images.inputs import from_video
from kpjax.images.transforms import AroundBox
from kpjax.images.video import open_video, write_video
from kpjax.input.stream import in_background
from kpjax.lab.animals.conformal import LEVELS, RadiusTable
from kpjax.lab.animals.tracking import GAP
from kpjax.lab.commands import Predict
from kpjax.lab.commands.predict import drawing, record
from kpjax.lab.commands.predict.pipeline import in_places, predict_frames, track_animals
from kpjax.lab.own.animals import Finder
from kpjax.lab.own.places import BoxOrWhole
from kpjax.lab.predictors import Predictor
from kpjax.papers.parsing import exit_code_of
from kpjax.structures import Skeleton

SIDE, WIDTH, HEIGHT = 32, 64, 48
RESULT = {"experiment": "made", "preset": "own", "variant": "brightest", "seed": 0, "digest": ""}


def brightest(images):
    """The brightest pixel of each square image, and the column beside it."""
    grey = images.sum(-1, dtype=np.int64).reshape(len(images), -1)
    best = grey.argmax(-1)
    points = np.stack([best % SIDE, best // SIDE], -1).astype(np.float32)
    return np.stack([points, points + np.float32([1, 0])], 1), np.stack(
        [grey.max(-1)] * 2, 1
    ).astype(np.float32) / 765


PREDICTOR = Predictor(
    Skeleton(("spot", "beside"), ((0, 1),)),
    SIDE,
    BoxOrWhole(SIDE),
    brightest,
    "peak",
    np.full(2, -np.inf),
    "made_run_0",
    RESULT,
)


@pytest.fixture
def predict(monkeypatch, tmp_path):
    """Predicts and returns (rows of the csv of the first input, what was printed, the folder)."""

    def run(*inputs, predictor=PREDICTOR, **options):
        monkeypatch.setattr(predict_command, "open_predictor", lambda folder, **_: predictor)
        asked = Predict(run=tmp_path, inputs=inputs, out=tmp_path / "out", **options)
        with contextlib.redirect_stdout(io.StringIO()) as said:
            written = predict_command.predict(asked)
        return rows_of(written[0]), said.getvalue().splitlines(), tmp_path / "out"

    return run


def moving(number):
    """A frame whose bright square of four pixels says where it is: it moves with the number of the
    frame.
    """
    image = np.full((HEIGHT, WIDTH, 3), 30 + number % 7, np.uint8)
    x, y = spot(number)
    image[y : y + 4, x : x + 4] = 255
    return image


def spot(number):
    return 4 * (number % 15), 4 * (number // 15 % 11)


def found(rows):
    """How far each `spot` is from where its frame has it, in pixels."""
    points = {
        int(row["frame"]): (float(row["x"]), float(row["y"]))
        for row in rows
        if row["keypoint"] == "spot"
    }
    return {
        number: max(abs(x - spot(number)[0] - 1.5), abs(y - spot(number)[1] - 1.5))
        for number, (x, y) in points.items()
    }


def test_a_predictor_that_follows_sees_each_frame_around_the_last_point(predict, tmp_path):
    looked_at = []

    def around(points, scores, size):
        looked_at.append(size)
        return np.array([*(points[0] - 15.5), 32, 32]) if len(looked_at) != 5 else None

    clip = write_video(tmp_path / "clip.mp4", map(moving, range(12)), rate=25)
    errors = found(predict(clip, predictor=PREDICTOR._replace(follow=around))[0])
    assert looked_at == 12 * [(WIDTH, HEIGHT)]
    # A pixel of the network is one of the frame, but of the first frame and the sixth, which it
    # sees as a whole, two.
    assert max(error for number, error in errors.items() if number not in (0, 5)) < 2
    assert max(errors.values()) <= 2


def test_a_predictor_that_follows_looks_at_the_crop_alone(predict, tmp_path):
    """From the second frame on its square reached beyond the crop, to a lamp."""

    def with_lamp(number):
        image = moving(number) // 2
        image[33:] = image[:, 41:] = 255
        return image

    def around(points, scores, size):
        sizes.add(size)
        return np.array([*(points[0] - 15.5), 32, 32])

    sizes = set()
    clip = write_video(tmp_path / "clip.mp4", map(with_lamp, range(8)), rate=25)
    follows = PREDICTOR._replace(follow=around)
    errors = found(predict(clip, crop="0,40,0,32", predictor=follows)[0])
    assert max(errors.values()) <= 2
    assert sizes == {(40, 32)}


def test_only_the_crop_is_looked_at_and_points_are_of_the_whole_frame(predict, tmp_path):
    def with_lamp(number):
        image = moving(number) // 2
        image[44:, 60:] = 255
        return image

    clip = write_video(tmp_path / "clip.mp4", map(with_lamp, range(8)), rate=25)
    errors = found(predict(clip, crop="0, 40, 0, 32")[0])
    assert max(errors.values()) <= 2
    errors = found(predict(clip, crop="8,40,0,32", frames="2:8", overwrite=True)[0])
    assert (len(errors), max(errors.values()) <= 1.5) == (6, True)
    assert min(found(predict(clip, overwrite=True)[0]).values()) > 20
    for crop, words in (
        ("8,40,0", "is no part of an image"),
        ("40,8,0,32", "is no part of an image"),
        ("0,65,0,32", "and an image is 64x48"),
    ):
        with pytest.raises(InputError, match=words):
            predict(clip, crop=crop, overwrite=True)


def test_a_variable_rate_keeps_every_frame_and_its_time(predict, tmp_path):
    """100 frames at 1/30 s, then 60 at 1/10 s."""
    times = np.concatenate([np.arange(100) / 30, 100 / 30 + np.arange(60) / 10])
    clip = write_video(tmp_path / "clip.mp4", map(moving, range(160)), times=times)
    rows, _, out = predict(clip, overlay=True, batch_size=64)
    assert len(rows) == 2 * 160
    assert [int(row["frame"]) for row in rows[::2]] == list(range(160))
    np.testing.assert_allclose([float(row["time"]) for row in rows[::2]], times, atol=1e-4)
    assert max(found(rows).values()) <= 2  # a pixel of the network's image is two of the frame
    assert {row["status"] for row in rows[::2]} == {"ok"}
    drawn = open_video(out / "clip_overlay.mp4")
    assert len(drawn) == 160
    np.testing.assert_allclose(drawn.times - drawn.times[0], times, atol=1e-4)
    assert (out / "clip_sheet.jpg").is_file()


def test_frames_that_do_not_decode_are_rows_and_shift_nothing(predict, tmp_path):
    """150 frames with zeros written over the middle of the file."""
    noise = np.random.default_rng(0).integers(0, 60, (HEIGHT, WIDTH, 3), np.uint8)
    broken = write_video(
        tmp_path / "broken.mp4",
        (np.maximum(moving(number), np.roll(noise, number, 1)) for number in range(150)),
    )
    content = bytearray(broken.read_bytes())
    begin = content.index(b"mdat") + (len(content) - content.index(b"mdat")) // 3
    content[begin : begin + 3000] = bytes(3000)
    broken.write_bytes(content)
    with pytest.raises(RunError, match=r"broken.mp4: \d+ of 150 frames do not decode"):
        predict(broken, no_overlay=True)
    rows, _, out = predict(broken, on_bad_frame="skip", overlay=True, overwrite=True)
    video = open_video(broken)
    bad = [number for number, image in video if image is None]
    assert 0 < len(bad) < 100
    assert len(rows) == 2 * len(video) == 300
    assert [int(row["frame"]) for row in rows if row["status"] == "unreadable"] == [
        n for n in bad for _ in range(2)
    ]
    assert {(row["x"], row["score"]) for row in rows if row["status"] == "unreadable"} == {
        ("nan", "0")
    }
    before = {number: distance for number, distance in found(rows).items() if number < bad[0]}
    assert len(before) > 10
    assert max(before.values()) <= 2
    assert len(open_video(out / "broken_overlay.mp4")) == 150


def test_broken_videos_are_listed_and_the_others_written(predict, tmp_path, capsys):
    for name in ("a", "b", "d"):
        write_video(tmp_path / "in" / f"{name}.mp4", map(moving, range(4)))
    whole = (tmp_path / "in" / "b.mp4").read_bytes()
    # its recording was cut off
    (tmp_path / "in" / "b.mp4").write_bytes(whole[: whole.rfind(b"moov") - 4])
    (tmp_path / "in" / "c.mp4").write_bytes(b"")
    (tmp_path / "in" / "._a.mp4").write_bytes(b"what a Mac leaves on other discs")
    out = tmp_path / "out"
    assert exit_code_of(lambda: predict(tmp_path / "in", no_overlay=True)) == 1
    error = capsys.readouterr().err
    assert "b.mp4: " in error
    assert "c.mp4: " in error
    assert [path.name for path in sorted(out.glob("*.csv"))] == ["a.csv", "d.csv"]
    assert len(rows_of(out / "d.csv")) == 8
    _, printed, _ = predict(tmp_path / "in", no_overlay=True, overwrite=True, on_bad_frame="skip")
    assert [line.partition(":")[0] for line in printed[:2]] == ["left out"] * 2


def test_boxes_tell_several_animals_apart(predict, tmp_path):
    """The square around a box is 1.25 of its longer side; the point is found in it and nowhere
    else.
    """
    clip = write_video(tmp_path / "clip.mp4", [moving(0) // 2 + moving(100) // 2] * 3)
    table = (
        "video,frame,instance,x,y,w,h\nclip.mp4,0,left,0,0,8,8\n"
        "clip.mp4,0,right,{0},{1},8,8\nclip.mp4,2,right,{0},{1},8,8\n"
    )
    (tmp_path / "boxes.csv").write_text(table.format(*(edge - 2 for edge in spot(100))))
    rows, _, _ = predict(clip, boxes=tmp_path / "boxes.csv", overlay=True)
    at = {(row["frame"], row["instance"]): row for row in rows if row["keypoint"] == "spot"}
    assert len(rows) == 3 * 2 * 2
    for key, number in ((("0", "left"), 0), (("0", "right"), 100), (("2", "right"), 100)):
        assert float(at[key]["x"]) == pytest.approx(spot(number)[0] + 1.5, abs=2)
        assert float(at[key]["y"]) == pytest.approx(spot(number)[1] + 1.5, abs=2)
    assert {at[key]["status"] for key in (("1", "left"), ("1", "right"), ("2", "left"))} == {
        "no_box"
    }


def test_some_frames_and_several_inputs_at_once(predict, tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    write_video(tmp_path / "in" / "deep" / "clip.mp4", map(moving, range(30)))
    write_video(tmp_path / "in" / "deep" / "clip.avi", map(moving, range(3)))
    Image.fromarray(moving(7)).save(tmp_path / "in" / "seven.png")
    rows, _, out = predict(tmp_path / "in", frames="2:20:5", batch_size=3)
    assert [(row["image"], row["keypoint"]) for row in rows] == [
        ("seven.png", "spot"),
        ("seven.png", "beside"),
    ]
    assert {path.name for path in out.rglob("*.csv")} == {
        "points.csv",
        "clip.avi.csv",
        "clip.mp4.csv",
    }
    rows = rows_of(out / "deep" / "clip.mp4.csv")
    assert [row["frame"] for row in rows[::2]] == ["2", "7", "12", "17"]
    assert max(found(rows).values()) <= 2
    predict(tmp_path / "in" / "deep" / "clip.mp4", frames="20:25", overlay=True, overwrite=True)
    assert open_video(out / "clip_overlay.mp4").times[0] == 0  # a part begins at once
    with pytest.raises(InputError, match=r"clip.avi has frames 0 to 2, none of them"):
        predict(tmp_path / "in", frames="5:9", overwrite=True)


def test_after_an_interrupt_inputs_without_results_are_predicted_and_others_stay(predict, tmp_path):
    """One result stopped the whole command, whatever the other inputs lacked."""
    clips = [tmp_path / "in" / folder / "clip.mp4" for folder in "abc"]
    for clip in clips:
        write_video(clip, map(moving, range(2)))
    _, _, out = predict(tmp_path / "in", overlay=True)
    for name in ("b/clip_sheet.jpg", "b/clip_overlay.mp4", "b/clip_overlay.gif"):
        (out / name).unlink()  # stopped while it was drawn
    for path in (out / "c").iterdir():
        path.unlink()
    kept = out / "a" / "clip.csv"
    kept.write_text("kept")
    with pytest.raises(
        InputError,
        match=rf"exists already; .*, or --resume .* \(2 of 3: {clips[1]}; {clips[2]}\)",
    ):
        predict(tmp_path / "in", overlay=True)
    _, printed, _ = predict(tmp_path / "in", overlay=True, resume=True)
    assert printed[0] == f"{clips[0]}: left out, its results are in {out}"
    assert not any(f"{clip}: left out" in line for clip in clips[1:] for line in printed)
    assert kept.read_text() == "kept"
    for folder in "bc":
        assert {path.name for path in (out / folder).iterdir()} == {
            "clip.csv",
            "clip_depends_on.json",
            "clip_sheet.jpg",
            "clip_overlay.mp4",
            "clip_overlay.gif",
        }
    asked = Predict(run="RUN", inputs=(tmp_path / "in",), out=out, overlay=True, resume=True)
    assert predict_command.predict(asked) == []
    with pytest.raises(InputError, match="resume: True; --overwrite is given too"):
        predict(tmp_path / "in", resume=True, overwrite=True)
    with pytest.raises(InputError, match=r"exists already; give --overwrite or another folder$"):
        predict(tmp_path / "in", overlay=True)


def test_results_of_something_else_are_made_anew(predict, tmp_path):
    """They have the names that this command would give them, and say other points."""
    clip = write_video(tmp_path / "clip.mp4", map(moving, range(4)))
    rows, _, out = predict(clip, no_overlay=True)
    again = {"no_overlay": True, "resume": True}
    asked = Predict(run=tmp_path, inputs=(clip,), out=out, **again)
    assert predict_command.predict(asked) == []

    def anew(why, count, **flags):
        rows, printed, _ = predict(clip, **again, **flags)
        assert printed[0] == f"{clip}: done anew; its results are in {out}, but {why}"
        assert len({row["frame"] for row in rows}) == count
        return rows

    anew("they are of other frames", 2, frames="0:2")
    rows = anew("they are of other frames", 4)
    write_video(clip, map(moving, range(3, -1, -1)))
    assert anew("they are of another content of it", 4) != rows
    other = PREDICTOR._replace(result={**PREDICTOR.result, "digest": "other"})
    anew("they are of another run", 4, predictor=other)
    anew("they are of another run and other flags", 4, cutoff=0.5)
    sequence, asked = from_video(open_video(clip), "clip"), Predict(run="RUN", inputs=())
    one, other = (
        record.depends_on(sequence, np.ones((4, 1, 4)), name, PREDICTOR, asked) for name in "ab"
    )
    assert one["boxes"] != other["boxes"]
    (out / "clip_depends_on.json").unlink()
    anew("what they depend on was not kept", 4, cutoff=0.5)


def test_copies_with_points_drawn_on_them_are_no_inputs_unless_they_are_named(predict, tmp_path):
    """DeepLabCut writes them beside its videos."""
    drawn = tmp_path / "in" / "clipDLC_resnet50_labeled.mp4"
    for path in (tmp_path / "in" / "clip.mp4", drawn):
        write_video(path, map(moving, range(2)))
    _, _, out = predict(tmp_path / "in", no_overlay=True)
    assert [path.name for path in out.glob("*.csv")] == ["clip.csv"]
    rows, _, _ = predict(drawn, no_overlay=True)
    assert {row["video"] for row in rows} == {drawn.name}


def test_missing_boxes_are_refused(predict, tmp_path):
    clip = write_video(tmp_path / "points.mp4", map(moving, range(2)))
    with pytest.raises(InputError, match=r"cannot find animals"):
        predict(clip, predictor=PREDICTOR._replace(transform=AroundBox(SIDE)))


@pytest.mark.parametrize("follows", [False, True])
@pytest.mark.parametrize(("point", "score"), [(np.nan, 1.0), (1.5, np.nan), (np.inf, 1.0)])
def test_what_is_no_number_is_failed_and_written_as_nothing(
    predict, tmp_path, follows, point, score
):
    clip = write_video(tmp_path / "points.mp4", map(moving, range(3)))

    def of_the_second(images):
        points, scores = brightest(images)
        lost = abs(points[:, 0, 0] - 2.5) < 1  # of the second frame, see `spot`
        points[lost], scores[lost, 0] = point, score
        return points, scores

    more = {"follow": lambda points, scores, size: None} if follows else {}
    lost = PREDICTOR._replace(predict=of_the_second, **more)
    with pytest.raises(
        RunError, match=r"points.mp4: the network gave no numbers for . of 3 animals"
    ):
        predict(clip, predictor=lost, formats="csv,coco")
    rows = rows_of(tmp_path / "out" / "points.csv")
    failed = [row for row in rows if row["status"] == "failed"]
    assert failed
    assert {row["frame"] for row in failed} >= {"1"}
    assert all(row["x"] == row["y"] == row["score"] == "" for row in failed)
    assert {row["status"] for row in rows} <= {"ok", "failed"}
    (read,) = read_predictions(tmp_path / "out" / "points.csv")
    assert np.isnan(read.keypoints).sum() == 2 * len(failed)


def test_the_table_stands_where_the_film_cannot_be_made(predict, tmp_path):
    clip = write_video(tmp_path / "gap.mkv", map(moving, range(4)), times=[0, 1, 2, 2.0**30])
    with pytest.raises(RunError, match=r"gap.mkv: cannot be drawn: .*all else is written"):
        predict(clip, overlay=True)
    rows = rows_of(tmp_path / "out" / "gap.csv")
    assert max(found(rows).values()) <= 2
    assert len(found(rows)) == 4
    assert not list((tmp_path / "out").glob("*overlay*"))
    assert not list((tmp_path / "out").glob(".*"))


def test_the_table_has_the_disc_for_itself_where_drawing_filled_it(predict, tmp_path, monkeypatch):
    clip = write_video(tmp_path / "clip.mp4", map(moving, range(4)))
    written, write = [], predictions.write_predictions

    def fill(passed, sequence, look, skeleton, *places):
        next(passed)
        places[0].write_bytes(b"half a film")
        raise OSError(errno.ENOSPC, "No space left on device")

    def write_into(table, formats, folder, stem):
        written.append([*folder.iterdir()])
        return write(table, formats, folder, stem)

    monkeypatch.setattr(drawing, "write_overlay_video", fill)
    monkeypatch.setattr(predictions, "write_predictions", write_into)
    with pytest.raises(RunError, match=r"clip.mp4: cannot be drawn: .*No space left"):
        predict(clip, overlay=True)
    assert written == [[]]
    assert len(found(rows_of(tmp_path / "out" / "clip.csv"))) == 4


@pytest.mark.parametrize("kind", ["video", "images"])
def test_the_table_stands_where_drawing_is_interrupted(predict, tmp_path, monkeypatch, kind):
    """And neither half a drawing nor one of older points lies beside it."""
    clip, out = write_video(tmp_path / "clip.mp4", map(moving, range(4))), tmp_path / "out"
    if kind == "images":
        clip = tmp_path / "images"
        clip.mkdir()
        for number in range(4):
            Image.fromarray(moving(number)).save(clip / f"{number}.png")
    table = out / ("clip.csv" if kind == "video" else "points.csv")
    predict(clip, overlay=kind == "video", cutoff=9.0)
    older, drawn = table.read_bytes(), {*out.rglob("*overlay.*")}
    assert drawn

    def half(passed, *rest):
        next(iter(passed))
        assert table.read_bytes() != older
        assert not drawn & {*out.rglob("*")}
        raise KeyboardInterrupt

    def half_a_film(passed, sequence, look, skeleton, *places):
        places[0].write_bytes(b"half a film")
        half(passed)

    monkeypatch.setattr(drawing, "write_overlay_video", half_a_film)
    monkeypatch.setattr(drawing, "write_images", half)
    with pytest.raises(KeyboardInterrupt):
        predict(clip, overlay=kind == "video", overwrite=True)
    assert len(rows_of(table)) == older.count(b"\n") - 1
    there = {path.name for path in out.rglob("*") if path.is_file()}
    assert there == {table.name, f"{table.stem}_depends_on.json"}


def test_what_fails_while_frames_are_seen_is_no_fault_of_drawing(predict, tmp_path):
    clip = write_video(tmp_path / "clip.mp4", map(moving, range(4)))

    def broken(images):
        raise InputError("broken")

    with pytest.raises(InputError, match="broken"):
        predict(clip, predictor=PREDICTOR._replace(predict=broken), overlay=True)
    assert not list((tmp_path / "out").glob("*.csv"))


def test_one_batch_shape_and_only_a_few_frames_at_a_time(tmp_path, monkeypatch):
    """However long a video is, it is read no further ahead than some batches."""
    clip = write_video(tmp_path / "clip.mp4", map(moving, range(120)))
    shapes, threads = [], threading.active_count()

    def predict(images):
        shapes.append(images.shape)
        return brightest(images)

    sequence, read = from_video(open_video(clip), "clip"), []
    decoded = type(sequence.video).only
    monkeypatch.setattr(
        type(sequence.video),
        "only",
        lambda video, wanted: (
            read.append(number) or (number, image) for number, image in decoded(video, wanted)
        ),
    )
    seen = predict_frames(PREDICTOR._replace(predict=predict), sequence, batch_size=4)
    for number in range(3):
        assert next(seen).row == number
    assert 3 <= len(read) < 50
    seen.close()
    assert threading.active_count() == threads
    rows = [
        one.row
        for one in predict_frames(PREDICTOR._replace(predict=predict), sequence, batch_size=7)
    ]
    assert rows == list(range(120))
    assert set(shapes) == {(4, SIDE, SIDE, 3), (7, SIDE, SIDE, 3)}
    with pytest.raises(ZeroDivisionError):  # what goes wrong in the background is told
        list(in_background((1 // number for number in (2, 1, 0)), 2))


# Several animals found and followed, by a finder of bright spots

LOOKED_AT, MOST = 64, 4


def find(images):
    """The centres of bright spots; the larger, the surer."""
    centres, extents, scores = (
        np.zeros((len(images), MOST, 2)),
        np.ones((len(images), MOST)),
        np.zeros((len(images), MOST)),
    )
    for row, image in enumerate(images):
        marked, count = ndimage.label(image[..., 0] > 150)
        for spot in range(min(count, MOST)):
            y, x = np.nonzero(marked == spot + 1)
            centres[row, spot], extents[row, spot] = (
                (x.mean(), y.mean()),
                max(np.ptp(x), np.ptp(y)) + 1,
            )
            scores[row, spot] = 0.5 + len(x) / 1000
    return Animals(centres, extents, scores)


def with_finder(most=2, always=True):
    return PREDICTOR._replace(
        transform=AroundBox(PREDICTOR.side), finder=Finder(LOOKED_AT, most, always, find)
    )


def frame(*spots):
    """A frame with a bright square of four pixels at each place x, y."""
    image = np.full((HEIGHT, WIDTH, 3), 20, np.uint8)
    for x, y in spots:
        image[y : y + 4, x : x + 4] = 255
    return image


def passing(number):
    """Two animals that pass each other, on two rows."""
    return [(2 * number, 10), (56 - 2 * number, 18)]


def clip_of(tmp_path, *frames):
    return write_video(tmp_path / "clip.mp4", frames, rate=25)


def ways(rows):
    """x of the spot of each animal by frame, nan where it is not there."""
    found = {}
    for row in rows:
        if row["keypoint"] == "spot":
            found.setdefault(row["instance"], []).append(float(row["x"]))
    return found


def test_two_animals_are_found_cropped_and_followed(predict, tmp_path):
    clip = clip_of(tmp_path, *(frame(*passing(number)) for number in range(28)))
    rows, _, out = predict(clip, predictor=with_finder(), overlay=True)
    found = ways(rows)
    assert set(found) == {"animal1", "animal2"}
    first, second = (np.array(found[name]) for name in ("animal1", "animal2"))
    np.testing.assert_allclose(first, 2 * np.arange(28) + 1.5, atol=3)
    np.testing.assert_allclose(second, 56 - 2 * np.arange(28) + 1.5, atol=3)
    assert len(open_video(out / "clip_overlay.mp4")) == 28
    names, boxes = boxes_of(out / "clip_boxes.csv", [("clip.mp4", number) for number in range(28)])
    assert names == ("animal1", "animal2")
    np.testing.assert_allclose(boxes[:, 0, 0] + boxes[:, 0, 2] / 2, 2 * np.arange(28) + 2, atol=3)


def test_one_animal_more_than_there_are_is_left_out_and_told(predict, tmp_path):
    clip = clip_of(
        tmp_path,
        *(frame((10, 10), (40, 10)) for _ in range(4)),
        frame((10, 10), (40, 10), (25, 35)),
    )
    rows, _, out = predict(clip, predictor=with_finder())
    assert {row["instance"] for row in rows} == {"animal1", "animal2"}
    assert '4,,,"1 more than expected, left out"' in (out / "clip_doubts.csv").read_text()


def test_animals_come_and_go_where_their_number_is_not_known(predict, tmp_path):
    clip = clip_of(
        tmp_path, *(frame((10, 10)) for _ in range(3)), frame(), frame((10, 10), (40, 30))
    )
    rows, printed, _ = predict(clip, predictor=with_finder(), animals=0, overlay=True)
    found = ways(rows)
    assert np.isnan(found["animal1"]).tolist() == [False] * 3 + [True, False]
    assert np.isnan(found["animal2"]).tolist() == [True] * 4 + [False]
    assert {row["status"] for row in rows if row["frame"] == "3"} == {"no_box"}
    assert "animals: 2 on 1 frame, 1 on 3 frames, 0 on 1 frame; 2 told apart" in printed
    with pytest.raises(InputError, match="animals: 7; the run looks for 6 at most"):
        predict(clip, predictor=with_finder(), animals=7, overwrite=True)


def test_the_level_of_radii_changes_no_track(predict, tmp_path):
    """An animal that jumps farther than nine of ten points are off, and less far than others."""
    clip = clip_of(tmp_path, *[frame((10, 10))] * 8, *[frame((30, 10))] * 4)
    table = RadiusTable(
        np.array(LEVELS),
        np.array([[1.0, 1.0]] * 3 + [[64.0, 64.0]]),
        np.full(2, 99.0),
        99,
        np.zeros(0),
        np.zeros(0),
    )
    predictor = with_finder()._replace(radii=table)
    rows = [
        predict(clip, predictor=predictor, animals=0, level=level, overwrite=True)[0]
        for level in (0.5, 0.95)
    ]
    largest = [max(float(row["radius"] or 0) for row in some) for some in rows]
    assert largest[0] < 1 < 5 < largest[1]
    of_points = [[(row["instance"], row["x"], row["y"]) for row in some] for some in rows]
    assert of_points[0] == of_points[1]
    assert set(ways(rows[0])) == {"animal1", "animal2"}


def test_frames_of_a_video_keep_the_animals_that_are_on_them_alone(tmp_path):
    """Each frame kept a row for every animal so far, of which a long video has hundreds."""
    visitors = [frame((4 * (number % 15), 10 + 20 * (number % 2))) for number in range(12)]
    blank = [frame()] * (GAP + 2)  # nobody is followed across it
    clip = clip_of(tmp_path, *(one for visitor in visitors for one in (visitor, *blank)))
    sequence = from_video(open_video(clip), "clip")
    seen = predict_frames(with_finder(), sequence, batch_size=8, find=True)
    kept = list(track_animals(seen, []))
    assert max(one.places for one in kept) == len(visitors)
    assert [len(one.keypoints) for one in kept] == [1, *[0] * len(blank)] * len(visitors)
    last = kept[-1 - len(blank)]
    placed = in_places(last, 14)
    assert placed.present.tolist() == [number == 11 for number in range(14)]
    np.testing.assert_array_equal(placed.keypoints[11], last.keypoints[0])
    assert np.isnan(np.delete(placed.keypoints, 11, 0)).all()


@pytest.mark.parametrize("extent", [1e6, np.inf])
def test_a_found_box_is_no_longer_than_its_frame(predict, tmp_path, extent):
    """The extents of a network have no bound, and the crop of one would fill the memory."""

    def find_large(images):
        found = find(images)
        return found._replace(extents=np.full_like(found.extents, extent))

    clip = clip_of(tmp_path, frame((10, 10)), frame((10, 10)))
    predictor = with_finder()._replace(finder=Finder(LOOKED_AT, 1, True, find_large))
    rows, _, out = predict(clip, predictor=predictor)
    np.testing.assert_allclose(ways(rows)["animal1"], 11.5, atol=3)
    _, boxes = boxes_of(out / "clip_boxes.csv", [("clip.mp4", number) for number in range(2)])
    np.testing.assert_array_equal(boxes[:, 0, 2:], WIDTH)


def test_animals_of_images_stand_from_left_to_right(predict, tmp_path):
    for name, spots in (("a", [(40, 10), (10, 10)]), ("b", [(30, 30)])):
        Image.fromarray(frame(*spots)).save(tmp_path / f"{name}.png")
    rows, _, _ = predict(tmp_path / "a.png", tmp_path / "b.png", predictor=with_finder())
    spots = [
        (row["image"], row["instance"], row["status"], round(float(row["x"]) / 10))
        for row in rows
        if row["keypoint"] == "spot" and row["status"] == "ok"
    ]
    assert spots == [
        ("a.png", "animal1", "ok", 1),
        ("a.png", "animal2", "ok", 4),
        ("b.png", "animal1", "ok", 3),
    ]
