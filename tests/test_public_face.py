"""The public face: every exported name is there and costs nothing before it is used, and README's
example runs.
"""

import importlib
import os
import pathlib
import re
import subprocess
import sys
import tomllib

import numpy as np
import pytest
from PIL import Image

import kpjax
from kpjax.__main__ import NEEDED

PACKAGES = (
    "kpjax",
    "kpjax.augment",
    "kpjax.losses",
    "kpjax.methods",
    "kpjax.models",
    "kpjax.formats",
)

# modules of extras, and of groups of a clone
ONLY_PUBLISHED_DATA = ("tensorflow_datasets", "grain", "pyarrow", "pandas", "sleap_io", "sklearn")


@pytest.mark.parametrize("name", PACKAGES)
def test_every_exported_name_is_there(name):
    package = importlib.import_module(name)
    assert len(set(package.__all__)) == len(package.__all__) > 0
    assert set(package.__all__) <= set(dir(package))
    for export in package.__all__:
        assert getattr(package, export) is not None
    with pytest.raises(AttributeError, match="regression"):
        package.regression  # noqa: B018


def test_importing_the_packages_imports_no_jax():
    code = f"import sys, {', '.join(PACKAGES)}; print(sorted({{'jax', 'flax', 'optax', 'numpy'}} & set(sys.modules)))"
    code += "; import os; print(os.environ['TF_CPP_MIN_LOG_LEVEL'])"
    without = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=without
    )
    assert answer.stdout.split() == ["[]", "3"]  # XLA's banner about slow compiling is off


def test_the_library_needs_no_extra_and_the_program_names_its_own():
    """All public names but those of `formats`, without the packages of `kpjax[lab]`."""
    code = (
        f"import importlib, sys; sys.modules.update(dict.fromkeys({NEEDED}))\n"
        f"for name in {PACKAGES[:-1]}:\n"
        "    package = importlib.import_module(name)\n"
        "    assert all(getattr(package, export) is not None for export in package.__all__)\n"
        "import kpjax.training.fit, kpjax.input.video_source, kpjax.__main__\n"
        "kpjax.__main__.main()\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, "train"], cwd=ROOT, capture_output=True, text=True
    )
    said = f"error: the program kpjax needs {', '.join(NEEDED)}; pip install 'kpjax[lab]'\n"
    assert (answer.returncode, answer.stderr, answer.stdout) == (2, said, "")


def test_the_extra_holds_what_the_program_needs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extra = {re.split("[<>=[]", one)[0] for one in project["optional-dependencies"]["lab"]}
    assert set(NEEDED) <= extra
    assert extra - set(NEEDED) == {"kpjax"}  # kpjax[hub], without which the program starts, too


@pytest.mark.slow
def test_nothing_that_only_published_data_need_is_needed():
    """Extras and groups of a clone: tfds brings pyarrow, and with it a sixth of an environment. Here
    none of them can be imported."""
    code = (
        "import importlib, pkgutil, sys\n"
        f"sys.modules.update(dict.fromkeys({ONLY_PUBLISHED_DATA}))\n"
        "import kpjax.lab.commands.train, data.figures, data.dsprites\n"
        "for entry in pkgutil.iter_modules(kpjax.lab.commands.__path__, 'kpjax.lab.commands.'):\n"
        "    importlib.import_module(entry.name)\n"
        "for system in kpjax.lab.commands.train.NEEDS:\n"
        "    importlib.import_module(f'kpjax.lab.own.{system}')\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


# README's example

ROOT = pathlib.Path(__file__).parents[1]
(EXAMPLE,) = re.findall(
    r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S
)


@pytest.mark.parametrize("side", [0, -16, 40])
def test_a_default_setup_names_a_side_that_does_not_fit(side):
    with pytest.raises(kpjax.InputError, match=f"image_size: {side}; give a multiple of 16"):
        kpjax.default_setup(kpjax.Skeleton(("nose",)), image_size=side)


@pytest.mark.slow
def test_the_example_runs():
    names = {}
    exec(compile(EXAMPLE, "README.md", "exec"), names)
    assert names["state"].step == 1
    assert {"loss/total", "loss/supervised", "loss/target_false", "loss/target_truth"} <= set(
        names["metrics"]
    )
    keypoints = names["prediction"].keypoints
    assert keypoints.shape == (4, 3, 2)
    assert np.isfinite(keypoints).all()


@pytest.mark.slow
def test_the_page_on_composing_runs_on_two_folders_and_on_videos(tmp_path, monkeypatch):
    example, videos = re.findall(
        r"^```python\n(.*?)^```$", (ROOT / "docs/composing.md").read_text("utf-8"), re.M | re.S
    )
    monkeypatch.chdir(tmp_path)
    rows = ["image,keypoint,x,y"]
    for folder in ("labelled", "unlabelled"):
        pathlib.Path(folder).mkdir()
        for number in range(8):
            noise = np.random.default_rng(number).integers(0, 255, (40, 60, 3), np.uint8)
            Image.fromarray(noise).save(f"{folder}/{number}.png")
            rows += [f"{number}.png,{point},{10 + number},20" for point in ("nose", "tail")] * (
                folder == "labelled"
            )
    pathlib.Path("labelled/labels.csv").write_text("\n".join(rows) + "\n")
    names = {}
    exec(compile(example, "composing.md", "exec"), names)
    assert names["found"].keypoints.shape == (8, 2, 2)
    exec(compile(videos, "composing.md", "exec"), names)
    assert names["streams"]["reference"][1].image.shape == (4, 64, 64, 3)
