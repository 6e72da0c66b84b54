"""What a registry shows: README without a dead link or picture, whether there is an address or not."""

import re
import tomllib
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


def test_versions_of_all_that_the_gates_install_are_pinned_by_digest():
    lines = (ROOT / "constraints.txt").read_text("utf-8")
    pins = dict(re.findall(r"^([a-z0-9._-]+)==([^ ]+)(?=.*\\\n +--hash=sha256:)", lines, re.M))
    assert "//" not in lines  # no host
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    chips = ("cuda", "cuda12", "cuda13", "tpu", "chips")
    groups = project["project"]["optional-dependencies"] | project["dependency-groups"]
    named = [one for group, some in groups.items() if group not in chips for one in some]
    named += project["project"]["dependencies"]
    names = {re.split(r"[\[<>=;]", one)[0].lower().replace("_", "-") for one in named}
    assert names - {"kpjax"} <= pins.keys()
