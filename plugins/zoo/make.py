"""Train the models of itnet-zoo and write them with their cards: `python plugins/zoo/make.py [NAME ...]`.

Fetch the data first: `python examples/fetch_data.py fashion-mnist languages reviews furniture series`. One thread
trains one model after another; a run in runs/zoo/ that was cut off goes on, and one that has ended is only read.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from itnet_train import CardFacts, save_pretrained

ROOT = Path(__file__).parents[2]
RUNS, PACKAGE = ROOT / "runs/zoo", ROOT / "plugins/zoo/itnet_zoo"

MODELS = {
    "digits": (
        "digits",
        CardFacts(
            license="apache-2.0",
            data="handwritten digits",
            data_license="BSD-3-Clause",
            data_source="scikit-learn, `load_digits`",
        ),
    ),
    "fashion": (
        "fashion",
        CardFacts(
            license="apache-2.0",
            data="Fashion-MNIST",
            data_license="MIT",
            data_source="https://github.com/zalandoresearch/fashion-mnist",
        ),
    ),
    "reviews": (
        "reviews",
        CardFacts(
            license="apache-2.0",
            data="film review snippets with sentiment scores",
            data_license="MIT",
            data_source="VADER's ground truth, in the package vadersentiment 0.5 of PyPI",
        ),
    ),
    "furniture": (
        "furniture",
        CardFacts(
            license="cc-by-3.0",
            data="meshes of 12 kinds of furniture, one of five folds for testing",
            data_license="CC-BY-3.0 and CC0",
            data_source="Sweet Home 3D's catalogues; Debian's package sweethome3d-furniture names the authors",
        ),
    ),
    "vowels": (
        "japanese_vowels",
        CardFacts(
            license="apache-2.0",
            data="JapaneseVowels",
            data_license="BSD-3-Clause",
            data_source="the package aeon 1.6.0 of PyPI",
        ),
    ),
    "languages": (
        "languages",
        CardFacts(
            license="cc-by-sa-3.0",
            data="telephone prompts in five languages, prompts held out",
            data_license="CC-BY-SA-3.0 and CC-BY-3.0",
            data_source="Asterisk's core sounds by Allison Smith, June Wallack, Carlo Flora and Maxim Topal, in "
            "Debian's packages asterisk-core-sounds-{en,es,fr,it,ru}-wav",
        ),
    ),
}
"""The configuration in examples/ of each model, and what its card tells of the data.

Where the data's licence asks for the same licence, or for attribution, so does that of the weights.
"""


def make(name: str) -> None:
    """Train a model, and write its folder."""
    config, facts = MODELS[name]
    command = f"itnet train examples/{config}.yaml"
    itnet = [sys.executable, "-m", "itnet_registry", *command.split()[1:]]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([*itnet, "--output", str(RUNS / config), "--resume"], cwd=ROOT, env=environment, check=True)
    facts = replace(facts, command=command, install=("itnet-zoo",))
    save_pretrained(RUNS / config, PACKAGE / name, address=f"zoo/{name}", facts=facts)


if __name__ == "__main__":
    for name in sys.argv[1:] or MODELS:
        make(name)
