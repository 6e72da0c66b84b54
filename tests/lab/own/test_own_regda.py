"""The preset `own` of RegDA: labels of the target, whose keypoints are in another order."""
import numpy as np
import pytest
from own_projects import synthetic_project

from kpjax.lab.own import project as own_project
from kpjax.lab.own.regda import SYSTEM, open_data
from kpjax.structures import Skeleton
from kpjax.systems.command_line import read_command

TINY = ("--size", "32", "--widths", "4", "4", "4", "--head-layers", "1", "--pretraining-head-layers", "1",
        "--batch-size", "8", "--augmentation", "none", "--evaluations", "1", "--steps", "1", "--pretraining-steps", "1")


@pytest.fixture(scope="module")
def projects(tmp_path_factory):
    """Two projects, P and P2, whose keypoints are in another order."""
    folder = tmp_path_factory.mktemp("projects")
    first, second = (synthetic_project(folder / name, recordings=("day",), labelled=8, first=100 * number)
                     for number, name in enumerate(("P", "P2")))
    turned = second._replace(skeleton=Skeleton(second.skeleton.names[::-1]), instances=tuple(
        one._replace(keypoints=one.keypoints[::-1]) for one in second.instances))
    known = {"P": first, "P2": turned}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_project, "_read", lambda path, *rest: known[path])
        yield known


def test_labels_of_the_target_test_and_teach_nothing(projects):
    target = ["own", "--source", "P", "--target", str(projects["P2"].root), *TINY]
    data = open_data(read_command(SYSTEM, [*target, "--target-project", "P2"]).jobs()[0])
    np.testing.assert_allclose(data.target.test[0].keypoints, projects["P2"].instances[0].keypoints[::-1], atol=1e-4)
    assert not data.target.train[0].visible.any()
