"""A small part of the campaign."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

CAMPAIGN = Path(__file__).with_name("campaign.py")


@pytest.mark.slow
def test_damaged_files_are_read_or_refused_in_a_line():
    """In a process of its own, since the hook that watches what is written cannot be taken away."""
    done = subprocess.run([sys.executable, str(CAMPAIGN), "180", "1"], capture_output=True, text=True, check=False,
                          env=os.environ | {"PYTHONPATH": str(CAMPAIGN.parents[2])})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "'accepted'" in done.stdout
