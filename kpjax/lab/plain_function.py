"""A method's `predict` as a function of plain containers, which can be compiled and written to a
file.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from kpjax import Example, Method, Trained
from kpjax.training.trees import named_leaves, on_host

PlainPredict = Callable[[Mapping[str, jax.Array], jax.Array], dict[str, jax.Array]]


def plain_weights(trained: Trained) -> dict[str, np.ndarray]:
    """Returns all arrays `predict` may read, by path, such as `variables/params/conv1/kernel`."""
    return {
        path: np.array(on_host(leaf), order="C")
        for path, leaf in named_leaves(_tree(trained)).items()
    }


def plain_predict(method: Method, trained: Trained) -> PlainPredict:
    """Returns a method's `predict` as a function of plain containers, which can be compiled and
    written to a file.

    It maps (weights by path, images (B, S, S, 3) uint8) to {"keypoints": (B, K, 2), "scores": (B,
    K)}, both float32. Keypoints are (x, y) in pixels of the images, the centre of the top-left
    pixel at (0, 0). B may be symbolic.
    trained: only its containers are read; the arrays come with each call, so that none becomes a
    constant.
    """
    count, structure, names = (
        len(method.skeleton.names),
        jax.tree.structure(_tree(trained)),
        tuple(named_leaves(_tree(trained))),
    )

    def predict(weights: Mapping[str, jax.Array], images: jax.Array) -> dict[str, jax.Array]:
        tree = jax.tree.unflatten(structure, [weights[name] for name in names])
        found = method.predict(Trained(**tree), without_labels(images, count))
        return {
            "keypoints": found.keypoints.astype(jnp.float32),
            "scores": found.scores.astype(jnp.float32),
        }

    return predict


def without_labels(images: jax.Array, count: int) -> Example:
    """Returns images (B, S, S, 3) uint8 as a batch of examples without a label; B may be
    symbolic."""
    batch = images.shape[0]
    return Example(
        images,
        jnp.zeros((batch, count, 2), jnp.float32),
        jnp.zeros((batch, count), jnp.float32),
        jnp.ones((batch,), jnp.float32),
        jnp.broadcast_to(jnp.eye(3, dtype=jnp.float32)[None], (batch, 3, 3)),
        jnp.zeros((batch,), jnp.int32),
    )


def _tree(trained: Trained) -> dict:
    return {"variables": trained.variables, "frozen": trained.frozen}
