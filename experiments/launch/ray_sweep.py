"""Runs over a Ray cluster, a GPU each: python experiments/launch/ray_sweep.py RUNS.txt

A line of the file is a run's arguments, such as `regda demo --learning-rate 0.003 --workdir
/shared/runs/slow`. Each needs a --workdir of its own, in a folder that all nodes share. A run that
Ray loses goes on. Without GPUs each takes a CPU.
"""

import subprocess
import sys
from pathlib import Path

import ray


@ray.remote(max_retries=10)
def train(line: str) -> int:
    """Trains, and returns the exit code."""
    return subprocess.run(
        [sys.executable, "-m", *f"experiments.{line}".split()], check=False
    ).returncode


if __name__ == "__main__":
    ray.init(runtime_env={"working_dir": "."})
    share = {"num_gpus": 1} if ray.cluster_resources().get("GPU") else {"num_cpus": 1}
    runs = [line for line in Path(sys.argv[1]).read_text().splitlines() if line]
    # also of one that was killed, -9
    sys.exit(any(ray.get([train.options(**share).remote(line) for line in runs])))
