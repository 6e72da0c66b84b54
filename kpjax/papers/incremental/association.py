"""KA-Net's stage of a later step: its triples, its training, and the comparison with its
teacher."""

import functools
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from kpjax import InputError, Method, Trained, methods
from kpjax.input import protocols
from kpjax.input.source import Source
from kpjax.methods.incremental_family import association as library
from kpjax.methods.incremental_family.step_spec import Increment
from kpjax.models import association_network, reach
from kpjax.models.association import Variant as KaNet
from kpjax.papers.engine import Outcome, Work, built, method_of
from kpjax.papers.incremental.measures import accuracies
from kpjax.papers.incremental.runs import Run, Setting
from kpjax.training.evaluation import Gathered, predict_source, reduce

ENOUGH_REACH = 0.8  # share of images; below it a KA-Net that sees further is called for
SEES = 0.1  # mean input at the old point, above which KA-Net can copy its teacher
COPIES = 0.95  # share of images; above it KA-Net has learnt its teacher by heart


@functools.lru_cache(maxsize=8)
def ka_net_of(setting: Setting, name: KaNet, inputs: int) -> nn.Module:
    """Builds KA-Net. inputs: how many new keypoints it reads."""
    return association_network(
        name,
        inputs=inputs,
        dtype=jnp.dtype(setting.config.network.dtype),
        input_sigma=setting.config.association.input_sigma or None,
    )


def build_association(setting: Setting, steps: int, *, network: nn.Module) -> Method:
    """Builds KA-Net's own stage, for so many steps."""
    optimizer = setting.config.optimizer
    rate = optimizer.rate_of_stage(optimizer.association_learning_rate, steps)
    return methods.association(
        setting.setup._replace(learning_rate=rate),
        network=network,
        slots=setting.config.association.triples,
    )


class Associated(NamedTuple):
    """What KA-Net's stage leaves the student."""

    outcome: Outcome  # with all stages before in its account
    network: Callable[[], nn.Module]
    taught: Increment  # with the triples that teach


def learn_association(
    run: Run,
    known: Outcome,
    step: int,
    triples: Sequence[Sequence[int]],
    taught: Increment,
    *,
    shared: bool,
) -> Generator[Any, Any, Associated]:
    """Trains the KA-Nets of a step, one for each triple.

    Prints how each KA-Net compares with its teacher on the evaluation images, for the report alone.
    Warns of one whose reach is too short or that copies its teacher. Every triple teaches, as in
    the paper, except under `old_label_gate`, which reads labels of old keypoints.

    shared: whether variants share the stage.
    """
    config, steps = run.config, run.config.association_steps
    frozen = {"teacher": known.trained.variables, "increment": taught}
    asked = config.association.ka_variant
    name, seen = yield Work(
        lambda: choose_network(run, Trained({}, frozen), run.plain_images(step), len(triples)),
        ("paper" if asked == "auto" else asked, {}),
    )

    def network() -> nn.Module:
        return ka_net_of(run.setting, name, max(len(triple) - 1 for triple in triples))

    found = yield run.stage(
        f"association {step}",
        steps,
        run.kept(
            f"association_step_{step}" if shared else f"{run.job.variant}_association_{step}",
            {"before": known.digest},
            reads=config.of_association(),
        ),
        lambda: built(build_association, run.setting, steps, network=network()),
        lambda: run.training_images(step),
        frozen,
        known,
    )
    trained = Trained(found.trained.variables, frozen)
    if config.association.old_label_gate:
        gate = functools.partial(without_useless, run, known, triples, taught, trained=trained)
        taught = yield Work(lambda: gate(network()), taught)
    metrics = yield Work(
        lambda: diagnoses(
            run,
            name,
            network(),
            trained,
            step,
            triples,
            seen,
            known.predictions[f"step_{step - 1}"],
            taught.triple_weights,
        ),
        {},
    )
    return Associated(found._replace(metrics={**found.metrics, **metrics}), network, taught)


# Triples


def stated_triples(run: Run, known: Outcome | None, step: int) -> list[tuple[int, ...]]:
    """Returns the triples that the protocol states, or chooses by their distances, in which the
    known keypoints are as it predicts them: (old, new, new) numbers of keypoints, or (old, new).

    known: None where nothing is known yet, and the first triples are as good as others.

    Raises InputError where there is none.
    """
    skeleton, protocol, apart = run.data.skeleton, run.data.protocol, None
    if known is None and protocol.triple == "automatic":
        return random_triples(run, known, step)
    if protocol.triple == "automatic":
        seen = run.predicted(method_of(run.job, run.data), known, run.plain_images(step))
        apart = protocols.mean_distances(
            skeleton,
            protocol.steps[step].keypoints,
            seen.keypoints,
            seen.true_keypoints,
            seen.visible,
            seen.scale,
        )
    count = run.config.association.triples
    found = protocols.step_triples(protocol, step, skeleton, count=count, apart=apart)
    return _numbers(run, step, found)


def random_triples(run: Run, known: Outcome | None, step: int) -> list[tuple[int, ...]]:
    """Returns triples of an old keypoint and new ones at random, the same for every run of a seed.

    Raises InputError where there is none.
    """
    del known
    protocol = run.data.protocol
    old, new = protocols.old_keypoints(protocol, step), protocol.steps[step].keypoints
    count, seed = run.config.association.triples, [run.job.seed, step]
    found = protocols.random_triples(run.data.skeleton, old, new, seed=seed, count=count)
    return _numbers(run, step, found)


