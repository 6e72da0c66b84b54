"""What every system on people's own data does: choices, training, errors, prediction, and refusals
in a line.
"""

import contextlib
import json
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import chex
import jax
import numpy as np
import pytest
from own_projects import synthetic_project
from own_runs import untrained_run
from PIL import Image

from kpjax.errors import InputError
from kpjax.evaluation.coincidence import label_distances
from kpjax.files import write_json
from kpjax.images.video import find_videos, write_video
from kpjax.input.pairs import frame_pairs
from kpjax.input.protocols import step_source
from kpjax.input.video_source import read_videos
from kpjax.lab.animals.calibration import ScoreTable, table_as_json
from kpjax.lab.own import project as own_project, semi_supervised, without_source
from kpjax.lab.own.adaptation import own_split
from kpjax.lab.own.declaration import first_lines
from kpjax.lab.own.incremental import joint_skeleton, old_run, open_project, points_of
from kpjax.lab.own.pyramids import place_choice
from kpjax.lab.own.systems import own_experiment
from kpjax.lab.predictors import open_predictor
from kpjax.lab.reports.told import FRAMES
from kpjax.papers import plan
from kpjax.papers.command_line import read_command, run
from kpjax.papers.configs import flat, replace_fields
from kpjax.papers.engine import carry_out, method_of
from kpjax.papers.incremental.association import stated_triples
from kpjax.papers.incremental.runs import Run
from kpjax.papers.incremental.stages import learn_base
from kpjax.papers.parsing import exit_code_of
from kpjax.papers.plan import planned_stages
from kpjax.structures import Skeleton
from kpjax.training.evaluation import predict_source
from kpjax.training.trees import load_trained

U_NET = "--image-size 32 --widths 4 4 4 --head-layers 1"
STEPS = "--batch-size 8 --evaluations 1 --steps 2"
SHORT = "--batch-size 8 --steps 2"
SYSTEMS = [  # name, flags, variant, some of the metrics, keypoints
    (
        "semi_supervised",
        f"--project P --feature-width 8 --warm-start-steps 1 {U_NET} {STEPS}",
        "sskl",
        {"test/pck", "held_out/px", "best_validation/step"},
        4,
    ),
    (
        "regda",
        f"--source P --target IMAGES --target-project P --pretraining-steps 1 --augmentation none {U_NET} "
        f"{STEPS}",
        "regda",
        {"target/pck", "source/pck", "held_out/px"},
        4,
    ),
    (
        "regda",
        f"--start SAME --target IMAGES --target-project P --least-agreement 1e-9 {STEPS}",
        "adapted",
        {"target/pck", "agreement/start", "agreement/networks", "target/px"},
        4,
    ),
    (
        "incremental",
        f"--old OLD --project P --augmentation none {SHORT}",
        "ksd_only",
        {"new/pck", "old/pck", "old/pck_before", "old/labelled", "at", "held_out/px"},
        5,
    ),
    (
        "incremental",
        f"--old POINTS --project P --augmentation none {U_NET} {SHORT}",
        "kamp",
        {"new/pck", "old/pck", "old/pck_before", "old/px_moved", "held_out/px"},
        5,
    ),
    (
        "pyramids",
        f"--videos CLIP --image-size 32 --level-sizes 2 4 --window 4 {SHORT}",
        "untrained",
        {"live_points", "following_points", "heaped_points", "heaps"},
        6,
    ),
    (
        "adaptation",
        "--core OLD --images IMAGES --project P --labelled-images 5 --batch-size 8 --steps 1 --landmarks 3 "
        "--generator-width 4 --stand-in-widths 4 --repeats 1",
        "adapted",
        {"forward/5", "backward/all", "consistency", "varying_points", "kept_points"},
        3,
    ),
]


