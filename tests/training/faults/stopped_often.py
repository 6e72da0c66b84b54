"""A training that SIGTERM stops fifty times, at random moments of its steps, and that goes on each
time; compares it with one that nothing stops.

python stopped_often.py FOLDER
"""

import os
import pathlib
import random
import signal
import sys
import threading

import jax
import numpy as np

STOPS = 50


class Stopping:
    """Batches; some time after the third one was read, the process is asked to stop. The first shows
    shapes before a training begins.
    """

    def __init__(self, batches, seconds):
        self.batches, self.seconds, self.read = batches, seconds, 0

    def __getattr__(self, name):
        return getattr(self.batches, name)

    def __getitem__(self, step):
        self.read += 1
        if self.read == 3:
            threading.Timer(self.seconds, os.kill, (os.getpid(), signal.SIGTERM)).start()
        return self.batches[step]


def main(folder):
    import kpjax
    from kpjax.input.source import arrays
    from kpjax.input.stream import stream
    from kpjax.losses.heatmap import heatmap_mse
    from kpjax.training.fit import FitOptions, fit
    from kpjax.training.process import Interrupted
    from kpjax.training.trees import tree_digest

    skeleton = kpjax.Skeleton(("a", "b"))
    values = np.random.default_rng(0)
    images = values.integers(0, 256, (16, 64, 64, 3), np.uint8)
    points = values.uniform(8, 56, (16, 2, 2)).astype(np.float32)
    source = arrays(images, points, np.ones((16, 2)), skeleton, "noise")
    setup = kpjax.methods.default_setup(skeleton, image_size=64)
    method = kpjax.methods.supervised(setup, loss=heatmap_mse)

    batches = stream(source, batch_size=8, seed=0)

    def train(place, steps, batches=batches):
        return fit(
            method,
            {"labelled": batches},
            steps=steps,
            key=jax.random.key(0),
            stage="main",
            folder=place,
            config={},
            options=FitOptions(save_every=1_000_000, quiet=True),
        )

    moments, step = random.Random(0), -1
    for _ in range(STOPS):
        try:
            train(folder / "stopped", 10_000_000, Stopping(batches, moments.uniform(0.0, 0.5)))
        except Interrupted as stopped:
            before, step = step, int(str(stopped).split("step ")[1].split()[0])
            if step < before:
                sys.exit(f"step {step} is saved, after {before}")
    often, once = (train(folder / name, step + 1) for name in ("stopped", "whole"))
    if tree_digest(often.last) != tree_digest(once.last):
        sys.exit("it is another network than one that nothing stopped")
    print(f"{STOPS} stops in {step} steps")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
