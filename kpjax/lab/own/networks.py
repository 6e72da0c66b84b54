"""The network of a preset `own`: a real backbone where its weights can be had, else the small U-net."""
from collections.abc import Collection
from typing import Any

from kpjax import InputError
from kpjax.lab.own.choices import Choice, Facts, image_choices, rate_choices, rotation_choice
from kpjax.models import MobileNetV2, MoveNet, SmallUNet
from kpjax.models.weights.pretrained import KNOWN_WEIGHTS, MOVENET, WEIGHTS_FOLDER, first_at_hand, known_weights
from kpjax.systems import person
from kpjax.systems.configs import NETWORKS
from kpjax.systems.weights import FINE_RATE

# Of MobileNetV2. Numbers on the results page are of the first, which no hub has.
WEIGHTS = ("mobilenet_v2.google_in1k", "mobilenetv2_100.ra_in1k")
WORTH = "with ten labelled frames of a mouse 16 of 100 points more were found, in five times the time"
# px of an image, up to which MobileNetV2's heatmaps have half of them: its PCK of the mouse was 97.9 in place of 91.0,
# where that of the small U-net fell.
FINE_SIDE = 128
WHY_FROZEN = "the first layers keep their weights, in 0.6 to 0.7 of the time of a step"
# Steps of Adam's own size are up to a quarter of such a kernel each: the published heatmaps fade.
WHY_RELATIVE = "norms are folded into its kernels, some of which are a thousandth: steps are shares of each"
# Over 300 steps heatmaps stayed at it and at 1e-3, and faded at 4e-3 over 200; runs here have 500 steps or more.
RELATIVE_RATE = 3e-4
MANY_KEYPOINTS = 20  # above which the small U-net is wider


def usual_choices(
    facts: Facts, size: int | None, config: Any, typed: Collection[str], *, frozen_stride: int = 0
) -> list[Choice]:
    """Chooses images, as `image_choices` does, their rotation, the network, its heatmaps and its learning rates.

    The network is MobileNetV2 from ImageNet's weights, if they can be had and no other network or weights are typed, no
    option of the small U-net, and no run to start from. size: of images, as typed. frozen_stride: up to which it keeps
    its weights.
    Of a project whose keypoints are a person's by their names, its weights are those of a network of human pose.
    Raises InputError for typed weights of an unknown network.
    """
    network, weights, small = config.network, None, isinstance(config.network, SmallUNet)
    if small and not config.backbone.start and not typed & {"network", *vars(network)}:
        if weights := config.backbone.weights if "weights" in typed else _at_hand(facts):
            network = _network_of(weights)
        else:
            known = KNOWN_WEIGHTS[WEIGHTS[-1]]
            print(f"no pretrained backbone at hand: a small U-net learns from random weights. Better ({WORTH}): "
                  f"kpjax weights {known.name} fetches one ({known.megabytes:g} MB, {known.licence}), or put "
                  f"{known.address} at {WEIGHTS_FOLDER / known.name}.safetensors")
    fine = FINE_SIDE if isinstance(network, MobileNetV2) else 0
    images = [*image_choices(facts, size, fine), rotation_choice(facts)]
    if weights:
        frozen = []
        if frozen_stride and isinstance(network, MobileNetV2):
            frozen.append(Choice("frozen_stride", frozen_stride, WHY_FROZEN))
        if weights == MOVENET:
            print("kpjax evaluate movenet PROJECT measures the published network as it is: with 50 labelled athletes "
                  "no network\ntrained here was better")
        why = (f"{_people(facts)}: a network that has learnt poses of people; --weights {WEIGHTS[0]} compares"
               if weights == MOVENET else "--network small_unet does without")
        return [*images, Choice("network", network, WORTH), Choice("weights", weights, why), *frozen,
                *rate_choices(config, "published weights are changed slowly, falling to zero along a cosine",
                              most=FINE_RATE)]
    if not small:
        if isinstance(network, MoveNet):
            return [*images, Choice("relative_steps", True, WHY_RELATIVE),
                    *rate_choices(config, "larger relative steps over as many let its heatmaps fade", RELATIVE_RATE)]
        return [*images, *rate_choices(config, "the preset's")]
    many = facts.keypoints > MANY_KEYPOINTS
    why = f"{facts.keypoints} keypoints, " + (f"more than {MANY_KEYPOINTS}" if many else f"{MANY_KEYPOINTS} or fewer")
    return [*images, Choice("widths", (16, 32, 64, 64, 128) if many else (16, 32, 32, 64, 64), why),
            Choice("head_width", 64 if many else 32, why),
            *rate_choices(config, "the small U-net's, falling to zero along a cosine")]


def _at_hand(facts: Facts) -> str | None:
    """Returns the first weights whose file is here; of a project of people those of human pose come first."""
    if not person.is_person(facts.names):
        return first_at_hand(WEIGHTS)
    weights = first_at_hand((MOVENET, *WEIGHTS))
    if weights != MOVENET:
        print(f"{_people(facts)}: a network that has learnt poses of people, {MOVENET}, would be taken if its file "
              f"were at {WEIGHTS_FOLDER / MOVENET}.safetensors")
    return weights


def _people(facts: Facts) -> str:
    found = sum(person.of_person(name) is not None for name in facts.names)
    return f"{found} of {facts.keypoints} keypoints are a person's by their names"


def _network_of(weights: str) -> Any:
    if not (known := known_weights(weights)):
        raise InputError("weights", f"{weights} is not among the known weights; name its network, too: --network and "
                                    "one "
                         f"of {', '.join(name for name in NETWORKS if name != SmallUNet.name)}")
    return NETWORKS[known.network](**known.options)
