"""Stages of a plan: the same as those that a run trains, without its data."""
import numpy as np
import pytest
from etils import epath
from own_projects import synthetic_project

from experiments.commands import plan as plan_command
from experiments.engine.configs import changed
from experiments.engine.system import Job, system_of
from experiments.planning.blank import Blank, skeleton_of, videos
from experiments.planning.stages import batch_of, planned_stages, zeros_of
from kpjax import InputError
from kpjax.annotations.writing import write_project


def stages(system, preset, variant, **changes):
    config = changed(system_of(system).presets[preset], **changes)
    return config, planned_stages(Job(system, config, preset, variant, 0, epath.Path("nowhere"), epath.Path("none")))


def test_regda_has_both_stages_at_the_size_that_its_augmentation_loads():
    config, (first, second) = stages("regda", "rhd_h3d", "regda", depth=18)
    assert (first.name, first.steps) == ("pretraining", config.pretraining_steps)
    assert (second.name, second.steps) == ("regda", config.steps)
    loaded = config.data.loaded(config.augment.reach)[0].side
    assert {name: one.image.shape for name, one in second.streams.items()} == dict.fromkeys(
        ("source", "target"), (config.batch_size, loaded, loaded, 3))
    assert second.streams["source"].keypoints.shape == (config.batch_size, 21, 2)
    assert second.images == 2 * config.batch_size
    assert second.resized(0.5, 4).images == config.batch_size
    assert not first.alike(second)
    assert second.alike(second._replace(name="another"))


def test_a_shared_stage_and_a_teacher_come_once():
    config, found = stages("semi_supervised", "demo", "pl_warped")
    assert [stage.name for stage in found] == ["warm start", "supervised_warped", "pl_warped"]
    assert found[-1].streams["unlabelled"].image.shape[0] == config.batch_size // 2


def test_steps_of_a_protocol_compile_once():
    _, found = stages("incremental", "demo", "finetune")
    later = found[1:]
    assert len(later) > 1
    assert all(stage.alike(later[0]) for stage in later)


def test_pairs_of_frames():
    config, (only,) = stages("pyramids", "h36m", "pyramids")
    assert only.streams["frame"].image.shape == (config.batch_size, 128, 128, 3)
    assert set(only.streams) == {"frame", "reference"}


def test_blank_images_take_no_memory():
    source = Blank(skeleton_of("rhd"), 4096, "rhd")
    assert batch_of(source, 10**6).image.shape == (10**6, 4096, 4096, 3)
    assert zeros_of(batch_of(source, 10**6)).image.strides == (0, 0, 0, 0)
    assert len(videos(source).titles) == 2
    assert np.unique(source[3].visible).tolist() == [1]


def test_a_set_whose_keypoints_are_unknown_is_refused():
    with pytest.raises(InputError, match="its keypoints are only known from its data"):
        skeleton_of("nothing_like_it/train")


def test_a_project_of_ones_own_is_opened(tmp_path, monkeypatch):
    write_project(synthetic_project(tmp_path / "images"), "coco", tmp_path / "project")
    monkeypatch.setattr(plan_command, "compiler_of", lambda platform: platform)
    _, command = plan_command.read(["semi_supervised", "--chips", "h100-8", "--project", str(tmp_path / "project"),
                                    "--variants", "supervised_warped", "--steps", "7"])
    last = planned_stages(command.job("supervised_warped", 0))[-1]
    assert (command.preset, last.name, last.steps) == ("own", "supervised_warped", 7)
    assert last.streams["labelled"].image.shape[0] % 8 == 0
    assert last.streams["labelled"].keypoints.shape[1:] == (4, 2)
