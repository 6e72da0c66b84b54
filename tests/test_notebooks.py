"""The notebooks: cell by cell as they stand, in this process, with few steps."""

import json
import os
import pathlib

import pytest

from kpjax.lab.program import main

NOTEBOOKS = pathlib.Path(__file__).parents[1] / "docs" / "notebooks"
TINY = [
    "--image-size",
    "32",
    "--widths",
    "4",
    "4",
    "8",
    "--head-width",
    "4",
    "--batch-size",
    "16",
    "--feature-width",
    "8",
    "--evaluations",
    "1",
    "--warm-start-steps",
    "1",
]
SMALL = {  # what replaces a notebook's own values, where a cell sets them
    "own_data": {"STEPS": 2, "SIZE": 32, "FURTHER": TINY[2:]},
    "ablation": {"STEPS": 2, "BATCH": 8},
}


def cells(name):
    """Returns the code of a notebook, cell by cell."""
    found = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in found if cell["cell_type"] == "code"]


@pytest.fixture
def executed(tmp_path, monkeypatch):
    """Executes a notebook and returns its names.

    Commands run in this process, which has compiled their programs.
    """
    monkeypatch.chdir(tmp_path)

    def command(*words):
        monkeypatch.setattr("sys.argv", ["kpjax", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code in (0, None)

    def execute(name):
        names = {}
        for number, cell in enumerate(cells(name)):
            exec(compile(cell, f"{name}, cell {number}", "exec"), names)
            names |= {key: value for key, value in SMALL[name].items() if key in names}
            names |= {"command": command} if "command" in names else {}
            if "OBJECTIVES" in names:  # each compiles a program; the README has the whole
                names["OBJECTIVES"] = {key: names["OBJECTIVES"][key] for key in ["RegDA"]}
        return names

    return execute


@pytest.mark.slow
def test_own_data(executed, capsys):
    names = executed("own_data")
    assert len(names["rows"]) == 60 * 4
    assert {row["keypoint"] for row in names["rows"]} == set(names["NAMES"])
    assert os.path.exists(names["RUN"] + "/results.json")
    assert "jax" in capsys.readouterr().out


@pytest.mark.slow
def test_ablation(executed):
    names = executed("ablation")
    assert {*names["OBJECTIVES"], "source only", "source only, random colours"} == set(
        names["results"]
    )
    assert all(0 <= share <= 1 for shares in names["results"].values() for share in shares)


@pytest.mark.parametrize("name", SMALL)
def test_a_notebook_is_stored_with_its_outputs(name):
    """All cells were executed in order, without an error, and a picture is there; the file stays
    small.
    """
    path = NOTEBOOKS / f"{name}.ipynb"
    code = [
        cell
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "code"
    ]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert any("image/jpeg" in output.get("data", {}) for output in outputs)
    assert path.stat().st_size < 400_000
