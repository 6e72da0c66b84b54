"""Kills a run again and again at random moments; what it ends with must be what an undisturbed run ends with.

python tests/training/faults/kill.py --times 20                 kill -9
python tests/training/faults/kill.py --times 10 --signal TERM   SIGTERM: every exit must say which step it saved
"""
import argparse
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import time

CHILD = pathlib.Path(__file__).parent / "trained_child.py"


def start(folder, megabytes):
    child = subprocess.Popen([sys.executable, str(CHILD), str(folder), str(megabytes)], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True)
    said = []
    while "ready\n" not in said:
        said.append(child.stdout.readline())
        if not said[-1]:
            sys.exit("".join(said))
    return child


def steps(folder):
    return sorted(int(path.name) for path in (folder / "checkpoints").glob("*") if path.name.isdigit())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--signal", choices=["KILL", "TERM"], default="KILL")
    parser.add_argument("--megabytes", type=int, default=4, help="of the live state")
    parser.add_argument("--longest", type=float, default=2.0, help="seconds until the signal at most")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    generator = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as place:
        began = time.monotonic()
        undisturbed = start(pathlib.Path(place, "undisturbed"), arguments.megabytes).communicate()[0].splitlines()[-1]
        print(f"undisturbed: {undisturbed} in {time.monotonic() - began:.0f} s", flush=True)
        folder, number = pathlib.Path(place, "disturbed"), 0
        while number < arguments.times:
            before, child = steps(folder), start(folder, arguments.megabytes)
            # One signal in four may come at any moment; the others once the run has got on.
            while number % 4 and child.poll() is None and steps(folder) == before:
                time.sleep(0.01)
            try:
                child.wait(generator.uniform(0, arguments.longest))
            except subprocess.TimeoutExpired:
                child.send_signal(getattr(signal, f"SIG{arguments.signal}"))
            said = child.communicate()[0]
            if child.returncode == 0:
                if said.splitlines()[-1] != undisturbed:
                    sys.exit(f"DIFFERENT: {said}")
                # It ended before the signal: its end is right, and the rest of the signals go to a new run.
                folder = pathlib.Path(place, f"disturbed-{number}")
                continue
            number += 1
            leftovers = len(list((folder / "checkpoints").glob("*tmp*")))
            saved = re.search(r"step (\d+) of", said)
            if arguments.signal == "TERM" and child.returncode != -signal.SIGTERM and (
                    child.returncode != 143 or int(saved[1]) != steps(folder)[-1]):
                sys.exit(f"NOT SAVED: exit code {child.returncode}: {said}")
            print(f"{number}: exit code {child.returncode}, checkpoints {steps(folder)}, {leftovers} half-written",
                  flush=True)
        last = start(folder, arguments.megabytes).communicate()[0].splitlines()[-1]
        if last != undisturbed:
            sys.exit(f"DIFFERENT: {last}")
        print(f"{number} signals, and the end is the same, bit for bit")


if __name__ == "__main__":
    main()
