"""The preset `own` of semi-supervised learning, from a project to a result, and what it refuses."""

import os
import shutil

import numpy as np
import pytest
from own_projects import synthetic_project
from own_runs import made_movenet, untrained_run
from PIL import Image
from predict_folder import rows_of

from kpjax import Skeleton
from kpjax.errors import InputError
from kpjax.formats.tables import write_rows
from kpjax.formats.uniting import unite
from kpjax.input.source import identities
from kpjax.lab.commands import Predict
from kpjax.lab.commands.check import keypoint_lines
from kpjax.lab.commands.predict import predict
from kpjax.lab.commands.train import main as train
from kpjax.lab.own import (
    choices,
    places,
    project as own_project,
    pyramids,
    regda,
    semi_supervised,
)
from kpjax.lab.own.choices import facts_of, image_choices, rotation_choice
from kpjax.lab.own.earlier_run import EarlierRun, earlier_run, learnt_though_held_out
from kpjax.lab.own.project import hold_out
from kpjax.lab.own.semi_supervised import EXPERIMENT, open_data
from kpjax.lab.reports.pixel_errors import HEADER, HELD_OUT, TRAINED, read_errors, scores_of
from kpjax.models import MobileNetV2, SmallUNet
from kpjax.papers import engine
from kpjax.papers.command_line import read_command, run
from kpjax.papers.configs import flat, replace_fields
from kpjax.papers.engine import OWN as OWN_PRESET
from kpjax.papers.parsing import exit_code_of
from kpjax.training.evaluation import labels_of
from kpjax.training.run_folder import write_config

TINY = (
    "--image-size",
    "32",
    "--widths",
    "4",
    "4",
    "4",
    "--head-layers",
    "1",
    "--batch-size",
    "16",
    "--feature-width",
    "8",
    "--evaluations",
    "1",
    "--steps",
    "2",
    "--warm-start-steps",
    "1",
)


def test_a_corrected_label_is_another_project(project):
    moved = project.instances[0]._replace(keypoints=project.instances[0].keypoints + 1)
    corrected = project._replace(instances=(moved, *project.instances[1:]))
    assert (
        own_project.labels_digest(project)
        == own_project.labels_digest(project._replace(notes=()))
        != (own_project.labels_digest(corrected))
    )


def test_the_order_of_the_animals_of_a_frame_is_not_that_of_a_file(project):
    crowd = [one._replace(frame=0) for one in project.instances]
    digests = {
        own_project.labels_digest(own_project.in_order(project._replace(instances=some)))
        for some in (crowd, crowd[::-1])
    }
    assert len(digests) == 1
    renamed = project._replace(skeleton=Skeleton(project.skeleton.names[::-1]))
    assert own_project.labels_digest(renamed) != own_project.labels_digest(project)


def test_a_project_that_moved_is_the_same(project):
    placed = [
        project._replace(lengths={project.root / folder / "a.mp4": 9}) for folder in ("one", "two")
    ]
    assert own_project.labels_digest(placed[0]) == own_project.labels_digest(placed[1])
    cut = project._replace(lengths={project.root / "one" / "a.mp4": 8})
    assert own_project.labels_digest(placed[0]) != own_project.labels_digest(cut)
    files = [project.frames[0].path, project.frames[7].path]
    named = own_project._named((project.root, file) for file in files)
    assert list(named) == [str(file.relative_to(project.root)) for file in files]


def test_training_on_labels_alone_reads_no_other_frame(project, monkeypatch):
    """Whole recordings were decoded for images that nothing would have read."""
    read = []
    monkeypatch.setattr(semi_supervised, "open_frames", lambda *given, **more: read.append(given))
    command = ["own", "--project", "P", *TINY, "--variants"]
    alone, both = (
        read_command(EXPERIMENT, [*command, variant]).jobs()[0]
        for variant in ("supervised_warped", "pl_warped")
    )
    known = EXPERIMENT.open(alone)
    assert (len(known.unlabelled), read) == (0, [])
    monkeypatch.undo()
    found = EXPERIMENT.open(both)
    assert len(found.unlabelled) > 0
    labelled = "labelled_digest"  # by which they share the first stage
    assert found.identity[labelled] == known.identity[labelled]


@pytest.mark.slow
def test_images_that_a_later_variant_reads_are_opened_once_and_before_training(
    project, tmp_path, monkeypatch
):
    opened = []
    open_frames = semi_supervised.open_frames

    def watched(*given, **more):
        opened.append(list(tmp_path.rglob("checkpoints")))
        return open_frames(*given, **more)

    monkeypatch.setattr(semi_supervised, "open_frames", watched)
    command = ["own", "--project", "P", *TINY, "--workdir", str(tmp_path)]
    run(EXPERIMENT, [*command, "--variants", "supervised_warped", "pl_warped"])
    assert opened == [[]]
    run(EXPERIMENT, [*command, "--variants", "supervised_warped", "pl_warped"])
    assert len(opened) == 1  # all is finished


