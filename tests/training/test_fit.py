"""The loop: a run that is interrupted equals one that is not, and nothing poisoned is ever
saved."""

import json
import math
import os
import shutil
import signal
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import METHOD, Batches, Images, bits, error_of, tiny

from kpjax.errors import InputError, RunError
from kpjax.input.stream import stream
from kpjax.training.fit import Evaluation, FitOptions, Select, fit
from kpjax.training.loggers import read_rows
from kpjax.training.process import Interrupted
from kpjax.training.profiling import traced_steps

STREAMS = {"labelled": Batches(), "unread": None}
TIMES = ("steps_per_second", "images_per_second")
OPTIONS = FitOptions(save_every=5, log_every=4, quiet=True)


def add_one(state, step):
    """Something in the middle of a stage that depends on the step only."""
    return state._replace(
        velocity=jax.tree.map(lambda leaf: leaf + jnp.float32(0.01 * step), state.velocity)
    )


def run(folder, method=METHOD, streams=STREAMS, steps=14, **options):
    """A run with everything on: evaluation every 3 steps, checkpoints every 5, rows every 4, a
    change every 6.
    """
    options = {
        "config": {"rate": 0.01, "model": {"width": 3}},
        "evaluate": (3, error_of),
        "key": jax.random.key(0),
        "select": Select("val/error", "min"),
        "between": (6, add_one),
        "options": OPTIONS,
    } | options
    return fit(method, streams, steps=steps, stage="main", folder=folder, **options)


