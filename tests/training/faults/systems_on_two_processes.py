"""The demo of each system on two processes with four devices each, and on one with eight: what differs.

python tests/training/faults/systems_on_two_processes.py --steps 4 [SYSTEM ...] [FLAGS of the demo]

Prints for each variant how many predicted keypoints lie more than 0.05 px apart and the largest distance, and ends with
code 1 if the accuracy of a table differs by more than one keypoint. By default all five systems with the variants that
their demos run; about 10 minutes a system on two cores.
"""
import argparse
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parents[3]
SYSTEMS = ("regda", "semi_supervised", "incremental", "pyramids", "adaptation")
APART = 0.05  # px


def start(system, flags, workdir, devices, *hosts):
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT),
                                "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
    return subprocess.Popen([sys.executable, "-m", f"experiments.{system}", "demo", *flags, "--workdir", str(workdir),
                             *hosts], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def on_one_and_two(system, flags, place):
    """Runs the demo on one process, and on two; the folders of both. Ends this process where one of them fails."""
    for name, devices, processes in (("one", 8, 1), ("two", 4, 2)):
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        hosts = ["--coordinator", f"localhost:{port}", "--num-processes", str(processes), "--process-id"]
        began = time.monotonic()
        children = [start(system, flags, place / name, devices, *hosts * (processes > 1), *[str(number)] *
                          (processes > 1)) for number in range(processes)]
        said = [child.communicate()[0] for child in children]
        print(f"{system} on {processes} process{'es' * (processes > 1)}: "
              f"codes {[child.returncode for child in children]} in {time.monotonic() - began:.0f} s", flush=True)
        if any(child.returncode for child in children):
            sys.exit("\n".join(said))
        if processes > 1 and (spoken := [line for line in said[1].splitlines() if not line.startswith("[Gloo]")]):
            print("process 1 spoke, too:", *spoken[:5], sep="\n  ")
        reports = list((place / name).rglob("report.html"))
        if len(reports) != 1:
            sys.exit(f"reports: {reports}")
    return place / "one", place / "two"


def compare(one, two):
    """Prints a line for each run; returns whether all tables agree."""
    import numpy as np

    from experiments.system import read_predictions
    from kpjax.files import read_json

    agree = True
    for path in sorted(one.rglob("results.json")):
        other = two / path.relative_to(one)
        if not other.exists():
            print(f"{path.parent.relative_to(one)}: missing on two processes")
            agree = False
            continue
        a, b = read_json(path)["metrics"], read_json(other)["metrics"]
        found, seen = read_predictions(path.parent), read_predictions(other.parent)
        distances = {name: np.abs(found[name].keypoints - seen[name].keypoints).max(-1) for name in found}
        count = sum(distance.size for distance in distances.values())
        moved = sum(int((distance > APART).sum()) for distance in distances.values())
        largest = max((float(distance.max()) for distance in distances.values() if distance.size), default=0.0)
        shares = {name: abs(a[name] - b[name]) for name in a if "pck" in name and name in b}
        worst = max(shares.values(), default=0.0)
        smallest = min((distance.size for distance in distances.values() if distance.size), default=1)
        agree &= worst <= 1 / smallest + 1e-6
        print(f"{path.parent.relative_to(one)}: {moved} of {count} keypoints are more than {APART} px apart, at most "
              f"{largest:.3g} px; PCK differs by {worst:.2g} at most; metrics {sorted(set(a) ^ set(b)) or 'alike'}",
              flush=True)
    return agree


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("systems", nargs="*", help=", ".join(SYSTEMS))
    arguments, flags = parser.parse_known_args()
    agree = True
    for system in arguments.systems or SYSTEMS:
        with tempfile.TemporaryDirectory() as place:
            one, two = on_one_and_two(system, ["--steps", str(arguments.steps), *flags], pathlib.Path(place))
            agree &= compare(one, two)
    sys.exit(not agree)


if __name__ == "__main__":
    main()