@pytest.mark.slow
def test_a_first_stage_of_one_variant_is_gone_on_with_by_another(project, tmp_path, capsys):
    """One of them reads images without labels, of which the first stage knows nothing."""
    command = ["own", "--project", "P", *TINY, "--workdir", str(tmp_path), "--variants"]
    run(EXPERIMENT, [*command, "supervised_warped"])
    (stage,) = (tmp_path / "semi_supervised" / "own" / "stages" / "warm_start").glob("seed-0")
    (stage / "stage.json").unlink()  # its checkpoint stays
    capsys.readouterr()
    run(EXPERIMENT, [*command, "pl_warped"])
    assert "labels first: going on from step 1 of 1" in capsys.readouterr().err


def test_files_of_one_name_elsewhere_are_numbered(tmp_path):
    files = [tmp_path / name / "1.png" for name in "abc"]
    for file in files:
        file.parent.mkdir()
        file.write_bytes(b"")
    elsewhere = [*own_project._named((tmp_path / "d", file) for file in files)]
    assert elsewhere == ["1.png", "1.png (2)", "1.png (3)"]


def test_mirrored_images_are_learnt_from_only_if_labels_face_both_ways(project, capsys):
    rng, pairs = np.random.default_rng(0), (0, 1, 3, 2)
    side = np.array([[60.0, 0], [-60, 0], [30, 40], [-30, 40]]) + rng.normal(0, 3, (30, 4, 2))
    facing_left = side.copy()
    facing_left[::2] = (side[::2] * (-1, 1))[:, pairs]
    facts = facts_of(project)._replace(flip=pairs, points=side)
    (choice,) = choices.flip_choices(facts, 30.0)
    assert (choice.field, choice.value) == ("flip", False)
    assert choice.reason.startswith("the labelled animals all face one way: mirrored, they are ")
    (both,) = choices.flip_choices(facts._replace(points=facing_left), 30.0)
    assert both.value
    assert "face both ways" in both.reason
    (coloured,) = choices.flip_choices(facts._replace(points=facing_left, sides=9.0), 30.0)
    assert not coloured.value
    assert coloured.reason.startswith("left and right have different colours")
    (few,) = choices.flip_choices(facts._replace(points=side[:2]), 30.0)
    assert not few.value
    assert choices.flip_choices(facts._replace(flip=()), 30.0) == []
    config = EXPERIMENT.presets[OWN_PRESET]
    found = choices.apply_choices(config, [choice], set())
    assert not found.augment.flip
    assert dict(found.why)["flip"].endswith(choice.reason)
    assert "in the report: --no-flip" in capsys.readouterr().out
    assert choices.apply_choices(replace_fields(config, flip=True), [choice], {"flip"}).augment.flip
    assert "flip" not in capsys.readouterr().out


def test_choices_are_of_fields_that_every_system_has(project):
    """RegDA's augmentation mirrors nothing: nobody chooses whether it does."""
    facts = facts_of(project)._replace(
        flip=(1, 0), points=np.random.default_rng(0).uniform(0, 30, (9, 2, 2))
    )
    for system, there in ((regda, False), (semi_supervised, True)):
        made = choices.usual_choices(facts, system.OWN, set())
        assert ("flip" in {choice.field for choice in made}) == there
        replace_fields(system.OWN, **{choice.field: choice.value for choice in made})


def test_a_choice_that_no_flag_can_say_is_not_printed_as_one(capsys):
    """Whole frames are the default: `--place` without numbers is no flag that can be typed."""
    whole = choices.Choice("place", (), "whole frames: nothing moves")
    found = choices.apply_choices(pyramids.OWN, [whole], set())
    assert "--place" not in capsys.readouterr().out
    assert dict(found.why)["place"].endswith(whole.reason)


@pytest.mark.parametrize(("count", "narrow"), [(20, True), (21, False)])
def test_many_keypoints_have_a_wide_pyramid(count, narrow, project):
    config = replace_fields(semi_supervised.OWN, network=MobileNetV2(), weights="W")
    made = choices.usual_choices(
        facts_of(project)._replace(keypoints=count),
        config,
        {"network", "weights"},
        mobilenet=choices.FEW_LABELS,
    )
    chosen = {choice.field: choice.value for choice in made}
    assert chosen.get("decoder_width") == (32 if narrow else None)
    made_so = replace_fields(config, **chosen).network
    assert (made_so.decoder_width, made_so.head_layers) == (32 if narrow else 64, 2)
    assert made_so.frozen_stride == 4


