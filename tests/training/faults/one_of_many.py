"""One process of a run on several: trains 2 steps, goes on to 4, writes its result, and is stopped
in a next stage.

python one_of_many.py FOLDER PROCESS PROCESSES PORT
"""

import os
import pathlib
import signal
import sys

import jax
import numpy as np

sys.path[:0] = [str(pathlib.Path(__file__).parents[number]) for number in (1, 3)]


def main(folder, process, processes, port):
    if processes > 1:
        jax.distributed.initialize(f"localhost:{port}", num_processes=processes, process_id=process)
    from tiny import Batches, Images, tiny

    from kpjax.errors import RunError
    from kpjax.training.evaluation import predict_source
    from kpjax.training.fit import FitOptions, fit
    from kpjax.training.hosts import agreed
    from kpjax.training.process import Interrupted
    from kpjax.training.trees import save_trained

    if agreed("a number", lambda: process + 7) != 7:
        sys.exit("process 0 has not decided")
    try:
        agreed("no number", lambda: int("seven"))
    except (ValueError, RunError) as error:
        if isinstance(error, RunError) != bool(process):
            sys.exit(f"process 0 alone raises its own error, not {error!r}")
    method = tiny()
    for steps in (2, 4):
        fitted = fit(
            method,
            {"labelled": Batches()},
            steps=steps,
            key=jax.random.key(0),
            stage="main",
            folder=folder,
            config={},
            options=FitOptions(save_every=2, log_every=1, quiet=True),
        )
    found = predict_source(method, fitted.trained, Images(11), batch_size=8)
    if found.index.tolist() != list(range(11)):
        sys.exit(f"wrong examples: {found.index}")
    if process == 0:
        save_trained(folder / "result", fitted.trained)
        np.save(folder / "predictions.npy", found.keypoints)
    if processes == 1:
        return
    # A notice to one process that comes between two stages is answered by both in the next one. It
    # travels through a service that takes seconds, so no machine may be fast enough to come to the
    # end of that stage before.
    if process == 1:
        os.kill(os.getpid(), signal.SIGTERM)
    try:
        fit(
            method,
            {"labelled": Batches()},
            steps=10_000_000,
            key=jax.random.key(0),
            stage="next",
            folder=folder / "next",
            config={},
            options=FitOptions(save_every=10_000_000, quiet=True),
        )
    except Interrupted as stopped:
        print(stopped)
    else:
        sys.exit("the notice was never answered")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), *map(int, sys.argv[2:]))
