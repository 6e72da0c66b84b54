"""What every system on people's own data does: choices, training, errors, prediction, and refusals in a line."""
import json
import re

import numpy as np
import pytest

from kpjax.errors import InputError
from kpjax.lab.commands.train import main as train
from kpjax.lab.own import project as own_project, semi_supervised
from kpjax.lab.own.systems import own_system
from kpjax.lab.predictors import open_predictor
from kpjax.systems import plan
from kpjax.systems.command_line import read_command, run
from kpjax.systems.configs import flat
from kpjax.systems.parsing import exit_code_of
from kpjax.systems.plan import planned_stages

U_NET = "--size 32 --widths 4 4 4 --head-layers 1"
STEPS = "--batch-size 8 --evaluations 1 --steps 2"
SHORT = "--batch-size 8 --steps 2"
SYSTEMS = [  # name, flags, variant, some of the metrics, keypoints
    ("semi_supervised", f"--project P --feature-width 8 --warm-start-steps 1 {U_NET} {STEPS}", "ours",
     {"test/pck", "held_out/px", "best_validation/step"}, 4),
    ("regda", "--source P --target IMAGES --target-project P --pretraining-head-layers 1 --pretraining-steps 1 "
              f"--augmentation none {U_NET} {STEPS}", "regda", {"target/pck", "source/pck", "held_out/px"}, 4),
    ("regda", f"--start SAME --target IMAGES --target-project P --least-agreement 1e-9 {STEPS}", "adapted",
     {"target/pck", "agreement/start", "agreement/networks", "target/px"}, 4),
    ("incremental", f"--old OLD --project P --augmentation none {SHORT}", "ksd_only",
     {"new/pck", "old/pck", "old/pck_before", "at", "held_out/px"}, 5),
    ("pyramids", f"--videos CLIP --size 32 --level-sizes 2 4 --window 4 {SHORT}", "untrained", {"live_points"}, 6),
    ("adaptation", "--core OLD --images IMAGES --project P --labelled-images 5 --batch-size 8 --steps 1 --landmarks 3 "
                   "--generator-width 4 --stand-in-widths 4 --repeats 1", "adapted",
     {"forward/5", "backward/all", "consistency", "varying_points"}, 3)]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "flags", "variant", "metrics", "keypoints"), SYSTEMS, ids=[
    f"{name} {flags.split()[0][2:]}" for name, flags, *_ in SYSTEMS])
def test_from_what_a_person_has_to_points_and_errors(name, flags, variant, metrics, keypoints, given, tmp_path, capsys):
    chosen = [given.get(flag, flag) for flag in flags.split()]
    typed = ["own", *chosen, "--variants", variant, "--workdir", str(tmp_path)]
    report = run(own_system(name), typed)
    said = capsys.readouterr().out
    assert said.index("  --steps ") < said.index(f"to train: 1 network: {variant}; up to ")
    folder = report.parent / variant / "seed-0"
    assert f"run: {folder}" in said
    assert folder == tmp_path / name / "own" / variant / "seed-0"
    results = json.loads((folder / "results.json").read_text())
    assert metrics <= set(results["metrics"])
    kept = ("errors.csv", "errors_by_keypoint.csv", "score_table.json", "radius_table.json")
    assert [(folder / file).is_file() for file in kept] == [bool(metrics & {"held_out/px", "target/px"})] * 4
    if metrics & {"held_out/px"}:
        page = report.read_text()
        assert page.count("data:image/jpeg") == 2 * (12 if "--target-project" in flags else 4)
    predictor = open_predictor(folder)
    points, scores = predictor.predict(np.zeros((2, 32, 32, 3), np.uint8))
    assert np.isfinite(points).all()
    assert (predictor.side, scores.shape) == (32, (2, keypoints))
    run(own_system(name), typed)
    assert capsys.readouterr().out.count("finished before") == 1


