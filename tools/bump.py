"""Keep one version and one set of metadata for all distributions.

python tools/bump.py 0.2.0     release 0.2.0: write the version everywhere and date the changelog
python tools/bump.py           copy the shared metadata of the root pyproject.toml to every distribution
python tools/bump.py --check   list the files that one of the above would change, and fail if there are any
"""

from __future__ import annotations

import argparse
import re
import sys
from datetime import date
from pathlib import Path
from typing import Any

import tomlkit
from packaging.version import Version

ROOT = Path(__file__).parents[1]
SHARED = ("version", "readme", "license", "license-files", "requires-python", "authors", "keywords", "urls")
"""Fields of `[project]` that every distribution takes from the root pyproject.toml."""


def main() -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version", nargs="?", type=Version, help="the version to release")
    parser.add_argument("--check", action="store_true", help="change nothing, and fail if a file is out of date")
    arguments = parser.parse_args()
    if arguments.check and arguments.version:
        parser.error("--check takes no version")
    changed = {path: text for path, text in contents(arguments.version).items() if text != path.read_text()}
    for path, text in changed.items():
        print(path.relative_to(ROOT))
        if not arguments.check:
            path.write_text(text)
    return int(arguments.check and bool(changed))


def contents(release: Version | None) -> dict[Path, str]:
    """Return the text that each file should have: at the version to release, or at the root's version."""
    root = tomlkit.parse((ROOT / "pyproject.toml").read_text())
    project: Any = root["project"]
    if release:
        project["version"] = str(release)
    version = str(project["version"])
    texts = {ROOT / "pyproject.toml": tomlkit.dumps(root)}
    for pattern in ("registry", "tasks", "meta", "plugins/*"):
        for path in sorted(ROOT.glob(f"{pattern}/pyproject.toml")):
            texts[path] = _with_ranges(_with_shared(path.read_text(), root), version)
    for path in sorted(ROOT.glob("examples/*/pyproject.toml")):  # distributions of their own
        texts[path] = _with_ranges(path.read_text(), version)
    for folder in [path.parent for path in texts]:
        for path in folder.glob("itnet*/__init__.py"):
            texts[path] = re.sub(r'(?m)^__version__ = ".*"$', f'__version__ = "{version}"', path.read_text())
    citation, changelog = ROOT / "CITATION.cff", ROOT / "CHANGELOG.md"
    texts[citation] = re.sub(r"(?m)^version: .*$", f"version: {version}", citation.read_text())
    if release:
        today = date.today().isoformat()
        dated = f"version: {version}\ndate-released: {today}"
        texts[citation] = re.sub(r"(?m)^version: .*(\ndate-released: .*)?$", dated, citation.read_text())
        heading = f"## Unreleased\n\n## {version} ({today})"
        texts[changelog] = re.sub(r"(?m)^## Unreleased$", heading, changelog.read_text(), count=1)
    return texts


def _with_shared(text: str, root: tomlkit.TOMLDocument) -> str:
    """Return a pyproject.toml with the root's shared metadata; its own classifiers stay."""
    document = tomlkit.parse(text)
    project: Any = document["project"]
    shared: Any = root["project"]
    document["build-system"] = root["build-system"]
    for key in SHARED:
        project[key] = shared[key]
    classifiers = tomlkit.array()
    classifiers.extend(sorted({*map(str, shared["classifiers"]), *map(str, project["classifiers"])}))
    project["classifiers"] = classifiers.multiline(True)
    return tomlkit.dumps(document)


def _with_ranges(text: str, version: str) -> str:
    """Return a pyproject.toml whose requirements of ITNet's distributions allow this minor version only."""
    major, minor = Version(version).release[:2]
    return re.sub(r'"(itnet-[a-z-]+(?:\[[a-z,-]+\])?)>=[^"]*"', rf'"\g<1>>={major}.{minor},<{major}.{minor + 1}"', text)


if __name__ == "__main__":
    sys.exit(main())
