"""A page on which proposals are corrected by hand in a browser, without a network: `label.html` beside the images.

It begins with the network's points; those below the cutoff and beyond the image begin as not visible. What a person
accepted is downloaded as corrected.csv, a plain table of labels (`kpjax.lab.formats.plain_csv`) whose images are below
its folder.
"""
import hashlib
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from kpjax.drawing.overlays import animal_colours, keypoint_colours
from kpjax.files import sha256_of, write_text
from kpjax.lab.out.suggest.proposals import Proposal, images_below
from kpjax.structures import Skeleton

FILE, CORRECTED = "label.html", "corrected.csv"
# Of the table that the page writes: what an image is stands there, whatever other files are called.
COLUMNS = ("image", "video", "frame", "sha256", "instance", "keypoint", "x", "y", "visible")
_TEMPLATE = Path(__file__).with_name("page.html")


def write_page(folder: Path, place: Path, proposals: Sequence[Proposal], form: str, skeleton: Skeleton, *,
               cutoff: float, project: Path | None = None) -> Path:
    """Writes the page into the folder of proposals and returns its path.

    folder, place, form: of `write_proposals`, with the images. cutoff: points with a lower score begin as not visible.
    project: whose labels these will be, for the command that the page names.
    """
    frames = []
    for one in proposals:
        height, width = one.image.shape[:2]
        file = f"{images_below(form)}/{one.file}"
        points = [[[round(float(value), 3) for value in (*point, score)]
                   for point, score in zip(one.keypoints[animal], one.scores[animal], strict=True)]
                  if animal in one.present else [] for animal in range(len(one.animals))]
        video = ["", ""] if one.frame.number is None else [str(one.frame.path.absolute()), one.frame.number]
        frames.append({"file": quote(file), "in_table": [file, *video, sha256_of(folder / file)], "name": one.file,
                       "width": width, "height": height, "points": points})
    train = shlex.join(["kpjax", "train", "--project", "PROJECT" if project is None else str(project), "--project",
                        str(place / CORRECTED)])
    content = {
        "keypoints": list(skeleton.names), "edges": [list(edge) for edge in skeleton.edges],
        "colours": [_hex(colour) for colour in keypoint_colours(len(skeleton.names)).tolist()],
        "animals": list(proposals[0].animals), "columns": list(COLUMNS), "cutoff": cutoff,
        "animal_colours": [_hex(colour) for colour in animal_colours(len(proposals[0].animals))], "frames": frames,
        "how": f"Put corrected.csv beside this page, then: {train}"}
    content["digest"] = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
    # No name may end the script or begin a tag.
    data = json.dumps(content, allow_nan=False).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return write_text(folder / FILE, _TEMPLATE.read_text(encoding="utf-8").replace("@DATA@", data))


def _hex(colour: Sequence[int]) -> str:
    return "#" + "".join(f"{int(part):02x}" for part in colour)
