"""What a registry shows of the package: README with whole addresses, and the project's own pages.

hatchling calls `Page` when it builds. The address stands in docs/repository.txt. While that file
holds words, a registry has nowhere to lead: links become plain text, and pictures are left out.
"""

import re
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface

LINK = re.compile(r"(!?)\[([^\[\]]*)\]\((?!https?://|#)([^()\s]+)\)")


def for_registry(text: str, address: str) -> str:
    """Returns Markdown without relative links.

    address: of the repository; "" if there is none.
    """

    def whole(link: re.Match) -> str:
        picture, words, path = link.groups()
        if address:
            return f"{picture}[{words}]({address}/{'raw' if picture else 'blob'}/HEAD/{path})"
        return "" if picture else words

    return LINK.sub(whole, text)


def pages_of(address: str) -> dict[str, str]:
    """Returns the pages of a repository, by the words that a registry shows."""
    return {
        "Repository": address,
        "Issues": f"{address}/issues",
        "Changes": f"{address}/blob/HEAD/CHANGELOG.md",
    }


class Page(MetadataHookInterface):
    """README and the addresses, as fields of the package."""

    def update(self, metadata: dict) -> None:
        """Adds both fields."""
        root = Path(self.root)
        said = (root / "docs/repository.txt").read_text("utf-8").strip()
        address = said.rstrip("/") if said.startswith("https://") else ""
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": for_registry((root / "README.md").read_text("utf-8"), address),
        }
        metadata["urls"] = pages_of(address) if address else {}
