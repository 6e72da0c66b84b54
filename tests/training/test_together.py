"""Runs at the same time: each is the run that it would be alone, whatever becomes of the others."""
import functools
import os
import signal
import threading

import jax
import numpy as np
import pytest
from stops import asked_once
from tiny import Batches, Images, bits, tiny

from kpjax.errors import InputError, RunError
from kpjax.training import together
from kpjax.training.evaluation import predict_source
from kpjax.training.fit import Select, fit
from kpjax.training.loggers import read_rows
from kpjax.training.mesh import data_mesh, on_devices
from kpjax.training.process import Interrupted
from kpjax.training.together import compiled_for_several, shares, side_by_side
from kpjax.training.trees import named_leaves, on_host

METHOD = tiny()
VALIDATION = Images(10, seed=3)
STEPS = 6
APART = shares(4)[:3]
SHARED = [APART[1][:1]] * 3  # three runs on one device, as on an accelerator
PLAIN = {"evaluate": None, "select": None}
both = pytest.mark.parametrize("places", [APART, SHARED], ids=["own devices", "one device"])


class SeedBatches(Batches):
    """Batches of a seed's own images; `stop` is called when step 5 is read."""

    def __init__(self, seed, stop=None):
        super().__init__(Images(seed=seed))
        self.stop = stop

    def __getitem__(self, step):
        if self.stop and step == 5:
            self.stop()
        return super().__getitem__(step)


def error_of(state):
    found = predict_source(METHOD, state, VALIDATION, batch_size=8)
    return {"val/error": np.abs(found.keypoints - found.true_keypoints).mean()}


def train(folder, seed, beside=None, *, steps=STEPS, stop=None, method=METHOD, **options):
    options = {"evaluate": error_of, "evaluate_every": 2, "select": Select("val/error", "min"), "save_every": 2,
               "log_every": 2, "quiet": True, "config": {"seed": seed}} | options
    return fit(method, {"labelled": SeedBatches(seed, stop)}, steps=steps, key=jax.random.key(seed), stage="main",
               folder=folder / f"seed-{seed}", **options, **({"beside": beside} if beside else {}))


def tasks(folder, seeds, **options):
    return [functools.partial(train, folder, seed, **options) for seed in range(seeds)]


def alone(folder, seed, devices, **options):
    with on_devices(devices):
        return train(folder, seed, **options)


def rows(folder, seed):
    found = read_rows(folder / f"seed-{seed}" / "metrics.jsonl")
    return [{name: value for name, value in row.items() if "per_second" not in name} for row in found]


def assert_close(tree, other):
    for (name, leaf), expected in zip(named_leaves(tree).items(), jax.tree.leaves(other), strict=True):
        leaf, expected = on_host(leaf).astype(np.float64), on_host(expected).astype(np.float64)
        assert np.linalg.norm(leaf - expected) <= 1e-4 * np.linalg.norm(expected), name


def last_state(folder, seed, beside=None, **options):
    """All of a state after its last step, velocity and counts included."""
    seen = []

    def keep(state):
        seen.append((jax.tree.map(on_host, state), state.step.sharding.device_set))
        return {}

    train(folder, seed, beside, evaluate=keep, select=None, evaluate_every=0, **options)
    return seen[-1]


def test_four_at_once_are_four_alone(tmp_path):
    """All of the state. On two devices each they are too, but sums over a CPU's devices may wait for each other."""
    found = side_by_side([functools.partial(last_state, tmp_path / "together", seed) for seed in range(4)])
    for seed, (state, devices) in enumerate(found):
        with on_devices(APART[0]):
            expected, _ = last_state(tmp_path / "alone", seed)
        assert bits(state) == bits(expected)
        assert rows(tmp_path / "together", seed) == rows(tmp_path / "alone", seed)
        assert devices == {jax.devices()[seed]}
    assert len({bits(state.velocity)[0] for state, _ in found}) == 4


def test_evaluation_and_choice_are_those_of_a_run_alone(tmp_path):
    for seed, fitted in enumerate(side_by_side(tasks(tmp_path / "together", 2))):
        expected = alone(tmp_path / "alone", seed, APART[0])
        assert bits(fitted.trained) == bits(expected.trained)
        assert fitted.evaluations == expected.evaluations
        assert rows(tmp_path / "together", seed) == rows(tmp_path / "alone", seed)


def test_runs_that_share_a_device_take_their_steps_as_one(tmp_path, monkeypatch):
    sizes = []

    def counted(update, mesh):
        step, names = compiled_for_several(update, mesh)
        return lambda *arguments: sizes.append(len(arguments[0])) or step(*arguments), names

    monkeypatch.setattr(together, "compiled_for_several", counted)
    found = side_by_side([functools.partial(last_state, tmp_path / "together", seed, steps=3) for seed in range(3)],
                         SHARED)
    assert sizes == [3] * 3
    for seed, (state, _) in enumerate(found):
        with on_devices(SHARED[0]):
            expected, _ = last_state(tmp_path / "alone", seed, steps=3)
        assert_close(state, expected)
        for row, other in zip(rows(tmp_path / "together", seed), rows(tmp_path / "alone", seed), strict=True):
            assert row.pop("stage") == other.pop("stage")
            assert row == pytest.approx(other, rel=1e-4)


def interrupted(pressed):
    pressed.wait()
    raise KeyboardInterrupt


@pytest.mark.parametrize(("places", "ctrl_c"), [(APART, False), (SHARED, False), (APART, True)],
                         ids=["SIGTERM", "SIGTERM on one device", "Ctrl-C"])