def test_training_goes_on_until_labels_are_learnt_and_typed_steps_are_what_they_say():
    assert choices.rounds_choice(SmallUNet(), set()).value == 8
    assert choices.rounds_choice(MobileNetV2(), set()).value == 4
    assert choices.rounds_choice(MobileNetV2(), set(), fine=True).value == 2
    assert choices.rounds_choice(SmallUNet(), {"steps"}).value == 1


def test_rules(project):
    facts = facts_of(project)
    assert (facts.several, facts.longer_side) == (False, 32)
    assert rotation_choice(facts._replace(direction=0.1, axis=0.2)).value == 180
    # seen from its side, left or right
    assert rotation_choice(facts._replace(direction=0.1, axis=0.9)).value == 30
    large = facts._replace(longer_side=640.0, diagonal=90.0)
    for diagonal, size in [(170.0, 128), (110.0, 192), (60.0, 256), (20.0, 256)]:
        assert image_choices(large._replace(diagonal=diagonal), None)[1].value == size
    assert image_choices(large, 256)[2].value == 64
    crowd = image_choices(large._replace(several=True, box_side=80.0), None)
    assert [choice.value for choice in crowd[:2]] == ["around_box", 128]


def test_one_small_animal_on_a_large_frame_is_cropped(project, monkeypatch, capsys):
    """Of 9 px in 640, it had 4 px in images of 256."""
    facts = facts_of(project)._replace(longer_side=640.0, diagonal=41.0, box_side=30.0)
    assert [choice.value for choice in image_choices(facts, None)][:2] == ["letterbox", 256]
    small = facts._replace(small=True, diagonal=9.0, box_side=8.0)
    transform, size, _ = image_choices(small, None)
    assert (transform.value, size.value) == ("around_box", 64)
    assert "on whole frames of 256 px the animal would span 4" in transform.reason
    far = project._replace(
        frames=tuple(frame._replace(size=(900, 700)) for frame in project.frames)
    )
    assert facts_of(far).small
    monkeypatch.setattr(own_project, "_read", lambda *arguments: far)
    config = read_command(EXPERIMENT, ["own", "--project", "far"]).config
    assert config.data.transform == "around_box"
    assert "1 animal on every labelled frame: each is cropped" in capsys.readouterr().out
    typed = ["own", "--project", "far", "--transform", "letterbox"]
    assert read_command(EXPERIMENT, typed).config.data.transform == "letterbox"


def test_labels_before_a_still_camera_say_which_part_of_frames_is_looked_at():
    """Not those of an animal that goes on, of few frames, or all over the frames."""
    sizes = np.tile([[640, 470], [832, 747]], (10, 1))
    still = np.random.default_rng(0).uniform((200, 100), (500, 400), (20, 3, 2))
    still[3, 1] = np.nan
    place = np.reshape(places.place_of_labels(still, sizes), (2, 6))
    for row, size, labels in zip(place, sizes, (still[::2], still[1::2]), strict=False):
        away = np.nanmax(np.abs(labels + 0.5 - row[2:4] - row[4] / 2))
        assert (*row[:2], away) == (*size, pytest.approx(row[4] / 2 / places.PLACE_MARGIN, abs=0.1))
    drifting = still + np.linspace(0, 300, 20)[:, None, None]
    for labels in (still[:9], drifting, 3 * still - 400):
        assert places.place_of_labels(labels, sizes[: len(labels)]) == ()


def test_a_part_of_frames_is_learnt_and_predicted_in_pixels_of_frames(
    tmp_path, monkeypatch, capsys
):
    far, to = synthetic_project(tmp_path / "P", labelled=8, unlabelled=0), (50, 30)
    for frame in far.frames:
        canvas = Image.new("RGB", (96, 80))
        canvas.paste(Image.open(frame.path), to)
        canvas.save(frame.path)
    moved = [one._replace(keypoints=one.keypoints + to) for one in far.instances]
    frames = [one._replace(size=(96, 80)) for one in far.frames]
    far = far._replace(frames=tuple(frames), instances=tuple(moved))
    monkeypatch.setattr(own_project, "_read", lambda *arguments: far)
    typed = ["--project", "P", *TINY, "--workdir", str(tmp_path)]
    train(typed)
    assert "--transform letterbox takes whole frames" in capsys.readouterr().out
    (results,), frame = tmp_path.rglob("results.json"), far.frames[0].path
    whole, part, again = (
        read_command(EXPERIMENT, ["own", "--project", "P", *more]).config.data.place
        for more in (("--transform", "letterbox"), (), ("--start", str(results.parent)))
    )
    assert (whole, again) == ((), part)
    (table,) = predict(Predict(run=results.parent, inputs=(frame,), out=tmp_path / "out"))
    errors = read_errors(results.parent, far.skeleton.names)
    row = [path.name for path in errors.images].index(frame.name)
    found = [[float(row["x"]), float(row["y"])] for row in rows_of(table)]
    np.testing.assert_allclose(found, errors.predicted[row], atol=0.02)
    np.testing.assert_allclose(errors.true[row], moved[0].keypoints, atol=1e-3)
    away = np.abs(errors.predicted - np.add(part[2:4], part[4] / 2))
    assert np.nanmax(away) < 0.7 * part[4]


