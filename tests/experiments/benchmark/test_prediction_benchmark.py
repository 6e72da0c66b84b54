"""Smoke test: the benchmark of prediction runs on a tiny network, whose times mean nothing."""
from experiments.benchmark.prediction import SMALL, overlap_row, rendered_video
from experiments.benchmark.row import Effort
from experiments.engine.configs import changed
from kpjax.images.video import open_video


def test_a_tiny_network_on_a_short_video(tmp_path):
    config = changed(SMALL, image_size=16, heatmap_size=8, widths=(4, 4, 4, 4, 4), head_width=4, batch_size=2)
    sequence = rendered_video(tmp_path / "people.mp4", 16, (64, 48))
    assert (len(open_video(sequence.path)), sequence.video.size) == (16, (64, 48))
    row = overlap_row(Effort(rounds=1, seconds=0.01), "tiny", config, sequence)
    assert "16 frames of 64x48" in row.note
    for part in ("reading", "network", "together"):
        assert f"{part} " in row.note
