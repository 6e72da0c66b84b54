"""What a registry shows: README without a dead link or picture, whether there is an address or not."""

import re
from pathlib import Path

import pytest

import hatch_build

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
ADDRESS = "https://forge.example/somebody/kpjax"
TARGET = re.compile(r"(!?)\[[^\[\]]*\]\(([^()\s]+)\)")


@pytest.mark.parametrize("address", ["", ADDRESS])
def test_every_link_of_readme_leads_somewhere(address):
    shown = hatch_build.for_registry(README, address)
    targets = TARGET.findall(shown)
    assert all(target.startswith("https://") for _, target in targets)
    relative = [target for _, target in TARGET.findall(README) if "://" not in target]
    assert len(relative) > 10
    if address:
        assert len(targets) == len(TARGET.findall(README))
        for picture, target in targets:
            kind = "raw" if picture else "blob"
            path = target.removeprefix(f"{ADDRESS}/{kind}/HEAD/").partition("#")[0]
            assert target.startswith(("https://github.com", ADDRESS))
            assert (ROOT / path).exists()
    else:
        assert not any(target in shown.replace("(http", "") for target in relative if "/" in target)
