"""The benchmark of prediction runs, and its figure is a rate over that of the slower part."""
from dataclasses import replace

from experiments.benchmark.prediction import SMALL, drawn_video, overlap_row
from experiments.benchmark.rows import Effort


def test_a_tiny_network_on_a_short_clip(tmp_path):
    config = replace(SMALL, image_size=16, heatmap_size=8, widths=(4, 4, 4, 4, 4), head_width=4, batch_size=2)
    sequence = drawn_video(tmp_path / "clip.mp4", 16, (64, 48))
    row = overlap_row(Effort(rounds=1, seconds=0.01), "tiny", config, sequence)
    assert 0 < row.figure.median < 5
    assert row.bar == 0.8
    assert "16 frames of 64x48" in row.note
    for part in ("reading", "network", "together"):
        assert f"{part} " in row.note
