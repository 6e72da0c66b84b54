"""The supervised experiment from its command line to its table, on a few synthetic images."""
import json

import jax
import numpy as np
import pytest

from kpjax.systems.configs import decoder, score_kind


def test_a_run_has_numbers_of_each_keypoint_and_in_pixels(ran, results_of):
    folder = ran("supervised")
    found = results_of(folder, "supervised")["metrics"]
    names = json.loads((folder / "supervised" / "seed-0" / "skeleton.json").read_text())["names"]
    for measure in ("pck", "nme"):
        each = [found[f"test/{measure}/{name}"] for name in names]
        assert np.mean(each) == pytest.approx(found[f"test/{measure}"])
    # Rendered images are not resized and their reference length is the side: an error is the same in both units.
    assert found["test/nme"] * 32 == pytest.approx(found["test/distance"], rel=1e-4)
    assert found["chosen_by/step"] in (2, 4)


@pytest.mark.parametrize(("name", "logits", "expected"), [
    ("dark", True, "softmax_peak"), ("dark", False, "mse_peak"), ("argmax", True, "logit_peak"),
    ("quarter", False, "mse_peak"), ("quarter", True, "softmax_peak")])
def test_scores_are_what_their_kind_says(name, logits, expected):
    """Of a map with one sharp peak of height 8: its probability, its height, or the logit as it is."""
    heatmaps = jax.numpy.zeros((1, 9, 9, 1)).at[0, 4, 5, 0].set(8.0)
    assert score_kind(name, logits=logits) == expected
    found = float(jax.jit(decoder(name, sigma=1.0, logits=logits))(heatmaps)[1][0, 0])
    # DARK blurs the map before it looks, and gives the height of the map as it was.
    assert (found < 1) == (expected == "softmax_peak")
