"""Features of keypoints in the plane, by t-SNE: one colour for each keypoint."""
import importlib.util
from collections.abc import Sequence

import numpy as np

from kpjax.drawing.charts import painted
from kpjax.drawing.overlays import keypoint_colours
from kpjax.errors import InputError


def can_embed() -> bool:
    """Returns whether the library that `embedded` needs is installed."""
    return importlib.util.find_spec("sklearn") is not None


def embedded(features: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Computes t-SNE (van der Maaten and Hinton 2008) of features (N, C): positions (N, 2) float32.

    Near features lie near each other; distances between far groups mean nothing. Raises InputError if scikit-learn is
    missing, for fewer than three features, or for one that is not finite.
    """
    features = np.asarray(features, np.float32)
    if not can_embed():
        raise InputError("t-SNE needs scikit-learn, which is not installed; pip install scikit-learn")
    if len(features) < 3 or not np.isfinite(features).all():
        raise InputError(f"t-SNE: {len(features)} features"
                         + (" are too few; give at least 3" if len(features) < 3 else ", of which some are not finite"))
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(30.0, (len(features) - 1) / 3)
    with threadpool_limits(1):  # its threads wait for each other by spinning, which is far slower beside other work
        return TSNE(perplexity=perplexity, init="random", random_state=seed).fit_transform(features)


def scatter(places: np.ndarray, kinds: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Draws points (N, 2) of any range, one colour for each kind, with a legend beside them; returns (h, w, 3) uint8.

    kinds: (N,) numbers into `names`.
    """
    def draw(figure) -> None:
        axes = figure.add_subplot(aspect="equal", xticks=[], yticks=[])
        for kind, (name, colour) in enumerate(zip(names, keypoint_colours(len(names)) / 255, strict=True)):
            axes.plot(*places[kinds == kind].T, ".", color=colour, label=name, markersize=4 if len(places) > 400 else 8)
        figure.legend(loc="outside right upper", fontsize=9, ncols=-(-len(names) // 24))

    return painted(draw, width=420, height=320)
