"""Cores that a process may use: the least of machine, affinity, control groups and SLURM."""

import pytest

from kpjax import cores


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """machine(lines, **files): 64 cores, of which 48 are allowed; its control groups as files."""
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(48)), raising=False)
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    monkeypatch.setattr(cores, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(cores, "OWN_GROUPS", tmp_path / "own")

    def made(lines, files):
        (tmp_path / "own").write_text(lines)
        for name, text in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return made


@pytest.mark.parametrize(
    ("lines", "files", "expected"),
    [
        ("0::/\n", {}, 48),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 48),
        ("0::/\n", {"cpu.max": "250000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
        ("0::/pod/own\n", {"pod/cpu.max": "800000 100000", "pod/own/cpu.max": "max 100000"}, 8),
        ("0::/name/outside\n", {"cpu.max": "300000 100000"}, 3),
        (
            "9:name=systemd:/\n3:cpuset:/\n1:cpu,cpuacct:/own\n0::/\n",
            {"cpu/own/cpu.cfs_quota_us": "400000\n", "cpu/own/cpu.cfs_period_us": "100000\n"},
            4,
        ),
        (
            "1:cpu:/\n",
            {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
            48,
        ),
        ("0::/\n", {"cpu.max": "nonsense"}, 48),
    ],
)
def test_quotas_of_control_groups_are_seen(machine, lines, files, expected):
    machine(lines, files)
    assert cores.usable_cores() == expected


@pytest.mark.parametrize(("said", "expected"), [("8", 8), ("96", 48), ("", 48), ("8(x2)", 48)])
def test_a_task_of_slurm_has_its_own_cores(machine, monkeypatch, said, expected):
    machine("0::/\n", {})
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", said)
    assert cores.usable_cores() == expected


def test_a_system_without_affinity_and_groups_says_what_it_has(machine, monkeypatch):
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    assert cores.usable_cores() == 64
    monkeypatch.setattr("os.cpu_count", lambda: None)
    assert cores.usable_cores() == 1