def test_a_system_says_which_of_its_variants_teach_absence(capsys):
    """Of RegDA's those whose maps are heights do, of whichever are trained; it said that none did, and
    then named the usual ones alone.
    """

    def said(config, variants):
        regda.check_variants(config, variants)
        return capsys.readouterr().out.splitlines()

    assert said(regda.OWN, regda.VARIANTS) == []
    told = replace_fields(regda.OWN, empty="absent", empty_frames="absent")
    (line,) = said(told, regda.VARIANTS)
    assert line.startswith("--empty absent and --empty-frames absent: counted in errors")
    assert "source_only_augmented_mse and teacher_adaptation teach that a keypoint is not" in line
    assert "source_only and regda do not" in line
    (line,) = said(told, ["regda_augmented"])
    assert "; regda_augmented does not teach that a keypoint is not there, since" in line
    assert said(told, ["teacher_adaptation"]) == []


def test_empty_cells_and_frames_are_asked_about_and_taught_when_told(project, monkeypatch, capsys):
    gone = [
        one._replace(visible=one.visible * [1, 1, 1, n % 2], keypoints=one.keypoints.copy())
        for n, one in enumerate(project.instances)
    ]
    for one in gone:
        one.keypoints[one.visible == 0] = np.nan
    asked = project._replace(instances=tuple(gone))
    monkeypatch.setattr(own_project, "_read", lambda *arguments: asked)
    name = project.skeleton.names[3]
    assert own_project.questions(project) == own_project.questions(asked)[1:]
    assert f"taught as absent: {name} 50 %; --empty unlabelled" in own_project.questions(asked)[0]
    seldom = project._replace(instances=(*gone[:2], *project.instances[2:]))
    assert f"({name} 8 %): absent there?" in own_project.questions(seldom)[0]
    assert not own_project.absent_cells(seldom, own_project.Own()).any()
    assert own_project.absent_cells(seldom, own_project.Own(empty="absent")).sum() == 1
    assert "6 of 18 frames have no label: nobody there" in own_project.questions(asked)[1]

    def opened(*flags):
        command = ["own", "--project", "asked", "--unlabelled-pool", "none", *flags, *TINY]
        found = open_data(read_command(EXPERIMENT, command).jobs()[0])
        return (
            np.stack([part[number].visible for number in range(len(part))])
            for part in (found.labelled, found.validation)
        )

    train, held_out = opened("--empty", "unlabelled")
    assert train.min() == held_out.min() == 0
    assert "taught as absent" not in capsys.readouterr().out
    for flags in ((), ("--empty", "absent")):  # half of the cells are empty
        train, held_out = opened(*flags)
        assert (train[:, 3] == -1).sum() == 4
        assert (train[:, :3] == 1).all()
    assert capsys.readouterr().out.count("taught as absent") == 1
    assert held_out.min() == 0  # errors never count them
    train, held_out = opened("--empty", "unlabelled", "--empty-frames", "absent")
    assert len(train) + len(held_out) == 18
    nobody = (train == -1).all(1)
    assert nobody.sum() == 4
    assert (train[~nobody] >= 0).all()
    assert ((held_out == 0).all(1)).sum() == 2


def test_an_empty_cell_means_the_same_to_training_and_to_errors_where_occluded_ones_are_dropped(
    project, monkeypatch
):
    """A keypoint is empty on every second animal, another one is occluded on every third: that one
    is neither taught as absent nor counted as empty."""
    gone = [
        one._replace(
            keypoints=np.where([[True], [True], [True], [n % 2]], one.keypoints, np.nan),
            visible=one.visible * [1, 1, 1, n % 2],
            occluded=np.array([False, False, n % 3 == 0, False]),
        )
        for n, one in enumerate(project.instances)
    ]
    asked = project._replace(instances=tuple(gone))
    monkeypatch.setattr(own_project, "_read", lambda *arguments: asked)
    held = hold_out(asked)
    for meaning, told in (("absent", -1), ("often", -1)):  # half of the cells are empty
        command = ["own", "--project", "asked", "--unlabelled-pool", "none", *TINY]
        command += ["--occluded", "drop", "--empty", meaning]
        (job,) = read_command(EXPERIMENT, command).jobs()
        data = open_data(job)
        visible = np.stack([data.labelled[number].visible for number in range(len(data.labelled))])
        assert sorted(visible[:, 3]) == [told] * 4 + [1] * 4
        assert (visible[:, 2] == 0).sum() == sum(number % 3 == 0 for number in held.train)
        found = {
            name: labels_of(part) for name, part in EXPERIMENT.beside.evaluated(job, data).items()
        }
        errors = EXPERIMENT.beside.measure(job, data, None, found)
        assert (errors["trained_on/empty"], errors["held_out/empty"]) == (4, 2)


