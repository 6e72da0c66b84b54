"""Renders the sample projects of this folder: the same two people in the files of every annotation tool.

PYTHONPATH=. python tests/samples/make.py [FOLDER]

The labels are written as those tools write them, with pandas and sleap-io, and not with the writers of kpjax.
"""
import contextlib
import json
import pathlib
import sys

import numpy as np
from PIL import Image

from data.figures import figures, target

SIDE = 64
NAMES = ("head", "left_hand", "right_hand", "left_foot", "right_foot")
MIRRORED = (("left_hand", "right_hand"), ("left_foot", "right_foot"))
EDGES = tuple(("head", name) for name in NAMES[1:])
SCORER = "Ann"
UNLABELLED = 1, "left_hand"  # this person and keypoint
HIDDEN = 1, "left_foot"  # labelled where the format can say that it is hidden, else without a label


def people():
    """Images, the keypoints of `NAMES` to a tenth of a pixel, and boxes (x, y, width, height) around them."""
    rendered = figures(2, target(), 7, SIDE)
    order = [rendered.skeleton.names.index(name) for name in NAMES]
    images = [Image.fromarray(rendered[n].image) for n in range(2)]
    keypoints = np.stack([np.round(rendered[n].keypoints[order].astype(np.float64), 1) for n in range(2)])
    corners = np.stack([np.floor(keypoints.min(1)) - 3, np.ceil(keypoints.max(1)) + 3])
    return images, keypoints, np.concatenate([corners[0], corners[1] - corners[0]], axis=-1)


def labels(keypoints, *, hidden):
    """The keypoints with nan where there is no label; hidden: whether the hidden one has one."""
    keypoints = keypoints.copy()
    for person, name in (UNLABELLED, *(() if hidden else (HIDDEN,))):
        keypoints[person, NAMES.index(name)] = np.nan
    return keypoints


def save(images, folder, names):
    """Writes the images below a folder."""
    for image, name in zip(images, names, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(folder / name, optimize=True)


def make_coco(root, images, keypoints, boxes):
    """A COCO keypoint file beside its images."""
    names = ["first.png", "second.png"]
    save(images, root / "images", names)
    flags = np.full((2, len(NAMES)), 2)
    flags[HIDDEN[0], NAMES.index(HIDDEN[1])] = 1
    flags[UNLABELLED[0], NAMES.index(UNLABELLED[1])] = 0
    annotations = [{
        "id": 11 + n, "image_id": 101 + n, "category_id": 1, "iscrowd": 0, "bbox": boxes[n].tolist(),
        "area": float(boxes[n, 2] * boxes[n, 3]), "num_keypoints": int((flags[n] > 0).sum()),
        "keypoints": [number for (x, y), flag in zip(keypoints[n].tolist(), flags[n].tolist(), strict=True)
                      for number in ((x, y, flag) if flag else (0, 0, 0))]} for n in range(2)]
    content = {
        "info": {"description": "Two synthetic people"}, "licenses": [],
        "images": [{"id": 101 + n, "file_name": names[n], "width": SIDE, "height": SIDE} for n in range(2)],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person", "supercategory": "person", "keypoints": list(NAMES),
                        "skeleton": [[NAMES.index(a) + 1, NAMES.index(b) + 1] for a, b in EDGES]}]}
    (root / "person_keypoints.json").write_text(json.dumps(content, indent=1) + "\n")


def make_csv(root, images, keypoints, boxes):
    """A plain table with a row for every keypoint, and the skeleton beside it."""
    names = ["images/first.png", "images/second.png"]
    save(images, root, names)
    rows = ["image,keypoint,x,y,visible,box_x,box_y,box_w,box_h"]
    for n, (image, points) in enumerate(zip(names, keypoints.tolist(), strict=True)):
        box = ",".join(f"{number:g}" for number in boxes[n])
        for name, (x, y) in zip(NAMES, points, strict=True):
            if (n, name) != UNLABELLED:
                rows.append(f"{image},{name},{x:g},{y:g},{int((n, name) != HIDDEN)},{box}")
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    (root / "skeleton.json").write_text(json.dumps({"names": NAMES, "edges": EDGES}, indent=1) + "\n")


def table(keypoints, index, *, individuals=()):
    """A table of DeepLabCut: columns scorer, (individuals,) bodyparts, coords."""
    import pandas

    levels = {"scorer": [SCORER], "individuals": list(individuals), "bodyparts": list(NAMES), "coords": ["x", "y"]}
    levels = {name: values for name, values in levels.items() if values}
    columns = pandas.MultiIndex.from_product(list(levels.values()), names=list(levels))
    return pandas.DataFrame(keypoints.reshape(len(index), -1), columns=columns, index=index)