def test_all_save_and_stop_and_go_on(tmp_path, monkeypatch, places, ctrl_c):
    long = PLAIN | {"steps": 20, "save_every": 20}
    before = signal.getsignal(signal.SIGTERM)
    arrived = []

    def turns(members, stop, made=together._Turns):
        arrived.append(stop)
        return made(members, stop)

    with monkeypatch.context() as patch:
        patch.setattr(together, "_Turns", turns)
        ask = functools.partial(os.kill, os.getpid(), signal.SIGTERM)
        if ctrl_c:  # where the first thread waits; a real signal may reach it in code that swallows exceptions
            pressed = threading.Event()
            patch.setattr(together, "wait", lambda *arguments, **options: interrupted(pressed))
            ask = pressed.set
        ask_and_wait = asked_once(ask)
        with pytest.raises(KeyboardInterrupt if ctrl_c else Interrupted) as stopped:
            side_by_side(tasks(tmp_path, 2, stop=lambda: ask_and_wait(arrived[0]), **long), places[:2])
    assert ctrl_c or "stopped by SIGTERM" in str(stopped.value)
    assert signal.getsignal(signal.SIGTERM) is before
    steps = [max((int(path.name) for path in (tmp_path / f"seed-{seed}" / "checkpoints").iterdir()), default=0)
             for seed in range(2)]
    assert max(steps) < 20
    if places == SHARED:
        assert len(set(steps)) == 1
    resumed = side_by_side(tasks(tmp_path, 2, **long), places[:2])
    whole = side_by_side(tasks(tmp_path / "whole", 2, **long), places[:2])
    for seed in range(2):
        if places == APART:
            assert bits(resumed[seed].last) == bits(whole[seed].last)
            assert rows(tmp_path, seed) == rows(tmp_path / "whole", seed)
        assert_close(resumed[seed].last, whole[seed].last)  # shared steps round otherwise now and then


def test_a_signal_that_another_thread_was_given_is_answered(monkeypatch):
    """As the system sometimes does: the first thread waits and is not woken by it."""
    waiting = threading.Event()

    def waits(*arguments, _wait=together.wait, **options):
        waiting.set()
        return _wait(*arguments, **options)

    def run(beside):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        waiting.wait()
        ask_and_wait(beside.stop)

    monkeypatch.setattr(together, "wait", waits)
    ask_and_wait = asked_once(functools.partial(os.kill, os.getpid(), signal.SIGTERM))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        with pytest.raises(Interrupted):
            side_by_side([run, run], APART[:2])
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def poor(folder, seed, beside):
    """Ends, or fails at once, or trains: seed by seed."""
    if seed == 0:
        raise RunError("seed 0 is broken")
    return train(folder, seed, beside, steps=2 if seed == 1 else STEPS, **PLAIN)


@both
def test_the_others_go_on_where_one_fails_or_ends(tmp_path, places):
    alone(tmp_path, 2, places[2], steps=4, **PLAIN)  # goes on from another step than seed 1
    with pytest.raises(RunError, match="seed 0 is broken"):
        side_by_side([functools.partial(poor, tmp_path, seed) for seed in range(3)], places)
    assert [row["step"] for row in rows(tmp_path, 1) if "loss/fit" in row] == [2]
    assert [row["step"] for row in rows(tmp_path, 2) if "loss/fit" in row] == [2, 4, 6]


def test_steps_of_other_methods_are_taken_one_by_one(tmp_path):
    wide = tiny(width=4)
    found = side_by_side([functools.partial(train, tmp_path, 0, steps=2, **PLAIN),
                          functools.partial(train, tmp_path, 1, steps=2, method=wide, **PLAIN)], SHARED[:2])
    expected = alone(tmp_path / "alone", 1, SHARED[0], steps=2, method=wide, **PLAIN)
    assert bits(found[1].last) == bits(expected.last)


def test_a_run_that_sleeps_is_not_waited_for(tmp_path, monkeypatch):
    ended = []
    monkeypatch.setattr(together.time, "sleep", lambda seconds: ended[0].wait(seconds))

    def waits(beside):
        beside.sleep(60)
        return "woken"

    def trains(beside):
        train(tmp_path, 0, beside, steps=2, **PLAIN)
        ended[0].set()

    ended.append(together.threading.Event())
    assert side_by_side([waits, trains], SHARED[:2]) == ["woken", None]


def test_a_mesh_is_of_the_devices_of_its_run():
    with on_devices(jax.devices()[2:4]):
        assert [device.id for device in data_mesh().devices] == [2, 3]
        assert jax.numpy.zeros(()).devices() == {jax.devices()[2]}
    assert data_mesh().size == 8


def test_runs_on_a_cpu_have_a_device_each():
    assert shares(1) == [tuple(jax.devices())]
    assert shares(3) == [(device,) for device in jax.devices()[:3]]
    with pytest.raises(InputError, match=r"9 seeds on 8 CPU devices; .*device_count=9$"):
        shares(9)


class Accelerator:
    platform = "gpu"


def test_runs_divide_accelerators_or_share_them(monkeypatch):
    eight = [Accelerator() for _ in range(8)]
    monkeypatch.setattr(jax, "devices", lambda: eight)
    assert shares(1) == [tuple(eight)]
    assert shares(4) == [tuple(eight[first:first + 2]) for first in (0, 2, 4, 6)]
    assert shares(16) == [(eight[run // 2],) for run in range(16)]
    for count in (3, 5, 12):
        with pytest.raises(InputError, match=f"{count} seeds do not divide over 8 devices; give 1 or 2 or 4"):
            shares(count)


def test_several_processes_are_refused(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(InputError, match="seeds_together: 2 seeds on 2 processes"):
        shares(2)
    assert shares(1) == [tuple(jax.devices())]
