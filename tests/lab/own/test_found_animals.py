"""Several animals: the network that finds them, and frames without labels on which they are found,
kept and cropped.
"""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
from etils import epath
from own_projects import synthetic_project
from PIL import Image

from kpjax.centres import Animals
from kpjax.errors import InputError
from kpjax.files import read_json, write_json
from kpjax.formats.project_source import frames_at, unlabelled_source, whole_frames
from kpjax.images.transforms import AroundBox
from kpjax.input.source import arrays
from kpjax.lab.commands.plan import planned_experiment
from kpjax.lab.own import animals, project as own_project
from kpjax.lab.own.semi_supervised import EXPERIMENT, open_data
from kpjax.lab.predictors import open_predictor
from kpjax.papers import engine, plan
from kpjax.papers.command_line import read_command
from kpjax.papers.engine import run
from kpjax.structures import Skeleton, Trained
from kpjax.training.fit import no_training
from kpjax.training.mesh import check_divisible, data_mesh

TINY = [
    "--widths",
    "4",
    "4",
    "8",
    "--head-width",
    "4",
    "--image-size",
    "32",
    "--heatmap-size",
    "8",
    "--batch-size",
    "16",
    "--evaluations",
    "1",
    "--steps",
    "2",
]


def test_animals_are_found_once_and_kept(monkeypatch, tmp_path, capsys):
    """Of ten frames of 64 x 32 px, half as large to the finder, the first four are white, and have
    two animals.
    """
    asked, folder = [], tmp_path / "frames"
    folder.mkdir()
    for number in range(10):
        Image.fromarray(np.full((32, 64, 3), 255 * (number < 4), np.uint8)).save(
            folder / f"{number}.png"
        )
    frames = frames_at([folder])

    def of_white(images):
        asked.append(len(images))
        white = images.mean((1, 2, 3)) > 100  # a letterbox is half black
        scores = np.where(white[:, None], [0.9, 0.5, 0.2, 0.0], 0.0)
        centres = np.tile(np.array([[8.0, 16.0], [24, 16], [1, 1], [1, 1]]), (len(images), 1, 1))
        return Animals(centres, np.full((len(images), 4), 6.0), scores)

    monkeypatch.setattr(animals, "finder_of", lambda *of: animals.Finder(32, 2, False, of_white))

    def find(frames, digest="a", least=1, on_bad_frame="stop"):
        learnt = SimpleNamespace(described={}, trained=None, digest=digest)
        own = own_project.Own(on_bad_frame=on_bad_frame)
        config = SimpleNamespace(data=SimpleNamespace(own=own), batch_size=least)
        job = SimpleNamespace(preset_folder=epath.Path(tmp_path / "own"), config=config)
        return animals.found_animals(job, learnt, frames, root=tmp_path, argument="unlabelled")

    found = on, boxes = find(frames)
    assert "8 animals found on 4 of them" in capsys.readouterr().out
    assert [frame.path.stem for frame in on] == ["0", "0", "1", "1", "2", "2", "3", "3"]
    np.testing.assert_allclose(boxes[:2], [[11, 11, 12, 12], [43, 11, 12, 12]])
    often = len(asked)
    assert find(frames) == found
    assert len(asked) == often
    assert find(frames, digest="b") == found
    assert len(asked) == 2 * often
    assert len(list((tmp_path / "own" / "stages" / "animals").glob("found-*.npz"))) == 2
    # large frames are read in pieces: frames 0 to 2, 3 to 5 and so on
    monkeypatch.setattr(animals, "MOST_BYTES", 3.5 * 3 * 32**2)
    assert find(frames, digest="c") == found
    for number in (6, 7, 8):  # a whole piece that cannot be read
        (folder / f"{number}.png").write_bytes(b"no image")
    with pytest.raises(InputError, match="3 of 3 frames cannot be read"):
        find(frames, digest="d")
    assert find(frames, digest="d", on_bad_frame="skip") == found
    assert "3 of 3 frames cannot be read" in capsys.readouterr().err
    with pytest.raises(InputError, match="3 of 3 frames cannot be read"):
        find(frames[6:9], digest="e", on_bad_frame="skip")
    for number in (6, 7, 8):
        Image.new("RGB", (64, 32)).save(folder / f"{number}.png")
    crops = unlabelled_source(on, AroundBox(16, 1.0), Skeleton(("a",)), root=tmp_path, boxes=boxes)
    assert crops.examples.image.shape == (8, 16, 16, 3)
    assert crops.examples.image.min() == 255
    assert not crops.examples.visible.any()
    assert crops.names[:3] == ("frames/0.png", "frames/0.png", "frames/1.png")
    for which, least, words in (
        (frames[4:], 1, "no animal was found on 6 frames"),
        (frames[3:], 4, "2 animals found on 7 frames"),
    ):
        with pytest.raises(InputError, match=words):
            find(which, least=least)


