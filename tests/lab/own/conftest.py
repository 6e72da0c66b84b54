"""What a person has, for tests over several systems."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from own_projects import synthetic_project
from own_runs import untrained_run

from data.figure_videos import figure_videos
from kpjax.evaluation.pose_statistics import FILE, pose_statistics, write_pose_statistics
from kpjax.files import write_json
from kpjax.formats.tables import Table, table_text
from kpjax.images.video import write_video
from kpjax.lab.own import project as own_project
from kpjax.structures import Skeleton


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The project that every path names: three recordings, each of four frames with labels and two
    without.
    """
    made = synthetic_project(tmp_path_factory.mktemp("my project"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_project, "_read", lambda *arguments: made)
        yield made


def predicted_points(path, project):
    """Writes what another tool says of a project: two of its keypoints, and a tail, on all frames but
    the first. Labelled frames have scores of 0.8, a tail of 0.1, other frames 0.6."""
    names = (*project.skeleton.names[:2], "tail")
    labels = {one.frame: one.keypoints[:2] for one in project.instances}
    rows = []
    for number in range(len(project.frames)):
        seen = labels.get(number, np.array([[9.0, 9], [20, 20]]))
        scores = (0.8, 0.8, 0.1) if number in labels else (0.6, 0.6, 0.6)
        rows.append(np.column_stack([[*(seen + 1), [5, 25]], scores]))
    keys = tuple(f"elsewhere/{frame.name}" for frame in project.frames)
    points = tuple(("", name) for name in names)
    table = Table("DLC", points, ("x", "y", "likelihood"), keys[1:], np.array(rows)[1:])
    path.write_text(table_text(table))
    return path


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Files that a person may name, made once: images, runs, a video; and the projects."""
    folder = tmp_path_factory.mktemp("given")
    project = synthetic_project(folder / "P", recordings=("a", "b"), labelled=10, unlabelled=20)
    names = project.skeleton.names
    files = {
        "IMAGES": project.root,
        "ONE": project.root / "a",
        "FEW": project.frames[0].path,
        "SAME": untrained_run(folder / "same", project.skeleton),
        "OLD": untrained_run(
            folder / "old",
            Skeleton((*names[:2], "tail"), ((0, 1), (1, 2))),
            normalisation="symmetric",
            backbone_statistics="frozen",
        ),
        "BOXES": untrained_run(folder / "boxes", project.skeleton, transform="around_box"),
        "CLIP": folder / "clip.mp4",
        "POINTS": predicted_points(folder / "points.csv", project),
    }
    files |= {
        name: Path(shutil.copytree(files["SAME"], folder / name)) for name in ("OTHER", "LOGITS")
    }
    write_json(files["LOGITS"] / "score_table.json", {"kind": "logit_peak"})
    shapes = np.random.default_rng(0).normal(size=(40, 4, 2))
    write_pose_statistics(
        files["SAME"], pose_statistics(shapes, np.ones((40, 4)), names, share=0.5)
    )
    write_pose_statistics(
        files["OTHER"], pose_statistics(shapes, np.ones((40, 4)), ("a", "b", "c", "d"))
    )
    shutil.copy(files["SAME"] / FILE, files["BOXES"])
    rendered = figure_videos(1, 60, 48)
    write_video(files["CLIP"], [rendered[row].image for row in range(60)], times=np.arange(60) / 10)
    turned = project._replace(
        skeleton=Skeleton(names[::-1]),
        instances=tuple(one._replace(keypoints=one.keypoints[::-1]) for one in project.instances),
    )
    flat = project._replace(
        skeleton=Skeleton(names[:2]),
        instances=tuple(
            one._replace(keypoints=one.keypoints[:2] * [1, 0], visible=one.visible[:2])
            for one in project.instances
        ),
    )
    tail = project._replace(skeleton=Skeleton((*names[:-1], "tail")))
    return {name: str(path) for name, path in files.items()}, {
        "P": project,
        "tail": tail,
        "turned": turned,
        "flat": flat,
    }


@pytest.fixture(scope="module")
def given(made):
    """What a person may name: sixty images, of which twenty have labels, runs, a video, and what is
    wrong with some.
    """
    files, projects = made
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_project, "_read", lambda path, *rest: projects[path])
        yield files
