"""Which network the presets `own` choose, and the weights that it starts from."""
import pytest
from own_projects import synthetic_project

from kpjax import Skeleton
from kpjax.lab.own import choices, project as own_project
from kpjax.lab.own.semi_supervised import SYSTEM
from kpjax.models import MobileNetV2, SmallUNet
from kpjax.models.weights import pretrained
from kpjax.models.weights.pretrained import first_at_hand
from kpjax.systems.command_line import read_command


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    made = synthetic_project(tmp_path_factory.mktemp("my project"), side=160)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_project, "_read", lambda *arguments: made)
        yield made


@pytest.fixture
def at_hand(monkeypatch):
    monkeypatch.setattr(choices, "first_at_hand", lambda names: names[-1])


def config_of(*flags):
    return read_command(SYSTEM, ["own", "--project", "P", *flags]).config


def test_a_real_backbone_is_chosen_where_its_weights_are_at_hand(project, at_hand, capsys):
    config = config_of()
    assert (config.network, config.backbone.weights) == (MobileNetV2(frozen_stride=4), "mobilenetv2_100.ra_in1k")
    assert (config.data.image_size, config.heatmaps.heatmap_size) == (128, 64)
    assert (config.optimizer.learning_rate, config.warm_start_learning_rate) == (1e-3, 1e-3)
    assert "--network" in (said := capsys.readouterr().out)
    assert "mobilenet_v2  (with ten labelled frames of a mouse 16 of 100 points more were found" in said
    assert "--frozen-stride" in said


@pytest.fixture
def of_people(project, monkeypatch):
    """The project with names of a person's joints."""
    named = project._replace(skeleton=Skeleton(("LeftShoulder", "r_shoulder", "left_hip", "RightHip")))
    monkeypatch.setattr(own_project, "_read", lambda *arguments: named)


@pytest.mark.parametrize("flags", [(), ("--weights", "movenet")])
def test_people_are_learnt_from_a_network_that_knows_poses(of_people, monkeypatch, flags, capsys):
    monkeypatch.setattr(choices, "first_at_hand", lambda names: names[0])
    config = config_of(*flags)
    assert config.network == MobileNetV2(padding="tensorflow", frozen_stride=4)
    assert config.backbone.normalisation == "symmetric"
    said = capsys.readouterr().out
    if flags:
        assert config.backbone.weights == "movenet"
        assert "movenet  (as typed)" in said
    else:
        assert config.backbone.weights == "movenet_lightning.google"
        assert "4 of 4 keypoints are a person's by their names" in said
        assert "--weights mobilenet_v2.google_in1k compares" in said


def test_movenet_is_trained_in_shares_of_its_kernels(project, capsys):
    config = config_of("--network", "movenet", "--sigmoid")
    assert config.backbone.relative_steps
    assert (config.optimizer.learning_rate, config.warm_start_learning_rate) == (3e-4, 3e-4)
    assert "norms are folded into its kernels" in capsys.readouterr().out
    assert not config_of("--network", "movenet", "--no-relative-steps").backbone.relative_steps
    assert not config_of("--network", "mobilenet_v2").backbone.relative_steps


@pytest.mark.parametrize(("flags", "network"), [
    (("--network", "small_unet"), SmallUNet((16, 32, 32, 64, 64), head_layers=2, head_width=32)),
    (("--widths", "8", "8", "16"), SmallUNet((8, 8, 16), head_layers=2, head_width=32)),
    (("--network", "mobilenet_v2", "--decoder-width", "32"), MobileNetV2(decoder_width=32, head_layers=2)),
    (("--weights", ""), SmallUNet((16, 32, 32, 64, 64), head_layers=2, head_width=32))])
def test_what_is_typed_of_the_network_is_kept(project, at_hand, flags, network):
    config = config_of(*flags)
    assert (config.network, config.backbone.weights) == (network, "")


def test_the_first_weights_at_hand_are_those_with_a_file(tmp_path, monkeypatch):
    fetched = []
    monkeypatch.setattr(pretrained, "_fetch", lambda name, placed: fetched.append(name) or placed)
    assert first_at_hand(["a", "b"], tmp_path) == "a"  # from the hub
    (tmp_path / "b.safetensors").touch()
    assert first_at_hand(["a", "b"], tmp_path) == "b"
    assert fetched == ["a"]
