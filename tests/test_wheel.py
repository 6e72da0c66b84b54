"""An installed wheel: it holds the library, the systems and the laboratory, and needs no clone."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
SAMPLE = str(ROOT / "tests" / "samples" / "deeplabcut")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the unpacked wheel, as an installer lays it out."""
    builder = pytest.importorskip("hatchling.builders.wheel").WheelBuilder(str(ROOT))
    (wheel,) = builder.build(directory=str(tmp_path_factory.mktemp("dist")), versions=["standard"])
    site = tmp_path_factory.mktemp("site packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def run(installed, folder, program, *arguments):
    """Runs a program in another folder, with the wheel alone beside the installed dependencies."""
    environment = os.environ | {"PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"}
    return subprocess.run(
        [sys.executable, *program, *arguments],
        cwd=folder,
        env=environment,
        text=True,
        capture_output=True,
        timeout=300,
    )


def script(installed):
    """Runs what an installer's script `kpjax` does."""
    (table,) = installed.glob("*.dist-info/entry_points.txt")
    module, function = re.search(r"^kpjax = ([\w.]+):(\w+)$", table.read_text(), re.M).groups()
    return "-c", f"import sys; from {module} import {function}; sys.exit({function}())"


def test_a_wheel_owns_one_top_level_package(installed):
    assert {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")} == {
        "kpjax"
    }
    for path in (
        "py.typed",
        "methods/__init__.pyi",
        "systems/regda/paper.txt",
        "systems/reports/report.css",
        "systems/incremental/protocols/figures.json",
    ):
        assert (installed / "kpjax" / path).is_file()
    assert not list(installed.rglob("experiments"))


def test_commands_run_without_a_clone(installed, tmp_path):
    (tmp_path / "data").mkdir()  # of a person's own; it must hide nothing
    for program in (script(installed), ("-m", "kpjax")):
        listed = run(installed, tmp_path, program, "--help")
        assert listed.returncode == 0, listed.stderr
        assert "kpjax check MY_PROJECT" in listed.stdout
    checked = run(installed, tmp_path, script(installed), "check", SAMPLE, "--out", "sheets")
    assert checked.returncode == 0, checked.stderr
    assert "  kpjax train --project P" in checked.stdout
    assert list((tmp_path / "sheets").glob("*_labels.png"))
    asked = run(installed, tmp_path, script(installed), "train", "regda", "--help")
    assert asked.returncode == 0, asked.stderr
    assert "--target" in asked.stdout
