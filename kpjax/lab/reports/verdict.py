"""What a run on a person's own labels has reached, in words; the report's tables hold the rest."""

from collections.abc import Iterable

import numpy as np

from kpjax.lab.reports.pixel_errors import (
    ALL,
    HELD_OUT,
    TARGET,
    Animals,
    count_text,
    errors_of,
    pixels,
)


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
