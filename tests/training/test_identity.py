"""What a run depends on: the contents of files, whatever their sizes and times, and the programs
that compute it."""

import json
import os

import jax
from tiny import Batches, tiny

from kpjax.training import checkpoints, fit as fitting, identity, run_folder


def test_a_content_is_another_one_whatever_size_and_time_say(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    computed = []
    sha256_of = identity.sha256_of
    monkeypatch.setattr(
        identity, "sha256_of", lambda path: computed.append(path) or sha256_of(path)
    )
    files = {name: tmp_path / "data" / name for name in ("a.bmp", "b.bmp")}
    (tmp_path / "data").mkdir()
    for path in files.values():
        path.write_bytes(b"1234")
    first = identity.contents(files)
    assert identity.contents(files) == first
    assert len(computed) == 2
    times = files["a.bmp"].stat()
    files["a.bmp"].write_bytes(b"4321")
    os.utime(files["a.bmp"], ns=(times.st_atime_ns, times.st_mtime_ns))
    second = identity.contents(files)
    assert identity.differing(first, second) == "1 of 2 files with different content (a.bmp)"
    files["a.bmp"].write_bytes(b"1234")
    assert identity.contents(files) == first  # only its times are others
    assert len(computed) == 4
    assert (
        identity.differing(first, {"b.bmp": first["b.bmp"], "c": ""}) == "1 new (c), 1 gone (a.bmp)"
    )


def test_inputs_of_another_state_are_told_by_their_names(tmp_path):
    first, second = (
        {"target": {"a.png": "1", "b.png": "2"}},
        {"target": {"a.png": "3", "b.png": "2"}},
    )
    stored = {"target": identity.json_digest(first["target"])}
    identity.keep_inputs(tmp_path, first)
    assert identity.changed_input(tmp_path, stored, first) is None
    words = "1 of 2 files with different content (a.png)"
    assert identity.changed_input(tmp_path, stored, second) == ("target", words)


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
    run_folder.note_programs(tmp_path, [here, other])
    monkeypatch.setattr(run_folder, "programs", lambda: other)
    assert run_folder.went_on_under(tmp_path) == [here, other]
    monkeypatch.setattr(run_folder, "programs", lambda: here)
    (tmp_path / run_folder.PROGRAMS).write_text(json.dumps({"programs": [here]}))
    assert run_folder.went_on_under(tmp_path) == []
