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
from kpjax.systems.configs import flat

PEOPLE = ("LeftShoulder", "r_shoulder", "left_hip", "RightHip")
SMALL = {"network": SmallUNet((16, 32, 32, 64, 64), head_layers=2, head_width=32), "weights": ""}
OF_POSES = {"network": MobileNetV2(padding="tensorflow", frozen_stride=4), "normalisation": "symmetric"}
CHOSEN = [  # names of keypoints, place among the weights at hand, flags, what is chosen, and words
    (None, -1, "", {"network": MobileNetV2(frozen_stride=4), "weights": "mobilenetv2_100.ra_in1k", "image_size": 128,
                    "heatmap_size": 64, "learning_rate": 1e-3, "warm_start_learning_rate": 1e-3},
     "mobilenet_v2  (with ten labelled frames of a mouse 16 of 100 points more were found"),
    (PEOPLE, 0, "", OF_POSES | {"weights": "movenet_lightning.google"},
     "4 of 4 keypoints are a person's by their names: a network that has learnt poses of people; --weights "
     "mobilenet_v2.google_in1k compares"),
    (PEOPLE, 0, "--weights movenet", OF_POSES | {"weights": "movenet"}, "movenet  (as typed)"),
    (None, -1, "--network movenet --sigmoid", {"relative_steps": True, "learning_rate": 3e-4,
                                               "warm_start_learning_rate": 3e-4}, "norms are folded into its kernels"),
    (None, -1, "--network movenet --no-relative-steps", {"relative_steps": False}, "as typed"),
    (None, -1, "--network mobilenet_v2 --decoder-width 32",
     {"network": MobileNetV2(decoder_width=32, head_layers=2), "relative_steps": False, "weights": ""}, "the preset's"),
    (None, -1, "--network small_unet", SMALL, "4 keypoints, 20 or fewer"),
    (None, -1, "--weights=", SMALL, "4 keypoints, 20 or fewer"),
    (None, -1, "--widths 8 8 16", SMALL | {"network": SmallUNet((8, 8, 16), head_layers=2, head_width=32)},
     "(as typed)")]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return synthetic_project(tmp_path_factory.mktemp("my project"), side=160)


@pytest.mark.parametrize(("names", "place", "flags", "settings", "words"), CHOSEN)
def test_a_network_is_chosen_by_what_is_at_hand_and_what_is_typed(names, place, flags, settings, words, project,
                                                                  monkeypatch, capsys):
    named = project._replace(skeleton=Skeleton(names)) if names else project
    monkeypatch.setattr(own_project, "_read", lambda *arguments: named)
    monkeypatch.setattr(choices, "first_at_hand", lambda known: known[place])
    config = read_command(SYSTEM, ["own", "--project", "P", *flags.split()]).config
    assert settings.items() <= (flat(config) | {"network": config.network}).items()
    assert words in capsys.readouterr().out


def test_the_first_weights_at_hand_are_those_with_a_file(tmp_path, monkeypatch):
    fetched = []
    monkeypatch.setattr(pretrained, "_fetch", lambda name, placed: fetched.append(name) or placed)
    assert first_at_hand(["a", "b"], tmp_path) == "a"  # from the hub
    (tmp_path / "b.safetensors").touch()
    assert first_at_hand(["a", "b"], tmp_path) == "b"
    assert fetched == ["a"]
