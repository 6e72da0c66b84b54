"""A run that `kill.py` kills: python trained_child.py FOLDER.

Prints `ready` when it is about to train, and the digest of its final state at the end.
"""
import os
import pathlib
import sys

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
os.environ["JAX_PLATFORMS"] = "cpu"
sys.path[:0] = [str(pathlib.Path(__file__).parents[number]) for number in (1, 3)]


def main(folder):
    import jax
    import numpy as np
    from tiny import Batches, Images, tiny

    from kpjax.errors import InputError, RunError
    from kpjax.training.evaluation import predict_source
    from kpjax.training.fit import FitOptions, Select, fit
    from kpjax.training.process import Interrupted
    from kpjax.training.trees import tree_digest

    width = 7_700  # of 4 MB: two matrices and their velocities in float32, averages in bfloat16
    method = tiny(width=width, rate=0.01 / width)

    def error_of(state):
        found = predict_source(method, state, Images(10, seed=3), batch_size=8)
        return {"error": np.abs(found.keypoints - found.true_keypoints).mean()}

    print("ready", flush=True)
    try:
        fitted = fit(method, {"labelled": Batches()}, steps=400, key=jax.random.key(0), stage="main", folder=folder,
                     config={}, evaluate=(40, error_of), select=Select("error", "min"),
                     options=FitOptions(save_every=7, quiet=True))
    except (InputError, RunError) as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        sys.exit(error.exit_code if isinstance(error, Interrupted) else 2 if isinstance(error, InputError) else 1)
    print("digest", tree_digest([fitted.last._asdict(), fitted.trained._asdict()]), fitted.step, flush=True)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
