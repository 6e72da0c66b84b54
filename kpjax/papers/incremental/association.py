"""KA-Net's stage of a later step: its triples, its training, and the comparison with its
teacher."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from kpjax import InputError, Trained
from kpjax.input import protocols
from kpjax.input.source import Source
from kpjax.methods.incremental_family import association as library
from kpjax.methods.incremental_family.step_spec import Increment
from kpjax.models import reach
from kpjax.papers.incremental.steps import Prepared, Run, accuracies, increment_at
from kpjax.papers.incremental.variants import (
    KaNet,
    Setting,
    build_association,
    build_step,
    ka_net_of,
)
from kpjax.training.evaluation import Gathered, predict_source, reduce
from kpjax.training.fit import Fitted
from kpjax.training.stages import Stage

ENOUGH_REACH = 0.8  # share of images; below it a KA-Net that sees further is called for
COPIES = 0.95  # share of images; above it KA-Net has learnt its teacher by heart


def associate(run: Run, known: Stage, step: int, before: Gathered) -> Prepared:
    """Chooses the triples of a step and trains their KA-Nets.

    Prints how each KA-Net compares with its teacher on the evaluation images, for the report alone.
    Warns of one whose reach is too short or that copies its teacher. Every triple teaches, as in
    the paper, except under `old_label_gate`, which reads labels of old keypoints.
    before: the old model's predictions of the evaluation images.
    """
    setting, config, recipe = run.setting, run.config, run.recipe
    training = run.training_images(step)
    triples = triples_of(run, known, step, training)
    planned = increment_at(run, step, triples)
    if not recipe.ka_net:
        return Prepared(planned, build_step(setting, recipe))
    frozen = {"teacher": known.trained.variables, "increment": planned}
    inputs = max(len(triple) - 1 for triple in triples)
    ka_net, seen = choose_network(setting, Trained({}, frozen), training, len(triples))

    def train(folder: epath.Path, identity: Mapping[str, Any]) -> Fitted:
        return run.fit(
            build_association(setting, ka_net, inputs),
            training,
            config.association_steps,
            folder,
            identity,
            f"association {step}",
            frozen,
        )

    # Of step 1 the teacher is the base, so variants that begin alike share it.
    shared = step == 1 and recipe.triples == "protocol"
    found = run.stage(
        f"association_step_{step}" if shared else f"{run.job.variant}_association_{step}",
        train,
        {"before": known.digest},
        reads=config.of_association(),
    )
    variables = found.trained.variables
    trained = Trained(variables, frozen)
    if config.association.old_label_gate:
        planned = without_useless(run, known, triples, planned, ka_net, inputs, trained)
    metrics = diagnoses(
        run, ka_net, inputs, trained, step, triples, seen, before, planned.triple_weights
    )
    return Prepared(
        planned,
        build_step(setting, recipe, ka_net, inputs),
        {"association": variables},
        {"association": found.digest},
        metrics,
        found.wall_seconds,
        found.images,
    )


def triples_of(run: Run, known: Stage, step: int, source: Source) -> list[tuple[int, ...]]:
    """Returns (old, new, new) numbers of keypoints, or (old, new); [] for variants without an
    auxiliary task.
    """
    skeleton, protocol, count = run.data.skeleton, run.data.protocol, run.config.association.triples
    if not run.recipe.triples:
        return []
    old, new = protocols.old_keypoints(protocol, step), protocol.steps[step].keypoints
    if run.recipe.triples == "random":
        found = protocols.random_triples(skeleton, old, new, seed=[run.job.seed, step], count=count)
    else:
        apart = None
        if protocol.triple == "automatic":
            seen = run.predicted(known, source)
            apart = protocols.mean_distances(
                skeleton, new, seen.keypoints, seen.true_keypoints, seen.visible, seen.scale
            )
        found = protocols.step_triples(protocol, step, skeleton, count=count, apart=apart)
    if not found:
        raise InputError(
            "triple",
            f"step {step} of the protocol {protocol.name} states none; state one "
            'there, or "triple": "automatic"',
        )
    if len(found) < count:
        print(f"step {step}: {len(found)} of {count} triples; the protocol has no more")
    return [tuple(skeleton.index(name) for name in (triple.old, *triple.new)) for triple in found]


def choose_network(
    setting: Setting, teacher: Trained, source: Source, count: int
) -> tuple[KaNet, Mapping[str, np.ndarray]]:
    """Chooses KA-Net: plain convolutions ("paper") where their reach is long enough for every
    triple, else dilated ones, which see further. The paper states no layers.

    count: of triples in use, the first slots; keypoints of the others say nothing.

    Returns its name, and (count,) of triples: `within`, the share of a step's images on which the old
    keypoint is within reach, and `input`, KA-Net's mean input there.
    """
    asked = setting.config.association.ka_variant
    sigma = setting.config.association.input_sigma or None
    for name in ("paper", "wide") if asked == "auto" else (asked,):
        far = reach(
            name,
            setting.config.heatmaps.heatmap_size,
            support=3 * (sigma or setting.config.heatmaps.sigma),
        )
        sums = reduce(
            _of_networks(library.ka_reach, setting, far, sigma),
            teacher,
            source,
            batch_size=2 * setting.config.batch_size,
        )
        seen = {kind: _share(sums, kind)[:count] for kind in ("within", "input")}
        if (seen["within"][np.isfinite(seen["within"])] >= ENOUGH_REACH).all():
            break
    return name, seen


def _share(sums: Mapping[str, np.ndarray], name: str, of: str = "count") -> np.ndarray:
    """Returns (T,) of triples, a sum over a count, NaN where it is 0."""
    total, count = np.asarray(sums[name]), np.asarray(sums[of])
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def answers(run: Run, ka_net: KaNet, inputs: int, trained: Trained, source: Source) -> Gathered:
    """Predicts the old keypoints of triples by KA-Net, which reads the labels of new ones."""
    network = ka_net_of(run.setting, ka_net, inputs)
    reading_labels = build_association(run.setting, ka_net, inputs)._replace(
        predict=_of_networks(library.association_predict, run.setting, network)
    )
    return predict_source(
        reading_labels, trained, source, batch_size=2 * run.config.batch_size, labelled=True
    )


def without_useless(
    run: Run,
    known: Stage,
    triples: Sequence[Sequence[int]],
    planned: Increment,
    ka_net: KaNet,
    inputs: int,
    trained: Trained,
) -> Increment:
    """Returns the increment without the triples whose KA-Net finds the old keypoint less often than
    its teacher: the gate of `old_label_gate`.

    It READS LABELS OF OLD KEYPOINTS, those of the validation images, which do not exist in the
    paper's setting after step 0. The paper has no such gate. Raises InputError without validation
    images.
    """
    if run.data.validation is None:
        raise InputError(
            "old_label_gate",
            "there are no validation images with labels of old keypoints; leave it out",
        )
    both = (
        answers(run, ka_net, inputs, trained, run.data.validation),
        run.predicted(known, run.data.validation),
    )
    accuracy, of_teacher = (accuracies(one, run.config.pck_threshold) for one in both)
    weights = planned.triple_weights.copy()
    for slot, (old, *_) in enumerate(triples):
        if not accuracy[old] >= of_teacher[old]:
            weights[slot] = 0.0
            print(
                f"{run.data.skeleton.names[old]} is left out: on validation images its KA-Net finds "
                f"{accuracy[old]:.1%}, its teacher {of_teacher[old]:.1%}"
            )
    return planned._replace(triple_weights=weights)


def diagnoses(
    run: Run,
    ka_net: KaNet,
    inputs: int,
    trained: Trained,
    step: int,
    triples: Sequence[Sequence[int]],
    seen: Mapping[str, np.ndarray],
    before: Gathered,
    used: np.ndarray,
) -> dict[str, float]:
    """Measures how well KA-Net and the old model find the old keypoint of each triple on the
    evaluation images.

    Under association/step_<t>/<old keypoint>/: ka_net and teacher, PCK; reach, the share of the
    step's images within KA-Net's reach; input, its mean input at the old model's point; copies, the
    share on which its arg-max is the old model's; copy_rate, how often its point is the old model's
    where that errs far, and beside it copy_rate_by_chance, of a KA-Net that is given another
    image's points; wrong, the number of images of both; used, 0 or 1, whether the triple teaches.
    """
    setting, names, evaluation = run.setting, run.data.skeleton.names, run.data.evaluation
    network = ka_net_of(setting, ka_net, inputs)
    found = answers(run, ka_net, inputs, trained, evaluation)
    accuracy, of_teacher = (accuracies(one, run.config.pck_threshold) for one in (found, before))
    copied = reduce(
        _of_networks(library.copies_of_teacher, setting, network),
        trained,
        evaluation,
        batch_size=2 * setting.config.batch_size,
    )
    rates = {
        "copies": _share(copied, "copied"),
        "copy_rate": _share(copied, "wrong_copied", "wrong"),
        "copy_rate_by_chance": _share(copied, "wrong_copied_by_chance", "wrong"),
        "wrong": copied["wrong"],
        "reach": seen["within"],
        "input": seen["input"],
    }
    metrics = {}
    for slot, (old, *new) in enumerate(triples):
        values = {
            "ka_net": accuracy[old],
            "teacher": of_teacher[old],
            "used": used[slot],
            **{name: of_triples[slot] for name, of_triples in rates.items()},
        }
        metrics |= {
            f"association/step_{step}/{names[old]}/{name}": float(value)
            for name, value in values.items()
            if np.isfinite(value)
        }
        print(
            f"step {step}, {names[old]} from {' and '.join(names[k] for k in new)}: KA-Net {values['ka_net']:.3f}, "
            f"the old model {values['teacher']:.3f}; {values['reach']:.0%} within the reach of {ka_net!r}, "
            f"{values['copies']:.0%} copies; of its {values['wrong']:.0f} large errors {values['copy_rate']:.0%} are "
            f"copied, {values['copy_rate_by_chance']:.0%} by chance"
        )
        if values["reach"] < ENOUGH_REACH:
            print(
                f"warning: {names[old]}: KA-Net's reach covers {values['reach']:.0%} of the images; choose a nearer "
                "triple or --ka-variant wide"
            )
        if values["copies"] > COPIES:
            print(
                f"warning: {names[old]}: KA-Net answers as its teacher on {values['copies']:.0%} of the images; it "
                "has associated nothing"
            )
    return metrics


def over_triples(metrics: Mapping[str, float]) -> dict[str, float]:
    """Returns means over the triples of all steps.

    association/ka_net and association/teacher are PCK, association/left_out is the share of triples
    that teach nothing, 0 without a gate. association/copy_rate and that by chance are over all large errors of the
    old models.
    """
    found = {}
    for name in ("ka_net", "teacher", "used", "copy_rate", "copy_rate_by_chance"):
        values = {key: value for key, value in metrics.items() if key.endswith(f"/{name}")}
        weights = (
            [metrics[key.removesuffix(name) + "wrong"] for key in values]
            if name.startswith("copy")
            else None
        )
        if values:
            found[f"association/{name}"] = float(np.average(list(values.values()), weights=weights))
    if "association/used" in found:
        found["association/left_out"] = 1 - found.pop("association/used")
    return found


# Measures and predictions of the library, built once for each network


@functools.lru_cache(maxsize=32)
def _of_networks(build: Callable, setting: Setting, *more: Any) -> Callable:
    return build(setting.setup.model, setting.setup.codec, setting.setup.normalise, *more)
