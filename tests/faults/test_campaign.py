"""What every command that reads people's files keeps to, with damage that hypothesis draws.

A refusal changes nothing, and is one line. What was there and was not asked for stays, byte for
byte. Each run draws from a new seed; this takes 20 minutes of a core, of which each try takes a
sixteenth of a second:

    KPJAX_TRIES=10000 pytest -n0 -m slow tests/faults/test_campaign.py
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from damage import damaged
from damaging import ALL
from hypothesis import HealthCheck, given, settings, strategies as some

from kpjax.lab.commands import run_command
from kpjax.papers.parsing import exit_code_of

pytestmark = pytest.mark.slow
TRIES = int(os.environ.get("KPJAX_TRIES", "60"))
FILES = (
    ("coco", "labels.json"),
    ("table", "labels.csv"),
    ("table", "skeleton.json"),
    ("video table", "labels.csv"),
    ("deeplabcut", "config.yaml"),
    ("deeplabcut", "labeled-data/vid 1/CollectedData_Ann.csv"),
    ("lightning pose", "CollectedData.csv"),
    ("lightning pose", "bbox.csv"),
    ("video table", "a day.mp4"),
    ("coco", "images/0.png"),
)
MANY = settings(
    deadline=None,
    database=None,
    derandomize=False,
    max_examples=TRIES,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory):
    """A function that makes a new folder with a project of a kind, earlier results and files of
    others.
    """
    root, count = tmp_path_factory.mktemp("laboratory"), iter(range(10**6))
    for kind in {kind for kind, _ in FILES}:
        ALL[kind](root / kind)

    def new(kind: str) -> Path:
        place = root / f"try {next(count)}"
        shutil.copytree(root / kind, place / "p")
        (place / "victim.png").write_text("mine")
        (place / "thesis").mkdir()
        (place / "thesis" / "labels.csv").write_text("mine, too")
        return place

    return new


def contents(folder: Path) -> dict[str, bytes]:
    """What lies below a folder, by path; hidden files of an ended process are no one's."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }


def check() -> None:
    run_command("check", ["p", "--sheet", "2", "--out", "out"])


def run(asked: Callable[[], None], place: Path, capsys) -> tuple[int, str]:
    """Does something in a folder; returns its exit code and what it said of an error."""
    before = Path.cwd()
    os.chdir(place)
    try:
        code = exit_code_of(asked)
    finally:
        os.chdir(before)
    return code, capsys.readouterr().err


@MANY
@given(data=some.data())
def test_a_refusal_is_one_line_and_changes_nothing(laboratory, capsys, data):
    kind, name = data.draw(some.sampled_from(FILES))
    place = laboratory(kind)
    file = place / "p" / name
    file.write_bytes(data.draw(damaged(file)))
    before = contents(place)
    code, said = run(check, place, capsys)
    after = contents(place)
    assert {path: after.get(path) for path in before} == before, "what was there is changed"
    assert code in (0, 2), said
    if code:
        # of what can be read
        sheet = {path for path in after if path.startswith("out/")}
        assert set(after) - sheet == set(before), "a refusal wrote something"
        errors = [line for line in said.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1
        assert "Traceback" not in said
        assert len(errors[0]) < 5000
    written = set(after) - set(before)
    assert all(path.startswith("out/") for path in written), written
    shutil.rmtree(place)
