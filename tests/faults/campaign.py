"""Thousands of damaged and hostile inputs, judged: PYTHONPATH=. python tests/faults/campaign.py --out CSV

Writes a row for each kind: tries, refused in a line, accepted, tracebacks, hangs, files touched outside, silent
differences. Whatever is none of the first two is printed with the seed that makes it again. The share 1 takes a quarter
of an hour on one core.
"""
import argparse
import csv
import json
import math
import os
import random
import shutil
import sys
import tempfile
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS / name) for name in ("faults", "annotations", "experiments", "models")]
os.environ |= {"JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"}

import av
import h5py  # noqa: F401  for all children
import numpy as np
import sleap_io
from damaging import PROJECTS
from hostile import CELLS, NAMES, NUMBERS, VALUES, changed_bytes, changed_json, changed_table, put, text_of
from judge import OUTCOMES, Silent, judged, sandbox
from PIL import Image

from kpjax.annotations.boxes_file import read_boxes
from kpjax.annotations.project import Project
from kpjax.annotations.reading import read_project
from kpjax.annotations.writing import WRITERS, write_project
from kpjax.errors import InputError, printable
from kpjax.images.reading import read_image
from kpjax.images.video import open_video, write_video

_ = sleap_io.Labels, sleap_io.save_slp  # imported on first use
OUT = Path(__file__).with_name("outcomes.csv")


class Try(NamedTuple):
    """One input: how it is made in a copy of a sample, and what is done with it."""

    make: Callable[[Path], Any]  # in the project's folder
    act: Callable[[Path], Any]  # in the folder around it
    what: str
    refuse_writes: OSError | None = None


class Kind(NamedTuple):
    """Inputs of one kind."""

    sample: Callable[[Path], Any]  # makes the sample
    tries: Callable[[random.Random], Iterator[Try]]  # without end, or all there are
    count: int  # of a whole campaign


# What is done, and what an accepted input must be


def check_project(project: Project) -> None:
    """Raises Silent for a project that no file can mean."""
    names = [(str(frame.path), frame.number) for frame in project.frames]
    if len(set(names)) < len(names) or len({frame.name for frame in project.frames}) < len(names):
        raise Silent("two frames are one")
    for one in project.instances:
        seen = one.keypoints[one.visible > 0]
        if not 0 <= one.frame < len(names) or not (np.abs(seen) <= 1e6).all() or not len(seen):
            raise Silent("labels that are none")
        if np.isfinite(one.box).any() and not ((one.box[2:] > 0).all() and (np.abs(one.box) <= 1e6).all()):
            raise Silent("a box that is none")
    if any(printable(name) != name or not name for name in project.skeleton.names):
        raise Silent("a name that cannot be shown")


def read(folder: Path) -> None:
    """Reads the project."""
    check_project(read_project(folder / "p"))


def convert(target: str) -> Callable[[Path], None]:
    """Reads the project and writes it for another tool, a second time over the first."""
    def act(folder: Path) -> None:
        project = read_project(folder / "p")
        check_project(project)
        for overwrite in (False, True):
            labels = write_project(project, target, folder / "out", overwrite=overwrite)
        if wrong := [path for path in [*labels, *(folder / "out").rglob("*")]
                     if path.is_symlink() or not path.resolve().is_relative_to(folder / "out")]:
            raise Silent(f"{wrong[0]} is elsewhere")
        if len(read_project(labels[0] if target != "deeplabcut" else folder / "out").frames) != len(project.frames):
            raise Silent("frames were lost")
    return act


# Mutations of whole samples


def of_file(name: str, act: Callable, changed: Callable[[Path, random.Random], bytes]
            ) -> Callable[[random.Random], Iterator[Try]]:
    """Changes a file as `changed` does, and bytes of it one time in four."""
    def tries(chance: random.Random) -> Iterator[Try]:
        while True:
            seed = chance.getrandbits(32)

            def make(root: Path, seed: int = seed) -> None:
                own, path = random.Random(seed), root / name
                path.write_bytes(changed_bytes(path.read_bytes(), own) if own.random() < 0.25 else changed(path, own))
            yield Try(make, act, f"{name} {seed}")
    return tries


