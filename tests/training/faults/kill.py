"""Kills a run (kill -9) again and again at random moments; it must end as an undisturbed run ends.

python tests/training/faults/kill.py TIMES
"""
import pathlib
import random
import subprocess
import sys
import tempfile
import time

CHILD = pathlib.Path(__file__).parent / "trained_child.py"
LONGEST = 2.0  # seconds until the signal


def start(folder):
    child = subprocess.Popen([sys.executable, str(CHILD), str(folder)], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True)
    said = []
    while "ready\n" not in said:
        said.append(child.stdout.readline())
        if not said[-1]:
            sys.exit("".join(said))
    return child


def steps(folder):
    return sorted(int(path.name) for path in (folder / "checkpoints").glob("*") if path.name.isdigit())


def main(times):
    generator = random.Random(0)
    with tempfile.TemporaryDirectory() as place:
        undisturbed = start(pathlib.Path(place, "undisturbed")).communicate()[0].splitlines()[-1]
        folder, number = pathlib.Path(place, "disturbed"), 0
        while number < times:
            before, child = steps(folder), start(folder)
            # One signal in four may come at any moment; the others once the run has got on.
            while number % 4 and child.poll() is None and steps(folder) == before:
                time.sleep(0.01)
            try:
                child.wait(generator.uniform(0, LONGEST))
            except subprocess.TimeoutExpired:
                child.kill()
            said = child.communicate()[0]
            if child.returncode == 0:
                if said.splitlines()[-1] != undisturbed:
                    sys.exit(f"DIFFERENT: {said}")
                # It ended before the signal: its end is right, and the rest of the signals go to a new run.
                folder = pathlib.Path(place, f"disturbed-{number}")
                continue
            number += 1
            print(f"{number}: exit code {child.returncode}, checkpoints {steps(folder)}", flush=True)
        last = start(folder).communicate()[0].splitlines()[-1]
        if last != undisturbed:
            sys.exit(f"DIFFERENT: {last}")


if __name__ == "__main__":
    main(int(sys.argv[1]))
