"""Features of keypoints in the plane, by t-SNE: one colour for each keypoint."""
import importlib.util
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from kpjax.drawing.overlays import BACKGROUND, INK, keypoint_colours
from kpjax.errors import InputError

FINER = 3  # how many times finer than the image the plot is rendered


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


def scatter(places: np.ndarray, kinds: np.ndarray, names: Sequence[str], *, side: int = 480) -> np.ndarray:
    """Draws points (N, 2) of any range, one colour for each kind, with a legend beside them; returns (h, w, 3) uint8.

    kinds: (N,) numbers into `names`. side: of the plot in pixels. Raises ValueError for another number of kinds than of
    places, a kind without a name, or a place that is not finite.
    """
    places, kinds = np.asarray(places, np.float64), np.asarray(kinds)
    if len(places) != len(kinds) or (len(kinds) and not 0 <= kinds.min() <= kinds.max() < len(names)):
        raise ValueError(f"{len(places)} places and {len(kinds)} kinds, of {len(names)} names")
    if not np.isfinite(places).all():
        raise ValueError("some places are not finite")
    colours = keypoint_colours(len(names))
    line, margin = 18, 14
    font = ImageFont.load_default(size=12)
    in_column = max(1, (side - 2 * margin) // line)
    columns = -(-len(names) // in_column)
    wide = max(24 + int(max((font.getlength(name) for name in names), default=0)) + 12, 60)
    plot = Image.new("RGB", (side * FINER, side * FINER), BACKGROUND)
    canvas = ImageDraw.Draw(plot)
    if len(places):
        middle, extent = (places.min(0) + places.max(0)) / 2, max(float(np.ptp(places, axis=0).max()), 1e-12)
        at = (places - middle) / extent * (side - 2 * margin) + side / 2
        radius = (2.5 if len(places) > 400 else 4.0) * FINER
        for (x, y), kind in zip(at * FINER, kinds, strict=True):
            canvas.ellipse([round(x - radius), round(y - radius), round(x + radius), round(y + radius)],
                           fill=tuple(int(part) for part in colours[kind]))
    sheet = Image.new("RGB", (side + columns * wide, side), BACKGROUND)
    sheet.paste(plot.resize((side, side), Image.Resampling.BOX), (0, 0))
    canvas = ImageDraw.Draw(sheet)
    for number, name in enumerate(names):
        left, top = side + (number // in_column) * wide, margin + (number % in_column) * line
        canvas.ellipse([left + 4, top + 2, left + 14, top + 12], fill=tuple(int(part) for part in colours[number]))
        canvas.text((left + 20, top - 1), name, fill=INK, font=font)
    return np.asarray(sheet)