def of_json(name: str, act: Callable, values=VALUES) -> Callable[[random.Random], Iterator[Try]]:
    """Changes nodes of a JSON file."""
    return of_file(name, act, lambda path, own: text_of(changed_json(json.loads(path.read_bytes()), own, values)))


def of_table(name: str, act: Callable, cells=CELLS) -> Callable[[random.Random], Iterator[Try]]:
    """Changes cells and rows of a table."""
    return of_file(name, act, lambda path, own: changed_table(path.read_text(), own, cells=cells).encode(
        "utf-8", "surrogatepass"))


def of_bytes(*names: str, act: Callable) -> Callable[[random.Random], Iterator[Try]]:
    """Changes bytes of one of some files."""
    def tries(chance: random.Random) -> Iterator[Try]:
        while True:
            seed, name = chance.getrandbits(32), chance.choice(names)

            def make(root: Path, seed: int = seed, name: str = name) -> None:
                path = root / name
                path.write_bytes(changed_bytes(path.read_bytes(), random.Random(seed)))
            yield Try(make, act, f"{name} {seed}")
    return tries


def either(*many: Callable[[random.Random], Iterator[Try]]) -> Callable[[random.Random], Iterator[Try]]:
    """Takes one from each in turn."""
    def tries(chance: random.Random) -> Iterator[Try]:
        for found in zip(*(one(chance) for one in many), strict=False):
            yield from found
    return tries


# Samples beside the projects


def make_h5(root: Path) -> None:
    """DeepLabCut's project with its table as .h5 alone, in one of the two layouts of pandas."""
    import pandas

    PROJECTS["deeplabcut"](root)
    table = next(root.rglob("CollectedData_*.csv"))
    frame = pandas.read_csv(table, header=[0, 1, 2], index_col=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame.to_hdf(table.with_suffix(".h5"), key="df_with_missing", mode="w", format="fixed")
    table.unlink()


IMAGES = ("deep.png", "turned.jpg", "plain.png", "grey.tif", "flat.bmp", "small.webp", "palette.gif")


def make_images(root: Path) -> None:
    """An image of every kind, 16 bits and turned ones among them."""
    root.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)
    image, exif = Image.fromarray(noise), Image.Exif()
    exif[0x0112] = 6
    Image.fromarray((noise[..., 0].astype(np.uint16) << 8) + 77).save(root / "deep.png")
    image.save(root / "turned.jpg", exif=exif)
    for name in IMAGES[2:]:
        (image.convert("L") if name == "grey.tif" else image).save(root / name)


def see(folder: Path) -> None:
    """Reads each image by itself and as a frame of a folder: the same, or refused both times."""
    for name in IMAGES[:-1]:
        alone, frames = folder / "p" / name, folder / "out" / name
        frames.mkdir(parents=True)
        shutil.copyfile(alone, frames / name)
        try:
            image = read_image(alone)
        except InputError:
            try:
                open_video(frames)[0]
            except InputError:
                continue
            raise Silent(f"{name} is read as a frame only") from None
        video = open_video(frames)
        if not np.array_equal(image, video[0]) or video.size != image.shape[1::-1] or image.dtype != np.uint8:
            raise Silent(f"{name} is another as a frame")


VIDEOS = ("a.mp4", "b.avi", "c.mkv")


def make_videos(root: Path) -> None:
    """Videos with a title."""
    root.mkdir(parents=True)
    frames = [np.full((32, 48, 3), 30 * n, np.uint8) for n in range(6)]
    write_video(root / VIDEOS[0], frames)
    for name, codec in zip(VIDEOS[1:], ("mpeg4", "libx264"), strict=True):
        with av.open(root / name, "w") as container:
            container.metadata["title"] = "a title of some length"
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
            for image in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())