# What stands on top of each page, and its pictures: of labelled animals two each, and of all points on frames,
# with a strip of patches where points have no names.
PAGES = {
    "semi_supervised": (
        r"On \d+ frames whose labels it has never seen, half of the points lie within",
        2 * 4,
    ),
    "regda": (
        r"The error on the target is unknown|On 20 frames of the target",
        2 * 12,
    ),
    "incremental": (r"Old points: \d+ of 100 stay\. On held-out frames so many are ", 2 * 4 + 4),
    "pyramids": (r"\d of 6 points follow something that moves\.|Nothing moves", FRAMES + 1),
    "adaptation": (
        r"\d of 3 points keep their places when an image is turned, within 1\.6 of 32 px",
        4 + 1,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "flags", "variant", "metrics", "keypoints"),
    SYSTEMS,
    ids=[f"{name} {flags.split()[0][2:]}" for name, flags, *_ in SYSTEMS],
)
def test_from_what_a_person_has_to_points_and_errors(
    name, flags, variant, metrics, keypoints, given, tmp_path, capsys
):
    chosen = [given.get(flag, flag) for flag in flags.split()]
    typed = ["own", *chosen, "--variants", variant, "--workdir", str(tmp_path)]
    with contextlib.redirect_stderr(sys.stdout):  # in the order of a screen
        report = run(own_experiment(name), typed)
    said = capsys.readouterr().out
    assert f"to train: 1 network: {variant}; up to " in said
    number = re.search(r"^.* \d+/\d+: .* loss ", said, re.MULTILINE)
    assert bool(number) == (variant != "untrained")
    assert len(said[: number and number.start()].splitlines()) <= (12 if number else 99), said
    folder = tmp_path / name / "own" / variant / "seed-0"
    results = json.loads((folder / "results.json").read_text())
    assert metrics <= set(results["metrics"])
    assert (results["images"] > 0) == (variant != "untrained")
    kept = ("errors.csv", "errors_by_keypoint.csv", "score_table.json", "radius_table.json")
    assert [(folder / file).is_file() for file in kept] == [
        bool(metrics & {"held_out/px", "target/px"})
    ] * 4
    if metrics & {"held_out/px", "target/px"}:
        counted = " ".join(said.split())
        kind = "of the target" if "--start" in flags else "held out"
        assert re.search(rf"\d+ (image|recording)s? {kind}(,| are too few for a radius)", counted)
    (begins, pictures), page = PAGES[name], report.read_text()
    without_curves = ("untrained", "adapted")  # no steps of its own, and few
    # keypoints that are one point are said before it
    assert re.search(begins, page.partition('<p class="finding">')[2].partition("<h2>")[0])
    # what is wrong first has pictures of its own
    wrong = page.partition("Wrong first")[2].partition("<h2>")[0]
    assert page.count("data:image/jpeg") - wrong.count("data:image/jpeg") == pictures
    assert "gradient norms" in page.partition(">Details<")[2] or variant in without_curves
    predictor = open_predictor(folder)
    points, scores = predictor.predict(np.zeros((2, 32, 32, 3), np.uint8))
    assert np.isfinite(points).all()
    assert (predictor.side, scores.shape) == (32, (2, keypoints))
    run(own_experiment(name), typed)
    assert capsys.readouterr().out.count("finished before") == 1


READ = [  # name, flags, variants, some chosen settings, and lengths of what is opened
    (
        "semi_supervised",
        f"--project P --network small_unet --image-size 32 --unlabelled IMAGES {SHORT}",
        ["supervised_warped", "pl_warped"],
        {"transform": "letterbox", "heatmap_size": 8, "every": 1},
        {"labelled": 16, "test": 4},
    ),
    (
        "regda",
        f"--source P --target ONE --network small_unet --image-size 32 {SHORT}",
        ["source_only", "source_only_augmented_mse", "regda", "teacher_adaptation"],
        {"coefficient_steps": 1, "pretraining_head_layers": 2},
        {"source": 16, "target": 30},
    ),
    (
        "regda",
        f"--start SAME --target IMAGES --target-project P {SHORT}",
        ["start", "adapted"],
        {"widths": (4, 4, 4), "image_size": 32, "logits": False},
        {"target": 60},
    ),
    (
        "incremental",
        f"--old OLD --project P {SHORT}",
        ["finetune", "ksd_only"],
        {
            "widths": (4, 4, 4),
            "head_layers": 1,
            "image_size": 32,
            "heatmap_size": 8,
            "steps": 2,
            "normalisation": "symmetric",
            "backbone_statistics": "frozen",
        },
        {"train": 16},
    ),
    (
        "incremental",
        f"--old POINTS --project P --network small_unet --image-size 32 --validation b {SHORT}",
        ["finetune", "ksd_only"],
        {"heatmap_size": 8, "steps": 2},
        {"train": 30},
    ),
    (
        "pyramids",
        f"--videos CLIP --image-size 32 --level-sizes 2 4 {SHORT}",
        ["untrained", "pyramids"],
        {"window": 30, "every": 1},
        {"test": 60},
    ),
    (
        "adaptation",
        f"--core OLD --images IMAGES {SHORT}",
        ["random_core", "adapted"],
        {
            "image_size": 32,
            "normalisation": "symmetric",
            "widths": (4, 4, 4),
            "labelled_images": (),
        },
        {"target": 48, "test": 12},
    ),
    (
        "adaptation",
        f"--core OLD --images IMAGES --project P --dtype bfloat16 {SHORT}",
        ["random_core", "adapted"],
        {"dtype": "bfloat16", "labelled_images": (10,)},
        {"target": 56, "fit": 16, "test": 4},
    ),
]


