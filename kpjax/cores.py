"""The processor cores that this process may use, which in a job are fewer than the machine has."""

import os
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")


def usable_cores() -> int:
    """Returns how many cores this process may use, at least 1.

    That is the least of what the machine has, of the process's affinity, of the quotas of its
    control groups (a container's `--cpus`, a pod's limit), and of what SLURM gave the task.
    """
    limits = [os.cpu_count() or 1]
    if hasattr(os, "sched_getaffinity"):
        limits.append(len(os.sched_getaffinity(0)))
    limits += [int(quota) for quota in _quotas()]
    of_task = os.environ.get("SLURM_CPUS_PER_TASK", "")
    if of_task.isdecimal():
        limits.append(int(of_task))
    return max(min(limits), 1)


def _quotas() -> Iterator[float]:
    """Yields the quotas of the control groups that this process is in, in cores."""
    for folder in _folders():
        try:
            if (folder / "cpu.max").exists():  # the second version
                quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
            else:
                quota = (folder / "cpu.cfs_quota_us").read_text(encoding="ascii").strip()
                period = (folder / "cpu.cfs_period_us").read_text(encoding="ascii").strip()
            if quota not in ("max", "-1"):
                yield float(quota) / float(period)
        except (OSError, ValueError):
            continue


def _folders() -> Iterator[Path]:
    """Yields the folders of the control groups of this process and of those above them.

    In a container the root is its own group, whatever name the group has outside.
    """
    try:
        lines = OWN_GROUPS.read_text(encoding="utf-8").splitlines()
    except OSError:  # another system
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, name = rest.partition(":")
        if not controllers:
            root = CGROUPS
        elif "cpu" in controllers.split(","):
            root = CGROUPS / "cpu"
        else:
            continue
        own = Path(name.lstrip("/"))
        yield from (root / folder for folder in (own, *own.parents))