CONFIG = """\
# Project definitions (do not edit)
Task: walk
scorer: Ann
date: Nov5
multianimalproject: {several}
identity:

# Project path (change when moving around)
project_path: C:\\Users\\Ann\\walk-Ann-2024-11-05

# Annotation data set configuration (and individual video cropping parameters)
video_sets:
  C:\\Users\\Ann\\walk-Ann-2024-11-05\\videos\\walk.mp4:
    crop: 0, 64, 0, 64
{parts}
# Fraction of video to start/stop when extracting frames for labeling/refinement
start: 0
stop: 1
numframes2pick: 20

# Plotting configuration
skeleton:
- - head
  - left_hand
- - head
  - right_hand
- - head
  - left_foot
- - head
  - right_foot
skeleton_color: black
pcutoff: 0.6
dotsize: 12
alphavalue: 0.7
colormap: rainbow
"""


def make_deeplabcut(root, images, keypoints, boxes):
    """A project of one animal as DeepLabCut 2.3 writes it: paths in three cells, the table twice."""
    import pandas

    home = root / "labeled-data" / "walk"
    names = ["img0003.png", "img0017.png"]
    save(images, home, names)
    listed = "".join(f"- {name}\n" for name in NAMES)
    (root / "config.yaml").write_text(CONFIG.format(several="false", parts=f"bodyparts:\n{listed}"))
    index = pandas.MultiIndex.from_tuples([("labeled-data", "walk", name) for name in names])
    frame = table(labels(keypoints, hidden=False), index)
    frame.to_csv(home / f"CollectedData_{SCORER}.csv")
    frame.to_hdf(home / f"CollectedData_{SCORER}.h5", key="df_with_missing", mode="w")


def make_deeplabcut_several(root, images, keypoints, boxes):
    """A project of two animals as old versions write it: paths in one cell; both people on an image, then one."""
    home = root / "labeled-data" / "walk"
    both = Image.new("RGB", (2 * SIDE, SIDE))
    both.paste(images[0], (0, 0))
    both.paste(images[1], (SIDE, 0))
    alone = Image.new("RGB", (2 * SIDE, SIDE))
    alone.paste(images[1], (0, 0))
    names = ["img0003.png", "img0017.png"]
    save([both, alone], home, names)
    listed = "".join(f"- {name}\n" for name in NAMES)
    (root / "config.yaml").write_text(CONFIG.format(several="true", parts=(
        f"individuals:\n- anna\n- bert\nuniquebodyparts: []\nmultianimalbodyparts:\n{listed}bodyparts: MULTI!\n")))
    anna, bert = labels(keypoints, hidden=False)
    rows = np.stack([np.stack([anna, bert + [SIDE, 0]]), np.stack([np.full_like(anna, np.nan), bert])])
    frame = table(rows, [f"labeled-data/walk/{name}" for name in names], individuals=("anna", "bert"))
    frame.to_csv(home / f"CollectedData_{SCORER}.csv")


def make_lightning_pose(root, images, keypoints, boxes):
    """A table beside `labeled-data`, and the boxes of animals, whose height comes before their width."""
    names = [f"labeled-data/walk/{name}" for name in ("img00000003.png", "img00000017.png")]
    save(images, root, names)
    table(labels(keypoints, hidden=False), names).to_csv(root / "CollectedData.csv")
    rows = [",x,y,h,w", *(f"{name},{x:g},{y:g},{height:g},{width:g}"
                          for name, (x, y, width, height) in zip(names, boxes, strict=True))]
    (root / "bbox.csv").write_text("\n".join(rows) + "\n")


def make_sleap(root, images, keypoints, boxes):
    """A project whose labels are on frames of a video, and a package that holds its images itself."""
    import sleap_io

    from kpjax.images.video import write_video

    names = ["first.png", "second.png"]
    skeleton = sleap_io.Skeleton(list(NAMES), edges=list(EDGES), symmetries=list(MIRRORED), name="person")
    track = sleap_io.Track("ann")
    save(images, root, names)
    write_video(root / "walk.mp4", [np.asarray(images[n // 3]) for n in range(6)])
    film = sleap_io.Video(filename="C:/Users/Ann/films/walk.mp4", open_backend=False)
    film.backend_metadata["shape"] = (6, SIDE, SIDE, 3)
    with contextlib.chdir(root):  # the package keeps the paths of its images
        for path, video, numbers, embed in (("labels.slp", film, (1, 4), False),
                                            ("labels.pkg.slp", sleap_io.Video.from_filename(names), (0, 1), "user")):
            frames = [sleap_io.LabeledFrame(video, number, [sleap_io.Instance.from_numpy(
                points, skeleton=skeleton, track=track)])
                for number, points in zip(numbers, labels(keypoints, hidden=False), strict=True)]
            made = sleap_io.Labels(frames, videos=[video], skeletons=[skeleton], tracks=[track])
            made.save(path, embed=embed, verbose=False)
    for name in names:
        (root / name).unlink()


MAKERS = {"coco": make_coco, "csv": make_csv, "deeplabcut": make_deeplabcut,
          "deeplabcut_several": make_deeplabcut_several, "lightning_pose": make_lightning_pose, "sleap": make_sleap}


def main(folder):
    """Writes every sample below a folder."""
    for name, maker in MAKERS.items():
        maker(folder / name, *people())


if __name__ == "__main__":
    main(pathlib.Path(*sys.argv[1:2] or [pathlib.Path(__file__).parent]))