def watch(folder: Path) -> None:
    """Opens each video, passes over it and seeks its last frame; counts that differ are not fault, sizes are."""
    for name in VIDEOS:
        try:
            video = open_video(folder / "p" / name)
            shapes = {image.shape for _, image in video if image is not None}
            video[len(video) - 1]
        except InputError:
            continue
        if any(len(shape) != 3 for shape in shapes) or len(video) < 1:
            raise Silent(f"{name} has no frames")


def make_boxes(root: Path) -> None:
    """Boxes of COCO, and as a table."""
    PROJECTS["coco"](root)
    rows = ["image,instance,x,y,w,h", *(f"{n}.png,{i},{n},2,9,8" for n in range(3) for i in range(2))]
    (root / "boxes.csv").write_text("\n".join(rows) + "\n")
    rows = ["video,frame,x,y,w,h", *(f"a.mp4,{n},{n},2,9,8" for n in range(3))]
    (root / "frames.csv").write_text("\n".join(rows) + "\n")


def boxes_of(name: str) -> Callable[[Path], None]:
    """Reads boxes, which must be numbers of pixels."""
    def act(folder: Path) -> None:
        for of_frame in read_boxes(folder / "p" / name).of.values():
            for box in of_frame.values():
                if not (np.abs(box) <= 1e6).all() or not (box[2:] > 0).all():
                    raise Silent(f"a box of {box}")
    return act


def make_weights(root: Path) -> None:
    """Weights in a safetensors file."""
    from safetensors.numpy import save_file

    root.mkdir(parents=True)
    save_file({"conv1.weight": np.ones((4, 3, 3, 3), np.float32), "bn1.bias": np.zeros(4, np.float32)},
              root / "w.safetensors")


def weigh(folder: Path) -> None:
    """Reads weights, which must be finite."""
    from kpjax.models.weights.pretrained import read_weights

    for name, tensor in read_weights(folder / "p" / "w.safetensors").items():
        if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
            raise Silent(f"{name} is not finite")


# Names, and numbers, at every place


PLACES = (("coco", "labels.json", "images/0/file_name"), ("coco", "labels.json", "images/0/session"),
          ("coco", "labels.json", "images/1/split"), ("coco", "labels.json", "categories/0/keypoints/0"))
TABLE = "labeled-data/vid 1/CollectedData_Ann.csv"
CELL_PLACES = (("table", "labels.csv", "images/0.png"), ("deeplabcut", TABLE, "labeled-data/vid 1/img0.png"),
               ("deeplabcut", TABLE, "vid 1"), ("deeplabcut", "config.yaml", "Ann"),
               ("lightning pose", "CollectedData.csv", "labeled-data/vid/img0.png"),
               ("video table", "labels.csv", "a day.mp4"), ("video table", "labels.csv", "session"))


def names_in(kind: str) -> Callable[[random.Random], Iterator[Try]]:
    """Puts each hostile name at each place of a project's files, with an image there, for each target of convert."""
    def tries(chance: random.Random) -> Iterator[Try]:
        for name in NAMES:
            for sample, file, place in (*PLACES, *CELL_PLACES):
                for target in chance.sample(list(WRITERS), 2) if sample == kind else ():
                    def make(root: Path, name=name, file=file, place=place, cells=(sample, file, place) in CELL_PLACES):
                        path = root / file
                        if cells:
                            quoted = name.replace('"', '""') if file.endswith(".csv") else json.dumps(name)[1:-1]
                            text = path.read_text()
                            if place == "session":
                                head, *rows = text.splitlines()
                                text = "\n".join([f"{head},session", *(f'{row},"{quoted}"' for row in rows)]) + "\n"
                            else:
                                text = text.replace(place, f'"{quoted}"' if file == "labels.csv" else quoted)
                            path.write_bytes(text.encode("utf-8", "surrogatepass"))
                        else:
                            path.write_bytes(text_of(put(json.loads(path.read_bytes()), place, name)))
                        _image_called(name, root)
                    yield Try(make, convert(target), f"{name!r:.60} at {place} to {target}")
    return tries


