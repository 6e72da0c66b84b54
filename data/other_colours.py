"""Real images in other colours: a domain whose shift is known, where no second camera has seen the
animal.
"""

import numpy as np

from kpjax.input.source import Source, map_examples
from kpjax.structures import Example

# rows: new red, green and blue
MIX = np.array([[0.2, 0.5, 0.3], [0.5, 0.1, 0.4], [0.1, 0.2, 0.7]], np.float32)
LIGHT = np.array([0.9, 0.6, 0.75], np.float32)  # colour of a white pixel


def in_other_colours(source: Source, *, noise: float = 0.06) -> Source:
    """Returns the same labelled images as another camera might show them: inverted, in other
    colours, with noise.

    source: images (H, W, 3) uint8. noise: deviation of a pixel's Gaussian noise, of the range of a
    channel, drawn by the example's number, so that every access shows the same image.
    """

    def change(example: Example, number: int) -> Example:
        shown = 1 - np.asarray(example.image, np.float32) / 255
        grains = np.random.default_rng(number).normal(0.0, noise, shown.shape)
        image = np.clip(shown @ MIX.T * LIGHT + grains, 0, 1)
        return example._replace(image=np.round(255 * image).astype(np.uint8))

    return map_examples(
        source, change, MIX, LIGHT, f"noise {noise:g}", name=f"{source.name}, other colours"
    )
