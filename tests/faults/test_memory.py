"""Files of at most ten megabytes that ask for far more: every reader stays below a gibibyte, and comes to an end."""
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from kpjax.images.video import write_video

READ = """
import re, sys
from pathlib import Path
from kpjax.errors import InputError
from kpjax.images import reading as images, video
from kpjax.lab.formats import options, prediction_reading, reading
from kpjax.systems import system
path = Path(sys.argv[1])
try:
    {".png": images.read_image, ".mp4": lambda path: list(video.open_video(path)),
     ".npz": lambda path: system.read_predictions(path.parent)}.get(path.suffix, lambda path: (
         prediction_reading.read_predictions(path) if path.name == "points.csv" else
         reading.project_and_faults(path.parent, options.Options())))(path)
except InputError as error:
    print(error, file=sys.stderr)
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])  # since this program began
"""
LABELS, POINTS = "image,keypoint,x,y\n", "video,frame,instance,keypoint,x,y,score,status\n"
TEXTS = {  # by the file; they are large
    "lines/labels.csv": lambda: LABELS + "\n" * 9_900_000, "letters/labels.csv": lambda: LABELS + "a\n" * 4_900_000,
    "rows/labels.csv": lambda: LABELS + "i/a.png,n,1,2\n" * 700_000,
    "columns/labels.csv": lambda: LABELS[:-1] + "".join(f",{n}" for n in range(1_200_000)),
    "parts/CollectedData.csv": lambda: "".join(f"{name}{cells}\n" for name, cells in (
        ("scorer", ",A" * 200_000), ("bodyparts", "".join(f",{n},{n}" for n in range(100_000))),
        ("coords", ",x,y" * 100_000), ("labeled-data/v/a.png", ",1,2" * 100_000))),
    "lines/points.csv": lambda: POINTS + "v,0,0,n,1,2,1,ok\n" + "\n" * 9_900_000,
    "animals/points.csv": lambda: POINTS + "".join(f"v,{n},{n},k{n},1,2,1,ok\n" for n in range(250_000)),
    "dicts/labels.json": lambda: '{"images": [' + ",".join(['{"":0}'] * 1_400_000) + ']}',
    "nested/labels.json": lambda: "[" * 9_900_000,
    "elements/a.xml": lambda: f"<dataset><images>{'<a/>' * 2_400_000}</images></dataset>"}


def make(path):
    """Writes a file that is small, and large once it is read."""
    path.parent.mkdir()
    if path.suffix == ".png":
        Image.new("RGB" if path.stem == "colours" else "I;16", (8900, 8900)).save(path, compress_level=1)
        with path.open("ab") as file:
            file.truncate(9_900_000)
    elif path.suffix == ".mp4":
        write_video(path, [np.zeros((4400, 4400, 3), np.uint8)] * 3)
    elif path.suffix == ".npz":
        np.savez_compressed(path, **{"test/keypoints": np.zeros(200_000_000)})
    else:
        path.write_text(TEXTS[f"{path.parent.name}/{path.name}"]())


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux for the peak")
@pytest.mark.parametrize("name", [*TEXTS, "a/colours.png", "a/grey.png", "a/v.mp4", "a/predictions.npz"])
def test_a_reader_stays_below_a_gibibyte(name, tmp_path):
    make(tmp_path / name)
    assert (tmp_path / name).stat().st_size <= 10**7
    found = subprocess.run([sys.executable, "-c", READ, str(tmp_path / name)], capture_output=True, text=True,
                           timeout=900, check=True)
    assert "Traceback" not in found.stderr
    assert int(found.stdout) < 2**20  # kilobytes
