"""What a run depends on: the contents of files, whatever their sizes and times, and the programs
that compute it."""

import os

import jax
import numpy as np
from PIL import Image
from tiny import Batches, tiny

from kpjax.images import contents
from kpjax.training import checkpoints, fit as fitting, identity, run_folder


def test_a_content_is_another_one_whatever_size_and_time_say(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    computed = []
    digest = contents.content_digest
    monkeypatch.setattr(
        contents, "content_digest", lambda path: computed.append(path) or digest(path)
    )
    files = {name: tmp_path / "data" / name for name in ("a.bmp", "b.bmp")}
    (tmp_path / "data").mkdir()
    for path in files.values():
        path.write_bytes(b"1234")
    first = contents.contents(files)
    assert contents.contents(files) == first
    assert len(computed) == 2
    times = files["a.bmp"].stat()
    files["a.bmp"].write_bytes(b"4321")
    os.utime(files["a.bmp"], ns=(times.st_atime_ns, times.st_mtime_ns))
    second = contents.contents(files)
    assert identity.differing(first, second) == "1 of 2 files with different content (a.bmp)"
    files["a.bmp"].write_bytes(b"1234")
    assert contents.contents(files) == first  # only its times are others
    assert len(computed) == 4
    assert (
        identity.differing(first, {"b.bmp": first["b.bmp"], "c": ""}) == "1 new (c), 1 gone (a.bmp)"
    )


def test_a_content_is_what_a_file_says(tmp_path):
    """An image that is saved again says the same, in other bytes; one of other pixels does not."""
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    for level in (1, 9):
        Image.fromarray(pixels).save(tmp_path / f"{level}.png", compress_level=level)
    pixels[3, 4, 1] ^= 1
    Image.fromarray(pixels).save(tmp_path / "other.png")
    digests = contents.contents({path.name: path for path in tmp_path.glob("*.png")})
    assert (tmp_path / "1.png").read_bytes() != (tmp_path / "9.png").read_bytes()
    assert digests["1.png"] == digests["9.png"] != digests["other.png"]


def test_other_random_numbers_are_other_programs():
    with jax.default_prng_impl("rbg"):
        assert "random numbers absent, now rbg True" in identity.changed_programs(
            {}, identity.programs()
        )


def test_inputs_of_another_state_are_told_by_their_names():
    first, second = (
        {"target": {"a.png": "1", "b.png": "2"}},
        {"target": {"a.png": "3", "b.png": "2"}},
    )
    assert identity.changed_input(first, first) is None
    words = "1 of 2 files with different content (a.png)"
    assert identity.changed_input(first, second) == ("target", words)
    videos = {"videos": {"party.mp4": "4"}}
    assert identity.changed_input(first, first | videos) == ("videos", "1 new (party.mp4)")
    assert identity.changed_input(first | videos, first) == ("videos", "1 gone (party.mp4)")


def test_addresses_are_no_part_of_a_config():
    config = {"project": {"project": "P", "share": 1}, "weights": "w.safetensors"}
    assert identity.named_in(config) == {"project", "share", "weights"}
    assert identity.without_addresses(config, {"project", "weights"}) == {"project": {"share": 1}}


def test_what_computes_has_its_devices_and_the_flags_of_its_compiler(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "")
    here = identity.programs()
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=/tmp/a --xla_cpu_enable_fast_math=true")
    assert identity.arithmetic()["XLA flags"] == "--xla_cpu_enable_fast_math=true"
    with jax.default_matmul_precision("bfloat16"):
        changed = identity.changed_programs(here, identity.programs())
    assert "precision default, now bfloat16" in changed
    on_two = here["arithmetic"] | {"devices": "2 x cpu"}
    assert "devices 8 x cpu, now 2 x cpu" in identity.changed_programs(
        here, here | {"arithmetic": on_two}
    )
    assert "XLA flags none, now --xla_cpu_enable_fast_math=true" in changed
    assert {"pillow", "av", "jax"} <= here["versions"].keys()


def test_other_programs_are_said_and_kept(tmp_path, monkeypatch, capsys):
    def train(steps, **more):
        return fitting.fit(
            tiny(),
            {"labelled": Batches()},
            steps=steps,
            key=jax.random.key(0),
            stage="main",
            folder=tmp_path,
            config={},
        )

    here = identity.programs()
    assert train(2).under == (here,)
    other = here | {"sources": "f" * 64, "versions": here["versions"] | {"jax": "9.9.9"}}
    for module in (checkpoints, fitting):
        monkeypatch.setattr(module, "programs", lambda: other)
    capsys.readouterr()
    assert train(4).under == (here, other)
    said = capsys.readouterr().err
    assert "going on from step 2 of 4, under other programs than before: " in said
    assert f"jax {here['versions']['jax']}, now 9.9.9" in said
    assert "--fresh starts over" in said
    assert f"{here['sources'][:12]}, now ffffffffffff" in said
    # A commit with the same sources is no other program.
    again = other | {"commit": "other"}
    for module in (checkpoints, fitting):
        monkeypatch.setattr(module, "programs", lambda: again)
    assert train(6).under == (here, other)
    run_folder.write_config(tmp_path, {})
    run_folder.note_programs(tmp_path, [here, other])
    monkeypatch.setattr(run_folder, "programs", lambda: other)
    assert run_folder.went_on_under(tmp_path) == [here, other]
    monkeypatch.setattr(run_folder, "programs", lambda: here)
    run_folder.write_config(tmp_path, {"programs": [here]})
    assert run_folder.went_on_under(tmp_path) == []