def test_a_held_out_image_among_the_unlabelled_is_refused(project, monkeypatch, tmp_path, capsys):
    """Or left out where nobody named it, as in a video of an animal that keeps still."""
    held = hold_out(project)
    test = project.frames[project.instances[held.held_out[0]].frame].path
    shutil.copy(test, tmp_path / "copy.png")
    with pytest.raises(InputError, match=rf"copy.png is .*{test.name}"):
        run(
            EXPERIMENT,
            [
                "own",
                "--project",
                "P",
                "--unlabelled",
                str(tmp_path),
                "--workdir",
                str(tmp_path / "runs"),
                *TINY,
            ],
        )
    other = next(
        frame
        for n, frame in enumerate(project.frames)
        if n % 6 == 4 and frame.session not in held.recordings
    )
    copied = project._replace(
        frames=tuple(
            frame._replace(path=tmp_path / "copy.png") if frame is other else frame
            for frame in project.frames
        )
    )
    monkeypatch.setattr(own_project, "_read", lambda *arguments: copied)
    found = open_data(read_command(EXPERIMENT, ["own", "--project", "still", *TINY]).jobs()[0])
    assert len(found.unlabelled) == 3
    assert (
        "left out: 1 frame without labels, exactly like a held-out one" in capsys.readouterr().out
    )


@pytest.mark.parametrize("flag", ["start", "weights"])
def test_the_same_command_refuses_another_network_of_equal_size_in_the_place_of_the_first(
    project, tmp_path, capsys, flag
):
    """Also where it has the time of the first, as a copying tool keeps it."""
    if flag == "start":
        named, network = untrained_run(tmp_path / "earlier", project.skeleton), ()
        file = next(named.rglob("trained.safetensors"))
    else:
        named = file = made_movenet(tmp_path / "movenet.safetensors")
        network = ("--network", "movenet")
    typed = ["own", "--project", "P", f"--{flag}", str(named), "--workdir", str(tmp_path / "runs")]
    typed += [*network, *TINY[-4:-2]]
    job = read_command(EXPERIMENT, typed).jobs()[0]
    write_config(job.folder, job.record())  # as a run that has begun
    content, status = bytearray(file.read_bytes()), file.stat()
    content[-1] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    engine._inputs.cache_clear()
    assert exit_code_of(lambda: train(["semi_supervised", *typed[1:]])) == 2
    assert f"--{flag}: 1 of " in capsys.readouterr().err


@pytest.mark.slow
def test_a_fully_labelled_project_trains_on_its_labels_alone_and_goes_on_when_it_has_grown(
    project, tmp_path, monkeypatch, capsys
):
    """Without a system, and with the one that can read images without labels: both are one run."""
    made = project._replace(
        frames=tuple(frame for n, frame in enumerate(project.frames) if n % 6 < 4),
        instances=tuple(one._replace(frame=n) for n, one in enumerate(project.instances)),
    )
    monkeypatch.setattr(
        own_project, "_read", lambda *arguments: made._replace(instances=made.instances[:8])
    )
    workdir = tmp_path / "my runs"
    command = ["--project", "grown", "--unlabelled-pool", "none", "--workdir", str(workdir), *TINY]
    for typed in ((), ("semi_supervised",)):
        last = train([*typed, *command]).parent / "supervised_warped" / "seed-0"
        assert ("finished before" in capsys.readouterr().out) == bool(typed)
        assert {path.name for path in last.parents[1].iterdir() if path.is_dir()} <= {
            "supervised_warped",
            "stages",
        }
    monkeypatch.setattr(own_project, "_read", lambda *arguments: made)
    assert exit_code_of(lambda: train(command)) == 2
    assert f"--start '{last}' --workdir '{workdir}-2' goes on" in capsys.readouterr().err
    # it runs
    read_command(
        EXPERIMENT, ["own", *command[:4], "--start", str(last), "--workdir", f"{workdir}-2"]
    )
    # Without the folder, a run of its own is refused where the last one lies; so is one on another
    # project.
    for typed in (
        [*command[: -len(TINY)], "--start", str(last)],
        ["--project", "my mice", *command[2:]],
    ):
        assert exit_code_of(lambda typed=typed: train(typed)) == 2
        assert "files with different content (labels)" in capsys.readouterr().err


