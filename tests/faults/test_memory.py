"""Files of at most ten megabytes that ask for far more: every reader stays below a gibibyte, and
comes to an end.
"""

import json
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

from kpjax.images.video import write_video

READ = """
import re, sys
from pathlib import Path
from kpjax.errors import InputError
from kpjax.images import reading as images, video
from kpjax.models.weights import pretrained
from kpjax.formats import options, prediction_reading, reading
from kpjax.training import evaluation
path = Path(sys.argv[1])
try:
    {".png": images.read_image, ".mp4": lambda path: [None for _ in video.open_video(path)],
     ".pth": pretrained.read_weights,
     ".npz": lambda path: evaluation.read_predictions(path.parent)}.get(path.suffix, lambda path: (
         prediction_reading.read_predictions(path) if path.name == "points.csv" else
         reading.project_and_faults(path.parent, options.Options())))(path)
except InputError as error:
    print(error, file=sys.stderr)
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])  # since this program began
"""
LABELS, POINTS = "image,keypoint,x,y\n", "video,frame,instance,keypoint,x,y,score,status\n"
TEXTS = {  # by the file; they are large
    "lines/labels.csv": lambda: LABELS + "\n" * 9_900_000,
    "letters/labels.csv": lambda: LABELS + "a\n" * 4_900_000,
    "rows/labels.csv": lambda: LABELS + "i/a.png,n,1,2\n" * 700_000,
    "columns/labels.csv": lambda: LABELS[:-1] + "".join(f",{n}" for n in range(1_200_000)),
    "parts/CollectedData.csv": lambda: "".join(
        f"{name}{cells}\n"
        for name, cells in (
            ("scorer", ",A" * 200_000),
            ("bodyparts", "".join(f",{n},{n}" for n in range(100_000))),
            ("coords", ",x,y" * 100_000),
            ("labeled-data/v/a.png", ",1,2" * 100_000),
        )
    ),
    "lines/points.csv": lambda: POINTS + "v,0,0,n,1,2,1,ok\n" + "\n" * 9_900_000,
    "gap/points.csv": lambda: (
        POINTS + "".join(f"v,{frame},0,n,1,2,1,ok\n" for frame in (0, 1, 9_999_998))
    ),
    "names/labels.csv": lambda: LABELS + "".join(f"{n}.png,{n},1,2\n" for n in range(9_000)),
    "animals/points.csv": lambda: (
        POINTS + "".join(f"v,{n},{n},k{n},1,2,1,ok\n" for n in range(250_000))
    ),
    "dicts/labels.json": lambda: '{"images": [' + ",".join(['{"":0}'] * 1_400_000) + "]}",
    "mirrored/labels.json": lambda: json.dumps(
        {
            "images": [{"id": 1, "file_name": "a/" * 1_000_000}],
            "annotations": [
                {"id": 1, "image_id": 1, "category_id": 1, "keypoints": [1, 1, 2] + [0] * 599_997}
            ],
            "categories": [
                {"id": 1, "name": "a", "keypoints": [*map(str, range(200_000))], "flip": {"0": "1"}}
            ],
        }
    ),
    "nested/labels.json": lambda: "[" * 9_900_000,
    "elements/a.xml": lambda: f"<dataset><images>{'<a/>' * 2_400_000}</images></dataset>",
}


PICKLES = {
    "sets": b"\x8f" * 9_900_000 + b".",
    "bytes": b"cbuiltins\nbytearray\nI3000000000\n\x85R.",
}


def make(path):
    """Writes a file that is small, and large once it is read."""
    path.parent.mkdir()
    if path.suffix == ".png":
        Image.new("RGB" if path.stem == "colours" else "I;16", (8900, 8900)).save(
            path, compress_level=1
        )
        with path.open("ab") as file:
            file.truncate(9_900_000)
    elif path.suffix == ".mp4":
        large = path.stem == "large"
        write_video(
            path,
            [np.zeros((4400, 4400, 3) if large else (32, 32, 3), np.uint8)] * (3 if large else 8),
        )
        content = bytearray(path.read_bytes())
        # samples of one byte: none of them has a row in a table
        for name, place, value in (
            ()
            if large
            else ((b"stsz", 8, 1), (b"stsz", 12, 2**26), (b"stsc", 16, 2**26), (b"stts", 12, 2**26))
        ):
            struct.pack_into(">I", content, content.index(name) + place, value)
        path.write_bytes(content)
    elif path.suffix == ".pth":
        torch = pytest.importorskip("torch", reason="PyTorch reads its files")
        torch.save({"a": torch.zeros(10)}, whole := path.with_suffix(".whole"))
        with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w") as new:
            for name in old.namelist():
                new.writestr(
                    name,
                    b"\x80\2" + PICKLES[path.stem] if name.endswith("data.pkl") else old.read(name),
                )
    elif path.suffix == ".npz":
        np.savez_compressed(path, **{"test/keypoints": np.zeros(200_000_000)})
    else:
        path.write_text(TEXTS[f"{path.parent.name}/{path.name}"]())


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux for the peak")
@pytest.mark.parametrize(
    "name",
    [
        *TEXTS,
        "a/colours.png",
        "a/grey.png",
        "a/large.mp4",
        "a/tables.mp4",
        "a/sets.pth",
        "a/bytes.pth",
        "a/predictions.npz",
    ],
)
def test_a_reader_stays_below_a_gibibyte(name, tmp_path):
    make(tmp_path / name)
    assert (tmp_path / name).stat().st_size <= 10**7
    found = subprocess.run(
        [sys.executable, "-c", READ, str(tmp_path / name)],
        capture_output=True,
        text=True,
        timeout=900,
        check=True,
    )
    assert "Traceback" not in found.stderr
    assert int(found.stdout) < 2**20  # kilobytes
