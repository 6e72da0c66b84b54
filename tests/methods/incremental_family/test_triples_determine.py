"""A made case: two new keypoints determine the old one, and the old model errs. KA-Net must then know better.

The old keypoint lies midway between the new ones. On two images of five the old model's map has its peak anywhere
else, far from both. Its features hold that map as it is, so that a KA-Net which sees them can copy it. Points are whole
cells: many of the wrong peaks lie at the border, where DARK reads what a map would be beyond it, and tells maps apart
that have their peak in the same cell.
"""
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from kpjax.augment.augmentations import no_augmentation
from kpjax.heatmaps import codec, decode_argmax, gaussian_bumps
from kpjax.methods.incremental_family.association import association, association_predict, copies_of_teacher
from kpjax.methods.incremental_family.step_spec import increment
from kpjax.methods.setup import Setup
from kpjax.models.association import AssociationNetwork
from kpjax.structures import Example, Skeleton, Trained

SIDE, WRONG, WIDTH, STEPS, BATCH = 16, 0.4, 8, 300, 32
CODEC = codec(image_size=SIDE, heatmap_size=SIDE, sigma=1.25, rounded=False, window=None, keep="window",
              decoder=decode_argmax)
STEP = increment(3, old=[0], new=[1, 2], triples=[(0, 1, 2)])


class OldModel(nn.Module):
    """Reads its answer from the red channel of the image; the other features are constant."""

    def features(self, images, train):
        del train
        return jnp.concatenate([images[..., :1], jnp.ones((*images.shape[:-1], WIDTH - 1))], -1)

    def regress(self, features, train):
        del train
        return jnp.concatenate([features[..., :1], jnp.zeros((*features.shape[:-1], 2))], -1)

    def __call__(self, images, train):
        return self.regress(self.features(images, train), train)


def made(count: int, seed: int) -> tuple[Example, np.ndarray]:
    """Makes a batch, and says where the old model errs."""
    draw = np.random.default_rng(seed)
    middle = draw.uniform(5, 10, (count, 2))
    angles = draw.uniform(0, 2 * np.pi, count)
    half = draw.uniform(1.2, 2.4, (count, 1)) * np.stack([np.cos(angles), np.sin(angles)], -1)
    new = np.stack([middle + half, middle - half], 1)
    wrong = draw.random(count) < WRONG
    elsewhere = (middle + SIDE / 2 + draw.uniform(-2, 2, (count, 2))) % SIDE
    told = np.where(wrong[:, None], elsewhere, middle)
    maps = np.asarray(gaussian_bumps(jnp.asarray(told[:, None], jnp.float32), (SIDE, SIDE), 1.25, window=None))
    images = np.repeat((255 * maps).round().astype(np.uint8), 3, -1)
    points = np.concatenate([middle[:, None], new], 1).astype(np.float32)
    return Example(images, points, np.ones((count, 3), np.float32), np.full(count, SIDE, np.float32),
                   np.tile(np.eye(3, dtype=np.float32), (count, 1, 1)), np.arange(count, dtype=np.int32)), wrong


def learnt(input_sigma: float):
    """Trains a KA-Net. Returns PCK at a tenth of the side of the old model and of KA-Net, and the copy rates."""
    network = AssociationNetwork("paper", input_sigma=input_sigma)
    parts = {"model": OldModel(), "codec": CODEC, "normalise": lambda images: images, "network": network}
    setup = Setup(parts["model"], Skeleton(("old", "first", "second")), CODEC, optax.scale_by_adam(),
                  optax.cosine_decay_schedule(1e-2, STEPS), no_augmentation(), parts["normalise"])
    method = association(setup, network=network)
    examples, _ = made(512, 0)
    batches = [jax.tree.map(lambda leaf, at=at: leaf[at:at + BATCH], examples) for at in range(0, 512, BATCH)]
    state = jax.jit(method.init)(jax.random.key(0), {"labelled": batches[0]}, {"teacher": {}, "increment": STEP})
    update = jax.jit(method.update)
    for number in range(STEPS):
        state, _ = update(state, {"labelled": batches[number % len(batches)]}, jax.random.key(1))
    trained, (fresh, wrong) = Trained(state.variables, state.frozen), made(256, 1)
    blind, seeing = (np.asarray(jax.jit(predict)(trained, fresh).keypoints)[:, 0]
                     for predict in (method.predict, association_predict(**parts)))
    hits = [np.linalg.norm(found - fresh.keypoints[:, 0], axis=-1) <= 0.1 * SIDE for found in (blind, seeing)]
    sums = jax.jit(copies_of_teacher(**parts))(trained, fresh, jnp.ones(len(wrong)))
    rates = [float(sums[name][0] / sums["wrong"][0]) for name in ("wrong_copied", "wrong_copied_by_chance")]
    return hits[0].mean(), hits[1].mean(), *rates


@pytest.mark.slow
def test_ka_net_knows_better_than_its_teacher():
    of_old_model, of_ka_net, copied, by_chance = learnt(0.5)
    assert of_old_model < 0.7
    assert of_ka_net > 0.9
    assert max(copied, by_chance) < 0.1


@pytest.mark.slow
def test_a_ka_net_that_sees_the_answer_copies_its_teacher():
    of_old_model, of_ka_net, copied, _ = learnt(8.0)
    assert of_ka_net == pytest.approx(of_old_model, abs=0.05)
    assert copied > 0.4