def test_a_keypoint_without_any_label_is_named_before_training(project, monkeypatch, capsys):
    """In the words of `check`: it is trained and predicted like the others."""
    shown = np.array([1, 1, 0, 1], np.float32)
    bare = project._replace(
        instances=tuple(one._replace(visible=shown) for one in project.instances)
    )
    read_command(EXPERIMENT, ["own", "--project", "P"])
    assert "never labelled" not in capsys.readouterr().out
    monkeypatch.setattr(own_project, "_read", lambda *arguments: bare)
    read_command(EXPERIMENT, ["own", "--project", "P"])
    line = f"never labelled: {project.skeleton.names[2]}"
    assert capsys.readouterr().out.splitlines().count(line) == 1
    assert line in keypoint_lines(bare)


def test_several_animals_are_cropped_by_their_boxes(project, monkeypatch, capsys):
    beside = [
        one._replace(keypoints=one.keypoints + 2, box=np.array([4, 4, 20, 16.0]))
        for one in project.instances
    ]
    single = beside[0]._replace(visible=np.array([1, 0, 0, 0], np.float32), box=np.full(4, np.nan))
    crowd = project._replace(instances=(*project.instances, *beside, single))
    monkeypatch.setattr(own_project, "_read", lambda *arguments: crowd)
    assert read_command(EXPERIMENT, ["own", "--project", "crowd"]).config.data.all_labelled
    said = capsys.readouterr().out
    assert "up to 3 animals on a labelled frame: each is cropped" in said
    assert "11 of 12 labelled frames have fewer than 3" in said
    job = read_command(EXPERIMENT, ["own", "--project", "crowd", "--labelled", "6", *TINY]).jobs()[
        0
    ]
    assert job.config.data.transform == "around_box"
    found = open_data(job)
    assert len(found.labelled) == 6
    assert len(found.unlabelled) + len(found.validation) == 18
    assert "left out 1 of" in capsys.readouterr().out
    assert job.config.data.square()(
        np.zeros((20, 40, 3), np.uint8),
        np.zeros((4, 2)),
        np.zeros(4),
        np.float32(1),
        np.array([0, 0, 8, 16]),
    )[0].shape == (32, 32, 3)


# What a start decides about images


def test_a_start_on_crops_reads_no_frames_on_which_nobody_named_an_animal(
    project, tmp_path, capsys
):
    """The project has one large animal on a frame, and frames without labels, which variants of a run
    on whole frames may read."""
    start = untrained_run(tmp_path / "crops", project.skeleton, transform="around_box")
    typed = ["own", "--project", "P", "--start", str(start), "--batch-size", "8", "--steps", "2"]
    command = read_command(EXPERIMENT, typed)
    assert "without labels: 0" in capsys.readouterr().out
    (job,) = command.jobs()
    assert (job.config.data.transform, job.config.data.all_labelled) == ("around_box", True)
    data = open_data(job)
    assert (len(data.labelled), len(data.unlabelled), len(data.validation)) == (8, 0, 4)
    job = read_command(EXPERIMENT, [*typed, "--transform", "letterbox"]).jobs()[0]
    assert (job.config.data.transform, job.config.data.all_labelled) == ("letterbox", False)
    assert len(open_data(job).unlabelled) == 4


def test_a_start_on_whole_frames_goes_on_with_them(project, tmp_path, monkeypatch):
    """Of several animals on a frame too, if that is typed again: else it is asked for."""
    start = untrained_run(tmp_path / "whole", project.skeleton, transform="letterbox")
    typed = ["own", "--project", "P", "--start", str(start), "--batch-size", "8", "--steps", "2"]
    far = project._replace(
        frames=tuple(frame._replace(size=(900, 700)) for frame in project.frames)
    )
    beside = [one._replace(keypoints=one.keypoints + 2) for one in project.instances]
    crowd = project._replace(instances=(*project.instances, *beside))
    monkeypatch.setattr(own_project, "_read", lambda *arguments: far)
    assert read_command(EXPERIMENT, typed).config.data.transform == "letterbox"
    monkeypatch.setattr(own_project, "_read", lambda *arguments: crowd)
    with pytest.raises(InputError, match="transform: the run at --start sees whole frames"):
        read_command(EXPERIMENT, typed)
    for transform in ("letterbox", "around_box"):
        config = read_command(EXPERIMENT, [*typed, "--transform", transform]).config
        assert config.data.transform == transform


