"""Plans of runs on a person's own project."""
from own_projects import synthetic_project

from kpjax.lab.formats.writing import write_project
from kpjax.lab.own.systems import own_system
from kpjax.systems.plan import command
from kpjax.systems.plan.stages import planned_stages


def test_a_project_of_ones_own_is_opened(tmp_path, monkeypatch):
    write_project(synthetic_project(tmp_path / "images"), "coco", tmp_path / "project")
    monkeypatch.setattr(command, "compiler_of", lambda platform: platform)
    words = ["semi_supervised", "--chips", "h100-8", "--project", str(tmp_path / "project"),
             "--variants", "supervised_warped", "--steps", "7"]
    _, asked = command.read(words, own_system, "own")
    last = planned_stages(asked.job("supervised_warped", 0))[-1]
    assert (asked.preset, last.name, last.steps) == ("own", "supervised_warped", 7)
    assert last.streams["labelled"].image.shape[0] % 8 == 0
    assert last.streams["labelled"].keypoints.shape[1:] == (4, 2)
