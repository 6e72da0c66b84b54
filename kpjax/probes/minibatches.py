"""What the trained probes share: the scale of their inputs, and the order in which they read examples."""
import numpy as np

LEAST_SPREAD = 1e-3  # of the widest feature: a narrower one is not blown up to the same size, it may be noise alone


def standardised(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(mean, deviation), each (F,) float64, of features (N, F); deviations are at least a thousandth of the largest."""
    centre, spread = features.mean(0), features.std(0)
    return centre, np.maximum(spread, max(LEAST_SPREAD * float(spread.max(initial=0.0)), 1e-12))


def minibatches(count: int, batch_size: int, steps: int, seed: int) -> np.ndarray:
    """(steps, batch_size) int64 numbers below `count`: one shuffled pass after the other, cut into batches.

    A batch may span two passes, so a set that is smaller than a batch does too.
    """
    generator = np.random.default_rng(seed)
    passes = -(-steps * batch_size // count)
    order = np.concatenate([generator.permutation(count) for _ in range(passes)])
    return order[:steps * batch_size].reshape(steps, batch_size)
