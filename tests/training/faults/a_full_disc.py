"""One of two processes that train together while the disc of process 0 refuses everything from its
n-th operation on, for every n; then a file that may not grow, and a state that differs.

python a_full_disc.py FOLDER PROCESS PORT
"""

import contextlib
import os
import pathlib
import resource
import sys

import jax

sys.path[:0] = [
    str(pathlib.Path(__file__).parents[1]),
    str(pathlib.Path(__file__).parents[2] / "faults"),
    str(pathlib.Path(__file__).parents[3]),
]


def main(folder, process, port):
    jax.distributed.initialize(f"localhost:{port}", num_processes=2, process_id=process)
    from ended import Disc
    from tiny import Batches, tiny

    from kpjax.errors import InputError, RunError
    from kpjax.training.fit import FitOptions, fit
    from kpjax.training.hosts import agreed, of_all
    from kpjax.training.trees import tree_digest

    method = tiny()

    def train(place, method=method):
        fitted = fit(
            method,
            {"labelled": Batches()},
            steps=4,
            key=jax.random.key(0),
            stage="main",
            folder=place,
            config={},
            options=FitOptions(save_every=2, log_every=1, quiet=True),
        )
        return tree_digest(fitted.trained)

    def refused(place, disc, method=method):
        with disc:
            try:
                train(place, method)
            except (InputError, RunError) as error:
                return str(error)
        return ""

    whole, number, counts = train(folder / "whole"), 0, 1
    while counts:
        number += 1
        place = folder / str(number)
        disc = Disc(place, "full", number) if process == 0 else contextlib.nullcontext()
        first, second = of_all("what was said", refused(place, disc))
        if first != second or ("No space left" not in first and first):
            sys.exit(f"operation {number}: {first!r} on process 0, and {second!r} on process 1")
        counts = agreed("counting", lambda disc=disc, number=number: disc.count >= number)
        print(f"operation {number}: {first}", flush=True)
        if train(place) != whole:
            sys.exit(f"operation {number}: going on gives another result")
    print(f"{number - 1} operations", flush=True)

    # Arrays are written by another library, which asks the system.
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    if process == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (700, before[1]))
    said = of_all("what was said", refused(folder / "limit", contextlib.nullcontext()))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    if "too large" not in said[0] or said[0] != said[1]:
        sys.exit(f"a limit of the size of files: {said}")
    if train(folder / "limit") != whole:
        sys.exit("a limit of the size of files: going on gives another result")

    other = tiny(rate=0.01 * (1 + process))
    said = of_all("what was said", refused(folder / "other", contextlib.nullcontext(), other))
    if "process 1 differs from process 0: " not in said[0] or said[0] != said[1]:
        sys.exit(f"states that differ: {said}")
    if list((folder / "other" / "checkpoints").iterdir()):
        sys.exit("states that differ were saved")
    print("all refused alike", flush=True)
    # As a command ends that has failed, see `kpjax.papers.parsing.exit_code_of`: orbax's threads wait
    # ten minutes for folders that could not be made.
    of_all("the end", "")
    os._exit(0)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), *map(int, sys.argv[2:]))
