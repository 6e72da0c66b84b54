"""MoveNet in the place of a run: names of keypoints, predictions, errors on projects, and what
starts from it.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from own_projects import synthetic_project
from own_runs import made_movenet
from PIL import Image
from predict_folder import rows_of

from kpjax import Example, Skeleton
from kpjax.input.source import stack_examples
from kpjax.lab import predictors
from kpjax.lab.commands import run_command
from kpjax.lab.own import adaptation, incremental, project as own_project
from kpjax.methods import published, symmetric_normalise
from kpjax.models import MoveNet, movenet_lightning, person
from kpjax.models.movenet import KEYPOINTS, person_box
from kpjax.papers.adaptation.comparison import perceptual_start
from kpjax.papers.adaptation.variants import VARIANTS
from kpjax.papers.command_line import read_command
from kpjax.papers.engine import carry_out, method_of
from kpjax.papers.incremental.runs import Run
from kpjax.papers.incremental.stages import learn_base

SHORT = ("--batch-size", "8", "--steps", "2")


@pytest.fixture(scope="module")
def weights(shallow_mobilenet, tmp_path_factory):
    """A file of made-up weights of all layers of a shallow MoveNet."""
    return made_movenet(tmp_path_factory.mktemp("weights") / "made.safetensors")


# Names


def test_a_person_has_arms_and_legs_however_they_are_spelt():
    for name, known in (
        ("LeftShoulder", "left_shoulder"),
        ("l_shoulder", "left_shoulder"),
        ("R-Knee", "right_knee"),
        ("shoulder_right", "right_shoulder"),
        ("Left ear", "left_ear"),
        ("Head Top", "head_top"),
        ("shoulder", None),
        ("left_shoulder_right", None),
        ("leftshoulderblade", None),
        ("", None),
    ):
        assert person.of_person(name) == known
    assert person.is_person(["LeftShoulder", "RightShoulder", "l_hip", "r_hip", "tail"])
    assert not person.is_person(["nose", "left_ear", "right_ear", "tail"])  # a mouse
    assert not person.is_person([*KEYPOINTS[5:9], *"abcde"])
    assert not person.is_person([])


def test_neck_and_head_are_worked_out_from_shoulders_and_ears():
    keypoints, scores = np.zeros((1, 17, 2), np.float32), np.full((1, 17), 0.5, np.float32)
    for name, point in (
        ("left_shoulder", (8, 20)),
        ("right_shoulder", (4, 20)),
        ("left_ear", (7, 10)),
        ("right_ear", (5, 10)),
    ):
        keypoints[0, KEYPOINTS.index(name)] = point
    scores[0, KEYPOINTS.index("left_ear")] = 0.25
    found, sure = published.with_neck_and_head(jnp.asarray(keypoints), jnp.asarray(scores))
    np.testing.assert_allclose(found[0, 17:], [(6, 20), (6, 1)], rtol=1e-6)
    np.testing.assert_allclose(sure[0, 17:], [0.5, 0.25])


@pytest.mark.slow
def test_where_turned_views_agree_turns_with_the_image(weights):
    """All turns of a view are among the views, and so is its mirror image, with left and right
    exchanged.
    """
    trained = published.load(weights)
    image = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    predict = jax.jit(published.people(turned=True).predict)

    def found(pixels):
        pixels = pixels[None]
        return predict(
            trained,
            Example(
                pixels,
                np.zeros((1, 17, 2), np.float32),
                np.zeros((1, 17), np.float32),
                np.ones(1, np.float32),
                np.eye(3, dtype=np.float32)[None],
                np.zeros(1, int),
            ),
        )

    plain, mirrored, upside_down = map(found, (image, image[:, ::-1], image[::-1, ::-1]))
    partners = np.array(mirrored.keypoints[0])[np.array(published.PERSON.flip)]
    np.testing.assert_allclose(
        np.array([31, 0]) + [-1, 1] * partners, plain.keypoints[0], atol=0.05
    )
    np.testing.assert_allclose(31 - upside_down.keypoints[0], plain.keypoints[0], atol=0.05)
    np.testing.assert_allclose(upside_down.scores, plain.scores, rtol=1e-3)


# Crops of videos


def person_at(middle, height):
    """Keypoints of a person whose shoulders lie above and whose ankles below the hips, by equal
    lengths.
    """
    points = np.tile(np.float64(middle), (17, 1))
    for part, share in (("shoulder", -0.5), ("ankle", 0.5)):
        for side, x in (("left", 5), ("right", -5)):
            points[KEYPOINTS.index(f"{side}_{part}")] += (x, share * height)
    return points


def test_the_next_frame_is_looked_at_around_the_hips():
    scores = np.full(17, 0.9)
    box = person_box(person_at((300, 200), 80), scores, (640, 480))
    # 1.9 times 40 px either way
    np.testing.assert_allclose(box, (300.5 - 76, 200.5 - 76, 152, 152))
    scores[KEYPOINTS.index("left_ankle")] = 0.1
    far = person_at((300, 200), 80)
    far[KEYPOINTS.index("left_ankle")] += (0, 1000)  # too unsure to count
    np.testing.assert_allclose(person_box(far, scores, (640, 480)), box)


@pytest.mark.parametrize(
    ("size", "part"), [((640, 480), "hip"), ((640, 480), "shoulder"), ((140, 100), "")]
)
def test_the_whole_image_is_looked_at_where_the_person_is_lost_or_fills_it(size, part):
    scores = np.array([0.1 if part and part in name else 0.9 for name in KEYPOINTS])
    assert person_box(person_at((70, 50), 80), scores, size) is None


# Commands


@pytest.mark.slow
def test_a_project_of_people_is_measured_by_its_names(weights, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(predictors, "SIDE", 32)
    Image.new("RGB", (50, 40)).save(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_text(
        "image,keypoint,x,y\na.png,head_top,20,5\na.png,LeftShoulder,30,20\n"
        "a.png,l_elbow,34,30\na.png,tail,3,3\n"
    )
    run_command(
        "evaluate",
        [
            str(weights),
            str(tmp_path / "labels.csv"),
            "--out",
            str(tmp_path / "out"),
            "--batch-size",
            "2",
            "--threshold",
            "100",
        ],
    )
    out = capsys.readouterr().out
    assert "left_shoulder = LeftShoulder, head_top, left_elbow = l_elbow" in out
    assert "not measured: tail" in out
    rows = rows_of(tmp_path / "out" / "errors.csv")
    assert {row["keypoint"] for row in rows} == {"head_top", "left_shoulder", "left_elbow"}


# In the place of the run that people's own data start from


@pytest.fixture
def all_small(monkeypatch):
    """Whatever opens MoveNet takes images of 32 px in place of 192."""
    monkeypatch.setattr(published, "SIDE", 32)


@pytest.mark.slow
def test_a_published_network_of_poses_is_a_core(given, weights, all_small):
    """Its trunk and pyramid are frozen under a new head; a whole step is traced, not run."""
    read = read_command(
        adaptation.EXPERIMENT,
        [
            "own",
            "--core",
            str(weights),
            "--images",
            given["IMAGES"],
            *SHORT,
            "--landmarks",
            "3",
            "--generator-width",
            "4",
            "--stand-in-widths",
            "4",
            "--repeats",
            "1",
        ],
    )
    job = read.job("adapted", 0)
    assert (job.config.network, job.config.backbone.normalisation) == (MoveNet(), "symmetric")
    core = adaptation.own_core(job.config.core.core)[0]
    assert set(core.variables["params"]) == {"backbone", "upsampling"}
    method = VARIANTS[job.variant].method(job.config, None)
    batch = stack_examples([adaptation.open_data(job).target[n] for n in range(8)])
    streams = dict.fromkeys(method.streams, batch)
    start = {"core": core.variables, **perceptual_start(job.config)}
    state = jax.eval_shape(method.init, jax.random.key(0), streams, start)
    after, metrics = jax.eval_shape(method.update, state, streams, jax.random.key(0))
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert "loss/total" in metrics


@pytest.mark.slow
def test_a_published_network_is_an_old_model(weights, all_small, tmp_path, monkeypatch, capsys):
    """It finds two of the project's six keypoints."""
    made = synthetic_project(tmp_path, recordings=("day",), labelled=8, keypoints=6)
    made = made._replace(
        skeleton=Skeleton(("head", "neck", "RightShoulder", "left_shoulder", "tail", "horn"))
    )
    monkeypatch.setattr(own_project, "_read", lambda *arguments: made)
    (job,) = read_command(
        incremental.EXPERIMENT,
        [
            "own",
            "--old",
            str(weights),
            "--project",
            "P",
            *SHORT,
            "--augmentation",
            "none",
            "--variants",
            "kamp",
        ],
    ).jobs()
    new = ("head", "neck", "tail", "horn")
    assert (
        "in both, and taken for the same keypoints: right_shoulder, left_shoulder"
        in capsys.readouterr().out
    )
    assert (job.config.network, job.config.backbone.backbone_statistics) == (
        MoveNet(sigmoid=True),
        "frozen",
    )
    assert job.config.optimizer.learning_rate == 1e-3
    data, held_out, *_ = incremental.open_project(job.config)
    assert data.skeleton.names == (*KEYPOINTS, *new)
    this = Run(job, data)
    known = carry_out(job, learn_base(this))
    # The network's own heatmaps of old keypoints are the published ones, at the peaks of which
    # points are read.
    found = this.predicted(method_of(job, data), known, held_out)
    old = incremental.old_run(str(weights)).opened
    maps = jax.jit(lambda v, x: movenet_lightning().apply(v, x, False))(
        old.trained.variables, symmetric_normalise(np.float32(held_out.examples.image) / 255)
    )
    peaks = jax.nn.sigmoid(maps.heatmaps).max((1, 2))
    np.testing.assert_allclose(found.scores[:, :17], peaks, atol=1e-4)
    assert data.base["params"]["head"]["heatmaps"]["output"]["kernel"].shape[-1] == 17 + len(new)
