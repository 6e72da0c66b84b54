"""What a person reads: what will be trained, what is judged by which labels, and what a slip of the keyboard meant."""
from pathlib import Path

import numpy as np
import pytest

import kpjax
from experiments import system_of
from kpjax.errors import InputError
from kpjax.files import write_json
from kpjax.lab.commands.train import main as train
from kpjax.lab.out.reports.pixel_errors import HELD_OUT, TARGET, TRAINED, Animals
from kpjax.lab.out.reports.verdict import advice, verdict
from kpjax.lab.own import semi_supervised
from kpjax.lab.own.declaration import first_lines, steps_of
from kpjax.lab.own.report import unknown_of
from kpjax.lab.own.systems import own_system
from kpjax.lab.program import main as program
from kpjax.systems.command_line import read_command


def animals(**errors):
    """Two animals of two keypoints for each part, which are so many px off."""
    parts = [part.replace("_", " ") for part in errors for _ in range(2)]
    count, off = len(parts), np.repeat(list(errors.values()), 2)
    true = np.zeros((count, 2, 2))
    return Animals(("nose", "tail"), tuple(parts), tuple(Path(f"{n}.png") for n in range(count)), (None,) * count,
                   ("",) * count, np.full(count, 100.0), true, np.ones((count, 2)), true + [1, 0] * off[:, None, None],
                   np.ones((count, 2)))


def test_labels_of_the_target_judge_where_there_are_some():
    found = animals(trained_on=1.0, held_out=2.0, target=9.0)
    assert list(found.by_part()) == [TARGET, HELD_OUT, TRAINED]
    said = " ".join(verdict(found, 0.5))
    assert "On 2 frames of the target whose labels it has never seen, the mean error is 9.0 px" in said
    assert "choosing a variant or a setting by them is choosing on test images" in said
    assert "On 2 held-out frames of the source, the mean error is 2.0 px" in said
    assert advice(found, 0.5) == ["More labels of the target: with 2 frames these numbers are rough."]
    plain = " ".join(verdict(animals(trained_on=1.0, held_out=2.0), 0.5))
    assert "On 2 frames whose labels it has never seen, the mean error is 2.0 px" in plain
    assert "target" not in plain


@pytest.mark.parametrize(("images", "words"), [
    ({"target": ["V"], "source": "P", "target_project": ""}, "All errors above are of the source. Look at"),
    ({"target": ["V"], "source": "", "target_project": ""}, "none of its images has a label. Look at the pictures"),
    ({"target": ["V"], "source": "P", "target_project": "T"}, ""), ({"project": "P"}, "")])
def test_without_labels_of_the_target_its_errors_are_not_known(images, words, tmp_path):
    write_json(tmp_path / "config.json", {"config": {"data": images}})
    said = " ".join(unknown_of(tmp_path))
    assert words in said
    assert bool(words) == bool(said)


def test_the_first_lines_say_what_is_trained(given, tmp_path, capsys):
    command = read_command(own_system("semi_supervised"), [
        "own", "--project", "P", "--network", "small_unet", "--size", "32", "--batch-size", "1000", "--seeds", "2",
        "--workdir", str(tmp_path)])
    assert "--batch-size 1000 is more than the 16 labelled animals: a step sees each about 62 times" in (
        capsys.readouterr().out)
    steps = steps_of(command.config)
    assert first_lines(command) == [
        "to train: 2 networks, one after the other: supervised_warped, 2 seeds each; up to "
        f"{steps} steps each"]


def test_named_images_without_labels_are_read_or_refused(given, tmp_path):
    command = read_command(own_system("semi_supervised"), [
        "own", "--project", "P", "--network", "small_unet", "--size", "32", "--unlabelled", given["IMAGES"],
        "--workdir", str(tmp_path)])
    assert command.variants == ["supervised_warped", "pl_warped"]
    for variants in (["supervised_warped"], ["supervised", "supervised_warped_averaged"]):
        with pytest.raises(InputError, match=r"unlabelled: .* would not read them"):
            semi_supervised.check_variants(command.config, variants)
    for variant in ("pl_warped", "ours", "mean_teacher", "pl_warped_averaged"):
        semi_supervised.check_variants(command.config, ["supervised", variant])
    with pytest.raises(InputError, match="supervised trains on the labels alone"):
        train(["supervised", "--project", "P", "--unlabelled", given["IMAGES"]])


def test_near_names_are_suggested(monkeypatch, capsys):
    with pytest.raises(AttributeError, match="kpjax has no 'regdaa'; did you mean regda"):
        _ = kpjax.regdaa
    with pytest.raises(InputError, match=r"preset 'demoo' is unknown; .*; did you mean demo"):
        read_command(system_of("regda"), ["demoo"])
    with pytest.raises(InputError, match=r"'regdda' is not a system; .*; did you mean regda"):
        train(["regdda"])
    with pytest.raises(InputError, match=r"'nosuch' is not a system; .* all labels of P$"):
        train(["nosuch"])
    monkeypatch.setattr("sys.argv", ["kpjax", "chek"])
    with pytest.raises(SystemExit):
        program()
    assert "; did you mean check?" in capsys.readouterr().err
