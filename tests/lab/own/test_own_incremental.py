"""The preset `own` of incremental learning: a run of another system learns the new keypoints of a project."""
import numpy as np
import pytest

from kpjax.lab.own import project as own_project
from kpjax.lab.own.incremental import SYSTEM, joint_skeleton, old_run, open_project
from kpjax.systems.command_line import read_command
from kpjax.systems.incremental import run_of
from kpjax.systems.incremental.association import triples_of
from kpjax.systems.incremental.steps import learn_first
from kpjax.training.evaluation import predict_source


@pytest.mark.slow
def test_the_old_model_answers_as_before_and_stands_in_for_missing_labels(given, tmp_path):
    """It knows two keypoints of the project, and one that the project does not have."""
    project, model = own_project._read("P"), old_run(given["OLD"]).opened
    skeleton = joint_skeleton(model.method.skeleton, project)
    assert skeleton.names == (*project.skeleton.names[:2], "tail", *project.skeleton.names[2:])
    assert {(0, 1), (1, 2)} <= set(skeleton.edges)
    (job,) = read_command(SYSTEM, ["own", "--old", given["OLD"], "--project", "P", "--batch-size", "8", "--steps", "2",
                                   "--augmentation", "none", "--variants", "kamp", "--workdir", str(tmp_path)]).jobs()
    data, held_out = open_project(job.config)
    this = run_of(job, data)
    known, _ = learn_first(this)
    before = predict_source(model.method, model.trained, held_out, batch_size=8)
    after = this.predicted(known, data.evaluation)
    np.testing.assert_allclose(after.keypoints[:, :3], before.keypoints, atol=1e-4)
    # The tail has no label: it lies where the old model finds it. The others lie where the person marked them.
    np.testing.assert_allclose(after.true_keypoints[:, 2], before.keypoints[:, 2], atol=1e-4)
    held = [project.instances[number] for number in own_project.hold_out(project).held_out]
    np.testing.assert_allclose(after.true_keypoints[:, 3], [one.keypoints[2] for one in held], atol=1e-4)
    assert not held_out[0].visible[2]
    assert data.train[0].scale > 0
    # Without a line between old and new keypoints the nearest ones make the triple.
    (triple,) = triples_of(this, known, 1, data.train)
    assert triple[0] < 3 <= min(triple[1:])
    assert data.base["params"]["head"]["output"]["kernel"].shape[-1] == len(skeleton.names)
