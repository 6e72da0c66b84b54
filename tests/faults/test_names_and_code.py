"""Names that come from files stay in their folders for every reader and writer, and nothing of a
file is run.
"""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from damage import NAMES
from damaging import PROJECTS
from PIL import Image

from kpjax.errors import InputError
from kpjax.file_names import inside
from kpjax.formats.reading import read_project

OUT_OF_IT = (*NAMES[:9], "..\\victim.png", "", "a\x00b.png", "link/out.png", "\ud800.png")
FINE = (
    "a.png",
    "a/b.png",
    "./a.png",
    "a/../b.png",
    "con/../nul.png",
    "sub/",
    "é.png",
    "..a.png",
    "-rf",
)


def everything(folder):
    """The paths and the content of all files below a folder."""
    return {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


@pytest.fixture
def victims(tmp_path):
    """A folder with files beside it that nobody may touch, and a link out of it."""
    for name in ("victim.txt", "victim.png", "p/labels.json", "elsewhere/out.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path / "elsewhere")
    return tmp_path


@pytest.mark.parametrize("name", OUT_OF_IT)
def test_a_name_that_leads_out_is_refused_and_one_below_taken(victims, name):
    assert all(inside(victims / "out", one, "files") == victims / "out" / one for one in FINE)
    before = everything(victims)
    with pytest.raises(InputError, match="files"):
        inside(victims / "out", name, "files")
    assert everything(victims) == before


@pytest.mark.parametrize(
    ("kind", "file", "place"),
    [
        ("coco", "labels.json", '"0.png"'),
        ("table", "labels.csv", "images/0.png"),
        ("deeplabcut", "labeled-data/vid 1/CollectedData_Ann.csv", "vid 1/img0.png"),
        ("lightning pose", "CollectedData.csv", "labeled-data/vid/img0.png"),
    ],
)
def test_every_reader_refuses_an_image_elsewhere(tmp_path, kind, file, place):
    PROJECTS[kind](tmp_path / "a" / "p")
    path = tmp_path / "a" / "p" / file
    Image.new("RGB", (40, 30)).save(tmp_path / "a" / "victim.png")
    Image.new("RGB", (40, 30)).save(tmp_path / "victim.png")
    whole = path.read_text()
    for name in (
        "../victim.png",
        "a/../../victim.png",
        "../../victim.png",
        "../../../../victim.png",
    ):
        path.write_text(whole.replace(place, json.dumps(name) if kind == "coco" else name, 1))
        with pytest.raises(InputError, match=r"outside|missing|names no image"):
            read_project(tmp_path / "a" / "p")


class Code:
    """A pickle that runs a command."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("layout", "place"),
    [
        ("fixed", "attribute"),
        ("table", "attribute"),
        ("fixed", "row"),
        ("table", "bytes"),
        ("fixed", "link"),
    ],
)
def test_a_table_of_deeplabcut_runs_nothing_and_leads_nowhere(tmp_path, layout, place):
    pandas, tables = pytest.importorskip("pandas"), pytest.importorskip("tables")
    PROJECTS["deeplabcut"](tmp_path / "p")
    path = next((tmp_path / "p").rglob("CollectedData_*.csv"))
    frame = pandas.read_csv(path, header=[0, 1, 2], index_col=0)
    path.unlink()
    frame.to_hdf(path.with_suffix(".h5"), key="df_with_missing", mode="w", format=layout)
    read_project(tmp_path / "p")
    with tables.open_file(str(path.with_suffix(".h5")), "a") as file:
        if place == "attribute":
            file.root.df_with_missing._v_attrs["x"] = Code(tmp_path / "ran")
        elif place == "row":
            file.create_vlarray(file.root.df_with_missing, "x", tables.ObjectAtom()).append(
                Code(tmp_path / "ran")
            )
        elif place == "link":
            file.create_soft_link("/", "elsewhere", "/df_with_missing")
        # loaded by a second try of PyTables alone: the first stops at the byte, which is no ASCII
        else:
            file.root.df_with_missing._v_attrs["x"] = np.bytes_(
                b"U\x01\xff0" + pickle.dumps(Code(tmp_path / "ran"), protocol=0)
            )
    with pytest.raises(
        InputError, match="it links to another" if place == "link" else "could run code"
    ):
        read_project(tmp_path / "p")
    assert not (tmp_path / "ran").exists()
