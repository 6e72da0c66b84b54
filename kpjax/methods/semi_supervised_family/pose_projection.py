"""Predictions that are moved to a subspace of poses: the control of training with `pose_subspace_term`."""
from collections.abc import Callable, Mapping

from kpjax import geometry
from kpjax.losses.pose_subspace import PoseSubspace, onto_subspace
from kpjax.structures import Example, Prediction, Trained


def projected_predict(predict: Callable[[Trained, Example], Prediction]) -> Callable[[Trained, Example], Prediction]:
    """Builds a `predict` whose poses lie in `frozen["subspace"]`, a `PoseSubspace` of the original images' pixels."""

    def projected(state: Trained, example: Example) -> Prediction:
        found, subspace = predict(state, example), state.frozen["subspace"]
        if isinstance(subspace, Mapping):  # as a file returns it
            subspace = PoseSubspace(**subspace)
        poses = geometry.move_points(example.crop, found.keypoints)
        poses = onto_subspace(poses.reshape(poses.shape[0], -1), subspace).reshape(poses.shape)
        return found._replace(keypoints=geometry.move_points(geometry.invert(example.crop), poses))

    return projected
