"""MkDocs hooks: put the READMEs and CONTRIBUTING.md on the site, rewrite links, and fence doctests.

Pages of `docs/` link to files of the repository, `../registry/README.md`, so that the links work on a forge too. The
site has its own page of each README; every other file of the repository is linked on the forge. Examples in docstrings
are doctests without fences, which Markdown would read as nested quotations.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

from markdown import Extension, Markdown
from markdown.preprocessors import Preprocessor
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
DISTRIBUTIONS = {
    "itnet": "meta/README.md",
    "itnet-core": "README.md",
    "itnet-registry": "registry/README.md",
    "itnet-tasks": "tasks/README.md",
    **{
        f"itnet-{path.parent.name.replace('_', '-')}": str(path.relative_to(ROOT))
        for path in ROOT.glob("plugins/*/README.md")
    },
    "spectrum-for-itnet": "examples/third_party/README.md",
}
"""The README of each distribution."""

SOURCES = {
    **{f"distributions/{name}.md": path for name, path in DISTRIBUTIONS.items()},
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
}
"""The file of the repository that each included page shows."""

PAGES = {path: page for page, path in SOURCES.items()}
LINK = re.compile(r"(?<=\]\()(?P<target>[^)\s#]+)(?P<rest>[^)]*)(?=\))")
CODE = re.compile(r"(^```.*?^```|`[^`\n]+`)", re.MULTILINE | re.DOTALL)


class FenceDoctests(Preprocessor):
    """Put each doctest, `>>>` and the lines after it up to an empty one, into a fenced block."""

    def run(self, lines: list[str]) -> list[str]:
        """Return the lines of a text with its doctests fenced; blocks that are fenced already stay."""
        result: list[str] = []
        fenced, doctest = False, ""
        for line in lines:
            text = line.lstrip()
            fenced ^= text.startswith("```")
            indent = line[: len(line) - len(text)]
            if doctest and not text:
                result.append(doctest)
                doctest = ""
            elif not (fenced or doctest) and text.startswith(">>> "):
                doctest = f"{indent}```"
                result.append(f"{doctest}pycon")
            result.append(line)
        return [*result, doctest] if doctest else result


class Doctests(Extension):
    """Fence doctests before fenced blocks are read, whose priority is 25."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802
        """Register the preprocessor."""
        md.preprocessors.register(FenceDoctests(md), "doctests", 28)


def on_config(config: Any) -> Any:
    """Add the extension to those of mkdocs.yml."""
    config.markdown_extensions.append(Doctests())
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add a page for each included file."""
    for page, path in SOURCES.items():
        files.append(File.generated(config, page, content=(ROOT / path).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Rewrite the links of a page that lead out of `docs/`, and keep indices such as `h_{t−1}` from being emphasis."""
    uri = page.file.src_uri
    return rewritten(markdown, uri, config.repo_url)


def rewritten(markdown: str, uri: str, repository: str) -> str:
    """Return a page's Markdown with links for the site, and with `_{` escaped.

    Args:
        markdown: the text, whose relative links start at its source file.
        uri: the page, relative to `docs/`.
        repository: the address of the repository on the forge.
    """
    folder = PurePosixPath(SOURCES.get(uri, f"docs/{uri}")).parent

    def link(match: re.Match[str]) -> str:
        target, rest = match["target"].removeprefix(f"{repository}/blob/main/"), match["rest"]
        if target == match["target"]:  # no link to the repository on the forge
            if re.match(r"[a-z]+:", target):
                return match[0]
            target = os.path.normpath(folder / target)
        if target in PAGES or target.startswith("docs/"):
            return os.path.relpath(PAGES.get(target, target.removeprefix("docs/")), PurePosixPath(uri).parent) + rest
        return f"{repository}/blob/main/{target}{rest}"

    parts = CODE.split(markdown)
    return "".join(part if part.startswith("`") else LINK.sub(link, part).replace("_{", r"\_{") for part in parts)