@pytest.mark.parametrize(("name", "flags", "variants", "settings", "lengths"), READ)
def test_what_is_chosen_and_opened(name, flags, variants, settings, lengths, given, tmp_path):
    experiment, typed = own_experiment(name), [given.get(flag, flag) for flag in flags.split()]
    asked = read_command(experiment, ["own", *typed, "--workdir", str(tmp_path)])
    assert list(asked.variants) == variants
    assert {"oracle", "joint", "ewc", "supervised_bound"}.isdisjoint(
        experiment.paper.applicable("own", asked.config)
    )
    assert settings.items() <= flat(asked.config).items()
    assert (
        f"up to {2 + ('--source' in flags or '--unlabelled' in flags)} steps each"
        in first_lines(asked)[0]
    )
    data = experiment.open(asked.jobs()[0])
    found = {part: getattr(one, "train", one) for part in lengths for one in [getattr(data, part)]}
    assert {part: len(one) for part, one in found.items()} == lengths
    assert "target" not in found or not found["target"][0].visible.any()


def test_labels_of_the_target_are_found_by_name_test_and_teach_nothing(given, tmp_path):
    """They are listed in the other order."""
    experiment = own_experiment("regda")
    data = experiment.open(
        read_command(
            experiment,
            [
                "own",
                "--source",
                "P",
                "--target",
                given["IMAGES"],
                "--target-project",
                "turned",
                "--workdir",
                str(tmp_path),
                *U_NET.split(),
                *STEPS.split(),
            ],
        ).jobs()[0]
    )
    np.testing.assert_allclose(
        data.target.test[0].keypoints, own_project._read("P").instances[0].keypoints, atol=1e-4
    )
    assert not data.target.train[0].visible.any()


def test_a_start_with_the_keypoints_in_another_order_is_gone_on_with(given, tmp_path):
    """A table has its keypoints as they appear in it: another first row is another order."""
    typed = ["own", "--project", "turned", "--start", given["SAME"], "--workdir", str(tmp_path)]
    config = read_command(own_experiment("semi_supervised"), [*typed, *SHORT.split()]).config
    labelled, _ = own_project.open_labelled(config)
    as_the_run = own_project._read("P")
    assert labelled.skeleton.names == as_the_run.skeleton.names
    points = [as_the_run.instances[number].keypoints for number in labelled.examples.index]
    np.testing.assert_allclose(labelled.examples.keypoints, points, atol=1e-4)


@pytest.mark.slow
def test_a_project_of_ones_own_is_planned(given, monkeypatch):
    monkeypatch.setattr(plan, "compiler_of", lambda platform: platform)
    typed = (
        "semi_supervised --chips h100-8 --project P --variants supervised_warped --steps 7 --warm-start-steps 0 "
        "--network small_unet --augmentation none"
    )
    _, asked = plan.read(typed.split(), own_experiment, "own")
    last = planned_stages(asked.job("supervised_warped", 0))[-1]
    assert (asked.preset, last.name, last.steps) == ("own", "supervised_warped", 7)
    assert last.streams["labelled"].image.shape[0] % 8 == 0
    assert last.streams["labelled"].keypoints.shape[1:] == (4, 2)


