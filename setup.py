"""What pyproject.toml cannot say: the README for readers of a package index, and where the project lives.

On an index, links to files of the repository lead nowhere. With its address in $MINISVDD_REPOSITORY, such as
https://example.org/owner/minisvdd, they become absolute, and the project's addresses are told; without it, links become
plain text and pictures are left out.
"""

import os
import re
from pathlib import Path

from setuptools import setup

REPOSITORY = os.environ.get("MINISVDD_REPOSITORY", "").rstrip("/")
_RELATIVE = re.compile(r"(!?)\[([^\]]*)\]\((?![a-z]+:|#)([^)\s]+)\)")


def long_description(text: str, repository: str = REPOSITORY) -> str:
    """The README with links and pictures that work everywhere."""

    def absolute(match: re.Match) -> str:
        picture, words, path = match.groups()
        if not repository:
            return "" if picture else words
        return f"{picture}[{words}]({repository}/{'raw' if picture else 'blob'}/HEAD/{path})"

    return _RELATIVE.sub(absolute, text)


def project_urls(repository: str = REPOSITORY) -> dict[str, str]:
    """What an index shows beside the description."""
    files = {"Documentation": "docs/architecture.md", "Changelog": "CHANGELOG.md"}
    places = {name: f"{repository}/blob/HEAD/{path}" for name, path in files.items()}
    return {"Homepage": repository, "Repository": repository, **places} if repository else {}


if __name__ == "__main__":
    setup(
        long_description=long_description(Path("README.md").read_text(encoding="utf-8")),
        long_description_content_type="text/markdown",
        project_urls=project_urls(),
    )
