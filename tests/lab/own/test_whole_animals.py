"""New keypoints for a run that sees crops: these show whole animals, of which labels are a part."""

import numpy as np
import pytest
from own_projects import synthetic_project
from own_runs import untrained_run

from kpjax.centres import Animals
from kpjax.errors import InputError
from kpjax.formats.project_source import box_of
from kpjax.geometry import move_points
from kpjax.images.reading import read_image
from kpjax.input.source import identities
from kpjax.lab.own import animals, declaration, project as own_project, whole_animals
from kpjax.lab.own.incremental import EXPERIMENT, open_project
from kpjax.papers.command_line import read_command
from kpjax.structures import Skeleton

OLD = 4  # keypoints that the old run knows, the first of eight
SHORT = ("--batch-size", "8", "--steps", "2", "--variants", "ksd_only")


@pytest.fixture
def whole(tmp_path):
    """Figures with all keypoints, whose boxes nobody drew."""
    return synthetic_project(tmp_path / "P", labelled=4, unlabelled=0, keypoints=8)


@pytest.fixture
def old(whole, tmp_path):
    """A run on crops of whole figures, which keeps nothing that finds them."""
    return untrained_run(
        tmp_path / "old", Skeleton(whole.skeleton.names[:OLD]), transform="around_box"
    )


def some_keypoints(project, kept, boxes=False):
    """The project with labels of some keypoints alone, perhaps with boxes of whole animals."""
    instances = []
    for one in project.instances:
        box = box_of(one) if boxes else one.box
        part = (one.keypoints[kept], one.visible[kept], one.occluded[kept])
        instances.append(one._replace(**dict(zip(PART, part, strict=True)), box=box))
    names = tuple(np.array(project.skeleton.names)[kept].tolist())
    return project._replace(skeleton=Skeleton(names), instances=tuple(instances))


PART = ("keypoints", "visible", "occluded")


def opened(monkeypatch, project, old, *flags):
    monkeypatch.setattr(own_project, "_read", lambda *arguments: project)
    open_project.cache_clear()
    typed = ["own", "--old", str(old), "--project", "P", *SHORT, *flags]
    (job,) = read_command(EXPERIMENT, typed).jobs()
    assert job.config.data.transform == "around_box"
    data, held_out, *_ = open_project(job.config)
    return job, data, held_out


def share_of_old_points_shown(whole, source):
    """The share of true points of old keypoints that lie in the crops."""
    frames = {
        frame.path.relative_to(whole.root).as_posix(): n for n, frame in enumerate(whole.frames)
    }
    shown = []
    for row, name in enumerate(identities(source)):
        (animal,) = (one for one in whole.instances if one.frame == frames[name])
        places = move_points(np.linalg.inv(source[row].crop), np.float32(animal.keypoints[:OLD]))
        shown.append(((np.asarray(places) >= -0.5) & (np.asarray(places) < 31.5)).all(-1))
    return np.mean(shown)


def finds(monkeypatch, whole, left_out=()):
    """A finder that the old run keeps, which finds all figures but some, and a second thing beside
    each."""
    box_of_image = {}
    for number, one in enumerate(whole.instances):
        image = read_image(whole.frames[one.frame].path)
        box_of_image[image.tobytes()] = None if number in left_out else box_of(one)

    def find(images):
        centres = np.zeros((len(images), 2, 2))
        extents = np.ones((len(images), 2))
        scores = np.zeros((len(images), 2))
        for row, image in enumerate(images):
            box = box_of_image[np.asarray(image).tobytes()]
            if box is not None:
                centres[row, 0] = box[:2] + box[2:] / 2 - 0.5
                extents[row, 0] = box[2:].max()
                scores[row] = 0.9, 0.5
        return Animals(centres, extents, scores)

    learnt = animals.Learnt({"animals": 1, "held_out": {"found": 3}}, None)
    monkeypatch.setattr(whole_animals, "kept_finder", lambda folder: learnt)
    monkeypatch.setattr(whole_animals, "finder_of", lambda *of: animals.Finder(32, 1, True, find))


