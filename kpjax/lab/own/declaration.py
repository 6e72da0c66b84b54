"""A system on people's own data as one declaration, and the `System` that is made from it."""
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import jax

from kpjax.files import make_folder
from kpjax.input.source import Source
from kpjax.lab.animals.calibration import drawn_from
from kpjax.lab.formats.several_animals import crowd_of
from kpjax.lab.out.reports.pixel_errors import HELD_OUT, metrics_of, write_errors
from kpjax.lab.own.animals import Opened, found_text, keep_finder, learnt_finder
from kpjax.lab.own.command import OWN_PARTS
from kpjax.lab.own.pixel_errors import OF_PART, Part, animals_of, scores_of, write_meaning_of_scores
from kpjax.systems.system import OWN, Job, Outcome, StoredRun, System
from kpjax.training.evaluation import Gathered


class OwnSystem(NamedTuple):
    """What a system asks of a person, what it chooses from that, and where it differs from the paper's system."""

    paper: System
    config: Any  # what a person gives, and settings: the preset `own`
    # (config, what was typed) -> the config with the rest chosen, each choice printed with its reason. Raises
    # InputError for what does not suit.
    resolved: Callable[[Any, Collection[str]], Any]
    open: Callable[[Job], Any]
    short_list: Callable[[Any], Sequence[str]]  # config -> the variants that run unless some are named
    applicable: Callable[[Any], Sequence[str]]
    # (job, data) -> the labelled animals by what they are for the run; one part is HELD_OUT, whose `scale` is the
    # diagonal of the labelled body. Runs keep their errors in pixels, what scores mean, and radii; none without parts.
    parts: Callable[[Job, Any], Mapping[str, Part]] = lambda job, data: {}
    # The project, and what of it is held out: runs on crops of several animals keep a network that finds them.
    opened: Opened | None = None
    found: Callable[[Any], Source | None] = lambda data: None  # of a run's data, crops of animals that it found itself
    differences: Mapping[str, Any] = MappingProxyType({})  # other fields of the System


def made(own: OwnSystem) -> System:
    """Makes the system with the one preset `own`.

    Beside what the paper's system writes, runs keep errors.csv, errors_by_keypoint.csv, score_table.json with the
    cutoff, radius_table.json with radii within which the truth lies, metrics such as `held_out/px`, and the network
    that finds animals.
    """
    system = own.paper._replace(
        presets={OWN: own.config}, template=own.config, own=OWN_PARTS, resolved=own.resolved, open=own.open,
        short_list=lambda preset, config: own.short_list(config),
        applicable=lambda preset, config: own.applicable(config), **own.differences)

    def train(job: Job, data: Any) -> Outcome:
        crowded = own.opened and not job.plan and job.config.data.transform == "around_box"
        if crowded and crowd_of(own.opened(job.config)[0]).most > 1:
            learnt = learnt_finder(job, own.opened)
            print(found_text(learnt.described["held_out"]))
            keep_finder(job, learnt, own.found(data))
        return system.train(job, data)

    def evaluated(job: Job, data: Any) -> dict[str, Source]:
        return dict(system.evaluated(job, data)) | {
            OF_PART + name: part.source for name, part in own.parts(job, data).items()}

    def measure(job: Job, data: Any, outcome: Outcome, predictions: Mapping[str, Gathered]) -> dict[str, float]:
        values = dict(system.measure(job, data, outcome, _of_paper(predictions)))
        if OF_PART + HELD_OUT not in predictions:
            return values
        animals = animals_of(own.parts(job, data), predictions)
        return values | metrics_of(animals, drawn_from(scores_of(predictions[OF_PART + HELD_OUT]).cutoff))

    def draw(job: Job, data: Any, outcome: Outcome, predictions: Mapping[str, Gathered]) -> None:
        system.draw(job, data, outcome, _of_paper(predictions))
        if jax.process_index() == 0 and OF_PART + HELD_OUT in predictions:
            kind = system.predicting(StoredRun(job.config, job.variant, outcome.method.skeleton)).score_kind
            make_folder(job.folder)
            animals, found = animals_of(own.parts(job, data), predictions), predictions[OF_PART + HELD_OUT]
            table = write_meaning_of_scores(job.folder, found, animals.by_part()[HELD_OUT].recordings, kind)
            write_errors(job.folder, animals, drawn_from(table.cutoff))

    return system._replace(train=train, evaluated=evaluated, measure=measure, draw=draw)


def _of_paper(predictions: Mapping[str, Gathered]) -> dict[str, Gathered]:
    return {name: found for name, found in predictions.items() if not name.startswith(OF_PART)}


def either(one: System, other: System, is_other: Callable[[Any], bool]) -> System:
    """Returns a system that is `other` for the configs that `is_other` picks, and has the variants of both."""
    def of(config: Any) -> System:
        return other if is_other(config) else one

    def by_job(name: str) -> Callable[..., Any]:
        return lambda job, *rest: getattr(of(job.config), name)(job, *rest)

    def by_config(name: str) -> Callable[..., Any]:
        return lambda config, *rest: getattr(of(config), name)(config, *rest)

    def by_preset(name: str) -> Callable[..., Any]:
        return lambda preset, config: getattr(of(config), name)(preset, config)

    return one._replace(
        variants={**one.variants, **other.variants},
        predicting=lambda stored: of(stored.config).predicting(stored),
        **{name: by_job(name) for name in ("open", "train", "evaluated", "measure", "draw")},
        **{name: by_config(name) for name in ("columns", "resolved", "shortened")},
        **{name: by_preset(name) for name in ("short_list", "applicable")})
