"""Published weights that a backbone starts from."""
import functools
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import tyro

from kpjax import InputError
from kpjax.methods.forward import NORMALISATIONS, Normalise
from kpjax.models import KeypointNetwork, person
from kpjax.models.movenet import MoveNetPyramid
from kpjax.platforms import run_once
from kpjax.systems.configs import Checked, Positive, changed, flat

# Adam's, of networks that start from published weights. On a tuning subset of the mouse, 10 labels, MobileNetV2 had a
# PCK of 91.0 % at it. At the preset's rates, 3e-3 in the warm start and then 2e-3, which suit random weights, it had
# 88.9, with 1, 0.3 or 0.1 of them for the backbone.
FINE_RATE = 1e-3


@dataclass(frozen=True)
class Backbone(Checked):
    """The weights that the backbone starts from, and how it is trained."""

    # A file, or a name of `kpjax.models.weights.pretrained` or of timm's collection; "" for random weights.
    weights: Annotated[str, tyro.conf.arg(aliases=("--imagenet",))] = ""
    normalisation: Literal["imagenet", "symmetric", "none"] = "imagenet"  # of images, as the weights were trained
    backbone_rate: Positive = 1.0  # of the learning rate, for the backbone
    backbone_statistics: Literal["batch", "frozen"] = "batch"  # that its BatchNorm normalises training images by
    # whether a step of an array, of all layers, is a share of its root mean square: Adam's is as large for all of them,
    # and a norm that was folded into a kernel may have left that small
    relative_steps: bool = False

    @property
    def normalise(self) -> Normalise:
        """The function that prepares images in [0, 1]."""
        return NORMALISATIONS[self.normalisation]

    def applied_to(self, network: KeypointNetwork) -> KeypointNetwork:
        """Returns the network with its backbone's statistics frozen, if so asked."""
        return network.clone(frozen_statistics=True) if self.backbone_statistics == "frozen" else network

    def variables(self, network: KeypointNetwork, *, image_size: int, seed: int, names: Sequence[str] = ()
                  ) -> dict[str, Any]:
        """Returns fresh variables with the backbone's weights, as the `start` of a method; {} for random weights.

        image_size: px. seed: of all other variables. names: of the keypoints; a `MoveNet` with `sigmoid` has the
        published heatmaps of those that it knows. Raises InputError for weights that cannot be found or do not belong
        to the network.
        """
        if not self.weights:
            return {}
        from kpjax.models.weights.pretrained import load_backbone
        from kpjax.models.weights.torch_names import describe
        from kpjax.models.weights.whole_movenet import load_movenet_heatmaps

        images = jnp.zeros((1, image_size, image_size, 3))
        fresh = run_once(functools.partial(network.init, train=False))(jax.random.key(seed), images)
        if isinstance(network.upsampling, MoveNetPyramid):
            known = person.channels(names) if getattr(network.head, "sigmoid", False) else ()
            imported = load_movenet_heatmaps(
                fresh, self.weights, channels=known, frozen_statistics=network.frozen_statistics)
        else:
            imported = load_backbone(fresh, self.weights)
        print(f"{self.weights}: {describe(imported.report)}")
        return {"variables": imported.variables}


def with_weights(config: Any, typed: Collection[str] = ()) -> Any:
    """Returns the config as its weights want it, but for `typed` fields; one without weights as it is.

    Known weights bring their normalisation and their network's options: depth, width, `vit_size`, `layer_scale`,
    padding. A typed network, in place of the preset's own, is trained at Adam's learning rates of at most `FINE_RATE`:
    those of the preset suit its network.
    Raises InputError for weights that cannot be found, or are of another network.
    """
    if not hasattr(config, "backbone") or not config.backbone.weights:
        return config
    from kpjax.models.weights.pretrained import known_weights

    leaves = flat(config)
    if "network" in typed and leaves.get("optimizer") != "sgd":
        config = changed(config, **{name: min(rate, FINE_RATE) for name, rate in leaves.items()
                                    if name.endswith("learning_rate") and name not in typed})
    if not (known := known_weights(config.backbone.weights)):
        return config
    if config.network.name not in (known.network, known.whole):
        raise InputError("network", f"{config.network.name}, but {known.name} are weights of {known.network}; choose "
                         f"{known.network}, or other weights")
    options = known.options if config.network.name == known.network else {}
    wanted = {"normalisation": known.normalisation, **options}
    return changed(config, **{name: value for name, value in wanted.items() if name not in typed})


def backbone_lines(config: Any) -> list[str]:
    """Returns a line that says what the backbone of a config starts from; none for random weights."""
    backbone = getattr(config, "backbone", Backbone())
    if not backbone.weights:
        return []
    from kpjax.models.weights.pretrained import known_weights

    known = known_weights(backbone.weights)
    named = f"{known.name}, {known.licence}" if known else "not in the table of known weights"
    options = "".join(f"{name} {getattr(config.network, name)}, " for name in (known.options if known else ())
                      if hasattr(config.network, name))
    return [f"backbone: {config.network.name} from {backbone.weights} ({named}); {options}"
            f"normalisation {backbone.normalisation}, statistics {backbone.backbone_statistics}, "
            f"learning rate {config.optimizer.learning_rate:g}, {backbone.backbone_rate:g} of it for the backbone"
            + (f"; layers up to stride {stride} keep their weights" if (stride := getattr(
                config.network, "frozen_stride", 0)) else "")]