REFUSED = [
    ("semi_supervised", "", "--project: name an annotation project"),
    ("semi_supervised", "--project P --labelled 17", "--labelled: 17 of 16 animals"),
    (
        "semi_supervised",
        "--project P --validation four",
        "--validation: 'four' is not a labelled recording",
    ),
    (
        "semi_supervised",
        "--project P --heatmap-size 7 --image-size 32",
        "--heatmap-size: 7 for images of 32 px",
    ),
    (
        "semi_supervised",
        "--project P --image-size 32 --image-size 64",
        "--image-size: is given twice",
    ),
    ("semi_supervised", "--project P --image-size 30", "--image-size: 30; .* such as 32"),
    (
        "semi_supervised",
        "--project P --unlabelled ONE --unlabelled-pool none",
        "unlabelled-pool none reads none",
    ),
    ("semi_supervised", "--project P --start OLD", "finds .*, tail, the project labels"),
    (
        "semi_supervised",
        "--project P --start SAME --widths 8 8 8",
        "--widths: the run at --start decides it",
    ),
    ("regda", "--source P", "--target: name images or videos"),
    ("regda", "--target IMAGES", "--source: .* or, in its place, a finished run: --start RUN"),
    (
        "regda",
        "--source P --target IMAGES --target ONE",
        "--target: is given twice; put all its values after one flag",
    ),
    (
        "regda",
        "--source P --target IMAGES --more-projects tail",
        "--more-projects: source is one project; leave the",
    ),
    (
        "regda",
        "--source P --target IMAGES --target-project tail",
        "right_hand only in --source, tail only in",
    ),
    ("regda", "--start SAME --target FEW", "--target: 1 frames; give at least 20"),
    (
        "regda",
        "--start SAME --target IMAGES --validation 0.5",
        "--validation: without --source no label is held out",
    ),
    (
        "regda",
        "--start SAME --target IMAGES --empty absent",
        "--empty: without --source no label teaches",
    ),
    ("regda", "--start nowhere --target IMAGES", "--start: nowhere is no folder"),
    (
        "regda",
        "--start OTHER --target IMAGES",
        "pose_statistics.json is of a, b, c, d, the run finds head, ",
    ),
    (
        "regda",
        "--start BOXES --target IMAGES",
        "reads crops around boxes, which target frames do not have",
    ),
    (
        "regda",
        "--start SAME --target IMAGES --target-project tail",
        "other keypoints than --start: .*; name",
    ),
    (
        "incremental",
        "--old OLD --project P --network hrnet --modules 1 1 1",
        "--modules: the old run decides",
    ),
    (
        "incremental",
        "--old OLD --project P --weights w.safetensors",
        "--weights: the old run decides",
    ),
    ("incremental", "--old SAME --project P", "labels head, .*, and the old run knows all of that"),
    (
        "incremental",
        "--old LOGITS --project P",
        "--old: heatmaps of .* are made for a softmax, not Gaussians",
    ),
    ("pyramids", "--videos CLIP --window 31", "has 60 frames, and a window of 31 needs 62"),
    (
        "pyramids",
        "--videos CLIP --every 2 --window 1",
        "1 frames, and one in 2 is used; give at least 2",
    ),
    ("pyramids", "--videos CLIP --pair-crop union", "--pair-crop"),
    ("pyramids", "--videos CLIP --variants supervised_bound", "does not suit preset 'own'"),
    ("adaptation", "", "--core: name a finished run's folder"),
    (
        "adaptation",
        "--core OLD --images IMAGES --project flat",
        "all keypoints lie on a line along an axis",
    ),
    (
        "adaptation",
        "--core OLD --images ONE",
        "--images: adaptation cannot be trained on it: 30 images, it needs 50",
    ),
]


@pytest.mark.parametrize(("name", "flags", "line"), REFUSED)
def test_refused_in_one_line(name, flags, line, given, tmp_path, capsys):
    typed = [given.get(flag, flag) for flag in flags.split()]
    assert (
        exit_code_of(
            lambda: read_command(own_experiment(name), ["own", *typed, "--workdir", str(tmp_path)])
        )
        == 2
    )
    (error,) = capsys.readouterr().err.splitlines()
    assert re.search(line, error), error


def test_images_that_no_variant_reads_are_refused_if_named_and_else_told(given, capsys):
    config = replace_fields(
        read_command(own_experiment("semi_supervised"), ["own", "--project", "P"]).config,
        unlabelled=("V",),
        unlabelled_pool="rest",
    )
    with pytest.raises(InputError, match=r"unlabelled: .* would not read them"):
        semi_supervised.check_variants(config, ["supervised", "supervised_warped_averaged"])
    capsys.readouterr()
    semi_supervised.check_variants(config, ["supervised", "pl_warped"])
    of_project = replace_fields(config, unlabelled=())
    semi_supervised.check_variants(of_project, ["pl_warped"])
    assert not capsys.readouterr().out
    semi_supervised.check_variants(of_project, ["supervised_warped"])
    assert "--variants supervised_warped pl_warped" in capsys.readouterr().out


def test_a_variant_that_cannot_teach_absence_is_said_not_to_before_it_trains(
    given, tmp_path, capsys
):
    typed = ["--source", "P", "--target", given["IMAGES"], "--empty", "absent"]
    typed += ["--variants", "regda_augmented", "--workdir", str(tmp_path)]
    command = read_command(own_experiment("regda"), ["own", *typed])
    command.experiment.beside.check(command, command.jobs())
    assert "; regda_augmented does not teach that a keypoint" in capsys.readouterr().out


# A run of another system learns the new keypoints of a project


