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
from kpjax.images.video import write_video
from kpjax.lab.own import project as own_project
from kpjax.structures import Skeleton


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """What a person may name: sixty images, of which twenty have labels, runs, a video, and what is wrong with some."""
    folder = tmp_path_factory.mktemp("given")
    project = synthetic_project(folder / "P", recordings=("a", "b"), labelled=10, unlabelled=20)
    names = project.skeleton.names
    made = {"IMAGES": project.root, "ONE": project.root / "a", "FEW": project.frames[0].path,
            "SAME": untrained_run(folder / "same", project.skeleton),
            "OLD": untrained_run(folder / "old", Skeleton((*names[:2], "tail"))),
            "BOXES": untrained_run(folder / "boxes", project.skeleton, transform="around_box"),
            "CLIP": folder / "clip.mp4"}
    made |= {name: Path(shutil.copytree(made["SAME"], folder / name)) for name in ("BARE", "OTHER", "LOGITS")}
    write_json(made["LOGITS"] / "score_table.json", {"kind": "logit_peak"})
    shapes = np.random.default_rng(0).normal(size=(40, 4, 2))
    write_pose_statistics(made["SAME"], pose_statistics(shapes, np.ones((40, 4)), names, share=0.5))
    write_pose_statistics(made["OTHER"], pose_statistics(shapes, np.ones((40, 4)), ("a", "b", "c", "d")))
    shutil.copy(made["SAME"] / FILE, made["BOXES"])
    rendered = figure_videos(1, 9, 48)
    write_video(made["CLIP"], [rendered[row].image for row in range(9)], times=np.arange(9) / 10)
    tail = project._replace(skeleton=Skeleton((*names[:-1], "tail")))
    turned = project._replace(skeleton=Skeleton(names[::-1]), instances=tuple(
        one._replace(keypoints=one.keypoints[::-1]) for one in project.instances))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_project, "_read", lambda path, *rest: {"P": project, "tail": tail, "turned": turned}[path])
        yield {name: str(path) for name, path in made.items()}
