"""A part of the campaign, and the table of the whole one."""
import csv
import os
import subprocess
import sys
from pathlib import Path

CAMPAIGN = Path(__file__).with_name("campaign.py")
NOT_HERE = {"runs", "results", "exported predictors", "their descriptions"}  # they compile a network
OUTCOMES = CAMPAIGN.with_name("outcomes.csv")
FAULTS = ("traceback", "hang", "outside", "silent")


def test_a_seeded_part_finds_nothing(tmp_path):
    kinds = [row["kind"] for row in csv.DictReader(OUTCOMES.read_text().splitlines()) if row["kind"] != "all"]
    done = subprocess.run([sys.executable, str(CAMPAIGN), "--share", "0.015", "--seed", "1", "--out",
                           str(tmp_path / "part.csv"), "--kinds", *(kind for kind in kinds if kind not in NOT_HERE)],
                          capture_output=True, text=True, check=False,
                          env=os.environ | {"PYTHONPATH": str(CAMPAIGN.parents[2])})
    assert done.returncode == 0, done.stdout + done.stderr
    total = list(csv.DictReader((tmp_path / "part.csv").read_text().splitlines()))[-1]
    assert int(total["tries"]) > 60


def test_the_whole_campaign_found_nothing():
    *_, total = csv.DictReader(OUTCOMES.read_text().splitlines())
    assert int(total["tries"]) >= 5000
    assert [total[name] for name in FAULTS] == ["0"] * 4