@pytest.mark.slow
def test_the_old_model_answers_as_before_and_stands_in_for_missing_labels(given, tmp_path):
    """It knows two keypoints of the project, and one that the project does not have."""
    project, model = own_project._read("P"), old_run(given["OLD"]).opened
    skeleton = joint_skeleton(model.method.skeleton, project)
    assert skeleton.names == (*project.skeleton.names[:2], "tail", *project.skeleton.names[2:])
    assert {(0, 1), (1, 2)} <= set(skeleton.edges)
    (job,) = read_command(
        own_experiment("incremental"),
        [
            "own",
            "--old",
            given["OLD"],
            "--project",
            "P",
            *SHORT.split(),
            "--augmentation",
            "none",
            "--variants",
            "kamp",
            "--workdir",
            str(tmp_path),
        ],
    ).jobs()
    data, held_out, *_ = open_project(job.config)
    this = Run(job, data)
    known = carry_out(job, learn_base(this))
    before = predict_source(model.method, model.trained, held_out, batch_size=8)
    after = this.predicted(method_of(job, data), known, data.evaluation)
    np.testing.assert_allclose(after.keypoints[:, :3], before.keypoints, atol=1e-4)
    # The tail has no label: it lies where the old model finds it. The others lie where the person
    # marked them.
    np.testing.assert_allclose(after.true_keypoints[:, 2], before.keypoints[:, 2], atol=1e-4)
    held = [project.instances[number] for number in own_project.hold_out(project).held_out]
    np.testing.assert_allclose(
        after.true_keypoints[:, 3], [one.keypoints[2] for one in held], atol=1e-4
    )
    assert not held_out[0].visible[2]
    # Without a line between old and new keypoints the nearest ones make the triple.
    (triple,) = stated_triples(this, known, 1)
    assert triple[0] < 3 <= min(triple[1:])
    assert data.base["params"]["head"]["output"]["kernel"].shape[-1] == len(skeleton.names)


def test_answers_of_the_old_network_stand_in_only_where_it_is_sure_and_nothing_says_absent(
    given, tmp_path, monkeypatch
):
    """The first keypoint of the project, which the old run knows, is empty on every second animal,
    and frames without labels show nobody. The old run knows a tail, too."""
    project = own_project._read("P")
    gone = [
        one._replace(
            keypoints=np.where([[n % 2], [True], [True], [True]], one.keypoints, np.nan),
            visible=one.visible * [n % 2, 1, 1, 1],
        )
        for n, one in enumerate(project.instances)
    ]
    asked = project._replace(instances=tuple(gone))
    monkeypatch.setattr(own_project, "_read", lambda *arguments: asked)

    def opened(old, *flags):
        typed = ["own", "--old", str(old), "--project", "P", *SHORT.split(), *flags]
        (job,) = read_command(
            own_experiment("incremental"), [*typed, "--variants", "ksd_only"]
        ).jobs()
        data, held_out, *_ = open_project(job.config)
        lengths = np.stack([data.evaluation[number].scale for number in range(len(held_out))])
        assert (lengths > 3).all()
        seen = np.stack([data.evaluation[number].visible for number in range(len(held_out))])
        return seen > 0, np.asarray(held_out.examples.visible) > 0

    # without cutoffs all answers stand in for labels
    seen, labelled = opened(given["OLD"], "--empty", "unlabelled")
    assert seen.all()
    assert not labelled[:, 2].any()
    seen, labelled = opened(given["OLD"], "--empty", "absent")
    np.testing.assert_array_equal(seen[:, 0], labelled[:, 0])
    assert set(labelled[:, 0]) == {False, True}
    assert seen[:, 1:].all()
    seen, labelled = opened(
        given["OLD"], *["--empty", "unlabelled", "--empty-frames", "absent", "--validation", "a"]
    )
    nobody = ~labelled.any(1)
    assert 0 < nobody.sum() < len(nobody)
    np.testing.assert_array_equal(seen.all(1), ~nobody)
    np.testing.assert_array_equal(seen.any(1), ~nobody)
    # it is never sure of the tail
    sure = Path(shutil.copytree(given["OLD"], tmp_path / "sure"))
    cutoffs = np.array([-np.inf, -np.inf, 10.0])
    write_json(
        sure / "score_table.json", table_as_json(ScoreTable("mse_peak", cutoffs, np.zeros(0)))
    )
    seen, _ = opened(sure, "--empty", "unlabelled")
    assert seen[:, [0, 1, 3, 4]].all()
    assert not seen[:, 2].any()


