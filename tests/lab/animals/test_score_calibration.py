"""Calibration of scores, on synthetic scores whose calibration is known."""
import numpy as np
import pytest

from kpjax.errors import InputError
from kpjax.files import write_json
from kpjax.lab.animals.calibration import DEFAULT_CUTOFF, read_score_table, score_table, score_table_as_json


def test_ten_classes_between_deciles_and_the_lowest_edge_that_is_found_half_the_time(tmp_path):
    scores = np.arange(100.0).reshape(20, 5)
    near = (scores >= 40) | (scores % 10 == 0)  # a tenth of each lower class, all from 40 on
    table = score_table(scores, np.where(near, 0.05, 0.0501), np.ones((20, 5)), kind="mse_peak")
    assert table.edges == pytest.approx(np.linspace(0, 99, 11))
    assert table.hit_fraction == pytest.approx([0.1] * 4 + [1.0] * 6)
    assert table.cutoff == pytest.approx(39.6)
    write_json(tmp_path / "score_table.json", score_table_as_json(table))
    read = read_score_table(tmp_path)
    np.testing.assert_array_equal(read.edges, table.edges)
    assert read[2:] == table[2:]


def test_hidden_points_do_not_count_and_without_labels_there_is_the_default(tmp_path):
    scores, far = np.array([[1.0, np.nan], [2.0, 3.0]]), np.full((2, 2), 0.2)
    table = score_table(scores, far, np.array([[1, 0], [1, 1]]))
    assert table.cutoff == DEFAULT_CUTOFF
    nothing = score_table(scores, far, np.zeros((2, 2)))
    assert np.isnan(nothing.edges).all()
    write_json(tmp_path / "score_table.json", score_table_as_json(nothing))
    assert np.isnan(read_score_table(tmp_path).hit_fraction).all()


def test_equal_scores_share_a_class(tmp_path):
    table = score_table(np.ones((4, 3)), np.zeros((4, 3)), np.ones((4, 3)))
    assert np.nansum(table.hit_fraction) == 1
    assert table.cutoff == 1
    assert read_score_table(tmp_path) is None
    (tmp_path / "score_table.json").write_text('{"edges": []}')
    with pytest.raises(InputError, match=r"score_table.json: cannot be read"):
        read_score_table(tmp_path)