@pytest.mark.slow
def test_a_run_learns_from_crops_that_it_found(tmp_path, monkeypatch, capsys):
    project = synthetic_project(tmp_path / "crowd", unlabelled=0)
    crowd = project._replace(
        instances=(
            *project.instances,
            *(one._replace(keypoints=one.keypoints * 0.5 + 2) for one in project.instances),
        )
    )
    elsewhere = synthetic_project(
        tmp_path / "elsewhere", recordings=("day",), labelled=9, unlabelled=0, first=50
    )
    monkeypatch.setattr(own_project, "_read", lambda *arguments: crowd)
    for name, value in (
        ("NETWORK", animals.SmallUNet((4, 4, 8), head_width=4)),
        ("SIZES", (32,)),
        ("FOUND", 0.0),
    ):
        # tiny, and sure of what it finds: it has hardly learnt
        monkeypatch.setattr(animals, name, value)
    flags = [
        "own",
        "--project",
        "crowd",
        "--unlabelled",
        str(elsewhere.root),
        "--workdir",
        str(tmp_path / "runs"),
        "--variants",
        "sskl",
        *TINY,
    ]
    (job,) = read_command(EXPERIMENT, flags).jobs()
    assert not job.config.data.all_labelled
    run(job)
    assert "18 animals found on 9 of them" in capsys.readouterr().out
    path = job.folder / "animals" / "animals.json"
    finder = open_predictor(job.folder).finder
    assert (finder.side, finder.most, finder.always) == (32, 2, True)
    found = finder.find(np.zeros((2, 32, 32, 3), np.uint8))
    assert found.centres.shape == (2, 2 + animals.MORE, 2)
    write_json(path, read_json(path) | {"format": 9})
    with pytest.raises(InputError, match=r"animals\.json: format 9"):
        open_predictor(job.folder)
    opened = open_data(job)
    assert (len(opened.unlabelled), opened.unlabelled[0].image.shape) == (18, (32, 32, 3))
    assert len(set(opened.unlabelled.names)) == 9


def test_a_plan_trains_nothing_that_finds_animals(tmp_path, monkeypatch):
    """A run crops the animals of frames without labels, and first learns to find them."""
    project = synthetic_project(tmp_path / "crowd", unlabelled=0)
    others = [one._replace(keypoints=one.keypoints * 0.5 + 2) for one in project.instances]
    crowd = project._replace(instances=(*project.instances, *others))
    elsewhere = synthetic_project(
        tmp_path / "elsewhere", recordings=("day",), labelled=9, unlabelled=0, first=50
    )

    def trained(*given, **more):
        raise AssertionError("a plan trains")

    monkeypatch.setattr(own_project, "_read", lambda *arguments: crowd)
    monkeypatch.setattr(engine, "fit", trained)
    monkeypatch.setattr(plan, "compiler_of", lambda platform: platform)
    typed = ["semi_supervised", "--chips", "h100-8", "--project", "crowd", "--unlabelled"]
    typed += [str(elsewhere.root), "--workdir", str(tmp_path / "runs"), "--variants", "sskl", *TINY]
    _, asked = plan.read(typed, planned_experiment, "own")
    assert asked.config.data.transform == "around_box"
    last = plan.planned_stages(asked.job("sskl", 0))[-1]
    assert last.streams["unlabelled"].image.shape == (8, 32, 32, 3)
    assert not (tmp_path / "runs").exists()


