"""The demo of each system on two processes with four devices each, and on one with eight: what differs.

python tests/training/faults/systems_on_two_processes.py [--steps 1] [SYSTEM ...] [FLAGS of the demo]

Prints for each variant how many predicted keypoints lie more than 0.05 px apart and the largest distance. Sums over
devices are ordered in another way, and Adam makes whole steps of rounding: what that alone does is seen beside, on one
process with four devices. Ends with code 1 if two processes move an accuracy by more than one keypoint more than that.
By default all five systems with the variants that their demos run; about five minutes a system on two cores.
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


def on(processes, devices, system, flags, folder):
    """Runs a demo. Ends this process where one of its own fails, or if there is not one report."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    began = time.monotonic()
    children = [start(system, flags, folder, devices, *(["--coordinator", f"localhost:{port}", "--num-processes", "2",
                                                         "--process-id", str(number)] if processes > 1 else []))
                for number in range(processes)]
    said = [child.communicate()[0] for child in children]
    print(f"{system} on {processes} x {devices} devices: codes {[child.returncode for child in children]} in "
          f"{time.monotonic() - began:.0f} s", flush=True)
    if any(child.returncode for child in children):
        sys.exit("\n".join(said))
    if processes > 1 and (spoken := [line for line in said[1].splitlines() if not line.startswith("[Gloo]")]):
        print("process 1 spoke, too:", *spoken[:5], sep="\n  ")
    if len(reports := list(folder.rglob("report.html"))) != 1:
        sys.exit(f"reports: {reports}")


def compare(one, two):
    """Prints a line for each run; returns by how many keypoints its accuracies differ at most."""
    import numpy as np

    from experiments.engine.system import read_predictions
    from kpjax.files import read_json

    differences = {}
    for path in sorted(one.rglob("results.json")):
        folders = path.parent, two / path.parent.relative_to(one)
        a, b = (read_json(folder / "results.json")["metrics"] for folder in folders)
        found, seen = map(read_predictions, folders)
        distances = [np.abs(found[name].keypoints - seen[name].keypoints).max(-1, initial=0) for name in found]
        apart = np.concatenate([np.zeros(0), *map(np.ravel, distances)])
        accuracies = {name: abs(a[name] - b[name]) for name in a if name.rpartition("/")[2] in ("pck", "auc")}
        # Of the smallest set, one keypoint is most.
        one_keypoint = 1 / max(min((distance.size for distance in distances), default=1), 1)
        worst = max(accuracies.values(), default=0.0) / one_keypoint if set(a) == set(b) else np.inf
        largest, metric = max(((abs(a[name] - b[name]) / max(abs(a[name]), 1e-6), name) for name in set(a) & set(b)),
                              default=(0.0, "none"))
        differences[path.parent.relative_to(one)] = worst
        print(f"  {path.parent.relative_to(one)}: {(apart > APART).sum()} of {apart.size} keypoints are more than "
              f"{APART} px apart, at most {apart.max(initial=0):.2g} px; PCK differs by {worst:.1f} keypoints "
              f"at most, any metric by {largest:.1%} ({metric})", flush=True)
    return differences


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("systems", nargs="*", help=", ".join(SYSTEMS))
    arguments, flags = parser.parse_known_args()
    agree, flags = True, ["--steps", str(arguments.steps), *flags]
    for system in arguments.systems or SYSTEMS:
        with tempfile.TemporaryDirectory() as place:
            folders = {pair: pathlib.Path(place, "x".join(map(str, pair))) for pair in ((1, 8), (1, 4), (2, 4))}
            for (processes, devices), folder in folders.items():
                on(processes, devices, system, flags, folder)
            print(" one process with four devices beside it with eight")
            rounding = compare(folders[1, 8], folders[1, 4])
            print(" two processes with four devices each beside one with eight")
            found = compare(folders[1, 8], folders[2, 4])
            agree &= all(found[run] <= rounding[run] + 1.01 for run in rounding)
    sys.exit(not agree)


if __name__ == "__main__":
    main()
