"""Executes the notebooks and stores them with what they print and draw, small enough for a
repository.

python docs/execute.py [NAME...]        (needs the dependency group `notebooks`; minutes on two cores)

Each runs in a folder of its own. Paths of this machine and versions are left out of what is stored,
and pictures have at most 780 px.
"""

import base64
import io
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

NOTEBOOKS = Path(__file__).resolve().parent / "notebooks"
SIDE, QUALITY = 780, 80
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def execute(path: Path) -> None:
    """Executes a notebook in an empty folder, and writes it with its outputs."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(notebook, timeout=1800, resources={"metadata": {"path": folder}}).execute()
        tidy(notebook, folder)
    nbformat.write(notebook, path)


def tidy(notebook: Any, folder: str) -> None:
    """Changes the outputs of a notebook into what is stored."""
    notebook["metadata"] = METADATA
    for cell in notebook["cells"]:
        cell["metadata"] = {}
        if cell["cell_type"] == "code":
            cell["outputs"] = joined(cell["outputs"])
        for output in cell.get("outputs", []):
            if "text" in output:
                output["text"] = plain(output["text"], folder)
            if "image/png" in output.get("data", {}):
                output["data"] = {
                    "image/jpeg": smaller(output["data"]["image/png"]),
                    "text/plain": output["data"]["text/plain"],
                }


def joined(outputs: list[Any]) -> list[Any]:
    """Returns outputs whose pieces of one stream are one: where they are cut depends on time."""
    found: list[Any] = []
    for output in outputs:
        if output.get("text") is not None:
            output["text"] = "".join(output["text"])
        if found and output.get("name") and output["name"] == found[-1].get("name"):
            found[-1]["text"] += output["text"]
        else:
            found.append(output)
    return found


def plain(text: str, folder: str) -> str:
    """Returns printed text without the paths of this machine, versions, speeds and XLA's alarms."""
    text = text.replace(f"{folder}/", "").replace(folder, ".").replace(str(Path.home()), "~")
    text = re.sub(r"python 3\.[^\n]*\n(?: {4}[^\n]*\n)*", "", text)
    text = re.sub(r"all of it: about [^\n]*\n", "", text)
    text = re.sub(r"E\d{4} [^\n]*slow_operation_alarm[^\n]*\n\n?", "", text)
    text = re.sub(r"\*{20,}\n\[Compiling [^\n]*\n\*{20,}\n", "", text)
    return re.sub(
        r" in [\d.]+ s \([\d.]+ a second[^)]*\)|: [\d.]+ steps/s, [\d,.]+ images/s, [\d:]+ left",
        "",
        text,
    )


def smaller(stored: str | list[str]) -> str:
    """Returns a picture (base64, PNG) as a JPEG of fewer pixels."""
    with Image.open(io.BytesIO(base64.b64decode("".join(stored)))) as image:
        image.thumbnail((SIDE, SIDE))
        written = io.BytesIO()
        image.convert("RGB").save(written, "JPEG", quality=QUALITY, optimize=True)
    return base64.b64encode(written.getvalue()).decode()


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")):
        execute(NOTEBOOKS / f"{name}.ipynb")
