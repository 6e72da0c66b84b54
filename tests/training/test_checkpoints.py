"""Checkpoints that are damaged, half-written or refused by the disc."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file
from tiny import Batches, bits, tiny

from kpjax.errors import InputError, RunError, WriteError
from kpjax.structures import Trained
from kpjax.training.checkpoints import open_checkpoints
from kpjax.training.mesh import data_mesh, replicated_sharding
from kpjax.training.trees import describe, leaf_digests, load_trained, save_trained

IDENTITY = {"stage": "main", "config": {"rate": 0.1}}
INIT = jax.jit(tiny().init, out_shardings=replicated_sharding(data_mesh()))


def state_of(step):
    state = INIT(jax.random.key(step), {"labelled": Batches()[0]}, {})
    return state._replace(step=jnp.int32(step), frozen=jax.tree.map(jnp.array, FROZEN))


FROZEN = {
    "core": {"scale": np.arange(3, dtype=np.float32), "half": np.ones((2, 2), jnp.bfloat16)},
    "empty": {},
}


def template():
    whole = replicated_sharding(data_mesh())
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=whole), state_of(0)
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Checkpoints of steps 1 to 5, of which 2 was the best from step 2 to 4, and 5 since."""
    folder = tmp_path_factory.mktemp("checkpoints")
    with open_checkpoints(folder, IDENTITY) as checkpoints:
        for step, best in ((1, 1), (2, 2), (3, 2), (4, 2), (5, 5)):
            checkpoints.save(step, state_of(step), {"seen": step, "value": float("nan")}, best)
        checkpoints.wait()
    return folder


def restore(folder, **options):
    with open_checkpoints(folder, IDENTITY, **options) as checkpoints:
        return checkpoints.restore(template())


def test_newest_and_best_are_kept_and_come_back(folder):
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["2", "4", "5"]
    restored = restore(folder)
    assert restored.step == 5
    assert restored.progress == {"seen": 5, "value": "nan"}
    assert bits(restored.state) == bits(state_of(5))
    assert describe(restored.state) == describe(state_of(5))
    assert jax.tree.structure(restored.state) == jax.tree.structure(state_of(5))
    assert {leaf.sharding for leaf in jax.tree.leaves(restored.state)} == {
        replicated_sharding(data_mesh())
    }
    with open_checkpoints(folder, IDENTITY) as checkpoints:
        assert bits(checkpoints.restore_step(2, template()).state) == bits(state_of(2))
    # Frozen trees are stored once.
    assert not [
        path for path in folder.rglob("*") if path.is_file() and b"frozen/core" in path.read_bytes()
    ]
    assert (folder / "frozen.safetensors").is_file()


def test_a_save_leaves_the_preemption_service_alone(copied, monkeypatch):
    """It goes by the last number that it was told, which is the count of the loop: a notice would
    be lost.
    """
    told = []
    monkeypatch.setattr(
        "jax.experimental.multihost_utils.reached_preemption_sync_point", told.append
    )
    with open_checkpoints(copied, IDENTITY) as checkpoints:
        checkpoints.save(6, state_of(6), {}, None)
        checkpoints.wait()
    assert not told


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x20
    path.write_bytes(content)


def truncated(path):
    path.write_bytes(path.read_bytes()[:10])


@pytest.mark.parametrize("harm", [flipped, truncated, pathlib.Path.unlink])
def test_damage_to_any_file_is_detected_or_harmless(folder, tmp_path, capsys, harm):
    """Each file in turn: what comes back is step 5 bit for bit, or step 4 with one line that says
    so.
    """
    files = sorted(
        path.relative_to(folder)
        for path in (folder / "checkpoints" / "5").rglob("*")
        if path.is_file()
    )
    assert len(files) > 8
    detected = 0
    for number, name in enumerate(
        files if harm is flipped else [name for name in files if name.parent.name == "d"]
    ):
        copy = tmp_path / str(number)
        shutil.copytree(folder, copy)
        if not (copy / name).stat().st_size:
            continue
        harm(copy / name)
        restored = restore(copy)
        assert bits(restored.state) == bits(state_of(restored.step)), name
        said = capsys.readouterr().err
        assert said.count("\n") == (restored.step == 4), said
        if restored.step == 4:
            detected += 1
            assert f"{copy / 'checkpoints' / '5'} is damaged" in said
            assert "going on from step 4" in said
            assert [path.name for path in (copy / "damaged").iterdir()] == ["0-step-5"]
    assert detected >= (3 if harm is flipped else 1)


@pytest.fixture
def copied(folder, tmp_path):
    """A copy of the checkpoints, to be spoilt."""
    return shutil.copytree(folder, tmp_path / "run")


def test_all_damaged(copied):
    for step in (2, 4, 5):
        shutil.rmtree(copied / "checkpoints" / str(step) / "record")
    with pytest.raises(
        RunError, match=r"5 is damaged .*4 is damaged .*2 is damaged .*start over with .fresh"
    ):
        restore(copied)


def test_a_damaged_best(copied):
    shutil.rmtree(copied / "checkpoints" / "2" / "state")
    with (
        open_checkpoints(copied, IDENTITY) as checkpoints,
        pytest.raises(RunError, match=r"2 is damaged .* was the best .* .fresh"),
    ):
        checkpoints.restore_step(2, template())


