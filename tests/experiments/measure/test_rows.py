"""Numbers in files: read as written, replaced when measured again, gathered from finished runs."""
import json

import pytest
from tiny_regda import TINY

from experiments.measure import rows
from experiments.measure.rows import BY_HAND, Result, merged, read_results, write_results
from kpjax import InputError


def measured(variant, *values, metric="target/pck", commit="abc"):
    return [Result("people", "", variant, str(seed), metric, value, steps=10, device="1 cpu", date="2026-01-02",
                   commit=commit) for seed, value in enumerate(values)]


def write_run(workdir, preset="people", settings="", **metrics):
    folder = workdir / "regda" / preset / "regda" / "seed-3"
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps({
        "experiment": "regda", "preset": preset, "variant": "regda", "seed": 3, "steps": 5, "metrics": metrics,
        "wall_seconds": 2.0, "commit": "abc", "settings": settings, "devices": {"kind": "cpu", "count": 2}}))


def test_a_file_is_read_as_it_was_written_and_a_bad_line_is_named(tmp_path):
    found = [*measured("regda", 0.9, 0.85), *measured("dd", 0.5, commit=BY_HAND)]
    write_results(tmp_path, found)
    assert sorted(read_results(tmp_path)) == sorted(found)
    path = tmp_path / "results.csv"
    path.write_text(path.read_text().replace("0.85", "much"))
    with pytest.raises(InputError, match=r"results.csv, line \d+: .*much"):
        read_results(tmp_path)
    path.write_text("preset,variant\n")
    with pytest.raises(InputError, match="the first line must be preset,settings"):
        read_results(tmp_path)


def test_measured_numbers_replace_equal_keys_and_what_was_recorded_by_hand():
    old = [*measured("regda", 0.1, 0.2), *measured("dd", 0.7, 0.8, commit=BY_HAND)]
    new = [*measured("regda", 0.5), *measured("dd", 0.6)]
    assert sorted((one.variant, one.seed, one.value) for one in merged(old, new)) == [
        ("dd", "0", 0.6), ("regda", "0", 0.5), ("regda", "1", 0.2)]


def test_runs_are_named_by_preset_and_settings(tmp_path):
    write_run(tmp_path, "people-image_size-16", "image_size=16", **{"target/pck": 0.25, "other": 1.0})
    write_run(tmp_path, "people_of_another_name")
    found = list(rows.run_results(TINY, tmp_path))
    assert {(one.metric, one.value) for one in found} == {("target/pck", 0.25), ("other", 1.0)}
    assert {one[:4] for one in found} == {("people", "image_size=16", "regda", "3")}
    assert (found[0].steps, found[0].seconds, found[0].device, found[0].commit) == (5, 2.0, "2 cpu", "abc")


def test_only_what_a_table_shows_is_gathered(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "EXPERIMENTS", tmp_path / "rooms")
    (tmp_path / "rooms" / "regda").mkdir(parents=True)
    write_run(tmp_path, **{"target/pck": 0.25, "other": 1.0})
    write_run(tmp_path, "people-image_size-16", "image_size=16", **{"target/pck": 0.5})
    assert rows.gathered(TINY, tmp_path, {("people", "", "regda", "target/pck")}) == 1
    assert [one.value for one in read_results(tmp_path / "rooms" / "regda")] == [0.25]