def _image_called(name: str, root: Path) -> None:
    """Puts an image, or the project's video, where a name leads to, if that is in the sandbox and can be."""
    for home in (root / "images", root, root / "labeled-data" / "vid"):
        try:
            target = Path(os.path.normpath(home / name.replace("\\", "/")))
            if target.is_relative_to(root) and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                if (root / "a day.mp4").exists():
                    shutil.copyfile(root / "a day.mp4", target)
                else:
                    Image.new("RGB", (40, 30)).save(target, "PNG")
        except (OSError, ValueError):
            continue


def numbers_in(chance: random.Random) -> Iterator[Try]:
    """Puts each extreme number at coordinates, boxes, sizes and frames of every format."""
    for number in NUMBERS:
        for kind, file, place in (
                *(("coco", "labels.json", f"annotations/{n}/keypoints/{n}") for n in range(2)),
                *(("coco", "labels.json", f"annotations/1/bbox/{n}") for n in range(4)),
                ("coco", "labels.json", "images/1/width"), ("coco", "labels.json", "annotations/0/image_id"),
                ("table", "labels.csv", ",9,1,"), ("table", "labels.csv", ",30,20"),
                ("video table", "labels.csv", ",7,"), ("deeplabcut", TABLE, ",13,"),
                ("lightning pose", "bbox.csv", ",20,")):
            def make(root: Path, kind=kind, file=file, place=place, number=number):
                PROJECTS[kind](root / "q")
                path, text = root / "q" / file, "nothing" if number is None else str(number)
                path.write_bytes(text_of(put(json.loads(path.read_bytes()), place, number)) if kind == "coco" else
                                 path.read_text().replace(place, f",{text},", 1).encode())
                for old in list(root.iterdir()):
                    if old.name != "q":
                        shutil.rmtree(old) if old.is_dir() else old.unlink()
            yield Try(make, lambda folder: check_project(read_project(folder / "p" / "q")),
                      f"{number!r:.40} at {place}")


MANIFESTS = ([{"files": {name: digest}} for name in NAMES for digest in ("", "0" * 64)]
             + [[], {}, {"files": []}, {"files": {"a": 1}}, {"files": None}, 7, "x"])


def manifests(chance: random.Random) -> Iterator[Try]:
    """Converts, and suggests, over a folder whose list of files names others."""
    from experiments.commands.suggest import MANIFEST
    from kpjax.annotations.manifest import free_or_listed, remove_files

    for content in MANIFESTS:
        for file in ("converted.json", MANIFEST):
            def make(root: Path, content=content, file=file):
                out = root.parent / "out"
                (out / "sub").mkdir(parents=True)
                (out / "link").symlink_to(root.parent)
                (out / file).write_bytes(text_of(content))

            def act(folder: Path, file=file):
                if file == "converted.json":
                    return convert_over(folder)
                return remove_files(folder / "out", free_or_listed(folder / "out", file, "suggest", True))
            yield Try(make, act, f"{file} {content!r:.80}")


def convert_over(folder: Path) -> None:
    """Converts over what is in the output folder."""
    write_project(read_project(folder / "p"), "csv", folder / "out", overwrite=True)


# The disc, pipes, links and the environment


def discs(chance: random.Random) -> Iterator[Try]:
    """Full and read-only discs, pipes in the place of files, and links in the place of folders."""
    for target in WRITERS:
        for number, reason in ((28, "No space left on device"), (30, "Read-only file system"), (13, "No permission")):
            yield Try(lambda root: None, convert(target), f"{reason} to {target}", OSError(number, reason))
        yield Try(lambda root: (root.parent / "out").symlink_to(root / "nowhere"), convert(target), "dangling link")
        yield Try(_linked_out, convert(target), f"a link to elsewhere, to {target}")
    for kind, files in {"coco": ("labels.json", "images/0.png"), "table": ("labels.csv", "skeleton.json"),
                        "deeplabcut": ("config.yaml", "labeled-data/vid 1/CollectedData_Ann.csv"),
                        "lightning pose": ("CollectedData.csv", "bbox.csv"), "video table": ("a day.mp4", "labels.csv"),
                        "sleap": ("labels.slp", "a day.mp4")}.items():
        for file in files:
            for put_there in (os.mkfifo, os.mkdir, lambda path: os.symlink(path, path),
                              lambda path: os.symlink("/dev/zero", path)):
                def make(root: Path, kind=kind, file=file, put_there=put_there):
                    shutil.rmtree(root)
                    PROJECTS[kind](root)
                    (root / file).unlink()
                    put_there(root / file)
                yield Try(make, read, f"{put_there} for {file}")


