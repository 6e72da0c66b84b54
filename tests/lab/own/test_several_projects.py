"""Several projects with different keypoints as one run: `kpjax train supervised --project A --project B`."""
import functools
import json
from pathlib import Path

import numpy as np
import pytest
from own_projects import synthetic_project

from experiments import system_of
from kpjax.lab.commands.evaluate import in_keypoints_of
from kpjax.lab.commands.train import main as train
from kpjax.lab.formats.uniting import in_names
from kpjax.lab.own import project as own_project
from kpjax.lab.own.incremental import SYSTEM as INCREMENTAL
from kpjax.lab.own.semi_supervised import SYSTEM, open_data
from kpjax.lab.predictors import open_run
from kpjax.structures import Skeleton
from kpjax.systems.command_line import read_command
from kpjax.systems.parsing import exit_code_of

TINY = ("--size", "32", "--widths", "4", "4", "8", "--head-width", "4", "--batch-size", "16", "--feature-width", "8",
        "--evaluations", "1", "--steps", "2", "--warm-start-steps", "1")
TWO = ("--project", "front", "--project", "back")


def part(made, first, last, *, called=lambda name: name):
    """The project with some of its keypoints."""
    names = made.skeleton.names[first:last]
    return made._replace(skeleton=Skeleton(tuple(map(called, names))), instances=tuple(
        in_names(one, made.skeleton.names, names) for one in made.instances))


@pytest.fixture(scope="module")
def projects(tmp_path_factory):
    """By path: `front` names keypoints 0 to 2 and `back` 2 to 4, on images of their own."""
    root = tmp_path_factory.mktemp("several")
    front, back = (synthetic_project(root / name, unlabelled=0, keypoints=5, first=first)
                   for name, first in (("front", 0), ("back", 20)))
    made = {"front": part(front, 0, 3), "back": part(back, 2, 5)}
    bad = {"empty": back._replace(root=root / "empty", instances=()),
           "again": made["back"]._replace(root=root / "more" / "front"),
           "twice": made["front"]._replace(root=root / "twice"),
           "shouted": part(back, 2, 5, called=str.upper)._replace(root=root / "shouted")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_project, "_read", lambda path, *rest: (made | bad)[path])
        own_project.united_projects.cache_clear()
        yield made


@pytest.mark.slow
def test_from_two_projects_to_one_network(projects, tmp_path, capsys):
    command = ["supervised", *TWO, "--no-control", "--workdir", str(tmp_path), *TINY]
    folder = train(command).parent
    said = " ".join(capsys.readouterr().out.split())
    shared = projects["back"].skeleton.names[0]
    assert f"taken for the same keypoints, since they are named alike: {shared}; that they lie" in said
    assert "only front names 2: " in said
    run = folder / "union" / "seed-0"
    opened = open_run(Path(run))
    assert len(opened.method.skeleton.names) == 5
    assert opened.trained.frozen == {}  # the teachers stay behind
    results = json.loads((run / "results.json").read_text())
    assert results["config"]["data"]["named"] == ["11100", "00111"]
    assert results["config"]["data"]["more_projects"] == ["back"]
    metrics = results["metrics"]
    assert metrics["held_out/labels"] == 2 * 4 * 3  # four frames of each, three keypoints
    assert {"front/pck", "back/nme"} <= set(metrics)
    assert metrics["test/pck"] == pytest.approx((metrics["front/pck"] + metrics["back/pck"]) / 2)
    assert {path.name for path in (folder / "stages").iterdir()} == {
        "warm_start", "network_of_project_0", "network_of_project_1"}
    # What is held out lies in either project, whose frames evaluation finds by their files.
    assert (run / "errors.csv").read_text().count("held out") == 24
    measured = in_keypoints_of(opened.method.skeleton, projects["back"], lambda line: None)
    np.testing.assert_array_equal(measured.instances[0].visible, [0, 0, 1, 1, 1])
    # The same command finds it done; its stages are kept for the control.
    train(command)
    assert "finished before" in capsys.readouterr().out


def test_every_project_has_its_own_held_out_part(projects):
    job = read_command(SYSTEM, ["own", *TWO, *TINY]).jobs()[0]
    assert job.variant == "mask"  # the control runs beside
    data = open_data(job)
    assert [(one.name, len(one.train), len(one.held_out)) for one in data.projects] == [("front", 8, 4), ("back", 8, 4)]
    for one in data.projects:
        assert all(name.startswith(f"{one.name}/") for name in (*one.train.names, *one.held_out.names))
    # Recordings may be named; a project without one of them holds out what it would alone.
    named = read_command(SYSTEM, ["own", *TWO, "--validation", "two", *TINY]).config
    assert named.summary.count("recordings two") == 2


@pytest.mark.parametrize(("flags", "line"), [
    (("--project", "front", "--project", "empty"), "0 labelled frames; one must train and one be held out"),
    (("--project", "front", "--project", "again"), "are both called 'front'; rename one of the folders"),
    (("--project", "front", "--project", "twice"), "labelled images are in"),
    (("--project", "front", "--project", "shouted"), "differ by case alone; give one keypoint one name, in both"),
    ((*TWO, "--unlabelled", "V"), "--unlabelled: several projects train on all of their labels"),
    ((*TWO, "--labelled", "3"), "--labelled: several projects train on all of their labels"),
    ((*TWO, "--validation", "nowhere"), "'nowhere' is not a labelled recording of front or back"),
    ((*TWO, "--variants", "ours"), "--variants: 'ours' does not suit preset 'own'"),
])
def test_refused_in_one_line(projects, flags, line, tmp_path, capsys):
    code = exit_code_of(functools.partial(read_command, SYSTEM, ["own", *flags, "--workdir", str(tmp_path), *TINY]))
    error = capsys.readouterr().err.splitlines()
    assert (code, len(error)) == (2, 1), error
    assert line in error[0]


def test_other_systems_take_one_project(capsys):
    assert exit_code_of(lambda: read_command(INCREMENTAL, ["own", "--old", "R", *TWO])) == 2
    assert "incremental takes one; kpjax train --project A --project B learns from several" in capsys.readouterr().err


def test_one_project_has_no_variant_of_several(projects):
    assert not {"union", "mask"} & set(SYSTEM.applicable("own", SYSTEM.presets["own"]))
    faces = system_of("semi_supervised")
    assert not {"union", "mask"} & set(faces.applicable("faces", faces.presets["faces"]))
