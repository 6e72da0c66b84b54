"""A sweep over the GPUs of a Ray cluster: python ray_sweep.py WORKERS regda demo --grid learning-rate=0.003,0.01 ...

Every worker runs the same command and takes points that no other one has in work; --workdir must be a folder with locks
that all nodes share. A worker that Ray loses is started again. Without GPUs each worker takes a CPU.
Run in earnest: two workers on one machine's CPUs. Not tried: GPUs, several nodes.
"""
import subprocess
import sys

import ray


@ray.remote(max_retries=10)
def worker(arguments: list[str]) -> int:
    """Works on the sweep until nothing is left, and returns the exit code."""
    return subprocess.run([sys.executable, "-m", "experiments", "sweep", *arguments], check=False).returncode


if __name__ == "__main__":
    count, *arguments = sys.argv[1:]
    ray.init(runtime_env={"working_dir": "."})
    share = {"num_gpus": 1} if ray.cluster_resources().get("GPU") else {"num_cpus": 1}
    codes = ray.get([worker.options(**share).remote(arguments) for _ in range(int(count))])
    sys.exit(max(codes))
