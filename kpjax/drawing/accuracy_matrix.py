"""The accuracy of every keypoint after every step as a table of colours, steps down and keypoints across."""
from collections.abc import Sequence

import numpy as np

from kpjax.drawing.charts import INK, painted


def accuracy_matrix(values: np.ndarray, introduced: np.ndarray, names: Sequence[str], steps: Sequence[str], *,
                    low: float, high: float) -> np.ndarray:
    """Draws a matrix as an image (h, w, 3) uint8: a row for each step, a column for each keypoint, in percent.

    Keypoints stand in the order of their introduction. The step that introduced a keypoint has a frame.

    Args:
        values: (steps, K), NaN where a keypoint is not known yet.
        introduced: (K,) the row that introduced each keypoint; keypoints of other numbers are left out.
        low, high: the values at the ends of the colours.
    """
    introduced = np.asarray(introduced)
    order = [k for k in np.argsort(introduced, kind="stable") if 0 <= introduced[k] < len(steps)]
    shown = np.asarray(values, np.float64)[:, order]

    def draw(figure) -> None:
        from matplotlib.patches import Rectangle

        axes = figure.add_subplot()
        axes.imshow(shown, cmap="RdYlGn", vmin=low, vmax=high, alpha=0.75, aspect="auto")
        for row, column in np.argwhere(np.isfinite(shown)).tolist():
            axes.text(column, row, f"{100 * shown[row, column]:.0f}", ha="center", va="center")
            if introduced[order[column]] == row:
                axes.add_patch(Rectangle((column - 0.46, row - 0.44), 0.92, 0.88, fill=False, edgecolor=INK))
        axes.set_xticks(range(len(order)), [names[k] for k in order], rotation=90)
        axes.set_yticks(range(len(steps)), steps)

    return painted(draw, width=160 + 30 * len(order), height=150 + 24 * len(steps))