# The network that finds them


def test_the_finder_normalises_its_whole_batch_whatever_groups_the_run_has(tmp_path, monkeypatch):
    """Its batch of 8 does not divide into 16 groups, as that of the run does."""
    project = synthetic_project(tmp_path / "crowd", unlabelled=0)
    monkeypatch.setattr(
        own_project,
        "_read",
        lambda *arguments: project._replace(instances=(*project.instances, *project.instances)),
    )
    monkeypatch.setattr(animals, "NETWORK", animals.SmallUNet((4, 4, 8), head_width=4))
    monkeypatch.setattr(animals, "SIZES", (32,))

    def checked(method, streams, *, key, options, **more):
        batches = {name: stream[0] for name, stream in streams.items()}
        sizes = {name: len(batch.image) for name, batch in batches.items()}
        check_divisible(sizes, data_mesh(), options.batch_norm_groups)
        state = jax.eval_shape(method.init, key, batches, {})
        zeros = jax.tree.map(
            lambda leaf: np.zeros(leaf.shape, leaf.dtype), (state.variables, state.frozen)
        )
        return no_training(Trained(*zeros))

    monkeypatch.setattr(engine, "fit", checked)
    typed = ["own", "--project", "crowd", "--workdir", str(tmp_path / "runs"), *TINY]
    (job,) = read_command(EXPERIMENT, [*typed, "--batch-norm-groups", "16"]).jobs()
    assert job.options.batch_norm_groups == 16
    learnt = animals.learnt_finder(job._replace(variant=""))
    assert learnt.described["animals"] == 2


def test_a_frame_has_the_points_of_all_its_animals(tmp_path):
    """Two, of which the second has a box; on one frame only one has labels."""
    project = synthetic_project(tmp_path, unlabelled=0)
    beside = [
        one._replace(keypoints=one.keypoints * 0.5 + 2, box=np.array([2, 3, 10, 20.0]))
        for one in project.instances[1:]
    ]
    whole, points = whole_frames(project._replace(instances=(*project.instances, *beside)))
    assert points == 8  # of the ellipse in a box, of which four keypoints are fewer
    assert len(whole.instances) == 12
    first, second = whole.instances[:2]
    assert first.visible.reshape(2, 8).sum(1).tolist() == [4, 0]
    assert second.visible.reshape(2, 8).sum(1).tolist() == [4, 8]
    np.testing.assert_array_equal(first.keypoints[:4], project.instances[0].keypoints)
    ellipse = second.keypoints[8:]
    np.testing.assert_allclose(
        np.concatenate([ellipse.min(0) + 0.5, np.ptp(ellipse, axis=0)]), [2, 3, 10, 20]
    )


@pytest.mark.parametrize(
    ("extent", "apart", "side"),
    [(200, np.inf, 128), (80, np.inf, 256), (200, 67, 256), (np.nan, np.inf, 128), (1, 1, 1024)],
)
def test_frames_are_as_large_as_their_animals_need(extent, apart, side):
    assert animals.frame_size(animals.Crowd(9, 2, 0, extent, apart), 1024) == side


def test_many_labelled_frames_are_not_larger_than_memory():
    assert animals.frame_size(animals.Crowd(1000, 2, 0, 1, 1), 1024) == 768
    assert animals.frame_size(animals.Crowd(5_000, 2, 0, 1, 1), 1024) == 512
    assert animals.frame_size(animals.Crowd(20_000, 2, 0, 1, 1), 1024) == 256


def test_a_finder_that_learns_from_windows_gives_extents_of_whole_frames(monkeypatch):
    """The same maps, of a network that saw windows of half a frame's side in training."""
    described = {"image_size": 64, "animals": 1, "always": True, "points": 2, "network": {}}
    maps = np.full((1, 16, 16, 2), -1.0, np.float32)  # log2 of an extent: half of what it saw
    monkeypatch.setattr(
        animals, "network_of", lambda described: SimpleNamespace(apply=lambda *_, **__: maps)
    )
    images, trained = np.zeros((1, 64, 64, 3), np.uint8), Trained({}, {})
    for window, extent in ((64, 32), (32, 16)):
        found = animals.finder_of(described | {"window": window}, trained).find(images)
        np.testing.assert_allclose(found.extents, extent)