def _numbers(run: Run, step: int, found: Sequence[protocols.Triple]) -> list[tuple[int, ...]]:
    skeleton, count = run.data.skeleton, run.config.association.triples
    if not found:
        raise InputError(
            "triple",
            f"step {step} of the protocol {run.data.protocol.name} states none; state one "
            'there, or "triple": "automatic"',
        )
    if len(found) < count:
        print(f"step {step}: {len(found)} of {count} triples; the protocol has no more")
    return [tuple(skeleton.index(name) for name in (triple.old, *triple.new)) for triple in found]


# The choice of a network


def choose_network(
    run: Run, teacher: Trained, source: Source, count: int
) -> tuple[KaNet, Mapping[str, np.ndarray]]:
    """Chooses KA-Net: plain convolutions ("paper") where their reach is long enough for every
    triple, else dilated ones, which see further. The paper states no layers.

    source: images without augmentation. count: of triples in use, the first slots; keypoints of
    the others say nothing.

    Returns its name, and (count,) of triples: `within`, the share of a step's images on which the old
    keypoint is within reach, and `input`, KA-Net's mean input there.
    """
    setting = run.setting
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
            mesh=run.job.options.mesh,
        )
        seen = {kind: _share(sums, kind)[:count] for kind in ("within", "input")}
        if (seen["within"][np.isfinite(seen["within"])] >= ENOUGH_REACH).all():
            break
    return name, seen


def _share(sums: Mapping[str, np.ndarray], name: str, of: str = "count") -> np.ndarray:
    """Returns (T,) of triples, a sum over a count, NaN where it is 0."""
    total, count = np.asarray(sums[name]), np.asarray(sums[of])
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


# The comparison with its teacher


def answers(run: Run, network: nn.Module, trained: Trained, source: Source) -> Gathered:
    """Predicts the old keypoints of triples by KA-Net, which reads the labels of new ones."""
    steps = run.config.association_steps
    method = built(build_association, run.setting, steps, network=network)
    reading_labels = method._replace(
        predict=_of_networks(library.association_predict, run.setting, network)
    )
    return predict_source(
        reading_labels, trained, source, batch_size=2 * run.config.batch_size, labelled=True
    )


def without_useless(
    run: Run,
    known: Outcome,
    triples: Sequence[Sequence[int]],
    planned: Increment,
    network: nn.Module,
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
        answers(run, network, trained, run.data.validation),
        run.predicted(method_of(run.job, run.data), known, run.data.validation),
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
    network: nn.Module,
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
    found = answers(run, network, trained, evaluation)
    accuracy, of_teacher = (accuracies(one, run.config.pck_threshold) for one in (found, before))
    copied = reduce(
        _of_networks(library.copies_of_teacher, setting, network),
        trained,
        evaluation,
        batch_size=2 * setting.config.batch_size,
        mesh=run.job.options.mesh,
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
        print(f"step {step}, {names[old]} from {' and '.join(names[k] for k in new)}: ", end="")
        tell(names[old], ka_net, values)
    return metrics


def tell(old: str, ka_net: KaNet, values: Mapping[str, float]) -> None:
    """Prints what `diagnoses` has found of a triple, and warnings."""
    judged = "not measured on held-out images, which have no point of it"
    if np.isfinite(values["teacher"]):
        judged = f"KA-Net {values['ka_net']:.3f}, the old model {values['teacher']:.3f}"
    errors = ""
    if values["wrong"]:
        errors = (
            f"; of its {values['wrong']:.0f} large errors {values['copy_rate']:.0%} are copied, "
            f"{values['copy_rate_by_chance']:.0%} by chance"
        )
    print(
        f"{judged}; {values['reach']:.0%} within the reach of {ka_net!r}, {values['copies']:.0%} "
        f"copies{errors}"
    )
    if values["reach"] < ENOUGH_REACH:
        print(
            f"warning: {old}: KA-Net's reach covers {values['reach']:.0%} of the images; choose a nearer "
            "triple or --ka-variant wide"
        )
    if values["input"] > SEES:
        print(
            f"warning: {old}: KA-Net sees {values['input']:.2f} of its teacher's own evidence, more than "
            f"{SEES}, and can copy the answer; choose a smaller --input-sigma, or larger maps"
        )
    if values["copies"] > COPIES:
        print(
            f"warning: {old}: KA-Net answers as its teacher on {values['copies']:.0%} of the images; it "
            "has associated nothing"
        )


def over_triples(metrics: Mapping[str, float]) -> dict[str, float]:
    """Returns means over the triples of all steps.

    association/ka_net and association/teacher are PCK, association/closed the share of the
    teachers' errors that KA-Net does not make, association/input the largest mean input at an old
    point, association/left_out the share of triples that teach nothing, 0 without a gate.
    association/copy_rate and that by chance are over all large errors of the old models.
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
    inputs = [value for key, value in metrics.items() if key.endswith("/input")]
    if inputs:
        found["association/input"] = max(inputs)
    errors = 1 - found.get("association/teacher", 1.0)
    if errors > 0:
        gained = found["association/ka_net"] - found["association/teacher"]
        found["association/closed"] = gained / errors
    if "association/used" in found:
        found["association/left_out"] = 1 - found.pop("association/used")
    return found


# Measures and predictions of the library, built once for each network


@functools.lru_cache(maxsize=32)
def _of_networks(build: Callable, setting: Setting, *more: Any) -> Callable:
    return build(setting.setup.model, setting.setup.codec, setting.setup.normalise, *more)