def test_damaged_frozen_trees_are_made_again(copied, capsys):
    path = copied / "frozen.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(RunError, match=r"frozen\.safetensors: damaged"):
        restore(copied, remake_frozen=lambda: {"core": {"scale": np.zeros(3, np.float32)}})
    assert bits(restore(copied, remake_frozen=lambda: FROZEN).state) == bits(state_of(5))
    assert "made and written again" in capsys.readouterr().err
    assert path.read_bytes() == whole


def still_at_step_five(folder):
    restored = restore(folder)
    assert restored.step == 5
    assert bits(restored.state) == bits(state_of(5))


def test_refused_at_once(copied, monkeypatch):
    """One line, and the checkpoint before is still good."""

    def refuse(*arguments, **options):
        raise OSError(28, "No space left on device")

    with open_checkpoints(copied, IDENTITY) as checkpoints:
        assert checkpoints.restore(template()).step == 5
        monkeypatch.setattr(checkpoints.manager, "save", refuse)
        with pytest.raises(
            WriteError, match=r"step 6.*: No space left on device; .* step 5 in"
        ) as said:
            checkpoints.save(6, state_of(6), {}, 5)
    assert "\n" not in str(said.value)
    still_at_step_five(copied)


FULL_DISC = """
import pathlib, resource, sys
from test_checkpoints import IDENTITY, state_of, template
from kpjax.errors import InputError
from kpjax.training.checkpoints import open_checkpoints

with open_checkpoints(pathlib.Path(sys.argv[1]), IDENTITY) as checkpoints:
    checkpoints.restore(template())
    state = state_of(6)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))  # to the end: a later write would succeed
    try:
        checkpoints.save(6, state, {}, 5)
        checkpoints.wait()
    except InputError as error:
        print(repr(str(error)))
"""


@pytest.mark.slow
def test_full_disc_in_the_background(copied):
    """The same of a write in flight, in a process of its own: what a file limit does reaches all of
    a process.
    """
    here = pathlib.Path(__file__).parent
    found = subprocess.run(
        [sys.executable, "-c", FULL_DISC, str(copied)],
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ, PYTHONPATH=f"{here.parents[1]}{os.pathsep}{here}"),
        timeout=300,
    )
    assert found.returncode == 0, found.stderr
    (line,) = found.stdout.splitlines()
    assert re.search(r"run: .* cannot be written: File too large; .* step 5 in .*", line), line
    still_at_step_five(copied)


PERMUTED = np.arange(6, dtype=np.float32).reshape(2, 3).T
TRAINED = Trained(
    {"params": {"a/b": {"kernel": PERMUTED}, "~": np.ones(2, jnp.bfloat16)}, "batch_stats": {}},
    {"teacher": {"scale": np.float32(3)}, "nothing": {}},
)


def test_results_come_back_without_a_template(tmp_path):
    digest = save_trained(tmp_path / "result", TRAINED)
    loaded = load_trained(tmp_path / "result", digest)
    assert jax.tree.structure(loaded) == jax.tree.structure(TRAINED)
    assert leaf_digests(loaded) == leaf_digests(TRAINED)
    assert save_trained(tmp_path / "again", loaded) == digest
    with pytest.raises(InputError, match=r"trained\.json: not found"):
        load_trained(tmp_path / "nowhere")
    with pytest.raises(RunError, match="damaged"):
        load_trained(tmp_path / "result", "0" * 64)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_result_with_what_is_no_number_is_refused(tmp_path, value):
    for dtype in (np.float32, jnp.bfloat16):
        save_trained(tmp_path, Trained({"a": {"b": np.array([1, value], dtype)}}, {}))
        with pytest.raises(RunError, match="variables/a/b holds what is no number"):
            load_trained(tmp_path)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([f"a{n}" for n in range(20_001)], "20001 arrays, up to 0 levels deep"),
        (["/".join("a" * 30_000)], "1 arrays, up to 29999 levels deep"),
        (
            ["variables/params", "variables/params/kernel"],
            "variables/params/kernel lies in params, which is an array",
        ),
    ],
)
def test_a_result_of_more_than_a_network_has_is_refused(tmp_path, names, words):
    save_trained(tmp_path, TRAINED)
    save_file({name: np.zeros(0) for name in names}, tmp_path / "trained.safetensors")
    with pytest.raises(RunError, match=words):
        load_trained(tmp_path)


def test_a_pipe_is_no_result(tmp_path):
    save_trained(tmp_path, TRAINED)
    (tmp_path / "trained.safetensors").unlink()
    os.mkfifo(tmp_path / "trained.safetensors")
    with pytest.raises(RunError, match="is not a file"):
        load_trained(tmp_path)


def test_every_flipped_byte_of_a_result_is_detected_or_harmless(tmp_path):
    digest, harmless = save_trained(tmp_path, TRAINED), 0
    for name in ("trained.safetensors", "trained.json"):
        whole = (tmp_path / name).read_bytes()
        for place in range(len(whole)):
            (tmp_path / name).write_bytes(
                whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :]
            )
            try:
                loaded = load_trained(tmp_path, digest)
            except (RunError, InputError):
                continue
            assert leaf_digests(loaded) == leaf_digests(TRAINED), (name, place)
            harmless += 1
        (tmp_path / name).write_bytes(whole)
    assert harmless < 30


def test_a_checkpoint_under_another_step_is_not_believed(copied):
    (copied / "checkpoints" / "5").rename(copied / "checkpoints" / "7")
    assert restore(copied).step == 4