def test_labels_of_new_keypoints_alone_do_not_say_where_a_whole_animal_is(whole, old, monkeypatch):
    with pytest.raises(InputError, match="crops must show whole animals"):
        opened(monkeypatch, some_keypoints(whole, slice(4, 6)), old)
    # a square that was made about a single keypoint is no box of an animal
    point = own_project.with_point_boxes(some_keypoints(whole, slice(7, 8)))
    with pytest.raises(InputError, match="crops must show whole animals"):
        opened(monkeypatch, point, old)
    # labels of all that the old run knows bound an animal as they did then
    _, data, _ = opened(monkeypatch, some_keypoints(whole, slice(0, 6)), old)
    assert share_of_old_points_shown(whole, data.train) == 1


def test_boxes_of_a_project_are_those_of_whole_animals(whole, old, monkeypatch):
    project = some_keypoints(whole, slice(4, 6), boxes=True)
    _, data, held_out = opened(monkeypatch, project, old)
    for source in (data.train, held_out):
        assert share_of_old_points_shown(whole, source) == 1


def test_what_found_animals_for_the_old_run_finds_them_for_the_new_one(
    whole, old, monkeypatch, capsys, tmp_path
):
    """One animal is not found, and teaches nothing; the new run keeps the finder."""
    finds(monkeypatch, whole, left_out=[0])
    job, data, held_out = opened(
        monkeypatch, some_keypoints(whole, slice(4, 6)), old, "--workdir", str(tmp_path / "runs")
    )
    assert "left out 1 of 12 labelled animals" in capsys.readouterr().out
    assert len(data.train) + len(held_out) == 11
    for source in (data.train, held_out):
        assert share_of_old_points_shown(whole, source) == 1
    kept = []
    monkeypatch.setattr(declaration, "keep_finder", lambda job, learnt, found: kept.append(learnt))
    EXPERIMENT.beside.prepare(job, data)
    assert [learnt.described for learnt in kept] == [{"animals": 1}]
    finds(monkeypatch, whole, left_out=range(12))
    with pytest.raises(InputError, match="finds none of 12 labelled animals"):
        opened(monkeypatch, some_keypoints(whole, slice(4, 6)), old)


def test_animals_have_the_boxes_that_show_their_labels_each_its_own():
    boxes = np.array([[0.0, 0, 10, 10], [8, 0, 10, 10], [100, 100, 4, 4]])
    left, right = np.array([[1.0, 1], [9, 5]]), np.array([[9.0, 5], [17, 8]])
    far = np.array([[50.0, 50]])
    found = whole_animals.boxes_of([right, far, left], boxes, 1.25)
    np.testing.assert_array_equal(found[0], boxes[1])
    assert found[1] is None
    np.testing.assert_array_equal(found[2], boxes[0])
    assert whole_animals.boxes_of([left, left], boxes[:1], 1.25)[1] is None
    assert whole_animals.boxes_of([left], boxes[:0], 1.25) == [None]


def test_several_animals_are_not_cropped_silently_for_a_run_on_whole_frames(
    whole, monkeypatch, tmp_path
):
    names = Skeleton(whole.skeleton.names[:OLD])
    old = untrained_run(tmp_path / "whole", names, transform="letterbox")
    crowd = whole._replace(instances=(*whole.instances, *whole.instances))
    project = some_keypoints(crowd, slice(4, 6), boxes=True)
    with pytest.raises(InputError, match="transform: the run at --old sees whole frames"):
        opened(monkeypatch, project, old)
    _, data, held_out = opened(monkeypatch, project, old, "--transform", "around_box")
    assert len(data.train) + len(held_out) == 24


def test_whole_frames_for_a_run_on_crops_are_said(whole, old, monkeypatch, capsys):
    monkeypatch.setattr(own_project, "_read", lambda *arguments: whole)
    open_project.cache_clear()
    typed = ["own", "--old", str(old), "--project", "P", *SHORT]
    read_command(EXPERIMENT, typed).jobs()
    assert "learnt from crops" not in capsys.readouterr().out
    read_command(EXPERIMENT, [*typed, "--transform", "letterbox"]).jobs()
    assert "the run at --old learnt from crops" in capsys.readouterr().out
