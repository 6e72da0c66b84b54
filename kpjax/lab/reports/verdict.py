"""What a run on a person's own labels has reached, in words, and what would make it better, by
plain rules.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from kpjax.errors import summarise
from kpjax.lab.reports import pixel_errors
from kpjax.lab.reports.pixel_errors import (
    ALL,
    HELD_OUT,
    TARGET,
    TRAINED,
    Animals,
    count_text,
    errors_of,
    pixels,
)

FEW = 10  # frames held out, below which errors are rough
WORSE = 1.5  # times the error of the others, from which a keypoint or a recording is named
# the error on frames that were learnt from, from which more labels are what is missing
MANY_TIMES = 2.0
ALIKE = 1.3  # times that error, up to which more of the same labels would change little
LEAST_LABELS = 3  # held out, of a keypoint or a recording that is named

ErrorsByName = Mapping[str, pixel_errors.Errors]


def judging(parts: Iterable[str]) -> str:
    """Returns the part by which a run is judged: the target's labels where there are some, else
    those held out.
    """
    return TARGET if TARGET in parts else HELD_OUT


def verdict(animals: Animals, cutoffs: np.ndarray) -> list[str]:
    """Returns what was learnt from what, and how large the errors are, a sentence each."""
    parts = animals.by_part()
    judged = judging(parts)
    sentences = []
    if TRAINED in parts:
        learnt = errors_of(parts[TRAINED], cutoffs)
        labels = parts[TRAINED].visible > 0
        sentences.append(
            f"The network has learnt {count_text(int(labels.any(0).sum()), 'keypoint')} from "
            f"{count_text(int(labels.sum()), 'label')} on {count_text(parts[TRAINED].frame_count, 'frame')}."
        )
    if judged not in parts:
        return [*sentences, "No labelled frame was held out, so nothing is known of new ones."]
    found = errors_of(parts[judged], cutoffs)
    whole, length = found[ALL], float(np.median(parts[judged].lengths))
    frames = count_text(parts[judged].frame_count, "frame") + " of the target" * (judged == TARGET)
    if whole.labels:
        sentences += [
            f"On {frames} whose labels it has never seen, half of the points lie within "
            f"{pixels(whole.median)} px of their labels; the mean error is {pixels(whole.mean)} px, "
            f"{100 * whole.relative:.1f} % of the animal’s length (about {pixels(length)} px).",
            f"Of 100 points, {100 * whole.found:.0f} are nearer than {100 * pixel_errors.NEAR:g} % of the "
            f"animal’s length ({pixels(pixel_errors.NEAR * length)} px).",
        ]
    else:
        held = " held out" * (judged == HELD_OUT)
        sentences.append(
            f"No keypoint is labelled on the {frames}{held}, so the error on new ones is unknown."
        )
    if judged == TARGET and whole.labels:
        sentences.append(
            "These are labels of the target: selecting a variant or a setting by them is selecting on the "
            "test set, and makes its error look smaller than it is."
        )
    if judged == TARGET and HELD_OUT in parts:
        of_source = errors_of(parts[HELD_OUT], cutoffs)[ALL]
        known = (
            f"the mean error is {pixels(of_source.mean)} px"
            if of_source.labels
            else "no keypoint is labelled"
        )
        sentences.append(
            f"On {count_text(parts[HELD_OUT].frame_count, 'held-out frame')} of the source, {known}."
        )
    if TRAINED in parts:
        seen = int(np.isfinite(parts[TRAINED].scores).any(1).sum())
        some = f"a sample of {seen} animals of " * (seen < len(parts[TRAINED].parts))
        sentences.append(
            f"On {some}the frames that it has learnt from, the mean error is {pixels(learnt[ALL].mean)} px."
        )
    if not np.isfinite(cutoffs).any():
        known = "held-out points" if HELD_OUT in parts else "labelled points of the target"
        sentences.append(
            f"Too few {known} lie near their labels to choose the score from which points are "
            "drawn: there is no cutoff, and drawings show all points."
        )
    elif whole.hidden:
        most = sorted(
            (name for name in animals.names if found[name].hidden),
            key=lambda name: -found[name].hidden,
        )
        kind = "target" if judged == TARGET else "held-out"
        sentences.append(
            f"Drawings leave out {whole.hidden} of the {whole.labels} {kind} points, whose score is below "
            f"their cutoff: {summarise([f'{name} {found[name].hidden}' for name in most])}."
        )
    if whole.drawn:
        falsely = sorted(
            (name for name in animals.names if found[name].drawn),
            key=lambda name: -found[name].drawn,
        )
        verb = "is" if whole.drawn == 1 else "are"
        sentences.append(
            f"Of {whole.empty} cells that the labeller left empty there, {whole.drawn} {verb} drawn all the same: "
            f"{summarise([f'{name} {found[name].drawn}' for name in falsely])}."
        )
    return sentences


def advice(animals: Animals, cutoffs: np.ndarray, *, takes_size: bool = True) -> list[str]:
    """Returns what would help, what helps most first, each with the numbers that say so.

    takes_size: whether the run's command takes `--image-size`, which one that goes on from a run does not.
    """
    parts = animals.by_part()
    judged = judging(parts)
    if judged not in parts:
        return []
    held, found = parts[judged], errors_of(parts[judged], cutoffs)
    learnt = errors_of(parts[TRAINED], cutoffs) if TRAINED in parts else None
    taught = _label_counts(parts[TRAINED]) if learnt else {}
    texts = [*_keypoints(animals.names, found, taught), *_recordings(held, judged)]
    if learnt and learnt[ALL].mean > 0 and judged == HELD_OUT:
        # Labels may be held out of keypoints that nothing was learnt of, as of old ones.
        known = np.array([taught[name] > 0 for name in animals.names])
        alike = held._replace(visible=held.visible * known)
        of = " of the keypoints that it has learnt" * bool((held.visible[:, ~known] > 0).any())
        times = errors_of(alike, cutoffs)[ALL].mean / learnt[ALL].mean
        if times >= MANY_TIMES:
            texts.append(
                f"More labelled frames, of other moments and animals: the held-out error{of} is "
                f"{times:.1f} times that on frames it has learnt from, which it knows by heart."
            )
        elif times <= ALIKE:
            larger = " or larger images (--image-size)" * takes_size
            texts.append(
                f"Longer training (--steps){larger}: the errors{of} on frames that it has learnt from and on new "
                "ones are alike, so more labels of the same kind would change little."
            )
    if found[ALL].labels and held.frame_count < FEW:
        kind = "of the target" if judged == TARGET else "that are held out"
        texts.append(
            f"More labels {kind}: with {count_text(held.frame_count, 'frame')} these numbers are rough."
        )
    return texts


def _label_counts(animals: Animals) -> dict[str, int]:
    """Returns how many animals have a label of each keypoint, those beyond a sample among them."""
    counts = (animals.visible > 0).sum(0).tolist()
    return dict(zip(animals.names, counts, strict=True))


def _keypoints(names: Sequence[str], found: ErrorsByName, taught: Mapping[str, int]) -> list[str]:
    """Advises on keypoints with large errors. taught: labels that were learnt from, {} if unknown."""
    known = {name: found[name].mean for name in names if found[name].labels >= LEAST_LABELS}
    if len(known) < 2:
        return []
    usual = float(np.median(list(known.values())))
    worse = sorted(
        (name for name in known if known[name] >= WORSE * usual), key=lambda name: -known[name]
    )
    most = max(taught.values(), default=0)
    unlearnt = [name for name in worse if taught and not taught[name]]
    rare = [name for name in worse if taught and 0 < taught[name] < most / 2]
    hard = [name for name in worse if name not in (*unlearnt, *rare)]
    rest = f"the typical error is {pixels(usual)} px"
    texts = []
    if rare:
        few = summarise(
            [
                f"{name} ({pixels(known[name])} px, {count_text(taught[name], 'label')})"
                for name in rare
            ],
            3,
        )
        texts.append(f"More labels of {few}: {rest}, and up to {count_text(most, 'label')}.")
    if hard:
        said = summarise([f"{name} ({pixels(known[name])} px)" for name in hard], 3)
        texts.append(
            f"More frames on which {said} look{'s' * (len(hard) == 1)} different or "
            f"{'is' if len(hard) == 1 else 'are'} hard to see: {rest}."
        )
    if unlearnt:
        said = summarise([f"{name} ({pixels(known[name])} px)" for name in unlearnt], 3)
        texts.append(f"No label of {said} was learnt from: {rest}.")
    return texts


def _recordings(held: Animals, judged: str) -> list[str]:
    """Names the recording with the largest errors. Labels of the target only test: more of them would
    teach nothing."""
    held = held.only(np.flatnonzero((held.visible > 0).any(1)))
    names = np.array(held.recordings)
    relative = np.nanmean(held.distances, axis=1) / held.lengths
    means = {
        name: float(relative[names == name].mean())
        for name in dict.fromkeys(names.tolist())
        if (names == name).sum() >= LEAST_LABELS
    }
    if len(means) < 2:
        return []
    worst = max(means, key=means.__getitem__)
    usual = float(np.median([mean for name, mean in means.items() if name != worst]))
    if means[worst] < WORSE * usual:
        return []
    alike = len({Path(name).name for name in means}) < len(means)
    shown = "/".join(Path(worst).parts[-2:] if alike else Path(worst).parts[-1:])
    what = {
        HELD_OUT: f"More labels from recordings like {shown}",
        TARGET: f"The hardest recording of the target, whose labels teach nothing, is {shown}",
    }
    return [
        f"{what[judged]}: its error is {100 * means[worst]:.1f} % of the animal’s "
        f"length, that of other recordings {100 * usual:.1f} %."
    ]