def test_frames_that_a_start_has_learnt_from_and_that_are_held_out_now_are_counted(
    project, tmp_path, monkeypatch, capsys
):
    """More labels of the same recordings say nothing; the count in the words made a line appear."""
    fewer = project._replace(
        instances=tuple(one for number, one in enumerate(project.instances) if number % 4 < 3)
    )
    held = hold_out(fewer)
    summary = f"P; held out: {held.words}"
    start = untrained_run(
        tmp_path / "start", project.skeleton, transform="letterbox", summary=summary
    )
    (recording,) = held.recordings
    assert hold_out(project).recordings == (recording,)
    assert hold_out(project).words != held.words
    listed = [(TRAINED, number) for number in held.train]
    listed += [(HELD_OUT, number) for number in held.held_out]
    rows = [
        [part, fewer.frames[fewer.instances[number].frame].path, "", "", "", "a", *["1"] * 7]
        for part, number in listed
    ]
    write_rows(start / "errors.csv", [HEADER, *rows])
    earlier_run.cache_clear()
    typed = ["own", "--project", "P", "--start", str(start), "--batch-size", "8", "--steps", "2"]
    monkeypatch.setattr(own_project, "_read", lambda *arguments: project)
    read_command(EXPERIMENT, typed)
    assert "look too small" not in capsys.readouterr().out
    other = next(frame.session for frame in project.frames if frame.session != recording)
    read_command(EXPERIMENT, [*typed, "--validation", other])
    trained = {fewer.instances[number].frame for number in held.train}
    count = sum(project.frames[number].session == other for number in trained)
    assert (
        f"the run at --start learnt from {count} frames that are held out now, so errors and radii look too "
        f"small: --validation {recording} holds out what it held out\n"
    ) in capsys.readouterr().out
    # Of a part of a recording there is no name.
    together = tuple(frame._replace(session="day") for frame in project.frames)
    monkeypatch.setattr(own_project, "_read", lambda *arguments: project._replace(frames=together))
    read_command(EXPERIMENT, typed)
    assert "hold out frames that it has not seen (--validation)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("before", "line"),
    [
        ("4 of 12 labelled frames, recordings {}", False),
        ("3 of 11 labelled frames, recordings {}", False),
        ("4 of 12 labelled frames, recordings elsewhere", True),
        ("3 of 11 labelled frames, the last part of each recording", True),
    ],
)
def test_of_a_start_that_lists_no_frames_words_without_counts_are_compared(project, before, line):
    """An older run has none, and the files of a project that has moved are not known."""
    held = hold_out(project)
    before = before.format(*held.recordings)
    gone = {(project.root / "gone.png", None): TRAINED}
    for parts in ({}, gone):
        run = EarlierRun(None, project.skeleton, {}, before, parts)
        said = learnt_though_held_out(run, project, held)
        assert bool(said) == line
        assert all("give the same --validation" in one for one in said)


# Several projects as one

ALIKE = ("--project", "old", "--project", "new")


@pytest.fixture(scope="module")
def projects(tmp_path_factory):
    """By path: `old` and `new`, on other recordings."""
    root = tmp_path_factory.mktemp("several")
    made = {
        name: synthetic_project(root / name, recordings=recordings, first=first)
        for name, recordings, first in (("old", ("one", "two"), 50), ("new", ("three", "four"), 80))
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_project, "_read", lambda path, *rest: made[path])
        own_project._unite.cache_clear()
        yield made


def test_projects_with_the_same_keypoints_are_one_project(projects, capsys):
    """Whole recordings of the whole are held out, and frames without labels of both are read."""
    asked = read_command(EXPERIMENT, ["own", *ALIKE, *TINY])
    assert "held out: 4 of 16 labelled frames, recordings" in capsys.readouterr().out
    data = open_data(asked.jobs()[0])
    assert (len(data.labelled), len(data.unlabelled), len(data.validation)) == (12, 6, 4)
    assert {name.partition("/")[0] for name in identities(data.labelled)} == {"old", "new"}
    # A recording of one name is one, whichever project labels it.
    assert (
        "recordings two"
        in read_command(EXPERIMENT, ["own", *ALIKE, "--validation", "two"]).config.summary
    )


def test_a_keypoint_is_absent_only_where_the_project_of_the_frame_names_it(tmp_path, monkeypatch):
    """Two projects without a common keypoint, in which no label is missing: nothing is asked about,
    nothing is absent, and cutoffs are those of labels alone."""
    heads, legs = (
        synthetic_project(
            tmp_path / title, recordings=recordings, labelled=8, unlabelled=0, keypoints=2, first=n
        )
        for title, recordings, n in (("heads", ("a", "b", "c"), 0), ("legs", ("d", "e", "f"), 50))
    )
    made = {"heads": heads, "legs": legs._replace(skeleton=Skeleton(("paw", "tail")))}
    monkeypatch.setattr(own_project, "_read", lambda path, *rest: made[path])
    own_project._unite.cache_clear()
    whole = unite([*made.values()])
    assert own_project.questions(whole) == []
    assert not own_project.absent_cells(whole, own_project.Own(empty="absent")).any()
    command = ["own", "--project", "heads", "--project", "legs", "--unlabelled-pool", "none", *TINY]
    (job,) = read_command(EXPERIMENT, command).jobs()
    rng = np.random.default_rng(0)
    found = {
        name: labels_of(part)._replace(scores=rng.uniform(0.6, 0.9, (len(part), 4)))
        for name, part in EXPERIMENT.beside.evaluated(job, open_data(job)).items()
    }
    of_labels = scores_of(found, HELD_OUT, empty="unlabelled").cutoffs
    held_out = found["px of held out"]
    assert np.isfinite(of_labels).all()
    assert (held_out.scores >= of_labels)[held_out.visible > 0].all()
    for meaning in ("often", "absent"):
        np.testing.assert_array_equal(scores_of(found, HELD_OUT, empty=meaning).cutoffs, of_labels)


