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


def test_pictures_and_words_are_told_apart():
    text = (
        "![A fly](docs/fly.gif) [here](docs/a.md#part), [there](https://x.example) and [up](#top)"
    )
    assert hatch_build.for_registry(text, "") == (
        " here, [there](https://x.example) and [up](#top)"
    )
    assert hatch_build.for_registry(text, ADDRESS) == (
        f"![A fly]({ADDRESS}/raw/HEAD/docs/fly.gif) [here]({ADDRESS}/blob/HEAD/docs/a.md#part), "
        "[there](https://x.example) and [up](#top)"
    )


@pytest.mark.parametrize(("said", "pages"), [("this repository\n", {}), (f"{ADDRESS}/\n", None)])
def test_pages_come_from_one_file(said, pages, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/repository.txt").write_text(said)
    (tmp_path / "README.md").write_text("[changes](CHANGELOG.md)")
    metadata = {}
    hatch_build.Page(str(tmp_path), {}).update(metadata)
    assert metadata["urls"] == (hatch_build.pages_of(ADDRESS) if pages is None else pages)
    assert metadata["readme"]["text"] == (
        "changes" if pages == {} else f"[changes]({ADDRESS}/blob/HEAD/CHANGELOG.md)"
    )
