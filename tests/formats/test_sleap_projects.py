"""SLEAP's files: order of points, half pixels of old files, predictions, videos that moved, lists
of images.
"""

import os

import numpy as np
import pytest
from damaging import black
from PIL import Image

from kpjax.errors import InputError
from kpjax.formats.options import Options
from kpjax.formats.prediction_reading import read_predictions
from kpjax.formats.reading import project_and_faults, read_project
from kpjax.images.video import write_video

sio = pytest.importorskip(
    "sleap_io", reason="sleap-io reads .slp files; install the extra kpjax[sleap]"
)


def saved(path, made, videos, suggestions=()):
    """A .slp file with a person's and a network's instances on the frames of some videos."""
    skeleton = sio.Skeleton(
        ["head", "left", "right"], edges=[("head", "left")], symmetries=[("left", "right")]
    )
    tracks = {name: sio.Track(name) for *_, name in made if name}
    frames = {}
    for video, number, kind, points, track in made:
        frames.setdefault((video, number), []).append(
            kind.from_numpy(np.array(points, float), skeleton=skeleton, track=tracks.get(track))
        )
    labels = sio.Labels(
        [
            sio.LabeledFrame(videos[video], number, instances)
            for (video, number), instances in frames.items()
        ],
        videos=videos,
        skeletons=[skeleton],
        suggestions=[sio.SuggestionFrame(videos[video], number) for video, number in suggestions],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    sio.save_slp(labels, str(path), embed=False, verbose=False)
    return path


def closed_video(path):
    return sio.Video(filename=path, open_backend=False)


def test_people_train_and_predictions_do_not(tmp_path):
    nothing = [[np.nan, np.nan]] * 3
    file = saved(
        tmp_path / "labels.slp",
        [
            (0, 4, sio.Instance, [[1, 2], [3, 4], [np.nan, np.nan]], "ann"),
            (0, 4, sio.PredictedInstance, [[1.5, 2], [3, 4], [5, 6]], ""),
            (0, 6, sio.PredictedInstance, [[1.5, 2], [3, 4], [5, 6]], ""),
            (0, 8, sio.Instance, nothing, ""),
        ],
        [closed_video("C:\\films\\a.mp4")],
        suggestions=[(0, 4), (0, 9)],
    )
    found, faults = project_and_faults(file)
    assert [fault.split(": ")[1] for fault in faults] == [
        "the video of 4 listed frames is missing; copy it there, or name `video_root`"
    ]
    assert [(frame.name, frame.number) for frame in found.frames] == [
        (f"a.mp4/{n}", n) for n in (4, 6, 8, 9)
    ]
    assert (found.skeleton.edges, found.skeleton.flip) == (((0, 1),), (0, 2, 1))
    assert (found.nobody, found.unlisted) == ({2}, {1, 3})  # no point of frame 8 is visible
    one, _ = found.instances
    assert (one.frame, one.track, one.visible.tolist()) == (0, "ann", [1, 1, 0])
    np.testing.assert_array_equal(one.keypoints, [[1, 2], [3, 4], [np.nan, np.nan]])
    assert [note[:20] for note in found.notes] == [
        "2 predicted instance",
        "1 suggested frames a",
        "1 frame whose animal",
    ]


def test_a_video_that_moved_is_looked_for(tmp_path):
    file = saved(
        tmp_path / "project" / "a.slp",
        [(0, 0, sio.Instance, [[1, 2], [3, 4], [5, 6]], "")],
        [closed_video("D:\\lab\\films\\day 1\\a.mp4")],
    )
    with pytest.raises(
        InputError, match=r"a\.mp4: the video of 1 listed frames is missing.*video_root"
    ):
        read_project(file)
    for place, options in (
        (tmp_path / "elsewhere" / "day 1", {"video_root": tmp_path / "elsewhere"}),
        (tmp_path / "films" / "day 1", {}),
        (tmp_path / "project", {}),
    ):
        place.mkdir(parents=True, exist_ok=True)
        (place / "a.mp4").touch()
        found, _ = project_and_faults(file, Options(**options))
        assert found.frames[0].path == place / "a.mp4"


def test_labels_of_a_resized_video_are_refused_or_scaled(tmp_path):
    video = closed_video(str(write_video(tmp_path / "a.mp4", [np.zeros((32, 48, 3), np.uint8)])))
    video.backend_metadata |= {"shape": [1, 64, 96, 1]}
    file = saved(
        tmp_path / "a.slp", [(0, 0, sio.Instance, [[20, 10], [40, 25], [5, 6]], "")], [video]
    )
    with pytest.raises(
        InputError, match="the file is 48x32 as shown, its labels belong to an image of 96x64"
    ):
        read_project(file)
    np.testing.assert_allclose(
        read_project(file, rescale_labels=True).instances[0].keypoints[0], [9.75, 4.75]
    )


def test_lists_of_images_of_several_folders(tmp_path):
    images = [tmp_path / "data" / "one" / "a.png", tmp_path / "data" / "two" / "a.png"]
    for image in images:
        image.parent.mkdir(parents=True)
        Image.new("L", (9, 7)).save(image)
    file = saved(
        tmp_path / "data" / "a.slp",
        [(0, 1, sio.Instance, [[1, 2], [3, 4], [5, 6]], "")],
        [sio.Video.from_filename([str(path) for path in images])],
        suggestions=[(0, 0)],
    )
    frames = read_project(file).frames
    assert [(frame.name, frame.number, frame.size, frame.session) for frame in frames] == [
        ("two/a.png", None, (9, 7), "two"),
        ("one/a.png", None, (9, 7), "one"),
    ]


def test_points_marked_as_unseen_have_no_label_and_old_files_count_from_the_corner_of_a_pixel(
    tmp_path,
):
    h5py = pytest.importorskip("h5py")
    file = saved(
        tmp_path / "a.slp",
        [(0, 0, sio.Instance, [[1, 2], [3, 4], [5, 6]], "")],
        [closed_video("a.mp4")],
    )
    labels = sio.load_slp(str(file), open_videos=False)
    labels[0].instances[0].points["visible"][1] = False
    sio.save_slp(labels, str(file), verbose=False)
    assert project_and_faults(file)[0].instances[0].visible.tolist() == [1, 0, 1]
    with h5py.File(file, "r+") as stored:
        stored["metadata"].attrs["format_id"] = 1.0
        rows = stored["instances"][()]
        del stored["instances"]
        stored["instances"] = np.array([row[:-1] for row in rows.tolist()], rows.dtype.descr[:-1])
    np.testing.assert_array_equal(
        project_and_faults(file)[0].instances[0].keypoints[::2], [[0.5, 1.5], [4.5, 5.5]]
    )


def test_two_animals_of_one_track_on_a_frame_are_refused(tmp_path):
    points = [[1, 2], [3, 4], [5, 6]]
    file = saved(
        tmp_path / "a.slp",
        [
            (0, 5, sio.Instance, points, "ann"),
            (0, 5, sio.Instance, points, "ann"),
            (0, 6, sio.Instance, points, "ann"),
        ],
        [closed_video("a.mp4")],
    )
    with pytest.raises(
        InputError, match=r"a\.mp4/5: 2 animals are called 'ann'; give each its own track"
    ):
        read_project(file)


def test_what_a_person_corrected_takes_the_place_of_what_was_predicted(tmp_path):
    first, corrected = [[1, 2], [3, 4], [5, 6]], [[9, 8], [3, 4], [5, 6]]
    made = [
        (0, 0, sio.PredictedInstance, first, "ann"),
        (0, 0, sio.Instance, corrected, "ann"),
        (0, 1, sio.PredictedInstance, first, "ann"),
    ]
    (found,) = read_predictions(saved(tmp_path / "a.slp", made, [closed_video("a.mp4")]))
    np.testing.assert_array_equal(found.keypoints[:, 0, 0], [[9, 8], [1, 2]])
    untracked = [(0, 0, sio.PredictedInstance, points, "") for points in (first, corrected)]
    path = saved(tmp_path / "b.slp", untracked, [closed_video("b.mp4")])
    (found,) = read_predictions(path)
    assert found.instances == ("0", "1")


def test_skeletons_that_no_instance_has_do_not_count(tmp_path):
    made = [(0, 0, sio.Instance, [[1, 2], [3, 4], [5, 6]], "")]
    path = saved(tmp_path / "a.slp", made, [closed_video(str(tmp_path / "a.mp4"))])
    write_video(tmp_path / "a.mp4", [np.zeros((32, 48, 3), np.uint8)] * 2)
    labels = sio.load_slp(str(path), open_videos=False)
    labels.skeletons.append(sio.Skeleton(["wheel"]))
    sio.save_slp(labels, str(path), embed=False, verbose=False)
    assert len(sio.load_slp(str(path), open_videos=False).skeletons) == 2
    assert read_project(path).skeleton.names == ("head", "left", "right")


def test_frames_of_a_package_that_were_replaced_are_not_taken_from_an_old_copy(tmp_path):
    """Also where its size and time stay, as a copying tool keeps them."""
    image = tmp_path / "a.png"
    package = tmp_path / "package" / "a.pkg.slp"
    package.parent.mkdir()
    copies = []
    for value in (10, 200):
        Image.new("RGB", (32, 32), (value, value, value)).save(image, compress_level=0)
        animal = (0, 0, sio.Instance, [[1, 2], [3, 4], [5, 6]], "")
        path = saved(tmp_path / "a.slp", [animal], [sio.Video.from_filename([str(image)])])
        sio.load_slp(str(path)).save(str(package), embed="user", verbose=False)
        os.utime(package, ns=(1, 1))
        [frame] = read_project(package).frames
        copies.append(np.asarray(Image.open(frame.path)).mean())
    assert copies == pytest.approx([10, 200], abs=1)


@pytest.mark.parametrize(("videos", "suggested"), [(1, (0, 3)), (2, (1, 0))])
def test_suggestions_whose_images_a_package_has_not_are_left_out(tmp_path, videos, suggested):
    """Of one video with labels, and of one without, of which the package keeps no image."""
    made = []
    for name in "ab"[:videos]:
        images = [tmp_path / name / f"{number}.png" for number in range(4)]
        images[0].parent.mkdir()
        for image in images:
            black(image)
        made.append(sio.Video.from_filename([str(image) for image in images]))
    animal = (0, 1, sio.Instance, [[1, 2], [3, 4], [5, 6]], "")
    path = saved(tmp_path / "a.slp", [animal], made, suggestions=[suggested])
    package = tmp_path / "package" / "a.pkg.slp"
    package.parent.mkdir()
    sio.load_slp(str(path)).save(str(package), embed="user", verbose=False)
    found, faults = project_and_faults(package)
    assert not faults
    assert len(found.frames) == len(found.instances) == 1
    assert any("whose images this package has not" in note for note in found.notes)