def rows(folder):
    found = read_rows(folder / "metrics.jsonl")
    return [{name: value for name, value in row.items() if name not in TIMES} for row in found]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing disturbs: its folder and result."""
    folder = tmp_path_factory.mktemp("whole") / "run with a space"
    return folder, run(folder)


def test_result_is_the_best_and_last_is_the_last(whole):
    folder, fitted = whole
    errors = {row["step"]: row["val/error"] for row in rows(folder) if "val/error" in row}
    assert list(errors) == [3, 6, 9, 12, 14]
    assert {seen.step: seen.metrics["val/error"] for seen in fitted.evaluations} == errors
    assert fitted.step == min(errors, key=errors.get) != 14
    assert (
        fitted.metrics["val/error"] == errors[fitted.step] == error_of(fitted.trained)["val/error"]
    )
    assert error_of(fitted.last)["val/error"] == errors[14]
    # Those that were the best when one of the newest two was written are kept too.
    assert {fitted.step, 14} <= set(_steps(folder))
    assert len(_steps(folder)) <= 4


def _steps(folder):
    return sorted(int(path.name) for path in (folder / "checkpoints").iterdir())


@pytest.mark.parametrize(("minutes", "kept"), [(1e-9, [13, 14]), (1000.0, [14]), (0.0, [14])])
def test_a_checkpoint_is_written_when_the_last_one_is_so_many_minutes_old(minutes, kept, tmp_path):
    options = replace(OPTIONS, save_every=0, save_minutes=minutes)
    run(tmp_path, select=None, evaluate=None, options=options)
    assert _steps(tmp_path) == kept


def test_rows_are_means_of_their_window(whole):
    train = [row for row in rows(whole[0]) if "loss/fit" in row]
    assert [row["step"] for row in train] == [4, 8, 12, 14]
    assert all(row["stage"] == "main" and row["loss/fit"] == row["loss/total"] for row in train)
    assert list((whole[0] / "tensorboard" / "main").iterdir())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_saves_its_step_and_goes_on_bit_for_bit(whole, tmp_path, number):
    """Either signal in the middle of a window of the log, with a best behind it and a `between`
    before it.
    """

    class Terminated(Batches):
        def __getitem__(self, step):
            if step == 10:
                os.kill(os.getpid(), number)
            return super().__getitem__(step)

    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match=r"step \d+ of 14 is saved") as stopped:
        run(tmp_path, streams={"labelled": Terminated()})
    assert stopped.value.exit_code == 128 + number
    assert signal.getsignal(number) is before
    step = int(str(stopped.value).split("step ")[1].split()[0])
    assert 6 <= step < 14
    assert _steps(tmp_path)[-1] == step
    # A killed run leaves rows past its checkpoint, and half a line.
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(
            json.dumps({"step": 13, "stage": "main", "loss/total": 99.0}) + '\n{"step": 14, "sta'
        )
    (tmp_path / "checkpoints" / "12.orbax-checkpoint-tmp").mkdir()
    resumed = run(tmp_path)
    assert (bits(resumed.last), bits(resumed.trained)) == (
        bits(whole[1].last),
        bits(whole[1].trained),
    )
    assert (resumed.step, resumed.metrics) == (whole[1].step, whole[1].metrics)
    assert resumed.evaluations == whole[1].evaluations
    assert rows(tmp_path) == rows(whole[0])


# Runs that validation stops


@pytest.mark.parametrize(
    ("values", "patience", "stops_after"),
    [
        ((0.1, 0.3, 0.2, 0.1), 2, 4),
        ((0.1, 0.3, 0.3, 0.3, 0.4), 2, 4),  # equal values are no better
        ((0.1, 0.3, 0.2, 0.4, 0.3, 0.4), 2, 6),  # a better one begins the count anew
        ((math.nan, math.nan, 0.1), 2, 2),
        ((0.3, math.nan, 0.2), 2, 3),
        ((0.4, 0.3, 0.2, 0.1), 0, None),
        ((0.1, 0.2, 0.3, 0.2), 2, None),
    ],
)
@pytest.mark.parametrize(("mode", "sign"), [("max", 1), ("min", -1)])
def test_stopping_follows_from_the_evaluations(values, patience, stops_after, mode, sign):
    rule = Select("val", mode, patience)
    seen = [Evaluation(step, {"val": sign * value}) for step, value in enumerate(values)]
    stopping = [count for count in range(len(seen) + 1) if rule.stops(seen[:count])]
    assert next(iter(stopping), None) == stops_after


# Of step 8 there are two in a row that are no better than 0.3; the later of equal ones is the best.
ACCURACY = {2: 0.1, 4: 0.3, 6: 0.3, 8: 0.2, 10: 0.9}


def stopped_by_validation(folder, **options):
    return run(
        folder,
        evaluate=(2, lambda state: {"val/pck": ACCURACY[int(state.step)]}),
        select=Select("val/pck", patience=2),
        **options,
    )


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stopped")
    return folder, stopped_by_validation(folder)


def test_a_run_ends_when_validation_improves_no_more(stopped):
    folder, fitted = stopped
    assert (fitted.steps, fitted.step) == (8, 6)
    assert fitted.images == 8 * 8
    assert [seen.step for seen in fitted.evaluations] == [2, 4, 6, 8]
    assert fitted.metrics == {"val/pck": 0.3}
    assert bits(fitted.last) != bits(fitted.trained)
    assert [row["step"] for row in rows(folder) if "loss/fit" in row] == [4, 8]
    assert {6, 8} <= set(_steps(folder))


def test_a_run_that_validation_stopped_is_finished(stopped):
    class Refused(Batches):
        def __getitem__(self, step):
            assert step == 0, "it trained again"  # which shows the shapes
            return super().__getitem__(step)

    again = stopped_by_validation(stopped[0], streams={"labelled": Refused()})
    assert (bits(again.last), bits(again.trained)) == (
        bits(stopped[1].last),
        bits(stopped[1].trained),
    )
    assert (again.steps, again.evaluations) == (8, stopped[1].evaluations)


def test_a_second_ctrl_c_ends_at_once(tmp_path):
    def pressed_twice(state, step):
        if step:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        return state

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, between=(6, pressed_twice))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("saved", [True, False], ids=["asked to stop", "killed"])
def test_a_run_that_goes_on_stops_where_it_would_have(stopped, tmp_path, saved):
    """Interrupted at step 7, while it waits for a better one: by a signal, or without a word."""

    class Ended(Batches):
        def __getitem__(self, step):
            if step == 7:
                if not saved:
                    raise KeyboardInterrupt
                os.kill(os.getpid(), signal.SIGTERM)
            return super().__getitem__(step)

    with pytest.raises(Interrupted if saved else KeyboardInterrupt):
        stopped_by_validation(tmp_path, streams={"labelled": Ended()})
    assert 4 <= _steps(tmp_path)[-1] < 8
    resumed = stopped_by_validation(tmp_path)
    assert (bits(resumed.last), bits(resumed.trained)) == (
        bits(stopped[1].last),
        bits(stopped[1].trained),
    )
    assert (resumed.step, resumed.steps) == (6, 8)
    assert resumed.evaluations == stopped[1].evaluations
    assert rows(tmp_path) == rows(stopped[0])


def test_a_finished_run_trains_nothing(whole):
    def refuse(*arguments):
        raise AssertionError("it trained again")

    again = run(whole[0], evaluate=(3, refuse), between=(1, refuse))
    assert (bits(again.last), bits(again.trained)) == (bits(whole[1].last), bits(whole[1].trained))
    assert again.metrics == whole[1].metrics
    assert again.images_per_second == whole[1].images_per_second


class Larger(Batches):
    def __getitem__(self, step):
        return super().__getitem__(step)._replace(image=np.zeros((8, 8, 8, 3), np.uint8))


REFUSED = {
    "missing stream": ({"streams": {}}, "stream 'labelled' is missing"),
    "not divisible": (
        {"streams": {"labelled": Batches(batch_size=12)}},
        "'labelled': batch size 12 .* 8 devices; use 8 or 16",
    ),
    "larger than the set": (
        {"streams": {"labelled": Batches(Images(5))}},
        "batch size 8 is larger than its set of 5",
    ),
    "no evaluation": ({"evaluate": None}, "'val/error', but there is no evaluation"),
    "unread start": (
        {"start": {"variabels": {"w": np.ones(3)}}},
        "start: this method reads none of variabels",
    ),
    "no steps": ({"steps": 0}, "steps: 0"),
    "key": ({"key": 0}, r"^key: 0; give jax.random.key\(0\)$"),
    "shapes": (
        {"streams": {"labelled": Larger()}},
        r"^main: network, codec and streams do not fit \(labelled: images "
        r"\(8, 8, 8, 3\) uint8, keypoints \(8, 2, 2\)\): dot_general requires",
    ),
    "another metric": (
        {"select": Select("val/pck"), "steps": 3},
        "'val/pck', which the evaluation does not return",
    ),
    "config": (
        {"config": {"rate": 0.01, "model": {"width": 4}}},
        r"config.model.width is 3 there and 4 here",
    ),
    "less config": ({"config": {"rate": 0.01}}, r"config.model.* absent"),
    "data": (
        {"streams": {"labelled": Batches(Images(digest="tiny-2"))}},
        "other data: streams.labelled.digest is tiny-1",
    ),
    "batch size": (
        {"streams": {"labelled": Batches(batch_size=16)}},
        "streams.labelled.batch_size is 8 there and 16 here",
    ),
    "another key": (
        {"key": jax.random.key(1)},
        r"another configuration: key is \[0, 0\] there and \[0, 1\] here; set it back",
    ),
    "model": ({"method": tiny(width=4)}, r"another model: model.*,3\] there and .*,4\] here"),
    "fewer steps": ({"steps": 13}, "is at step 14 already and 13 steps are asked for"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_one_line(whole, tmp_path, name):
    options, message = REFUSED[name]
    with pytest.raises(InputError, match=message) as refused:
        run(
            tmp_path if [*REFUSED].index(name) < [*REFUSED].index("config") else whole[0], **options
        )
    assert "\n" not in str(refused.value)
    assert _steps(whole[0])[-1] == 14


def test_a_run_goes_on_with_the_draws_that_it_began_with(tmp_path):
    """Another seed on the same folder returned the numbers of the first."""

    def trained(seed=0, **more):
        streams = {"labelled": stream(Images(), batch_size=8, seed=seed, **more)}
        return run(tmp_path, streams=streams, steps=1)

    first = trained()
    assert bits(trained().last) == bits(first.last)
    for seed, more, words in (
        (1, {}, "other data: streams.labelled.seed is 0 there and 1 here"),
        (0, {"shuffle": False}, "streams.labelled.seed is 0 there and None here"),
        (0, {"labelled": False}, "streams.labelled.labelled is True there and False here"),
    ):
        with pytest.raises(InputError, match=words):
            trained(seed, **more)
    assert bits(trained(repeats=True).last) == bits(first.last)  # the same batches


def test_a_run_goes_on_in_the_groups_of_batch_norm_that_it_began_with(tmp_path):
    grouped = replace(OPTIONS, batch_norm_groups=2)
    run(tmp_path / "grouped", steps=1, options=grouped)
    with pytest.raises(InputError, match=r"config.batch_norm_groups is 2 there and absent here"):
        run(tmp_path / "grouped", steps=2)
    assert run(tmp_path / "grouped", steps=2, options=grouped).steps == 2
    run(tmp_path / "usual", steps=1)
    with pytest.raises(InputError, match=r"config.batch_norm_groups is absent there and 2 here"):
        run(tmp_path / "usual", steps=2, options=grouped)


def test_a_defect_of_a_method_keeps_its_traceback_for_those_who_ask(tmp_path, monkeypatch):
    monkeypatch.setenv("KPJAX_DEBUG", "1")
    with pytest.raises(TypeError, match="dot_general"):
        run(tmp_path, streams={"labelled": Larger()})


def test_too_little_memory_is_one_line_and_loses_no_checkpoint(tmp_path):
    def full(state, step):
        if step == 6:
            raise jax.errors.JaxRuntimeError(
                "RESOURCE_EXHAUSTED: Out of memory allocating 9663676416 bytes."
            )
        return state

    with pytest.raises(
        RunError,
        match=r"^main: out of memory; the last good checkpoint is of step 6 in .*; go on with "
        "a smaller `batch_size`, with `rematerialise`, or with `dtype` bfloat16$",
    ):
        run(tmp_path, between=(6, full))
    assert _steps(tmp_path)[-1] == 6


def spoiled(where):
    """A method that goes wrong in its step 8, in its loss or in its gradient only."""

    def spoil(step, loss, gradient):
        bad = jnp.where(step == 7, jnp.float32(jnp.nan), jnp.float32(0))
        return (
            (loss + bad, gradient)
            if where == "loss"
            else (loss, jax.tree.map(lambda leaf: leaf + bad, gradient))
        )

    return tiny(spoil=spoil)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (
            "loss",
            r"^step 8: loss/fit is nan, loss/total is nan; the last good checkpoint is of step 5 in .*main",
        ),
        # The state is wrong after step 8, and so is the loss of step 9, which needs it.
        ("gradient", r"^step 9: loss/fit is nan, .* checkpoint is of step 5 in .*main"),
    ],
)
def test_not_finite(tmp_path, where, message):
    folder = tmp_path / "main"
    with pytest.raises(RunError, match=message):
        run(folder, spoiled(where), evaluate=None, select=None)
    assert _steps(folder) == [5]
    # goes on within a window of the log, in which a metric is nan
    run(folder, steps=6, evaluate=None, select=None)
    # Nothing but the state is wrong when step 8 is saved.
    shutil.rmtree(folder)
    if where == "gradient":
        with pytest.raises(
            RunError, match=r"step 8: (teacher|variables).* is not finite.*checkpoint is of step 4"
        ):
            run(
                folder,
                spoiled(where),
                evaluate=None,
                select=None,
                options=replace(OPTIONS, save_every=4),
            )
        assert _steps(folder) == [4]


def test_one_process_at_a_time(tmp_path):
    def inside(state):
        with pytest.raises(InputError, match="another process is training here"):
            run(tmp_path)
        return error_of(state)

    run(tmp_path, steps=1, evaluate=(0, inside), between=None)


def test_a_run_that_goes_on_within_the_range_is_traced_from_there(tmp_path, monkeypatch):
    calls = []
    for name in ("start_trace", "stop_trace"):
        monkeypatch.setattr(jax.profiler, name, lambda *_, name=name: calls.append(name))
    with traced_steps(tmp_path, range(2, 5)) as before:
        for step in range(3, 7):
            calls.append(before(step, lambda: calls.append("waits")) or step)
    assert calls == ["waits", "start_trace", 3, 4, "waits", "stop_trace", 5, 6]
