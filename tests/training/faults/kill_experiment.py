"""Kills a whole experiment at random moments of any of its stages; its models must be those of an undisturbed run.

python tests/training/faults/kill_experiment.py --times 10 incremental demo --steps 40 --variants kamp ewc
"""
import argparse
import hashlib
import pathlib
import random
import subprocess
import sys
import tempfile
import time


def start(arguments, workdir):
    name, *rest = arguments
    return subprocess.Popen([sys.executable, "-m", f"experiments.{name}", *rest, "--workdir", str(workdir)],
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def models(workdir):
    return {str(path.relative_to(workdir)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(workdir.rglob("model/*.safetensors"))}


def stages(workdir):
    return len(list(workdir.rglob("stage.json")))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("experiment", nargs=argparse.REMAINDER, help="its name, preset and flags")
    arguments = parser.parse_args()
    generator = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as place:
        undisturbed, disturbed = pathlib.Path(place, "undisturbed"), pathlib.Path(place, "disturbed")
        began = time.monotonic()
        said = start(arguments.experiment, undisturbed).communicate()[1]
        wanted, took = models(undisturbed), time.monotonic() - began
        if not wanted:
            sys.exit(said)
        print(f"undisturbed: {len(wanted)} models and {stages(undisturbed)} stages in {took:.0f} s", flush=True)
        number = 0
        while number < arguments.times:
            child = start(arguments.experiment, disturbed)
            try:
                said = child.communicate(timeout=generator.uniform(0.1, 0.5) * took)[1]
            except subprocess.TimeoutExpired:
                child.kill()
                child.communicate()
                number += 1
                print(f"{number}: killed, {stages(disturbed)} stages finished", flush=True)
                continue
            if child.returncode or models(disturbed) != wanted:
                sys.exit(f"DIFFERENT: {said}")
            # It ended before the kill: its end is right, and the rest of the kills go to a new run.
            disturbed = pathlib.Path(place, f"disturbed-{number}")
        said = start(arguments.experiment, disturbed).communicate()[1]
        if models(disturbed) != wanted:
            sys.exit(f"DIFFERENT: {said}")
        print(f"{number} kills, and the end is the same, bit for bit")


if __name__ == "__main__":
    main()
