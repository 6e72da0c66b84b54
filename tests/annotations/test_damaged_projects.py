"""Damaged projects: one line that names the file and the mend, exit code 2, no traceback."""
import importlib.util
import shutil
from pathlib import Path

import pytest
from damaging import DAMAGES, PROJECTS

from experiments.commands import run_command
from experiments.engine.parsing import exit_code_of
from kpjax.annotations.reading import read_project

REAL = {"mouse": "deeplabcut_openfield/openfield-Pranav-2018-10-30",
        "robot": "sleap_small_robot/tests/data", "people": "mmpose_samples/coco"}
NEEDS = {"sleap": ("sleap_io",), "deeplabcut": ("pandas", "tables")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A whole project of each kind, made when it is first asked for, below a folder with a space in its name."""
    made = {}

    def project(kind: str) -> Path:
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp("whole") / "my project"
            PROJECTS[kind](made[kind])
        return made[kind]
    return project


@pytest.fixture
def refused(capsys, tmp_path):
    """Checks a path that must be refused, and returns its faults and the one line that says so."""
    def command(path: Path, *flags: str) -> str:
        code = exit_code_of(lambda: run_command("check", [str(path), "--sheet", "0", *flags]))
        told = capsys.readouterr()
        assert code == 2, told
        (line,) = told.err.splitlines()
        assert line.startswith("error: ")
        assert "Traceback" not in line + told.out
        assert len(line) < 4000
        return told.out + line
    return command


def needed(kind: str) -> None:
    for module in NEEDS.get(kind, ()):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{kind} needs {module}")


@pytest.mark.parametrize("kind", PROJECTS)
def test_whole_projects_are_read(whole, kind):
    needed(kind)
    project = read_project(whole(kind))
    assert len({one.frame for one in project.instances}) in (3, 6)
    assert project.skeleton.names[0] == "nose"


@pytest.mark.parametrize("damage", DAMAGES, ids=[damage.name for damage in DAMAGES])
def test_damaged_projects_are_refused_in_a_line(whole, refused, tmp_path, damage):
    needed(damage.kind)
    root = tmp_path / "my project"
    shutil.copytree(whole(damage.kind), root)
    line = refused(damage.harm(root) or root)
    for words in damage.words:
        assert words in line
    assert str(tmp_path) in line


def test_there_are_sixty():
    assert len({damage.name for damage in DAMAGES}) == len(DAMAGES) >= 60


@pytest.mark.parametrize(("name", "files", "harm", "words"), [
    ("mouse", "**/*.csv", lambda text: text.replace(b"\n", b",7\n", 9), "header rows bodyparts and coords"),
    ("mouse", "**/*.csv", lambda text: text[:len(text) // 2], "columns where"),
    ("mouse", "**/*.csv", lambda text: text.replace(b"leftear", b"left ear"), "'left ear' is unknown"),
    ("mouse", "**/*.png", lambda _: b"", "img0000.png"),
    ("people", "test_coco.json", lambda text: text[:-99], "invalid json"),
    ("people", "test_coco.json", lambda text: text.replace(b'"height": 425', b'"height": 426', 1), "--rescale-labels"),
    ("people", "*.jpg", lambda text: text[:999], "000000000785.jpg"),
    ("robot", "videos/small_robot.mp4", lambda text: text[:len(text) // 2], "small_robot.mp4"),
    ("robot", "slp_hdf5/*.slp", lambda text: text[:len(text) // 2], "small_robot_minimal.slp"),
])
def test_damaged_real_projects(published, refused, tmp_path, name, files, harm, words):
    needed({"robot": "sleap"}.get(name, ""))
    source, root = published(REAL[name]), tmp_path / "real project"
    kept = ("*.jpg", "test_coco.json", "config.yaml", "**/*.csv", "**/img000*.png", "videos/small_robot.mp4",
            "slp_hdf5/*.slp")
    for path in {path for pattern in kept for path in source.glob(pattern)}:
        place = root / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    for table in root.rglob("*.csv"):  # the first ten images are enough
        table.write_text("".join(table.read_text().splitlines(keepends=True)[:13]))
    harmed = sorted(root.glob(files))[0]
    harmed.write_bytes(harm(harmed.read_bytes()))
    assert words in refused(next(root.glob("slp_hdf5/*.slp"), root), "--quick" if name == "robot" else "--sheet=0")
