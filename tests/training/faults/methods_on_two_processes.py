"""Every method on two processes with four devices each, against one process with eight: the same parameters.

python tests/training/faults/methods_on_two_processes.py [NAME ...]      (all methods by default; some minutes)
"""
import os
import pathlib
import socket
import subprocess
import sys
import tempfile

STEPS = 3
TESTS = pathlib.Path(__file__).parents[2]


def train(folder, process, processes, port, names):
    """Three steps of each method, whose parameters process 0 writes."""
    import jax

    if processes > 1:
        jax.distributed.initialize(f"localhost:{port}", num_processes=processes, process_id=process)
    from tiny_parts import BATCH, build, endless, factories, start

    from kpjax.input.stream import stream
    from kpjax.training.fit import FitOptions, fit
    from kpjax.training.trees import save_trained

    for name, factory in factories().items():
        if names and name not in names:
            continue
        method = build(factory)
        streams = {each: stream(endless(each).source, batch_size=BATCH, seed=0, process_index=process,
                                process_count=processes) for each in method.streams}
        fitted = fit(method, streams, steps=STEPS, key=jax.random.key(0), stage="main", folder=folder / name,
                     start=start(), config={}, options=FitOptions(quiet=True))
        if process == 0:
            save_trained(folder / name / "result", fitted.trained)


def compare(one, two):
    """Prints the largest difference of any leaf, as a share of its norm, for each method; 1 if one is above 1e-4."""
    import numpy as np
    from safetensors.numpy import load_file

    worst_of_all = 0.0
    for folder in sorted(one.iterdir()):
        leaves = [load_file(root / folder.name / "result" / "trained.safetensors") for root in (one, two)]
        worst = max(np.linalg.norm(leaves[0][name] - leaves[1][name]) / (np.linalg.norm(leaves[0][name]) + 1e-2)
                    for name in leaves[0])
        print(f"{folder.name}: {worst:.1e}", flush=True)
        worst_of_all = max(worst_of_all, worst)
    return int(worst_of_all > 1e-4)


def main(names):
    """Starts three processes one after another and compares what they wrote."""
    with tempfile.TemporaryDirectory() as place, socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
        free.close()
        place = pathlib.Path(place)

        def started(folder, process, processes):
            environment = os.environ | {"KPJAX_TEST_DEVICES": str(8 // processes)}
            return subprocess.Popen([sys.executable, __file__, "--child", str(place / folder), str(process),
                                     str(processes), port, *names], env=environment)

        for children in ([started("one", 0, 1)], [started("two", process, 2) for process in range(2)]):
            if any(child.wait() for child in children):
                return 1
        return compare(place / "one", place / "two")


if __name__ == "__main__":
    sys.path[:0] = [str(TESTS.parent), str(TESTS / "methods")]
    if sys.argv[1:2] == ["--child"]:
        os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={os.environ['KPJAX_TEST_DEVICES']}"
        os.environ["JAX_PLATFORMS"] = "cpu"
        train(pathlib.Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5], sys.argv[6:])
    else:
        raise SystemExit(main(sys.argv[1:]))
