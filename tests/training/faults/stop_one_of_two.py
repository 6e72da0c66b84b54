"""Stops one of the two processes of an experiment at random moments; its models must be those of an undisturbed run.

python tests/training/faults/stop_one_of_two.py --signal TERM --times 10 people --variants source_only regda

SIGTERM must end both processes with code 143 or, near the end, let both finish; SIGKILL must end the other one, too.
Either way within a minute, and the same command goes on from there.
"""
import argparse
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time

from kill_experiment import models

ROOT = pathlib.Path(__file__).parents[3]
TINY = ROOT / "tests" / "experiments" / "tiny_regda.py"
START = 15  # seconds, about, until they have found each other


def start(arguments, workdir):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
                                "PYTHONPATH": str(ROOT)}
    return [subprocess.Popen(
        [sys.executable, str(TINY), *arguments, "--workdir", str(workdir), "--coordinator", f"localhost:{port}",
         "--num-processes", "2", "--process-id", str(process)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for process in range(2)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--signal", choices=("TERM", "KILL"), default="TERM")
    parser.add_argument("--limit", type=float, default=60, help="seconds until both have ended; more on a busy machine")
    parser.add_argument("experiment", nargs=argparse.REMAINDER, help="preset and flags of the tiny experiment")
    arguments = parser.parse_args()
    generator, number = random.Random(arguments.seed), getattr(signal, f"SIG{arguments.signal}")
    with tempfile.TemporaryDirectory() as place:
        undisturbed, disturbed = pathlib.Path(place, "undisturbed"), pathlib.Path(place, "disturbed")
        began = time.monotonic()
        said = [child.communicate()[1] for child in start(arguments.experiment, undisturbed)]
        wanted, took = models(undisturbed), time.monotonic() - began - START
        if not wanted:
            sys.exit("\n".join(said))
        print(f"undisturbed: {len(wanted)} models in {took:.0f} s", flush=True)
        for n in range(arguments.times):
            children, moment = start(arguments.experiment, disturbed), generator.uniform(0.0, 0.8) * took
            children[0].stdout.readline()  # they have found each other
            time.sleep(moment)
            victim = generator.randrange(2)
            children[victim].send_signal(number)
            began = time.monotonic()
            said = [child.communicate(timeout=arguments.limit)[1] for child in children]
            codes = [child.returncode for child in children]
            lines = [[line[:150] for line in text.splitlines() if "error" in line.lower() or "stopped" in line]
                     for text in said]
            print(f"{n + 1}: {arguments.signal} to process {victim} after {moment:.0f} s: codes {codes} in "
                  f"{time.monotonic() - began:.0f} s; {lines}", flush=True)
            if codes == [0, 0]:
                if models(disturbed) != wanted:
                    sys.exit("DIFFERENT")
                disturbed = pathlib.Path(place, f"disturbed-{n}")
        said = [child.communicate()[1] for child in start(arguments.experiment, disturbed)]
        if models(disturbed) != wanted:
            sys.exit("DIFFERENT: " + "\n".join(said))
        print("the end is the same, bit for bit")


if __name__ == "__main__":
    main()
