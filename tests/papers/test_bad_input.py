"""Commands that cannot be carried out: exit code 2, one line that names what to mend, and nothing
lost.
"""

import os
import subprocess
import sys

import numpy as np
import pytest
from tiny_regda import TINY as TINY_REGDA
from tiny_systems import SYSTEMS
from untrained import write_safetensors

from experiments.regda import EXPERIMENT
from kpjax.papers.command_line import run
from kpjax.papers.parsing import exit_code_of


@pytest.fixture
def refused(tmp_path, capsys):
    """Runs a command that must be refused and returns its line."""

    def command(*arguments, experiment=TINY_REGDA, workdir=tmp_path / "runs"):
        given = [str(argument) for argument in arguments]
        code = exit_code_of(
            lambda: run(experiment, [*given, "--workdir", str(workdir)] if given else [])
        )
        lines = capsys.readouterr().err.splitlines()
        assert code == 2, lines
        assert len(lines) == 1, lines
        assert lines[0].startswith("error: ")
        assert "Traceback" not in lines[0]
        return lines[0]

    return command


CASES = {  # what is typed behind the name of a system, and words of the line
    "regda": ["name a preset", "people", "sprites"],
    "regda peeple": ["'peeple'", "sprites", "; did you mean people?"],
    "regda people --variants regdaa": ["--variants", "'regdaa'", "oracle", "; did you mean regda?"],
    "semi_supervised tiny --variants zero_shot": [
        "--variants",
        "'zero_shot'",
        "tiny",
        "all_labels",
    ],
    "regda people --marginn 3": ["--marginn", "3. Perhaps you meant --margin; see --help"],
    "regda people --margin wide": ["--margin", "wide"],
    "regda people --network vgg": ["--network", "vgg", "pose_resnet"],
    "regda people --steps 0": ["--steps", "0", "at least 1"],
    "regda people --learning-rate nan": ["--learning-rate", "nan", "finite"],
    "regda people --first-seed -1": ["--first-seed", "-1"],
    "regda people --profile 2 0": ["--profile", "2 0", "a count"],
    "regda people --heatmap-size 4": ["--heatmap-size", "4", "32 px", "2 or 4 times"],
    "regda people --image-size 30": ["--image-size: 30; small_unet needs a multiple of 4"],
    "regda people --widths 4 4": ["--widths", "2 given"],
    "regda people --network pose_resnet --depth 20": ["--depth", "'20'", "101"],
    "regda people --variants dd --keypoints-never-in-target 77": [
        "--keypoints-never-in-target",
        "77",
    ],
    "regda people --variants source_only --batch-size 24": ["24", "16"],
    "regda people --variants source_only --batch-size 12": ["12", "8 devices", "8 or 16"],
    "regda people --variants source_only --batch-norm-groups 3": [
        "--batch-norm-groups: 3",
        "batch of 8",
    ],
    "regda people --source figures:moon": ["figures:moon", "source, nearer, target, photo"],
    "regda people --source nowhere": ["'nowhere'", "lspet"],
    "regda people --variants source_only --target sprites:colour": [
        "figures:source",
        "sprites:colour",
        "keypoints",
    ],
    "semi_supervised tiny --labelled 2.5": ["--labelled: 2.5"],
    "semi_supervised tiny --labelled 0.01": ["0 labelled images", "give 1 to 23"],
    "semi_supervised tiny --unlabelled-share 0.01": [
        "--unlabelled-share: 0.01 of 18 images is none"
    ],
    "semi_supervised tiny --batch-size 7": ["--batch-size: 7"],
    "semi_supervised tiny --network hrnet --image-size 48 --heatmap-size 12": ["--image-size: 48"],
    "semi_supervised tiny --generator-size 0": ["--generator-size: 0"],
    "semi_supervised tiny --backbone-rate 0": ["--backbone-rate: 0"],
    "semi_supervised tiny --labelled 1 --variants pl": ["'pl' does not suit"],
    "incremental tiny --steps 1": ["--steps: 1; must be at least 2"],
    "incremental tiny --protocol nowhere": ["--protocol: 'nowhere' is not found; there are atrw"],
    "incremental tiny --kamp -1": ["--kamp: -1.0; must be finite and above 0"],
    "pyramids tiny --level-sizes 4 6": ["--level-sizes: 4 6; every keypoint"],
    "pyramids tiny --level-sizes 0 6": ["--level-sizes: 0 6; give two numbers above 0"],
    "pyramids tiny --window 9": ["9 frames, but the longest video of"],
    "pyramids tiny --image-size 30": ["--image-size: images of 30 x 30"],
    "pyramids tiny --collapse-baselines blue": ["--collapse-baselines: 'blue'"],
    "adaptation tiny --network hourglass": ["--image-size: 32; hourglass needs a multiple of 64"],
    "adaptation tiny --core-epoch 7": ["--core-epoch: 7; those kept are 1 and the last, 2"],
    "adaptation tiny --labelled-images 0": ["--labelled-images: 0"],
    "adaptation tiny --point-sigma 0": ["--point-sigma: 0.0; give 0.1 to 100 heatmap px"],
    "adaptation tiny --test youtube_faces/test": ["leave fit and test empty"],
    "adaptation tiny --labelled-images 2 13": ["13 labelled images are asked for, there are 12"],
    "adaptation tiny --target rendered:four_legged": [
        "distances between eyes, and the landmarks are nose"
    ],
    "adaptation tiny --target rendered:shoes": ["rendered:shoes: there are rendered:people"],
    "adaptation tiny --target youtube_faces --test youtube_faces/test": [
        "youtube_faces: name a prepared set and its split"
    ],
    "adaptation tiny --variants random_core --perceptual nowhere.safetensors": [
        "nowhere.safetensors"
    ],
}


