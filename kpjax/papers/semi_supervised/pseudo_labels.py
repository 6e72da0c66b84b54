"""Learning from the labels that another variant's result gives to images without."""

import functools

import numpy as np

from kpjax import Method, Skeleton, Trained, geometry, methods
from kpjax.input.source import Source, with_labels
from kpjax.papers.engine import Job, Stages, StagesOf, Work
from kpjax.papers.semi_supervised.config import Config
from kpjax.papers.semi_supervised.stages import Data, own_stage, setup_of, warm_start
from kpjax.training.evaluation import predict_source
from kpjax.training.run_folder import kept_arrays
from kpjax.training.trees import json_digest


def averaging(method: Method, config: Config, skeleton: Skeleton) -> Method:
    """Returns a method whose predictions are averaged over transforms, as those of a teacher of
    pseudo-labels.
    """
    setup = setup_of(config, skeleton)
    predict = methods.distilled_predict(
        setup.model, setup.codec, setup.normalise, skeleton, flip=config.augment.flip
    )
    return method._replace(predict=predict)


def learnt_from(teacher: str, *, averaged: bool = True, agreeing: bool = False) -> StagesOf:
    """Returns the stages of a variant that learns from labels which another one's result gives.

    averaged, agreeing: see `pseudo_labelled`.
    """

    def stages(job: Job, data: Data) -> Stages:
        before = yield from warm_start(job, data)
        found = yield job._replace(variant=teacher)
        labels = yield Work(
            lambda: pseudo_labelled(
                job, data, teacher, found.trained, averaged=averaged, agreeing=agreeing
            )
        )

        def sources() -> dict[str, Source]:
            return data.sources | ({"unlabelled": labels} if labels else {})

        return (yield from own_stage(job, data, sources, job.config.steps, before, taught=True))

    return stages


def pseudo_labelled(
    job: Job,
    data: Data,
    teacher: str,
    trained: Trained,
    *,
    averaged: bool = True,
    agreeing: bool = False,
) -> Source:
    """Returns the unlabelled images under the labels that the finished teacher gives them; made
    once and kept.

    averaged: whether the teacher's heatmaps are averaged over transforms. agreeing: whether only
    points on which two of its views agree are labels.
    """
    plain = job.paper.variants[teacher].method(job.config, data.skeleton)
    method = averaging(plain, job.config, data.skeleton) if averaged else plain

    def make() -> dict[str, np.ndarray]:
        predicted = functools.partial(
            predict_source,
            state=trained,
            source=data.plain_unlabelled or data.unlabelled,
            batch_size=2 * job.config.batch_size,
        )
        found = predicted(method)
        visible = np.stack([data.labelled[number].visible for number in range(len(data.labelled))])
        labels = methods.pseudo_labels(found.keypoints, found.scores, visible)
        if agreeing:
            turned = methods.turned_predict(plain.predict, data.skeleton)
            views = (predicted(one).keypoints for one in (plain, plain._replace(predict=turned)))
            labels = methods.where_views_agree(labels, *views, side=job.config.data.image_size)
        if loaded := job.config.data.loaded(job.config.augment.reach):
            moved = geometry.move_points(geometry.invert(loaded.to_plain), labels.keypoints)
            labels = labels._replace(keypoints=np.asarray(moved))
        print(
            f"{job.title}: {int(labels.visible.sum())} of {labels.visible.size} predictions on "
            f"unlabelled images are kept, peaks from {labels.threshold:.3f}"
        )
        return {"keypoints": labels.keypoints, "visible": labels.visible}

    name = f"{data.unlabelled.name.removesuffix(' without labels')} under pseudo-labels"
    of_this_run = json_digest(job.identity(**data.identity))[:16]
    labels = kept_arrays(job.folder / f"pseudo_labels-{of_this_run}.npz", make)
    return with_labels(data.unlabelled, **labels, name=name)
