"""A difference of PCK with its interval over images, against closed forms."""
import numpy as np
import pytest
from scipy import stats

from experiments.semi_supervised.over_images import difference_over_images
from kpjax.errors import InputError
from kpjax.training.evaluation import Gathered


def predicted(right, visible):
    """Returns predictions of which so many, the first of each image, are right."""
    right, visible = np.asarray(right), np.asarray(visible, np.float32)
    count, keypoints = visible.shape
    true = np.zeros((count, keypoints, 2), np.float32)
    off = (np.arange(keypoints) >= right[:, None]) * 5.0
    fields = {"keypoints": true + off[..., None], "true_keypoints": true, "visible": visible,
              "scale": np.full(count, 10.0)}
    return Gathered(**{name: fields.get(name) for name in Gathered._fields})


def test_it_is_students_t_of_images_where_all_have_as_many_keypoints():
    visible = np.ones((5, 4))
    one, other = [4, 3, 2, 4, 1], [2, 3, 1, 1, 1]
    found = difference_over_images(predicted(one, visible), predicted(other, visible), 0.1)
    shares = (np.array(one) - other) / 4
    half = stats.t.ppf(0.975, 4) * shares.std(ddof=1) / 5 ** 0.5
    assert (found.value, found.low, found.high) == pytest.approx(
        (shares.mean(), shares.mean() - half, shares.mean() + half))


def test_an_image_counts_by_its_labelled_keypoints():
    visible = np.array([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0]])
    found = difference_over_images(predicted([4, 0, 2], visible), predicted([0, 0, 2], visible), 0.1)
    assert found.value == pytest.approx(4 / 7)
    same = difference_over_images(predicted([4, 0, 2], visible), predicted([4, 0, 2], visible), 0.1)
    assert tuple(same) == (0, 0, 0)


def test_other_images_are_refused():
    one = predicted([1, 1], np.ones((2, 2)))
    with pytest.raises(InputError, match="was tested on other images"):
        difference_over_images(one, one._replace(true_keypoints=one.true_keypoints + 1), 0.1)
    with pytest.raises(InputError, match="needs two"):
        difference_over_images(*2 * [predicted([1], np.ones((1, 2)))], 0.1)
