"""An installed wheel: it holds the library, the systems and the laboratory, and needs no clone."""

import os
import re
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import pytest
from packaging.version import Version

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
SAMPLE = str(ROOT / "tests" / "samples" / "deeplabcut")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the unpacked wheel, as an installer lays it out."""
    builder = pytest.importorskip("hatchling.builders.wheel").WheelBuilder(str(ROOT))
    folder = str(tmp_path_factory.mktemp("dist"))
    with warnings.catch_warnings():  # hatch-vcs calls its writer of versions in an older form
        warnings.simplefilter("ignore", DeprecationWarning)
        (wheel,) = builder.build(directory=folder, versions=["standard"])
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
        "papers/regda/paper.txt",
        "papers/reports/report.css",
        "papers/incremental/protocols/figures.json",
    ):
        assert (installed / "kpjax" / path).is_file()
    assert not list(installed.rglob("experiments"))


def test_an_untagged_clone_is_below_the_release_and_its_wheel_knows_the_commit(installed):
    (metadata,) = installed.glob("*.dist-info/METADATA")
    said = re.search(r"^Version: (.+)$", metadata.read_text(encoding="utf-8"), re.M)[1]
    code = "from kpjax.training.identity import *; print(built_version(), commit() or 'none')"
    answer = run(installed, installed, ("-c", code))
    assert answer.returncode == 0, answer.stderr
    version, commit = answer.stdout.split()
    assert version == said
    if "dev" in said and "+" in said:  # of a clone, without a tag
        here = subprocess.run(
            ["git", "-C", str(ROOT), "rev-parse", "HEAD"],
            text=True,
            capture_output=True,
            check=True,
        ).stdout
        assert Version(said) < Version("0.1.0")
        assert here.startswith(commit.rstrip("+"))


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
