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
from tiny import bits
from tiny_checkpoints import FROZEN, IDENTITY, state_of, template

from kpjax.errors import InputError, RunError
from kpjax.structures import Trained
from kpjax.training.checkpoints import open_checkpoints
from kpjax.training.mesh import data_mesh, replicated
from kpjax.training.trees import describe, leaf_digests, load_trained, save_trained


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
    assert {leaf.sharding for leaf in jax.tree.leaves(restored.state)} == {replicated(data_mesh())}
    with open_checkpoints(folder, IDENTITY) as checkpoints:
        assert bits(checkpoints.restore_step(2, template()).state) == bits(state_of(2))


def test_frozen_trees_are_stored_once(folder):
    files = [path for path in folder.rglob("*") if path.is_file() and b"frozen/core" in path.read_bytes()]
    assert files == []
    assert (folder / "frozen.safetensors").is_file()


def files_of_step_five(folder):
    return sorted(path.relative_to(folder) for path in (folder / "checkpoints" / "5").rglob("*") if path.is_file())


def test_a_flipped_byte_in_any_file_is_detected_or_harmless(folder, tmp_path, capsys):
    """Each file in turn, at its middle: what comes back is step 5 bit for bit, or step 4 with one line that says so."""
    files, detected = files_of_step_five(folder), 0
    assert len(files) > 8
    for number, name in enumerate(files):
        copy = tmp_path / str(number)
        shutil.copytree(folder, copy)
        content = bytearray((copy / name).read_bytes())
        if not content:
            continue
        content[len(content) // 2] ^= 0x20
        (copy / name).write_bytes(content)
        restored = restore(copy)
        assert bits(restored.state) == bits(state_of(restored.step)), name
        said = capsys.readouterr().err
        assert said.count("\n") == (restored.step == 4), said
        if restored.step == 4:
            detected += 1
            assert f"{copy / 'checkpoints' / '5'} is damaged" in said
            assert "going on from step 4" in said
            assert [path.name for path in (copy / "damaged").iterdir()] == ["0-step-5"]
    assert detected >= 3


def test_a_missing_or_truncated_file(folder, tmp_path, capsys):
    for number, name in enumerate(name for name in files_of_step_five(folder) if name.parent.name == "d"):
        copy = tmp_path / str(number)
        shutil.copytree(folder, copy)
        (copy / name).write_bytes((copy / name).read_bytes()[:10]) if number % 2 else (copy / name).unlink()
        restored = restore(copy)
        assert bits(restored.state) == bits(state_of(restored.step)), name
    assert "damaged" in capsys.readouterr().err


def test_all_damaged(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "run")
    for step in (2, 4, 5):
        shutil.rmtree(tmp_path / "run" / "checkpoints" / str(step) / "record")
    with pytest.raises(RunError, match=r"5 is damaged .*4 is damaged .*2 is damaged .*start over with .fresh"):
        restore(tmp_path / "run")


def test_a_damaged_best(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "2" / "state")
    with (open_checkpoints(tmp_path / "run", IDENTITY) as checkpoints,
          pytest.raises(RunError, match=r"2 is damaged .* was the best .* .fresh")):
        checkpoints.restore_step(2, template())


def test_damaged_frozen_trees_are_made_again(folder, tmp_path, capsys):
    path = tmp_path / "run" / "frozen.safetensors"
    shutil.copytree(folder, tmp_path / "run")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(RunError, match=r"frozen\.safetensors: damaged"):
        restore(tmp_path / "run", remake_frozen=lambda: {"core": {"scale": np.zeros(3, np.float32)}})
    assert bits(restore(tmp_path / "run", remake_frozen=lambda: FROZEN).state) == bits(state_of(5))
    assert "made and written again" in capsys.readouterr().err
    assert path.read_bytes() == whole


def test_leftovers_of_killed_processes_are_harmless(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "run")
    shutil.copytree(folder / "checkpoints" / "5", tmp_path / "run" / "checkpoints" / "6.orbax-checkpoint-tmp")
    (tmp_path / "run" / ".frozen.1.partial.safetensors").write_bytes(b"half")
    assert restore(tmp_path / "run").step == 5


def still_at_step_five(folder):
    restored = restore(folder)
    assert restored.step == 5
    assert bits(restored.state) == bits(state_of(5))


def test_refused_at_once(folder, tmp_path, monkeypatch):
    """One line, and the checkpoint before is still good."""
    def refuse(*arguments, **options):
        raise OSError(28, "No space left on device")

    shutil.copytree(folder, tmp_path / "run")
    with open_checkpoints(tmp_path / "run", IDENTITY) as checkpoints:
        assert checkpoints.restore(template()).step == 5
        monkeypatch.setattr(checkpoints.manager, "save", refuse)
        with pytest.raises(InputError, match=r"step 6.*: No space left on device; .* step 5 in") as said:
            checkpoints.save(6, state_of(6), {}, 5)
    assert "\n" not in str(said.value)
    still_at_step_five(tmp_path / "run")


@pytest.mark.slow
def test_full_disc_in_the_background(folder, tmp_path):
    """The same of a write in flight, in a process of its own: what a file limit does reaches all of a process."""
    shutil.copytree(folder, tmp_path / "run")
    here = pathlib.Path(__file__)
    found = subprocess.run([sys.executable, str(here.with_name("save_on_a_full_disc.py")), str(tmp_path / "run")],
                           env=dict(os.environ, PYTHONPATH=str(here.parents[2])), capture_output=True, text=True,
                           check=False, timeout=300)
    assert found.returncode == 0, found.stderr
    line, = found.stdout.splitlines()
    assert re.search(r"^InputError: .*run: .* cannot be written: File too large; .* step 5 in .*", line), line
    still_at_step_five(tmp_path / "run")


PERMUTED = np.arange(6, dtype=np.float32).reshape(2, 3).T
TRAINED = Trained({"params": {"a/b": {"kernel": PERMUTED}, "~": np.ones(2, jnp.bfloat16)}, "batch_stats": {}},
                  {"teacher": {"scale": np.float32(3)}, "nothing": {}})


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


def test_every_flipped_byte_of_a_result_is_detected_or_harmless(tmp_path):
    digest, harmless = save_trained(tmp_path, TRAINED), 0
    for name in ("trained.safetensors", "trained.json"):
        whole = (tmp_path / name).read_bytes()
        for place in range(len(whole)):
            (tmp_path / name).write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1:])
            try:
                loaded = load_trained(tmp_path, digest)
            except (RunError, InputError):
                continue
            assert leaf_digests(loaded) == leaf_digests(TRAINED), (name, place)
            harmless += 1
        (tmp_path / name).write_bytes(whole)
    assert harmless < 30


def test_a_checkpoint_under_another_step_is_not_believed(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "copy" / "checkpoints" / "5").rename(tmp_path / "copy" / "checkpoints" / "7")
    assert restore(tmp_path / "copy").step == 4
