"""Evaluation of a run that finds several animals by itself: on a video of two bright spots that pass each other."""
import numpy as np
import pytest
from test_predict_animals import find, frame, passing, with_finder

import kpjax.lab.commands.evaluate as command
from kpjax.images.video import write_video
from kpjax.lab.commands import Evaluate

FRAMES = 28


@pytest.fixture
def evaluate(monkeypatch, tmp_path):
    """Evaluates a predictor on the labelled video, and returns what was printed as one text."""
    write_video(tmp_path / "clip.mp4", (frame(*passing(number)) for number in range(FRAMES)), rate=25)
    rows = ["video,frame,instance,track,keypoint,x,y,box_x,box_y,box_w,box_h"]
    rows += [f"clip.mp4,{number},{animal},{name},{keypoint},{x + dx},{y + 1.5},{x},{y},4,4"
             for number in range(FRAMES)
             for animal, (name, (x, y)) in enumerate(zip(("ann", "bob"), passing(number), strict=True))
             for keypoint, dx in (("spot", 1.5), ("beside", 2.5))]
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")

    def run(predictor):
        monkeypatch.setattr(command, "open_predictor", lambda folder, **_: predictor)
        printed = []
        command.evaluate(Evaluate(run=str(tmp_path / "run"), project=tmp_path / "labels.csv", out=tmp_path / "out",
                                  threshold=0.4, overwrite=True), tell=printed.append)
        return "\n".join(printed)
    return run


def test_animals_found_by_the_run_stand_beside_those_in_the_labels_boxes(evaluate):
    printed = evaluate(with_finder())
    assert "found by the run itself on 28 frames: 56 of 56 animals (100.0 %), twice on 0 of them," in printed
    assert "and 0 places where none is labelled; PCK " in printed
    assert "followed over 28 frames of a video: 0 swaps, 0 fragments, " in printed


def test_what_is_not_found_is_missed_and_counted(evaluate):
    def half(images):
        """Leaves out the second animal."""
        found = find(images)
        return found._replace(scores=found.scores * np.array([1, 0, 1, 1]))

    predictor = with_finder()
    printed = evaluate(predictor._replace(finder=predictor.finder._replace(find=half)))
    assert "28 of 56 animals (50.0 %), twice on 0 of them," in printed
    words = printed.partition("PCK ")[2].replace(",", "").split()
    own, theirs = float(words[0]), float(words[words.index("missed)") + 1])
    assert own <= 0.6 * theirs