@pytest.mark.parametrize(
    ("new", "flip", "labelled", "joint"),
    [
        (("tail_tip", "back"), (), 2, (1, 0, 2, 3)),
        (("left_hip", "right_hip"), (1, 0), 2, (1, 0, 3, 2)),
        (("back", "left_eye", "right_eye"), (0, 2, 1), 1, (1, 0, 2)),
        (("back", "left_eye", "right_eye"), (0, 2, 1), 2, ()),  # a mirror image would lack a name
        (("right_ear", "back"), (), 2, (1, 0, 2)),
    ],
)
def test_old_keypoints_keep_their_mirror_images_beside_new_ones(
    new, flip, labelled, joint, tmp_path
):
    """As projects do that are united."""
    project = synthetic_project(tmp_path, recordings=("a",), keypoints=len(new))
    some = [
        one._replace(visible=one.visible * (np.arange(len(new)) < labelled))
        for one in project.instances
    ]
    project = project._replace(skeleton=Skeleton(new, flip=flip), instances=tuple(some))
    old = Skeleton(("left_ear", "right_ear"), edges=((0, 1),), flip=(1, 0))
    found = joint_skeleton(old, project)
    added = tuple(name for name in new[:labelled] if name not in old.names)
    assert (found.names, found.edges, found.flip) == ((*old.names, *added), ((0, 1),), joint)


def test_labels_without_left_and_right_do_not_decide_whether_images_are_mirrored(
    tmp_path, monkeypatch
):
    """The old run does, whose keypoints have mirror images."""
    project = synthetic_project(tmp_path / "P", labelled=6, unlabelled=0, keypoints=2)
    project = project._replace(skeleton=Skeleton(("tail_tip", "back")))
    monkeypatch.setattr(own_project, "_read", lambda *arguments: project)
    for flip in (False, True):
        old = untrained_run(
            tmp_path / f"old {flip}", Skeleton(("left_ear", "right_ear"), flip=(1, 0)), flip=flip
        )
        typed = ["own", "--old", str(old), "--project", "P", *SHORT.split()]
        (job,) = read_command(
            own_experiment("incremental"), [*typed, "--variants", "ksd_only"]
        ).jobs()
        assert job.config.augment.flip == flip
        data, *_ = open_project(job.config)
        assert (data.skeleton.flip, data.protocol.mirrored) == ((1, 0, 2, 3), True)


def test_new_keypoints_that_are_absent_are_taught_and_old_ones_are_not(
    given, tmp_path, monkeypatch
):
    """Both have an empty cell on every second animal; errors count neither."""
    project = own_project._read("P")
    gone = [
        one._replace(visible=one.visible * [n % 2, 1, n % 2, 1])
        for n, one in enumerate(project.instances)
    ]
    monkeypatch.setattr(
        own_project, "_read", lambda *arguments: project._replace(instances=tuple(gone))
    )
    typed = ["own", "--old", given["OLD"], "--project", "P", "--empty", "absent", *SHORT.split()]
    typed += ["--variants", "ksd_only", "--workdir", str(tmp_path)]
    (job,) = read_command(own_experiment("incremental"), typed).jobs()
    data, held_out, *_ = open_project(job.config)
    seen = step_source(data.protocol, 1, data.train)
    visible = np.stack([seen[number].visible for number in range(len(seen))])
    assert not visible[:, :3].any()  # old ones, and the old run's tail
    assert set(visible[:, 3]) == {-1, 1}
    assert (visible[:, 4] == 1).all()
    assert held_out.examples.visible.min() == 0
    # cells of old ones, whose labels teach nothing, are not empty to errors and cutoffs
    evaluated = own_experiment("incremental").beside.evaluated(job, data)["px of trained on"]
    known = np.stack([evaluated[number].visible for number in range(len(evaluated))])
    assert np.isnan(known[:, :3]).all()
    np.testing.assert_array_equal(known[:, 3:] > 0, visible[:, 3:] > 0)