def _linked_out(root: Path) -> None:
    (root.parent / "elsewhere").mkdir()
    (root.parent / "out").symlink_to(root.parent / "elsewhere")


SLURM = ("SLURM_JOB_ID", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_STEP_NODELIST", "SLURM_STEP_NUM_TASKS")


def schedulers(chance: random.Random) -> Iterator[Try]:
    """Environments of SLURM in which one process of several came."""
    for step in ("1", "", "2", None, "x"):
        for tasks in ("4", "2", "1", "0", "", "x", "9" * 30):
            if step == tasks:
                continue  # as many as were started find each other

            def act(folder: Path, step=step, tasks=tasks):
                from kpjax.training import hosts

                values = ("1", tasks, "0", "0", "localhost", step)
                os.environ |= {name: value for name, value in zip(SLURM, values, strict=True) if value is not None}
                hosts.jax.distributed.initialize = _not_reached  # as a hang would be
                hosts.join()
                if tasks.isdecimal() and int(tasks) > 1:
                    raise Silent("goes on alone")
            yield Try(lambda root: None, act, f"SLURM_NTASKS={tasks} SLURM_STEP_NUM_TASKS={step}")


def _not_reached(*arguments, **options):
    if int(os.environ.get("SLURM_NTASKS", "1")) > 1:
        raise Silent("waits for processes that do not come")
    raise ValueError


# Finished runs and exported predictors


def make_run(root: Path) -> None:
    """A finished run of a tiny network, and the folder exported from it, made in a process that has jax.

    No computation begins in this process: its children would inherit the threads of one.
    """
    import experiments.engine.predictors
    import experiments.semi_supervised  # noqa: F401
    import kpjax.reports.report  # noqa: F401

    if os.fork() == 0:
        from own_runs import untrained_run

        from experiments.commands import Export
        from experiments.commands.export import export
        from kpjax.structures import Skeleton

        root.mkdir(parents=True)
        points = Skeleton(("nose", "left_ear", "right_ear"), ((0, 1),), (0, 2, 1), {"ears": (1, 2)})
        run = untrained_run(root / "runs", points)
        rows = [json.dumps({"step": n, "stage": "a", "loss/total": 1 / (n + 1)}) for n in range(5)]
        (run / "metrics.jsonl").write_text("\n".join(rows) + "\n")
        export(Export(run=str(run), out=root / "exported", self_test=False), tell=lambda line: None)
        (root / "known.json").write_text(json.dumps(_facts(root / RUN)))
        os._exit(0)
    if os.wait()[1]:
        raise SystemExit("the sample of a run cannot be made")


RUN = "runs/semi_supervised/demo/supervised/seed-0"


def _facts(folder: Path) -> dict[str, str]:
    """Everything that predictions of a run depend on, as text."""
    from experiments.engine.predictors import open_run
    from experiments.engine.system import stored_run, system_of
    from kpjax.training.trees import tree_digest

    opened = open_run(folder)
    facts = {"score": json.dumps(opened.score, sort_keys=True), "skeleton": repr(opened.method.skeleton),
             "weights": tree_digest({"variables": opened.trained.variables})}
    if (folder / "config.json").exists():
        system = system_of(opened.run.experiment, opened.run.preset)
        facts["config"] = repr(stored_run(system, folder).config)
    return facts


def open_again(name: str) -> Callable[[Path], None]:
    """Opens a run, or an exported one, as predict, evaluate, export and --start do: as it was, or not at all."""
    def act(folder: Path) -> None:
        found = _facts(folder / "p" / name)
        known = json.loads((folder / "p" / "known.json").read_text())
        if different := [fact for fact, value in found.items() if value != known[fact]]:
            raise Silent(f"{different} differ")
    return act


def report(folder: Path) -> None:
    """Makes the table and the report of a preset."""
    from kpjax.reports.report import write_report
    from kpjax.reports.table import Column, Entry, tabulate, text_table

    preset = folder / "p" / "runs/semi_supervised/demo"
    columns = [Column("test/pck")]
    lines = tabulate(preset, [Entry("supervised", "baseline")], columns)
    text_table(lines, columns)
    (folder / "out").mkdir()
    shutil.copytree(preset, folder / "out" / "demo")
    page = write_report(folder / "out" / "demo", lines, columns, title="a").read_text()
    if "<script>alert" in page:
        raise Silent("a script in the report")


def described(chance: random.Random) -> Iterator[Try]:
    """Changes predictor.json and makes its checksum fit again."""
    from kpjax.export import standalone

    def with_checksum(root: Path, content: Any) -> None:
        text = text_of({**content, "checksum": "0" * 64} if isinstance(content, dict) else content)
        digest = standalone.digest_of_description(text).encode()
        text = text.replace(b'"checksum": "' + b"0" * 64, b'"checksum": "' + digest)
        (root / "exported" / standalone.DESCRIPTION).write_bytes(text)

    def make(root: Path, seed: int = 0, name: str = "", place: str = "") -> None:
        own = random.Random(seed)
        content = json.loads((root / "exported" / standalone.DESCRIPTION).read_bytes())
        if place:
            content[place.split("/")[0]] |= {} if "/" in place else {name: content[place].get("run.py", "")}
            if "/" in place:
                content["rebuild"]["files"][name] = {}
        else:
            content = changed_json(content, own)
        with_checksum(root, content)

    for name in NAMES:
        for place in ("files", "rebuild/files"):
            yield Try(lambda root, name=name, place=place: make(root, name=name, place=place), open_facts,
                      f"{name!r:.60} in {place}")
    while True:
        seed = chance.getrandbits(32)
        yield Try(lambda root, seed=seed: make(root, seed), open_facts, f"predictor.json {seed}")


def open_facts(folder: Path) -> None:
    """Opens an exported folder twice: to predict, and as the run that it comes from. Its author may say anything."""
    from experiments.engine.predictors import open_predictor, open_run
    from kpjax.export.reading import description_of

    description_of(folder / "p" / "exported")
    open_run(folder / "p" / "exported")
    predictor = open_predictor(folder / "p" / "exported")
    if not math.isfinite(predictor.cutoff) or not 1 <= predictor.side <= 8192:
        raise Silent("a cutoff or a side that is none")


PROJECT = {kind: (lambda root, kind=kind: PROJECTS[kind](root)) for kind in PROJECTS}
KINDS = {
    "COCO": Kind(PROJECT["coco"], of_json("labels.json", read), 900),
    "csv": Kind(PROJECT["table"], either(of_table("labels.csv", read), of_json("skeleton.json", read)), 800),
    "csv of videos": Kind(PROJECT["video table"], of_table("labels.csv", read), 200),
    "DeepLabCut": Kind(PROJECT["deeplabcut"], either(of_table(TABLE, read), of_bytes("config.yaml", act=read)), 600),
    "DeepLabCut .h5": Kind(make_h5, of_bytes("labeled-data/vid 1/CollectedData_Ann.h5", act=read), 60),
    "Lightning Pose": Kind(PROJECT["lightning pose"], either(of_table("CollectedData.csv", read),
                                                             of_table("bbox.csv", read)), 400),
    "SLEAP": Kind(PROJECT["sleap"], of_bytes("labels.slp", act=read), 60),
    "images": Kind(make_images, of_bytes(*IMAGES, act=see), 300),
    "videos": Kind(make_videos, of_bytes(*VIDEOS, act=watch), 200),
    "boxes": Kind(make_boxes, either(of_json("labels.json", boxes_of("labels.json")), of_table(
        "boxes.csv", boxes_of("boxes.csv")), of_table("frames.csv", boxes_of("frames.csv"))), 450),
    "weights": Kind(make_weights, of_bytes("w.safetensors", act=weigh), 300),
    **{f"names in {kind}": Kind(PROJECT[kind], names_in(kind), 1000)
       for kind in ("coco", "table", "deeplabcut", "lightning pose", "video table")},
    "numbers": Kind(lambda root: root.mkdir(parents=True), numbers_in, 1000),
    "lists of files": Kind(PROJECT["table"], manifests, 1000),
    "discs, pipes, links": Kind(PROJECT["coco"], discs, 1000),
    "SLURM": Kind(lambda root: root.mkdir(parents=True), schedulers, 1000),
    "runs": Kind(make_run, either(*(of_json(f"{RUN}/{name}", open_again(RUN)) for name in (
        "config.json", "skeleton.json", "results.json", "model/trained.json")),
        of_bytes(*(f"{RUN}/{name}" for name in ("config.json", "skeleton.json", "model/trained.safetensors")),
                 act=open_again(RUN))), 150),
    "results": Kind(make_run, either(of_json(f"{RUN}/results.json", report),
                                     of_bytes(f"{RUN}/metrics.jsonl", act=report)), 120),
    "exported predictors": Kind(make_run, of_bytes(*(f"exported/{name}" for name in (
        "predictor.json", "weights.safetensors", "predict.bin", "run.py")), act=open_again("exported")), 50),
    "their descriptions": Kind(make_run, described, 170),
}


def run(share: float, seed: int, kinds: list[str]) -> tuple[list[dict], list[str]]:
    """Tries a share of every kind; returns the rows of the table, and a line for each try that went wrong."""
    rows, wrong = [], []
    with tempfile.TemporaryDirectory() as place:
        root, samples = Path(place).resolve(), {}
        os.environ |= {"TMPDIR": str(root / "tmp"), "XDG_CACHE_HOME": str(root / "cache"), "HOME": str(root)}
        (root / "tmp").mkdir()
        tempfile.tempdir = str(root / "tmp")
        for name in kinds:
            kind, counts = KINDS[name], Counter()
            sample = samples.setdefault(kind.sample, root / f"sample{len(samples)}" / "p")
            if not sample.exists():
                kind.sample(sample)
                Image.new("RGB", (40, 30)).save(sample.parent / "victim.png")
            chance = random.Random(seed + zlib.crc32(name.encode()))
            found = [one for _, one in zip(range(kind.count), kind.tries(chance), strict=False)]
            for one in chance.sample(found, max(1, round(share * len(found)))):
                with sandbox(root, sample) as folder:
                    one.make(folder / "p")
                    result = judged(one.act, folder, refuse_writes=one.refuse_writes)
                counts[result.outcome] += 1
                if result.outcome not in ("refused", "accepted"):
                    wrong.append(f"{name}, {one.what}: {result.outcome}: {result.detail}")
                    print(wrong[-1], flush=True)
            rows.append({"kind": name, "tries": sum(counts.values()), **{key: counts[key] for key in OUTCOMES}})
            print(rows[-1], file=sys.stderr, flush=True)
    return rows, wrong


def _keep(path: Path, rows: list[dict]) -> None:
    """Puts rows into a table, beside those of other kinds, and their sum."""
    found = {row["kind"]: row for row in rows}
    if path.exists():
        found = {row["kind"]: row for row in csv.DictReader(path.read_text().splitlines())} | found
    kept = [found[name] for name in KINDS if name in found]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["kind", "tries", *OUTCOMES], lineterminator="\n")
        writer.writeheader()
        writer.writerows([*kept, {"kind": "all", **{key: sum(int(row[key]) for row in kept)
                                                    for key in ("tries", *OUTCOMES)}}])


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--share", type=float, default=1.0, help="of all tries, of each kind at least one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--out", type=Path, help=f"the table, such as {OUT.name}")
    asked = parser.parse_args()
    rows, wrong = run(asked.share, asked.seed, asked.kinds)
    if asked.out:
        _keep(asked.out, rows)
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
