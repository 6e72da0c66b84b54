"""Features of keypoints in the plane, by t-SNE: one colour for each keypoint."""

import importlib.util
from collections.abc import Sequence

import numpy as np

from kpjax.drawing.charts import render_pixels
from kpjax.drawing.overlays import keypoint_colours
from kpjax.errors import InputError

LEAST_FEATURES = 3  # that have neighbours at all
MANY = 400  # points, from which dots are drawn smaller


def can_embed() -> bool:
    """Returns whether the library that `embed_features` needs is installed."""
    return importlib.util.find_spec("sklearn") is not None


def embed_features(features: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Computes t-SNE (van der Maaten and Hinton 2008) of features (N, C): positions (N, 2) float32.

    Near features lie near each other; distances between far groups mean nothing. The same features
    and seed give the same positions. Raises InputError where scikit-learn is missing, for fewer
    than three features, and for one that is not finite.
    """
    features = np.asarray(features, np.float32)
    if not can_embed():
        raise InputError(
            "t-SNE needs scikit-learn, which is not installed; pip install scikit-learn"
        )
    if len(features) < LEAST_FEATURES:
        raise InputError(
            f"t-SNE: {len(features)} features are too few; give at least {LEAST_FEATURES}"
        )
    if not np.isfinite(features).all():
        raise InputError("t-SNE: some of the features are not finite")
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(30.0, (len(features) - 1) / 3)
    found = TSNE(perplexity=perplexity, init="random", random_state=seed)
    # Its threads wait for each other by spinning, which is far slower beside other work.
    with threadpool_limits(1):
        return found.fit_transform(features)


def scatter(places: np.ndarray, kinds: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Draws points (N, 2) of any range, one colour for each kind, with a legend beside them.

    kinds: (N,) numbers into `names`. Returns (height, width, 3) uint8.
    """
    size = 4 if len(places) > MANY else 8
    columns = -(-len(names) // 24)

    def draw(figure) -> None:
        axes = figure.add_subplot(aspect="equal", xticks=[], yticks=[])
        colours = keypoint_colours(len(names)) / 255
        for kind, (name, colour) in enumerate(zip(names, colours, strict=True)):
            axes.plot(*places[kinds == kind].T, ".", color=colour, label=name, markersize=size)
        figure.legend(loc="outside right upper", fontsize=9, ncols=columns)

    return render_pixels(draw, width=420, height=320)
