"""Each flag of the command line enters the identity of a run, or is known to change no number."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import tiny_regda
from etils import epath

from experiments import experiment_of
from experiments.measure.rows import run_results
from kpjax.errors import InputError
from kpjax.lab.own import project
from kpjax.lab.own.project import inputs_of
from kpjax.lab.own.systems import NEEDS, own_experiment
from kpjax.papers import command_line, engine
from kpjax.papers.command_line import (
    CHANGE_NO_NUMBER,
    CHANGE_NUMBERS,
    OF_ONE_HOST,
    Shared,
    read_command,
    run,
)
from kpjax.papers.configs import Heatmaps, ImageSet, config_as_json, flat
from kpjax.training import identity, run_folder
from kpjax.training.identity import flat_identity

NAME_NO_FILE = (
    "category contours core_kept_by further keypoints_never_in_target labelled_images labelled_size place ridges "
    "test training_kept_by uncounted_keypoints unused_keypoints validation"
)
SYSTEMS = {name: (experiment_of(name), own_experiment(name)) for name in NEEDS}


@pytest.mark.parametrize("name", NEEDS)
def test_each_flag_is_in_the_identity_or_changes_no_number(name):
    assert {field.name for field in dataclasses.fields(Shared)} == CHANGE_NO_NUMBER | CHANGE_NUMBERS
    assert OF_ONE_HOST < CHANGE_NO_NUMBER
    published, own = SYSTEMS[name]
    assert (published.inputs, own.inputs) == (engine.named_inputs, inputs_of)
    for experiment in (published, own):
        for config in experiment.presets.values():
            known = {
                part for path in flat_identity(config_as_json(config)) for part in path.split(".")
            }
            flags = command_line._flags(config).keys() - CHANGE_NO_NUMBER - CHANGE_NUMBERS
            assert flags == flat(config).keys()
            assert flags <= known


def test_groups_of_batch_norm_are_in_the_identity_and_name_the_row():
    def command(*more):
        return read_command(tiny_regda.TINY, ["people", *more])

    (usual, *_), (grouped, *_) = (
        one.jobs() for one in (command(), command("--batch-norm-groups", "4"))
    )
    assert grouped.identity() == usual.identity() | {"batch_norm_groups": 4}
    assert grouped.settings == "batch_norm_groups=4"
    assert not usual.settings
    for there, here in ((grouped, usual), (usual, grouped)):
        with pytest.raises(InputError, match=r"batch_norm_groups is (4|absent) there"):
            identity.check_identity(
                {"why": {}, **there.identity()}, here.identity(), Path("config.json")
            )


def test_a_prepared_set_and_a_file_of_weights_are_inputs(tmp_path):
    (tmp_path / "lsp" / "1.0.0").mkdir(parents=True)
    described = tmp_path / "lsp" / "1.0.0" / "skeleton.json"
    described.write_text(json.dumps({"labels": {"train": "a"}}))
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"1")
    config = engine.configs.replace_fields(
        tiny_regda.TINY.presets["people"],
        source="lsp/train",
        target="lsp/test",
        weights=str(weights),
    )
    first = engine.named_inputs(config, epath.Path(tmp_path))
    assert {name: list(files) for name, files in first.items()} == {
        "source": ["lsp/1.0.0/skeleton.json"],
        "target": ["lsp/1.0.0/skeleton.json"],
        "weights": ["weights.safetensors"],
    }
    weights.write_bytes(b"2")
    described.write_text(json.dumps({"labels": {"train": "b"}}))
    second = engine.named_inputs(config, epath.Path(tmp_path))
    assert all(first[name] != second[name] for name in first)


def test_the_network_of_a_run_is_an_input_by_itself(tmp_path):
    """Its record may stay the same: a copy went wrong, or another network was put there."""

    @dataclasses.dataclass(frozen=True)
    class Named:
        start: str

    read = ("results.json", "trained.json", "trained.safetensors")
    for name in (*read, "drawn.png"):
        (tmp_path / name).write_bytes(b"1")
    first = inputs_of(Named(str(tmp_path)))
    assert set(first["start"]) == set(read)
    (tmp_path / "trained.safetensors").write_bytes(b"22")
    assert inputs_of(Named(str(tmp_path))) != first


def test_every_text_of_a_preset_names_a_file_or_is_known_to_name_none():
    texts = set()
    for _, own in SYSTEMS.values():
        config = own.presets["own"]
        texts |= {name for name, value in flat(config).items() if value in ("", ())}
    named = {*project.PATHS, *project.PROJECTS, *project.WITH_PROJECT}
    assert texts - named == set(NAME_NO_FILE.split())


def test_a_finished_run_of_other_programs(tmp_path, monkeypatch, capsys):
    tiny = tiny_regda.TINY
    typed = ["people", "--variants", "source_only", "--workdir", str(tmp_path)]
    engine._inputs.cache_clear()
    run(tiny, typed)
    job = read_command(tiny, typed).jobs()[0]
    results = json.loads((job.folder / "results.json").read_text())
    assert results["went_on_under"] == []
    assert list(run_results(tiny, tmp_path))

    here = identity.programs()
    monkeypatch.setattr(engine, "programs", lambda: here | {"sources": "f" * 64})
    run(tiny, typed)
    assert "finished before, in " in (said := capsys.readouterr().out)
    assert "under other programs (the digest of kpjax's sources" in said
    monkeypatch.undo()

    # A table of seeds says which of them other programs have computed, and no page takes them.
    monkeypatch.setattr(run_folder, "programs", lambda: here | {"sources": "f" * 64})
    run(tiny, [*typed, "--seeds", "2"])
    said = capsys.readouterr().out
    words = "not all runs of this table were computed by the same programs (source_only, seed 1: the digest"
    assert words in said
    monkeypatch.undo()
    second = job.folder.parent / "seed-1" / "results.json"
    other = json.loads(second.read_text())
    second.write_text(json.dumps(other | {"went_on_under": []}))
    assert not list(run_results(tiny, tmp_path))
    assert words in capsys.readouterr().out
    shutil.rmtree(job.folder.parent / "seed-1")

    # No table takes a number that two programs have computed.
    results["went_on_under"] = [here, here]
    (job.folder / "results.json").write_text(json.dumps(results))
    capsys.readouterr()
    assert not list(run_results(tiny, tmp_path))
    assert "went on under other programs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("part", "field", "values"),
    [
        (ImageSet, "image_size", (1, 2, 65536)),
        (Heatmaps, "sigma", (1e9, 1e-30, float("nan"))),
    ],
)
def test_numbers_that_mean_nothing_are_refused_before_anything_is_made(part, field, values):
    for value in values:
        with pytest.raises(InputError, match=f"{field}: .*; give "):
            part(**{field: value})