@pytest.mark.parametrize("typed", CASES)
def test_flags_are_refused_by_name(refused, typed):
    name, *arguments = typed.split()
    line = refused(*arguments, experiment=SYSTEMS[name])
    for word in CASES[typed]:
        assert word in line


def test_a_dataset_that_was_not_prepared(refused, tmp_path):
    line = refused("rhd_h3d", "--data-dir", tmp_path, experiment=EXPERIMENT)
    assert f"python -m data rhd --data-dir {tmp_path} --manual-dir PATH" in line


def test_weights_of_another_architecture(refused, tmp_path):
    weights = tmp_path / "other.safetensors"
    write_safetensors(weights, {"features.0.weight": np.zeros((8, 3, 3, 3), np.float32)})
    chosen = ("people", "--variants", "source_only", "--imagenet")
    assert str(weights) in refused(*chosen, weights)
    weights.write_bytes(b"no weights")
    assert str(weights) in refused(*chosen, weights)
    assert str(tmp_path / "absent.safetensors") in refused(*chosen, tmp_path / "absent.safetensors")


@pytest.mark.parametrize(
    "fault", ["OSError('Forbidden: box')", "FileNotFoundError('box')", "RuntimeError('503')"]
)
def test_a_bucket_that_stops_answering_is_named_in_one_line(fault, capsys):
    """Wherever it is read: while training too, where nothing is being written."""
    client = {"__name__": "gcsfs.core"}
    exec(f"def read():\n    raise {fault}", client)
    assert exit_code_of(client["read"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: a bucket cannot be read: ")
    assert line.endswith("the same command goes on")
    with pytest.raises(OSError, match="of this machine"):
        exit_code_of(lambda: (_ for _ in ()).throw(OSError("of this machine")))


@pytest.mark.slow
def test_a_backend_that_is_not_there_is_named_in_one_line():
    """JAX asserts this without a word for a platform that it knows and has no package for."""
    program = "import jax\nfrom kpjax.papers.parsing import exit_code_of\n"
    for platform in ("cuda", "bogus"):
        done = subprocess.run(
            [sys.executable, "-c", f"{program}raise SystemExit(exit_code_of(jax.devices))"],
            env=os.environ | {"JAX_PLATFORMS": platform},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert line.startswith("error: JAX_PLATFORMS: ")
        assert platform in line


@pytest.mark.slow
def test_a_reader_that_leaves_early_is_no_fault():
    """As `kpjax --help | head -1` does."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "kpjax", "--help"], stdout=write, stderr=subprocess.PIPE
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")
    with pytest.raises(BrokenPipeError):  # of another pipe
        exit_code_of(lambda: (_ for _ in ()).throw(BrokenPipeError))