def test_points_of_another_tool_teach_old_keypoints(given):
    """Ten frames with labels train, of the first of which the tool says nothing, and twenty without;
    the tail's scores are low where there are labels."""
    typed = ["own", "--old", given["POINTS"], "--project", "P", *U_NET.split(), *SHORT.split()]
    (job,) = read_command(
        own_experiment("incremental"), [*typed, "--validation", "b", "--variants", "kamp"]
    ).jobs()
    data, held_out, answers, sure = open_project(job.config)
    assert (data.base, data.by_points) == (None, True)
    bare, labelled = [1, 1, 1, 0, 0], [1, 1, 0, 1, 1]
    expected = [[0, 0, 0, 1, 1], *[labelled] * 9, *[bare] * 20]
    np.testing.assert_array_equal(data.train.examples.visible, expected)
    assert [len(step.images) for step in data.protocol.steps] == [29, 40]
    assert data.protocol.steps[0].images[0] == 1
    this = Run(job, data)
    first, second = (this.training_images(step)[0].visible for step in (0, 1))
    np.testing.assert_array_equal([first, second], [[1, 1, 0, 0, 0], expected[0]])
    own = held_out.examples.keypoints[:, :2]
    np.testing.assert_allclose(answers[:, :2], own + 1, atol=1e-4)
    np.testing.assert_array_equal(sure, [[True, True, False]] * 10)
    assert not data.evaluation[0].visible[2]
    # labels of the same keypoints choose the cutoffs where there are enough
    (job,) = read_command(own_experiment("incremental"), [*typed, "--variants", "kamp"]).jobs()
    old = points_of(job.config)
    assert old.words == "chosen by 30 labels of head, neck; of the others half of the median score"
    weights = old._replace(cutoffs=np.full(3, 0.4), usual=np.full(3, 0.8)).weights
    np.testing.assert_allclose(
        weights(np.array([[0.3, 0.6, 0.9], [np.nan, 0.8, 0.7]])), [[0, 0.75, 1], [0, 1, 0.875]]
    )


# Keypoint Pyramids: the part that is looked at, and labels, which only measure


@pytest.mark.parametrize(("width", "height", "side"), [(96, 80, 0), (240, 160, 85)])
def test_the_part_is_looked_at_in_which_something_moves(tmp_path, width, height, side):
    """A dot that moves over a dark video: of the larger one a square around its way, of the smaller
    one all of it.
    """
    places = np.array([[24 + 6 * number, 50 - 3 * number] for number in range(9)])
    y, x = np.mgrid[:height, :width]
    dots = [200 * np.clip(1 - ((x - a) ** 2 + (y - b) ** 2) / 400, 0, 1) for a, b in places]
    write_video(
        tmp_path / "dot.mp4",
        [np.repeat(dot.astype(np.uint8)[..., None], 3, -1) for dot in dots],
        times=np.arange(9) / 10,
    )
    place = place_choice(find_videos(tmp_path), 1).value
    assert bool(place) == bool(side)
    if place:
        assert place[4:] == pytest.approx((side, side), abs=4)
        assert (np.abs(places - np.add(place[2:4], side / 2)) < side / 2).all()


def test_a_window_counts_the_frames_of_the_video_and_not_those_that_are_used(given):
    typed = ["own", "--videos", given["CLIP"], "--every", "4", "--image-size", "32"]
    data = read_command(own_experiment("pyramids"), typed).config.data
    assert data.window == 28
    source = read_videos(data.files(), data.square(), every=data.every)
    assert source.frame.tolist() == [*range(0, 60, 4)]
    pairs = frame_pairs(source, window=data.window, batch_size=2, seed=0)
    assert len(pairs["frame"][0].image) == 2


def test_the_last_fifth_of_unpadded_images_is_the_last_in_time(tmp_path):
    for number in range(60):
        Image.new("RGB", (8, 8)).save(tmp_path / f"frame{number}.png")
    images = replace_fields(own_experiment("adaptation").presets["own"], images=(str(tmp_path),))
    _, test, _ = own_split(images)
    assert [frame.path.stem for frame in test] == [f"frame{number}" for number in range(48, 60)]


@pytest.mark.slow
def test_labels_that_no_probe_can_use_do_not_end_the_training(given, tmp_path, capsys):
    videos = tmp_path / "videos"
    videos.mkdir()
    shutil.copy(given["CLIP"], videos)
    (videos / "keypoints.csv").write_text("video,frame,keypoint,x,y\nclip.mp4,0,nose,10,20\n")
    flags = f"--image-size 32 --level-sizes 2 4 --window 4 --evaluations 1 {SHORT}"
    typed = ["own", "--videos", str(videos), "--workdir", str(tmp_path), *flags.split()]
    typed += ["--variants", "pyramids"]
    run(own_experiment("pyramids"), typed)
    assert "no errors on labels: " in capsys.readouterr().out


