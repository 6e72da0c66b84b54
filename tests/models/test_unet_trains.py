"""The small U-net learns from its initial values."""
import jax
import jax.numpy as jnp
import numpy as np
import optax

from kpjax.models.unet import small_unet
from kpjax.optimization import descend


def test_it_finds_a_bright_dot_in_noise():
    """60 steps of Adam; the arg-max then falls on the dot's cell or beside it, in images that it has not seen."""
    network = small_unet(1, widths=(8, 16, 16))

    def draw(key, batch=16, side=32):
        place, noise = jax.random.split(key)
        cells = jax.random.randint(place, (batch, 2), 0, side // 4)
        grid = jnp.arange(side, dtype=jnp.float32)
        centres = 4 * cells[..., None].astype(jnp.float32) + 1.5
        square = jnp.exp(-jnp.square(grid[None, None] - centres) / 4)  # (batch, x or y, side)
        dot = square[:, 1, :, None] * square[:, 0, None, :]
        images = 2 * dot[..., None] + 0.5 * jax.random.normal(noise, (batch, side, side, 3))
        return images, cells

    @jax.jit
    def update(variables, optimizer_state, step):
        images, cells = draw(jax.random.fold_in(jax.random.key(1), step))

        def loss(params):
            heatmaps, mutated = network.apply(variables | {"params": params}, images, True, mutable=["batch_stats"])
            flat = jax.nn.log_softmax(heatmaps[..., 0].reshape(16, -1))
            return -jnp.take_along_axis(flat, (cells[:, 1] * 8 + cells[:, 0])[:, None], 1).mean(), mutated

        (_, mutated), gradient = jax.value_and_grad(loss, has_aux=True)(variables["params"])
        params, optimizer_state = descend(
            adam, gradient, optimizer_state, variables["params"], lambda step: jnp.float32(3e-3), step)
        return {"params": params} | mutated, optimizer_state

    adam = optax.scale_by_adam()
    variables = jax.jit(lambda key: network.init(key, draw(key)[0], False))(jax.random.key(0))
    optimizer_state = adam.init(variables["params"])
    for step in range(60):
        variables, optimizer_state = update(variables, optimizer_state, jnp.int32(step))
    images, cells = draw(jax.random.key(2))
    best = np.asarray(network.apply(variables, images, False)).reshape(16, -1).argmax(1)
    distance = np.abs(np.stack([best % 8, best // 8], 1) - np.asarray(cells)).max(1)
    assert (distance <= 1).mean() >= 0.9
