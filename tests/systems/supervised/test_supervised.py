"""The supervised experiment from its command line to its table, on a few synthetic images."""
import json

import jax
import numpy as np
import pytest
from PIL import Image

from experiments import system_of
from experiments.supervised import PRESETS
from kpjax.errors import InputError
from kpjax.structures import Example
from kpjax.systems import command_line, supervised
from kpjax.systems.command_line import run
from kpjax.systems.configs import decoder, score_kind

TINY = ["demo", "--image-size", "32", "--heatmap-size", "8", "--widths", "4", "8", "8", "--head-width", "8",
        "--training-examples", "24", "--test-examples", "10", "--batch-size", "8", "--evaluations", "2"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of four steps and its folder."""
    workdir = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command_line, "use_compile_cache", lambda: None)  # the tests have a cache of their own
        yield trained_in(workdir)


def trained_in(workdir):
    """The report and the folder of the run."""
    report = run(system_of("supervised"), [*TINY, "--steps", "4", "--workdir", str(workdir)])
    return report, workdir / "supervised" / "demo" / "supervised" / "seed-0"


def test_a_run_has_numbers_images_and_a_table(finished, capsys):
    report, folder = finished
    results = json.loads((folder / "results.json").read_text())
    found = results["metrics"]
    for measure in ("pck", "nme", "mae", "distance"):
        assert np.isfinite(found[f"test/{measure}"])
    names = json.loads((folder / "skeleton.json").read_text())["names"]
    for measure in ("pck", "nme"):
        each = [found[f"test/{measure}/{name}"] for name in names]
        assert np.mean(each) == pytest.approx(found[f"test/{measure}"])
    # Rendered images are not resized and their reference length is the side: an error is the same in both units.
    assert found["test/nme"] * 32 == pytest.approx(found["test/distance"], rel=1e-4)
    assert found["chosen_by/step"] in (2, 4)
    with Image.open(folder / "images" / "test.png") as sheet:
        assert sheet.width > 4 * 320
    assert "PCK at 5 %" in report.read_text()

    before = (folder / "results.json").stat().st_mtime_ns
    run(system_of("supervised"), [*TINY, "--steps", "4", "--workdir", str(folder.parents[3])])
    assert "finished before" in capsys.readouterr().out
    assert (folder / "results.json").stat().st_mtime_ns == before
    with pytest.raises(InputError, match="learning_rate"):
        run(system_of("supervised"), [*TINY, "--steps", "4", "--learning-rate", "0.1", "--workdir",
                                    str(folder.parents[3])])


@pytest.mark.parametrize("preset", ["openfield", "faces"])
@pytest.mark.parametrize("variant", list(supervised.VARIANTS))
def test_sub_pixel_decoding_undoes_the_targets(preset, variant):
    """Targets, as logits or as they are, decode to their points within a tenth of a pixel of the image."""
    config = PRESETS[preset]
    coding = config.heatmaps.codec(config.data.image_size, logits=variant == "supervised")
    points = jax.random.uniform(jax.random.key(0), (8, 3, 2), minval=30.0, maxval=90.0)

    @jax.jit
    def there_and_back(points):
        targets, _ = coding.encode(Example(None, points, jax.numpy.ones((8, 3)), None, None, None))
        return coding.decode(jax.numpy.log(targets) if variant == "supervised" else targets)[0]

    np.testing.assert_allclose(there_and_back(points), points, atol=0.1)


@pytest.mark.parametrize(("name", "logits", "expected"), [
    ("dark", True, "softmax_peak"), ("dark", False, "mse_peak"), ("argmax", True, "logit_peak"),
    ("quarter", False, "mse_peak"), ("soft_argmax", False, "softmax_peak")])
def test_scores_are_what_their_kind_says(name, logits, expected):
    """Of a map with one sharp peak of height 8: its probability, its height, or the logit as it is."""
    heatmaps = jax.numpy.zeros((1, 9, 9, 1)).at[0, 4, 5, 0].set(8.0)
    assert score_kind(name, logits=logits) == expected
    found = float(decoder(name, sigma=1.0, logits=logits)(heatmaps)[1][0, 0])
    # DARK blurs the map before it looks, and gives the height of the map as it was.
    assert (found < 1) == (expected == "softmax_peak")
