"""What is the same run: whole commands on a project whose files, places and spellings change."""

import contextlib
import csv
import functools
import io
import os
import random
import shutil
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny_systems
from own_projects import synthetic_project
from own_runs import untrained_run
from PIL import Image

import experiments
from kpjax.errors import InputError
from kpjax.files import read_json, write_json
from kpjax.images.video import write_video
from kpjax.lab.commands import run_command
from kpjax.lab.commands.train import main as train
from kpjax.lab.own import project as own_project
from kpjax.lab.predictors import open_predictor
from kpjax.papers import engine
from kpjax.papers.command_line import run as run_paper
from kpjax.papers.parsing import exit_code_of
from kpjax.structures import Skeleton
from kpjax.training import identity
from kpjax.training.trees import json_digest, load_trained, save_trained

TINY = (
    *("--network", "small_unet", "--image-size", "32", "--widths", "4", "4", "4"),
    *("--head-layers", "1", "--batch-size", "8", "--evaluations", "1"),
    *("--steps", "2", "--warm-start-steps", "1", "--variants", "supervised_warped"),
)
ROOT = Path(experiments.__file__).parents[1]
SOURCES = set(identity.source_files(ROOT, ("kpjax", "data", "experiments")).values())
RELEASES = Path(__file__).parents[2] / "releases"
HEADER = ("image", "keypoint", "x", "y")


