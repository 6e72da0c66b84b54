"""Predictors by the names of a hub. Its client keeps what it fetched in a layout of its own; a folder
in this layout stands in for the hub.
"""

import hashlib
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from own_runs import untrained_run
from PIL import Image

from kpjax.errors import InputError
from kpjax.lab import hub
from kpjax.lab.commands import Export, Predict, Push
from kpjax.lab.commands.export import export
from kpjax.lab.commands.predict import predict
from kpjax.lab.commands.push import push
from kpjax.lab.out import card
from kpjax.lab.predictors import open_predictor, open_run
from kpjax.structures import Skeleton

client = pytest.importorskip("huggingface_hub", reason="the hub's client; install kpjax[hub]")
pytestmark = pytest.mark.usefixtures("symbolic_shapes_pass")
POINTS = Skeleton(("left", "middle", "right"), ((0, 1),), (2, 1, 0))
REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """An exported folder."""
    run = untrained_run(tmp_path_factory.mktemp("runs"), POINTS, transform="letterbox")
    out = tmp_path_factory.mktemp("exported") / "predictor"
    return export(Export(run=str(run), out=out, licence="CC BY 4.0"))


@pytest.fixture
def on_hub(exported, tmp_path, monkeypatch):
    """The name of the exported folder on a hub whose files are all in the client's cache."""
    place = tmp_path / "hub" / "models--somebody--mice"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text(REVISION)
    (place / "blobs").mkdir()
    for file in sorted(path for path in exported.rglob("*") if path.is_file()):
        blob = place / "blobs" / hashlib.sha256(file.read_bytes()).hexdigest()
        shutil.copyfile(file, blob)
        link = place / "snapshots" / REVISION / file.relative_to(exported)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return "hub:somebody/mice"


@pytest.mark.parametrize("revision", ["", f"@{REVISION}"])
def test_a_name_on_the_hub_stands_for_the_folder(revision, on_hub, exported, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    named, plain = open_predictor(on_hub + revision), open_predictor(exported)
    assert named.skeleton == POINTS
    for one, other in zip(named.predict(images), plain.predict(images), strict=True):
        np.testing.assert_array_equal(one, other)
    assert open_run(on_hub + revision).method.skeleton == POINTS
    Image.fromarray(images[0]).save("mouse.png")
    tables = predict(Predict(run=on_hub + revision, inputs=(Path("mouse.png"),)))
    assert len(Path(tables[0]).read_text().splitlines()) == 1 + len(POINTS.names)
    assert Path(tables[0]).parent == Path("runs/predictions") / f"mice{revision}"


def test_what_is_not_there_is_one_line(on_hub):
    for name, words in (
        ("hub:somebody/rats", "hub:somebody/rats cannot be fetched"),
        ("hub:mice", "write hub:OWNER/NAME"),
        ("hub:a/b/c", "write hub:OWNER/NAME"),
    ):
        with pytest.raises(InputError, match=words) as refused:
            open_predictor(name)
        assert "\n" not in str(refused.value)


def test_a_file_that_was_changed_on_the_hub_is_refused(on_hub):
    weights = Path(hub.folder_of(on_hub)) / "run/model/trained.safetensors"
    weights.resolve().write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match="damaged: its sha256 is not the one in"):
        open_predictor(on_hub)


def test_the_card_says_what_it_is(exported):
    description = json.loads((exported / "predictor.json").read_text())
    _, head, text = (exported / "README.md").read_text().split("---\n", 2)
    assert 'license_name: "CC BY 4.0"' in head
    assert 'library_name: "kpjax"' in head
    for row in (
        "| licence | CC BY 4.0 |",
        "| keypoints | left, middle, right |",
        "| lines between | left - middle |",
        "| began with | random numbers |",
        f"| loads | in releases of jax until {description['loads_until']}; then export it again |",
    ):
        assert row in text


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, "see the runs that it joins"),
        ({"data": {}, "backbone": {}}, "random numbers"),
        ({"data": {"old": "movenet"}, "backbone": {"weights": ""}}, "an earlier network, movenet"),
        ({"data": {}, "core": {"core": "/home/me/runs/a"}}, "an earlier run"),
        (
            {"data": {}, "backbone": {"weights": "mine.pth"}},
            "weights mine.pth, licence not known here",
        ),
    ],
)
def test_the_card_says_what_the_network_began_with(config, words):
    """Of an ensemble, of incremental learning and of adaptation it said random numbers."""
    assert card.origin_of(config) == words


@pytest.mark.parametrize("whole", [True, False])
def test_the_card_types_the_boxes_that_a_predictor_of_crops_needs(exported, whole):
    text = card_with(exported, {"whole_images": whole})
    commands = text.partition("```\n")[2].splitlines()[1:3]
    assert [" --box" in typed for typed in commands] == [not whole] * 2
    assert ("a crop about the box of an animal" in text) == (not whole)
    assert len({typed.index("   # ") for typed in commands}) == 1


def test_the_card_has_the_errors_that_runs_on_own_labels_keep(exported):
    """It looked for one that no run measures."""
    metrics = {"held_out/px": 4.04, "target/px": float("nan"), "test/pck": 0.9}
    text = card_with(exported, {}, metrics)
    assert "| held out: mean error, px of the original images | 4.04 |" in text
    assert "| held out: PCK | 0.9 |" in text
    assert "labels of the target" not in text


def card_with(exported, given, metrics=()):
    """The card of an exported folder with another input, and errors."""
    description = json.loads((exported / "predictor.json").read_text())
    description["input"] |= given
    method = SimpleNamespace(skeleton=POINTS)
    return card.card_of(method, description, {"metrics": dict(metrics)}, {}, "")


def test_a_folder_is_given_away_whole(exported, monkeypatch, capsys):
    """The hub itself is not here: what its client is asked for is."""
    asked = {}

    class Api:
        def create_repo(self, name, *, private, exist_ok):
            asked.update(name=name, private=private, exist_ok=exist_ok)

        def upload_folder(self, *, repo_id, folder_path, revision, commit_message):
            asked.update(repo_id=repo_id, folder=folder_path, revision=revision)
            return "https://hub.example/somebody/mice/commit/1"

    monkeypatch.setattr(client, "HfApi", Api)
    push(Push(folder=exported, to="hub:somebody/mice", private=True))
    assert asked == {
        "name": "somebody/mice",
        "private": True,
        "exist_ok": True,
        "repo_id": "somebody/mice",
        "folder": exported,
        "revision": None,
    }
    assert "kpjax predict hub:somebody/mice IMAGES" in capsys.readouterr().out


def test_what_is_no_predictor_or_is_refused_is_one_line(exported, tmp_path):
    with pytest.raises(InputError, match="SHA256SUMS"):
        push(Push(folder=tmp_path, to="hub:somebody/mice"))
    with pytest.raises(
        InputError, match=r"to: hub:somebody/mice was not changed .*Offline"
    ) as refused:
        push(Push(folder=exported, to="hub:somebody/mice"))  # tests have no network
    assert "\n" not in str(refused.value)
