"""Several projects as one: `kpjax train --project A --project B`, with the same keypoints or with others."""

import pytest
from own_projects import synthetic_project
from own_runs import untrained_run

from kpjax.errors import InputError
from kpjax.input.source import identities
from kpjax.lab.formats.uniting import in_names
from kpjax.lab.own import project as own_project
from kpjax.lab.own.incremental import SYSTEM as INCREMENTAL
from kpjax.lab.own.semi_supervised import SYSTEM, open_data
from kpjax.structures import Skeleton
from kpjax.systems.command_line import read_command

TINY = ("--size", "32", "--widths", "4", "4", "8", "--head-width", "4", "--batch-size", "16", "--feature-width", "8",
        "--evaluations", "1", "--steps", "2", "--warm-start-steps", "1")
TWO = ("--project", "front", "--project", "back")
ALIKE = ("--project", "old", "--project", "new")


def part(made, first, last):
    """The project with some of its keypoints."""
    names = made.skeleton.names[first:last]
    return made._replace(skeleton=Skeleton(names), instances=tuple(
        in_names(one, made.skeleton.names, names) for one in made.instances))


@pytest.fixture(scope="module")
def projects(tmp_path_factory):
    """By path: `front` names keypoints 0 to 2 and `back` 2 to 4; `old` and `new` name all, on other recordings."""
    root = tmp_path_factory.mktemp("several")
    front, back = (synthetic_project(root / name, unlabelled=0, keypoints=5, first=first)
                   for name, first in (("front", 0), ("back", 20)))
    old, new = (synthetic_project(root / name, recordings=recordings, first=first) for name, recordings, first in (
        ("old", ("one", "two"), 50), ("new", ("three", "four"), 80)))
    made = {"front": part(front, 0, 3), "back": part(back, 2, 5), "old": old, "new": new}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_project, "_read", lambda path, *rest: made[path])
        own_project._united.cache_clear()
        yield made


def test_projects_with_the_same_keypoints_are_one_project(projects, capsys):
    """Whole recordings of the whole are held out, and frames without labels of both are read."""
    config = read_command(SYSTEM, ["own", *ALIKE, *TINY]).config
    said = capsys.readouterr().out
    assert "old and new have the same keypoints: they are one project, of which a part is held out" in said
    assert "held out: 4 of 16 labelled frames, recordings" in said
    assert config.summary.startswith("old and new, 12 animals with labels, 6 frames without; held out: ")
    data = open_data(read_command(SYSTEM, ["own", *ALIKE, *TINY]).jobs()[0])
    assert (len(data.labelled), len(data.unlabelled), len(data.validation)) == (12, 6, 4)
    assert {name.partition("/")[0] for name in identities(data.labelled)} == {"old", "new"}
    # A recording of one name is one, whichever project labels it.
    assert "recordings two" in read_command(SYSTEM, ["own", *ALIKE, "--validation", "two"]).config.summary


def test_other_systems_learn_from_several_too(projects, tmp_path):
    old = untrained_run(tmp_path, Skeleton((*projects["front"].skeleton.names, "tail")))
    config = read_command(INCREMENTAL, ["own", "--old", str(old), *TWO, "--batch-size", "8"]).config
    assert config.summary.startswith(", ".join(projects["back"].skeleton.names[1:]) + " from front and back")


def test_a_project_that_nobody_would_read_is_refused():
    with pytest.raises(InputError, match=r"source is one project; leave the others out"):
        own_project.needed_project("front", own_project.Own(more_projects=("back",)), "source")