READ = [  # name, flags, variants, some chosen settings, words, and lengths of what is opened
    ("semi_supervised", f"--project P --network small_unet --size 32 --unlabelled IMAGES {SHORT}",
     ["supervised_warped", "pl_warped"], {"transform": "letterbox", "heatmap_size": 8, "every": 1},
     "held out: 4 of 20 labelled frames, the last part of each recording", {"labelled": 16, "test": 4}),
    ("regda", f"--source P --target ONE --network small_unet --size 32 {SHORT}",
     ["source_only", "source_only_augmented_mse", "regda", "teacher_adaptation"],
     {"coefficient_steps": 1, "pretraining_head_layers": 2}, "target: 30 frames", {"source": 16, "target": 30}),
    ("regda", f"--start SAME --target IMAGES --target-project P {SHORT}", ["start", "adapted"],
     {"widths": (4, 4, 4), "image_size": 32, "logits": False}, "which keeps 40 poses of its labels; target: 60 frames",
     {"target": 60}),
    ("incremental", f"--old OLD --project P {SHORT}", ["finetune", "ksd_only"],
     {"widths": (4, 4, 4), "head_layers": 1, "image_size": 32, "heatmap_size": 8, "steps": 2,
      "normalisation": "symmetric", "backbone_statistics": "frozen"},
     "in both, and taken for the same keypoints: .*; their labels test, and teach nothing", {"train": 16}),
    ("pyramids", f"--videos CLIP --size 32 --level-sizes 2 4 {SHORT}", ["untrained", "pyramids"],
     {"window": 4, "every": 1}, "the longest video has 9 frames; pairs are at most half of it apart", {"test": 9}),
    ("adaptation", f"--core OLD --images IMAGES {SHORT}", ["random_core", "adapted"],
     {"image_size": 32, "normalisation": "symmetric", "widths": (4, 4, 4), "labelled_images": ()}, "as the core has it",
     {"target": 48, "test": 12}),
    ("adaptation", f"--core OLD --images IMAGES --project P --dtype bfloat16 {SHORT}", ["random_core", "adapted"],
     {"dtype": "bfloat16", "labelled_images": (10,)}, "held out: 4 of 20 labelled frames",
     {"target": 56, "fit": 16, "test": 4})]


@pytest.mark.parametrize(("name", "flags", "variants", "settings", "words", "lengths"), READ)
def test_what_is_chosen_and_opened(name, flags, variants, settings, words, lengths, given, tmp_path, capsys):
    system, typed = own_system(name), [given.get(flag, flag) for flag in flags.split()]
    asked = read_command(system, ["own", *typed, "--workdir", str(tmp_path)])
    assert list(asked.variants) == variants
    assert {"oracle", "joint", "ewc", "supervised_bound"}.isdisjoint(system.applicable("own", asked.config))
    assert settings.items() <= flat(asked.config).items()
    assert re.search(words, capsys.readouterr().out)
    data = system.open(asked.jobs()[0])
    found = {part: getattr(data, part) for part in lengths}
    assert {part: len(getattr(one, "train", one)) for part, one in found.items()} == lengths
    for part, one in found.items():
        if part in ("target", "unlabelled"):
            assert not getattr(one, "train", one)[0].visible.any()


def test_labels_of_the_target_are_found_by_name_test_and_teach_nothing(given, tmp_path):
    """They are listed in the other order."""
    system = own_system("regda")
    data = system.open(read_command(system, [
        "own", "--source", "P", "--target", given["IMAGES"], "--target-project", "turned", "--workdir", str(tmp_path),
        *U_NET.split(), *STEPS.split()]).jobs()[0])
    np.testing.assert_allclose(data.target.test[0].keypoints, own_project._read("P").instances[0].keypoints, atol=1e-4)
    assert not data.target.train[0].visible.any()


def test_a_project_of_ones_own_is_planned(given, monkeypatch):
    monkeypatch.setattr(plan, "compiler_of", lambda platform: platform)
    typed = ("semi_supervised --chips h100-8 --project P --variants supervised_warped --steps 7 --warm-start-steps 0 "
             "--network small_unet --augmentation none")
    _, asked = plan.read(typed.split(), own_system, "own")
    last = planned_stages(asked.job("supervised_warped", 0))[-1]
    assert (asked.preset, last.name, last.steps) == ("own", "supervised_warped", 7)
    assert last.streams["labelled"].image.shape[0] % 8 == 0
    assert last.streams["labelled"].keypoints.shape[1:] == (4, 2)