# Which network is chosen, and the weights that it starts from

PEOPLE = ("LeftShoulder", "r_shoulder", "left_hip", "RightHip")
SMALL = {"network": SmallUNet((16, 32, 32, 64, 64), head_layers=2, head_width=32), "weights": ""}
OF_GOOGLE = {
    "network": MobileNetV2(padding="tensorflow", head_layers=2, decoder_width=32, frozen_stride=4),
    "normalisation": "symmetric",
}
CHOSEN = [  # names of keypoints, flags, and what is chosen
    (
        None,
        "",
        {
            **OF_GOOGLE,
            "weights": "mobilenet_v2.google_in1k",
            "image_size": 128,
            "heatmap_size": 64,
            "sigma": 1.5,
            "warm_start_steps": 300,
            "steps": 300,
            "learning_rate": 1e-3,
            "warm_start_learning_rate": 1e-3,
        },
    ),
    (
        None,
        "--image-size 192",
        {"heatmap_size": 48, "sigma": 1.0, "warm_start_steps": 200, "rounds": 4},
    ),
    (None, "--heatmap-size 32", {"heatmap_size": 32, "sigma": 1.0, "rounds": 4}),
    (None, "--heatmap-size 64", {"heatmap_size": 64, "sigma": 1.5, "rounds": 2}),
    (PEOPLE, "", OF_GOOGLE | {"weights": "movenet_lightning.google"}),
    (PEOPLE, "--weights movenet", OF_GOOGLE | {"weights": "movenet"}),
    (
        None,
        "--network movenet --sigmoid",
        {"relative_steps": True, "learning_rate": 3e-4, "warm_start_learning_rate": 3e-4},
    ),
    (None, "--network movenet --no-relative-steps", {"relative_steps": False}),
    (
        None,
        "--network mobilenet_v2 --decoder-width 32",
        {
            "network": MobileNetV2(decoder_width=32, head_layers=2),
            "relative_steps": False,
            "weights": "",
            "heatmap_size": 32,
            "sigma": 1.0,
            "warm_start_steps": 200,
        },
    ),
    (None, "--network small_unet", SMALL),
    (None, "--weights=", SMALL),
    (None, "--weights none", SMALL),
    (
        None,
        "--widths 8 8 16",
        SMALL | {"network": SmallUNet((8, 8, 16), head_layers=2, head_width=32)},
    ),
]


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    return synthetic_project(tmp_path_factory.mktemp("my project"), side=160)


@pytest.mark.parametrize(("names", "flags", "settings"), CHOSEN)
def test_a_network_is_chosen_by_the_keypoints_and_what_is_typed(
    names, flags, settings, large, monkeypatch
):
    named = large._replace(skeleton=Skeleton(names)) if names else large
    monkeypatch.setattr(own_project, "_read", lambda *arguments: named)
    config = read_command(EXPERIMENT, ["own", "--project", "P", *flags.split()]).config
    assert settings.items() <= (flat(config) | {"network": config.network}).items()


@pytest.mark.parametrize(
    ("flags", "is_said"),
    [
        ("--network mobilenet_v2", True),
        ("--network movenet", True),
        ("--network mobilenet_v2 --weights mobilenetv2_100.ra_in1k", False),
        ("--network mobilenet_v2 --weights=", False),
        ("--network small_unet", False),
    ],
)
def test_a_network_that_is_typed_without_its_weights_is_said_to_have_random_ones(
    flags, is_said, large, monkeypatch, capsys
):
    """DeepLabCut's `net_type` brings ImageNet's weights; `--network` alone brings none."""
    monkeypatch.setattr(own_project, "_read", lambda *arguments: large)
    read_command(EXPERIMENT, ["own", "--project", "P", *flags.split()])
    line = "without --weights: it learns from random weights; kpjax weights lists"
    assert (line in capsys.readouterr().out) == is_said


def test_a_network_that_is_typed_is_trained_as_if_it_were_chosen(large, monkeypatch):
    """Typed, the same network had other frozen layers, and its line named rates that it did not have."""
    monkeypatch.setattr(own_project, "_read", lambda *arguments: large)
    flags = ["own", "--project", "P", "--weights", "mobilenetv2_100.ra_in1k"]
    chosen = read_command(EXPERIMENT, flags).config
    typed = read_command(EXPERIMENT, [*flags, "--network", "mobilenet_v2"]).config
    assert typed == chosen
    assert dict(typed.why)["learning_rate"] == dict(chosen.why)["learning_rate"]