@pytest.mark.slow
def test_own_labels_reach_the_probe_only(given, tmp_path):
    (tmp_path / "videos").mkdir()
    videos = Path(shutil.copy(given["CLIP"], tmp_path / "videos")).parent

    def own():
        return exit_code_of(
            lambda: run(
                own_experiment("pyramids"),
                [
                    "own",
                    "--videos",
                    str(videos),
                    "--workdir",
                    str(tmp_path),
                    "--variants",
                    "untrained",
                    "image_moments",
                    "--image-size",
                    "32",
                    "--level-sizes",
                    "2",
                    "4",
                    "--window",
                    "4",
                    *SHORT.split(),
                ],
            )
        )

    assert own() == 2  # `image_moments` is measured by labels alone
    (videos / "keypoints.csv").write_text(
        "\n".join(
            [
                "video,frame,keypoint,x,y",
                *(f"clip.mp4,{frame},nose,{10 + frame},20" for frame in range(9)),
            ]
        )
    )
    assert own() == 0
    results = json.loads(
        (tmp_path / "pyramids" / "own" / "untrained" / "seed-0" / "results.json").read_text()
    )
    assert {"rmse/flat", "rmse/flat/nose"} <= set(results["metrics"])


# A finished run is adapted to images without its source, or kept


@pytest.mark.slow
def test_the_control_is_the_start_and_the_result_can_be_adapted_again(given, tmp_path):
    typed = ["own", "--target", given["ONE"], "--workdir", str(tmp_path), *STEPS.split(), "--start"]
    report = run(
        own_experiment("regda"),
        [*typed, given["SAME"], "--target-project", "P", "--least-agreement", "1e-9"],
    )
    folder = report.parent / "adapted" / "seed-0"
    before, after, start = (
        load_trained(Path(one) / "model").variables
        for one in (given["SAME"], folder, report.parent / "start" / "seed-0")
    )
    assert json.loads((folder / "results.json").read_text())["metrics"]["kept_start"] == 0
    assert json.loads((folder / "pose_statistics.json").read_text())["poses"] == 40
    assert any(
        not np.array_equal(a, b)
        for a, b in zip(
            jax.tree.leaves(before["params"]), jax.tree.leaves(after["params"]), strict=True
        )
    )
    chex.assert_trees_all_equal(start, before, strict=True)
    assert read_command(own_experiment("regda"), [*typed, str(folder)]).config.network.widths == (
        4,
        4,
        4,
    )


def test_what_a_start_knows_of_its_labels_goes_on_with_the_runs_from_it(
    given, tmp_path, monkeypatch
):
    """An adapted network has no cutoffs, but keypoints that were far apart in labels still are."""
    start = Path(shutil.copytree(given["SAME"], tmp_path / "start"))
    points = np.random.default_rng(0).uniform(0, 32, (9, 4, 2))
    names = open_predictor(start).skeleton.names
    distances = label_distances(points, np.ones((9, 4)), np.full(9, 30.0), names, size=30.0)
    table = ScoreTable("mse_peak", np.full(4, 0.1), np.zeros(0))
    for name, one in (("label_distances.json", distances), ("score_table.json", table)):
        write_json(start / name, table_as_json(one))
    monkeypatch.setattr(without_source.engine, "draw_predictions", lambda *of, **options: None)
    config = SimpleNamespace(backbone=SimpleNamespace(start=str(start)))
    data = SimpleNamespace(target=SimpleNamespace(train=None))
    always = {"label_distances.json", "pose_statistics.json"}
    for kept_start, kept in ((0.0, always), (1.0, {*always, "score_table.json"})):
        job = SimpleNamespace(folder=tmp_path / f"kept {kept_start:g}", config=config)
        job.folder.mkdir()
        outcome = SimpleNamespace(metrics={"kept_start": kept_start})
        without_source.draw(job, data, outcome, {})
        assert {path.name for path in job.folder.iterdir()} == kept
        for name in kept:
            assert (job.folder / name).read_text() == (start / name).read_text()


@pytest.mark.slow
def test_the_start_stays_where_it_is_as_sure_as_on_its_own_images(given, tmp_path):
    """A start that has held images out on which its scores were as low as they are here."""
    start = Path(shutil.copytree(given["SAME"], tmp_path / "start"))
    table = ScoreTable("mse_peak", np.full(4, 0.1), np.linspace(-1, -0.5, 11))
    write_json(start / "score_table.json", table_as_json(table))
    folder = (
        run(
            own_experiment("regda"),
            [
                "own",
                "--target",
                given["ONE"],
                "--workdir",
                str(tmp_path),
                *STEPS.split(),
                "--start",
                str(start),
            ],
        ).parent
        / "adapted"
        / "seed-0"
    )
    assert json.loads((folder / "results.json").read_text())["metrics"]["kept_start"] == 1
    chex.assert_trees_all_equal(
        *(load_trained(one / "model").variables for one in (folder, start)), strict=True
    )