def write_table(root, rows, end="\n"):
    with (root / "labels.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator=end).writerows([HEADER, *rows])


def read_table(root):
    with (root / "labels.csv").open(newline="") as file:
        return list(csv.reader(file))[1:]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A project of a table, and a finished run on it."""
    folder = tmp_path_factory.mktemp("same")
    made = synthetic_project(folder / "first")
    rows = [
        (made.frames[one.frame].name, name, f"{x:.0f}", f"{y:.0f}")
        for one in made.instances
        for name, (x, y), seen in zip(made.skeleton.names, one.keypoints, one.seen, strict=True)
        if seen
    ]
    write_table(folder / "first", rows)
    assert begin(folder / "first", folder / "runs") == (0, "")
    (folder / "first").rename(folder / "P")  # where it learnt, nothing is left
    return folder


def begin(project, workdir, *more):
    """Trains by the command; returns its exit code, and what it said of a finished run or an error."""
    for cache in (engine._inputs, own_project._read, own_project.open_labelled):
        cache.cache_clear()
    command = ["--project", str(project), "--workdir", str(workdir), *TINY, *more]
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        code = exit_code_of(functools.partial(train, command))
    if code:
        return code, " ".join(errors.getvalue().split())
    return code, "".join(line for line in out.getvalue().splitlines() if "finished before" in line)


def trained_digest(workdir):
    [record] = workdir.rglob("supervised_warped/seed-0/model/trained.json")
    return read_json(record)["digest"]


def moved(root):
    """Another folder of another name."""
    return shutil.copytree(root, root.parent / "elsewhere" / "Q")


def linked(root):
    (root.parent / "link").symlink_to(root)
    return root.parent / "link"


def relative(root):
    return Path(os.path.relpath(root))


def reordered(root):
    rows = read_table(root)
    random.Random(0).shuffle(rows)
    write_table(root, rows)
    return root


def with_other_ends(root):
    write_table(root, [(*row[:2], f"{row[2]}.000", row[3]) for row in read_table(root)], "\r\n")
    return root


def saved_again(root):
    for path in root.rglob("*.png"):
        Image.open(path).save(path, compress_level=1)
    return root


def with_a_new_video(root):
    (root / "videos").mkdir()
    write_video(root / "videos" / "party.mp4", [np.zeros((32, 32, 3), np.uint8)] * 4)
    return root


def with_notes(root):
    (root / "notes.txt").write_text("another mouse")
    shutil.copy(next(root.rglob("*.png")), root / "cover.png")
    return root


SAME = (moved, linked, relative, reordered, with_other_ends, saved_again, with_a_new_video)


@pytest.mark.parametrize("changed", [*SAME, with_notes], ids=lambda change: change.__name__)
def test_what_says_the_same_is_finished_before(trained, tmp_path, changed):
    shutil.copytree(trained / "P", tmp_path / "P")
    code, said = begin(changed(tmp_path / "P"), trained / "runs")
    assert (code, "finished before" in said, "other programs" in said) == (0, True, False), said


def test_another_number_of_workers_changes_nothing(trained):
    code, said = begin(trained / "P", trained / "runs", "--workers", "2")
    assert (code, "finished before" in said) == (0, True)


@pytest.mark.slow
@pytest.mark.parametrize("changed", SAME, ids=lambda change: change.__name__)
def test_and_it_trains_the_same_network(trained, tmp_path, changed):
    shutil.copytree(trained / "P", tmp_path / "P")
    assert begin(changed(tmp_path / "P"), tmp_path / "runs") == (0, "")
    assert trained_digest(tmp_path / "runs") == trained_digest(trained / "runs")


def opened_by(command):
    """Returns all files that a command opened."""
    opened = []
    # such a hook stays for the life of a process
    sys.addaudithook(lambda event, given: opened.append(given[0]) if event == "open" else None)
    command()
    return {Path(path).absolute() for path in opened if isinstance(path, str)}


def test_every_file_of_the_project_that_was_read_counts(trained, tmp_path):
    root = tmp_path / "P"
    shutil.copytree(trained / "P", root)
    opened = opened_by(lambda: begin(root, tmp_path / "runs"))
    read = sorted(path for path in opened if path.is_relative_to(root) and path.is_file())
    assert {path.suffix for path in read} == {".csv", ".png"}
    images = [path for path in read if path.suffix == ".png"]
    assert len(images) >= 12
    for path in read:
        whole = path.read_bytes()
        if path.suffix == ".csv":
            path.write_bytes(whole.replace(b"1", b"2", 1))
        else:
            pixels = np.array(Image.open(path))
            pixels[5, 5, 0] ^= 1
            Image.fromarray(pixels).save(path)
        code, said = begin(root, tmp_path / "runs")
        assert (code, "different content" in said) == (2, True), said
        path.write_bytes(whole)
        assert "finished before" in begin(root, tmp_path / "runs")[1]


def test_every_file_that_a_demo_opens_counts(tmp_path):
    """It is a source, of which the programs' digest is taken, or the text of a report, or an input,
    and another byte of that is another run.
    """
    protocol = Path(shutil.copy(tiny_systems.CONFIGS["incremental"].data.protocol, tmp_path))
    flags = f"--variants finetune --workdir {tmp_path}/runs --protocol {protocol}"
    begin_demo = functools.partial(
        run_paper, tiny_systems.SYSTEMS["incremental"], ["tiny", *flags.split()]
    )
    read = opened_by(begin_demo) - SOURCES
    shipped = {path for path in read if path.is_relative_to(ROOT / "kpjax")}
    assert {path.suffix for path in shipped} <= {".pyc", ".txt", ".jinja", ".css"}
    assert protocol in read
    protocol.write_text(protocol.read_text() + " ")
    engine._inputs.cache_clear()
    with pytest.raises(InputError, match="different content"):
        begin_demo()


def test_every_source_that_is_loaded_counts():
    """Of all modules of this process, and of the tables that they read."""
    loaded = {
        Path(module.__file__)
        for name, module in sys.modules.items()
        if name.partition(".")[0] in ("kpjax", "data", "experiments") and module.__file__
    }
    loaded = {path for path in loaded if not path.is_relative_to(ROOT / "tests")}
    assert loaded - SOURCES <= {ROOT / "kpjax" / "_version.py"}
    assert set((ROOT / "kpjax" / "models" / "weights").glob("*.safetensors")) <= SOURCES
    assert Path(experiments.__file__) in SOURCES


def test_a_byte_of_a_source_is_another_program(tmp_path):
    for name in ("kpjax", "data"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "one.py").write_text("1")
    digest = functools.partial(identity._digest_of.__wrapped__, tmp_path)
    before = digest(("kpjax",)), digest(("kpjax", "data"))
    (tmp_path / "data" / "one.py").write_text("2")
    assert digest(("kpjax",)) == before[0]
    assert digest(("kpjax", "data")) != before[1]


# A run of another release


def rewritten(run, change):
    """Changes the stored config of a run, as another release would have written it whole."""
    path = run / "config.json"
    stored = read_json(path)
    change(stored)
    write_json(path, stored)
    results = read_json(run / "results.json")
    results["files"]["config.json"] = json_digest(stored)
    del results["digest"]
    results["digest"] = json_digest(results)
    write_json(run / "results.json", results)


def test_a_run_of_another_release_predicts(tmp_path, capsys):
    run = untrained_run(tmp_path, Skeleton(("a", "b"), ((0, 1),)))
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    before = open_predictor(run).predict(images)

    def change(stored):
        del stored["config"]["patience"]
        del stored["config"]["optimizer"]["clip"]
        stored["config"]["colour_of_paper"] = "blue"
        stored["config"]["data"]["smell"] = 3.0

    rewritten(run, change)
    after = open_predictor(run).predict(images)
    assert "colour_of_paper, smell: options of a newer version" in capsys.readouterr().err
    for now, then in zip(after, before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_training_does_not_go_on_with_an_option_that_it_does_not_know(trained, tmp_path):
    runs = shutil.copytree(trained / "runs", tmp_path / "runs")
    [config] = runs.rglob("supervised_warped/seed-0/config.json")
    rewritten(config.parent, lambda stored: stored["config"].pop("patience"))
    assert "finished before" in begin(trained / "P", runs)[1]
    rewritten(config.parent, lambda stored: stored["config"].update(colour_of_paper="blue"))
    code, said = begin(trained / "P", runs)
    assert (code, "colour_of_paper is an option that this version does not have" in said) == (
        2,
        True,
    )


# Weights that give no numbers


def test_weights_that_give_no_numbers_are_said_by_every_command(trained, tmp_path, capsys):
    """They are finite, and pass every check of a file."""
    [run] = (trained / "runs").rglob("supervised_warped/seed-0")
    broken = shutil.copytree(run, tmp_path / "seed-0")
    learnt = load_trained(broken / "model")
    huge = jax.tree.map(lambda leaf: np.full_like(leaf, 1e38), learnt.variables)
    shutil.rmtree(broken / "model")
    save_trained(broken / "model", learnt._replace(variables=huge))
    (tmp_path / "images").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "images" / "new.png")
    image = str(tmp_path / "images")
    for name, typed in (
        ("predict", (image, "--out", str(tmp_path / "points"))),
        ("evaluate", (str(trained / "P"), "--out", str(tmp_path / "errors"))),
        ("suggest", (image, "--out", str(tmp_path / "next"), "--n", "1")),
    ):
        code = exit_code_of(functools.partial(run_command, name, [str(broken), *typed]))
        assert (code, "the network gave no numbers" in capsys.readouterr().err) == (1, True), name
    assert not [*tmp_path.glob("errors/*.csv"), *tmp_path.glob("next/*")]


# Each release: a run that it wrote predicts for ever


@pytest.mark.parametrize("release", sorted(RELEASES.iterdir()), ids=lambda path: path.name)
def test_a_run_of_every_release_predicts(release, tmp_path):
    image = tmp_path / "one.png"
    Image.open(release / "image.png").save(image)
    run_command(
        "predict", [str(release / "run"), str(image), "--out", str(tmp_path), "--no-overlay"]
    )
    now, then = (
        np.genfromtxt(
            folder / "points.csv", delimiter=",", names=True, dtype=None, encoding="utf-8"
        )
        for folder in (tmp_path, release)
    )
    assert now["keypoint"].tolist() == then["keypoint"].tolist()
    for name in ("x", "y", "score"):
        np.testing.assert_allclose(now[name], then[name], atol=1e-3)
