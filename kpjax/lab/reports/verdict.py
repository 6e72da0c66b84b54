"""What a run on a person's own labels has reached, in words; the report's tables hold the rest."""

from collections.abc import Iterable

import numpy as np

from kpjax.lab.reports.pixel_errors import (
    ALL,
    HELD_OUT,
    NEAR,
    TARGET,
    TRAINED,
    Animals,
    count_text,
    errors_of,
    pixels,
)

WIDELY = (
    90.0  # degrees either way, from which on a network cannot learn a shift that turns with images
)
ENOUGH = 10  # animals, for an interval of a mean


def judging(parts: Iterable[str]) -> str:
    """Returns the part by which a run is judged: the target's labels where there are some, else
    those held out.
    """
    return TARGET if TARGET in parts else HELD_OUT


def verdict(animals: Animals, cutoffs: np.ndarray) -> list[str]:
    """Returns how large the errors are on new frames, and what to know before these are used, a
    sentence each.
    """
    parts = animals.by_part()
    judged = judging(parts)
    if judged not in parts:
        return ["No labelled frame was held out, so nothing is known of new ones."]
    whole = errors_of(parts[judged], cutoffs)[ALL]
    frames = count_text(parts[judged].frame_count, "frame")
    if judged == TARGET:
        frames += " of the target"
    sentences = [f"No keypoint is labelled on {frames}, so the error on new ones is unknown."]
    if whole.labels:
        length = float(np.median(parts[judged].lengths))
        sentences = [
            f"On {frames} whose labels it has never seen, half of the points lie within "
            f"{pixels(whole.median)} px of their labels; the mean error is {pixels(whole.mean)} px, "
            f"{100 * whole.relative:.1f} % of the animal’s length (about {pixels(length)} px).",
        ]
        if judged == TARGET:
            sentences.append(
                "These are labels of the target: selecting a variant or a setting by them is selecting "
                "on the test set, and makes its error look smaller than it is."
            )
    if not np.isfinite(cutoffs).any():
        sentences.append(
            "Too few points lie near their labels to choose a cutoff of scores: drawings show all points."
        )
    if whole.drawn:
        sentences.append(
            f"Of {whole.empty} cells that you left empty there, {whole.drawn} are drawn."
        )
    return sentences


def label_shift(animals: Animals) -> tuple[np.ndarray, np.ndarray] | None:
    """Measures by how many pixels, x and y (2,), labels lie right of and below what a network sees on
    the animals that trained, each weighing the same, over points that were found: the mean, and half
    the width of its interval of 95 %. None of too few animals.

    Where training turns images widely, a shift of all labels turns with them: a network cannot learn
    it, and averages it out.
    """
    part = animals.by_part().get(TRAINED)
    if part is None:
        return None
    found = part.distances <= NEAR * part.lengths[:, None]
    some = found.any(1)
    away = np.where(found[..., None], part.true - part.predicted, np.nan)[some]
    if len(away) < ENOUGH:
        return None
    means = np.nanmean(away, axis=1)
    half = 1.96 * means.std(0, ddof=1) / np.sqrt(len(means))
    return means.mean(0), half


def shift_text(mean: np.ndarray, half: np.ndarray, pixels_from: str) -> str:
    """Says where labels lie, and which flag mends half a pixel.

    mean, half: as of `label_shift`. pixels_from: as of the options that the labels were read with.
    """
    sides = [
        f"{abs(value):.2f} ± {within:.2f} px {names[int(value > 0)]}"
        for value, within, names in zip(
            mean, half, (("left of", "right of"), ("above", "below")), strict=True
        )
    ]
    said = f"Labels lie {' and '.join(sides)} what the network sees, the mean over animals that it has learnt from"
    sign = float(np.sign(mean.sum()))
    read = 0.25 - 0.25 * sign if pixels_from == "tool" else float(pixels_from)
    wanted = read + 0.5 * sign
    fits = np.abs(mean - 0.5 * sign) <= 0.25
    clear = np.abs(mean) > half + 0.1
    if fits.all() and clear.all() and 0 <= wanted <= 1:
        said += f": half a pixel, as where pixels count from elsewhere; --pixels-from {wanted:g} reads them so"
    return f"{said}."