REFUSED = [
    ("semi_supervised", "", "--project: name an annotation project"),
    ("semi_supervised", "--project P --labelled 17", "--labelled: 17 of 16 animals"),
    ("semi_supervised", "--project P --validation four", "--validation: 'four' is not a labelled recording"),
    ("semi_supervised", "--project P --heatmap-size 7 --size 32", "--heatmap-size: 7 for images of 32 px"),
    ("semi_supervised", "--project P --start OLD", "finds .*, tail, the project labels"),
    ("semi_supervised", "--project P --start SAME --widths 8 8 8", "--widths: the run at --start decides it"),
    ("regda", "", "--source: name an annotation project"),
    ("regda", "--source P", "--target: name images or videos"),
    ("regda", "--source P --target IMAGES --target-project tail",
     "other keypoints than --source: right_hand only in --source, tail only in --target-project"),
    ("regda", "--source P --target IMAGES --transform around_box",
     "would be cropped by boxes, which target frames do not have, and no frame shows two animals"),
    ("regda", "--source P --target IMAGES --network small_unet --pretraining-head-layers 1",
     "--pretraining-head-layers: 1 where --head-layers is 2"),
    ("regda", "--start SAME --target FEW", "--target: 1 frames; give at least 20"),
    ("regda", "--start SAME --target IMAGES --validation 0.5", "--validation: without --source no label is held out"),
    ("regda", "--start OTHER --target IMAGES", "pose_statistics.json is of a, b, c, d, the run finds head, "),
    ("regda", "--start BOXES --target IMAGES", "reads crops around boxes, which target frames do not have"),
    ("regda", "--start SAME --target IMAGES --target-project tail", "other keypoints than --start: .*; name"),
    ("incremental", "--project P", "--old: name a finished run's folder"),
    ("incremental", "--old OLD --project P --network hrnet --modules 1 1 1",
     "--modules: the old run's network, small_unet, has no such option"),
    ("incremental", "--old OLD --project P --weights vit.safetensors", "--weights: the old run brings them"),
    ("incremental", "--old SAME --project P", "labels nothing but head"),
    ("incremental", "--old LOGITS --project P", "are no Gaussians of height 1"),
    ("pyramids", "", "--videos: no video is named"),
    ("pyramids", "--videos CLIP --window 5", "has 9 frames, and a window of 5 needs 10"),
    ("pyramids", "--videos CLIP --variants supervised_bound", "does not suit preset 'own'"),
    ("adaptation", "", "--core: name a finished run's folder"),
    ("adaptation", "--core OLD --images ONE", "--images: 30 images; points are found on at least 50"),
]


@pytest.mark.parametrize(("name", "flags", "line"), REFUSED)
def test_refused_in_one_line(name, flags, line, given, tmp_path, capsys):
    typed = [given.get(flag, flag) for flag in flags.split()]
    assert exit_code_of(lambda: read_command(own_system(name), ["own", *typed, "--workdir", str(tmp_path)])) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert re.search(line, error), error


def test_named_images_without_labels_are_read_or_refused(given, tmp_path):
    asked = read_command(own_system("semi_supervised"), [
        "own", "--project", "P", "--network", "small_unet", "--size", "32", "--unlabelled", given["IMAGES"],
        "--workdir", str(tmp_path)])
    for variants in (["supervised_warped"], ["supervised", "supervised_warped_averaged"]):
        with pytest.raises(InputError, match=r"unlabelled: .* would not read them"):
            semi_supervised.check_variants(asked.config, variants)
    for variant in ("pl_warped", "ours", "easy_hard", "pl_warped_averaged"):
        semi_supervised.check_variants(asked.config, ["supervised", variant])
    with pytest.raises(InputError, match="supervised trains on the labels alone"):
        train(["supervised", "--project", "P", "--unlabelled", given["IMAGES"]])
