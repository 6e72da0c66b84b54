"""What `kpjax train` does by its own choices: the network inside, and no connection."""

import subprocess
import sys
from pathlib import Path

import pytest

from kpjax.models.weights.pretrained import KNOWN_WEIGHTS

SAMPLES = Path(__file__).parents[2] / "samples"
CLOSED = """
import socket, sys
def refuse(*of, **more):
    raise AssertionError("a socket was opened")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from kpjax.__main__ import main
sys.argv = ["kpjax", *sys.argv[1:]]
main()
"""


@pytest.mark.slow
def test_a_training_by_its_own_choices_opens_no_socket(tmp_path):
    words = ["train", "--project", str(SAMPLES / "coco"), "--workdir", str(tmp_path / "runs")]
    few = ["--steps", "2", "--warm-start-steps", "2", "--image-size", "64"]
    done = subprocess.run(
        [sys.executable, "-c", CLOSED, *words, *few], capture_output=True, text=True, check=False
    )
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 0, said
    known = KNOWN_WEIGHTS["mobilenet_v2.google_in1k"]
    assert f"{known.name}, sha256 {known.sha256[:12]}" in said