def test_extents_are_enlarged_by_what_they_lack_on_frames_that_train():
    """Three frames of two animals of three points; half and four fifths of an extent are found, and
    nothing on one.
    """
    corners = np.array([[0.0, 0], [8, 4], [3, 2], [0, 0], [20, 5], [9, 9]]) + np.repeat(
        [[2, 2], [8, 20]], 3, 0
    )
    source = arrays(
        np.zeros((3, 32, 32, 3), np.uint8),
        np.stack([corners] * 3),
        np.ones((3, 6)),
        Skeleton(tuple("abcdef")),
        "frames",
    )
    centres = np.array([[6.0, 4.0], [18.0, 24.5]])

    def finder_of(shares, scores, always):
        def find(images):
            extents = np.array(shares) * [8, 20]
            return Animals(
                *(np.stack([one] * len(images)) for one in (centres, extents, np.array(scores)))
            )

        return animals.Finder(32, 2, always, find)

    def enlarged(shares, scores, always=True):
        return animals.enlargement(finder_of(shares, scores, always), source, 3, 1.25)

    assert enlarged([0.8, 0.8], [0.9, 0.9]) == pytest.approx(1.25)
    assert enlarged([0.5, 0.8], [0.9, 0.05]) == pytest.approx(2.0)
    assert enlarged([0.5, 0.8], [0.05, 0.05]) == 1.0
    # whose number is known, also where they are not sure
    assert enlarged([0.8, 0.8], [0.2, 0.2]) == pytest.approx(1.25)
    assert enlarged([0.8, 0.8], [0.2, 0.2], always=False) == 1.0


def test_an_animal_of_which_one_point_is_labelled_is_found():
    """Two frames; on the second one point of the animal shows, and the finder is 2 px beside it."""
    points = np.array([[10.0, 15.0], [15.0, 15.0], [20.0, 15.0]])
    visible = np.array([[1.0, 1, 1], [0, 1, 0]])
    source = arrays(
        np.zeros((2, 32, 32, 3), np.uint8),
        np.stack([points] * 2),
        visible,
        Skeleton(tuple("abc")),
        "frames",
    )
    seen = Animals(np.full((2, 1, 2), 15.0) + 2, np.full((2, 1), 10.0), np.full((2, 1), 0.9))
    finder = animals.Finder(32, 1, True, lambda images: seen)
    counted = animals.count_found(finder, source, 3, 1.25)
    assert (counted["animals"], counted["found"], counted["others"]) == (2, 2, 0)


@pytest.mark.parametrize(
    ("off", "wanted", "shown"),
    [(0.0, 1.0, 3), (2.0, 7 / 6.25, 3), (4.0, animals.WIDEST, 2)],
    ids=["exact", "beside", "far"],
)
def test_crops_grow_until_centres_that_are_not_exact_leave_no_point_outside(off, wanted, shown):
    """An animal of 10 px about (15, 15), found beside it; points at -5, 0 and 5 px. Without a
    margin of more than a quarter a point at 7 px lies outside the crop, one at 9 px outside the
    widest.
    """
    points = np.array([[[10.0, 15.0], [15.0, 15.0], [20.0, 15.0]]])
    source = arrays(
        np.zeros((1, 32, 32, 3), np.uint8),
        points,
        np.ones((1, 3)),
        Skeleton(tuple("abc")),
        "frames",
    )

    def finder_at(enlarged):
        found = Animals(
            np.array([[[15.0 - off, 15.0]]]), enlarged * np.array([[10.0]]), np.array([[0.9]])
        )
        return animals.Finder(32, 1, True, lambda images: found)

    enlarged = animals.enlargement(finder_at(1.0), source, 3, 1.25)
    assert enlarged == pytest.approx(wanted, rel=0.01)
    counted = animals.count_found(finder_at(1.01 * enlarged), source, 3, 1.25)
    assert counted["points"] == 3
    assert counted["shown"] == shown
