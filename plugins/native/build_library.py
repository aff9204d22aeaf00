"""Compile the library when pip builds this distribution, once for each instruction set.

The sources need the vector extensions of GCC and Clang: on Windows, clang++ is required, because MSVC's cl lacks them.
If no compiler works, the distribution is built without the library, with a warning. Nothing is downloaded.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

LIBRARY = "itnet_native/libitnet_native.so"
"""Path of the library. It has this name on every platform, because Windows loads a library of any name."""

FLAGS = ["-std=c++17", "-O3", "-fvisibility=hidden", "-w"]
if sys.platform == "win32":
    COMPILERS = ["clang++"]  # MinGW's g++ does not align AVX vectors on the stack
    OPENMP: list[str] = []  # with torch's OpenMP in the process, a second one ends it
else:
    COMPILERS = ["c++", "g++", "clang++"]
    OPENMP = ["-fopenmp"]
    FLAGS += ["-fPIC"]
INSTRUCTION_SETS = {
    "avx512": ["-mavx512f", "-mavx512dq", "-mavx512vl", "-mfma", "-mprefer-vector-width=512"],
    "avx2": ["-mavx2", "-mfma"],
    "portable": [],
}


class LibraryBuildHook(BuildHookInterface[Any]):
    """Add the library to the package, and tag the wheel for this platform and any Python 3."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, before hatchling collects the files."""
        root = Path(self.root)
        (root / LIBRARY).unlink(missing_ok=True)
        try:
            build(root / "source", root / LIBRARY)
        except (OSError, subprocess.CalledProcessError) as error:
            reason = getattr(error, "stderr", "") or error
            self.app.display_warning(f"itnet-native is built without its library: {reason}")
            return
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"


def build(source: Path, library: Path) -> None:
    """Compile `source` to `library`.

    Raises:
        OSError: no compiler is installed.
        subprocess.CalledProcessError: the compiler fails both with and without OpenMP; `stderr` has its messages.
    """
    names = [os.environ.get("CXX", ""), *COMPILERS]
    compiler = next((shlex.split(name) for name in names if name and shutil.which(shlex.split(name)[0])), None)
    if compiler is None:
        raise OSError(f"no C++ compiler; install {' or '.join(COMPILERS[-2:])}, or name one in CXX")
    intel = platform.machine().lower() in ("x86_64", "amd64")
    sets = {name: flags for name, flags in INSTRUCTION_SETS.items() if intel or not flags}
    try:
        _compile(compiler, OPENMP, sets, source, library)
    except subprocess.CalledProcessError:
        _compile(compiler, [], sets, source, library)  # one thread


def _compile(compiler: list[str], more: list[str], sets: dict[str, list[str]], source: Path, library: Path) -> None:
    command = [*compiler, *FLAGS, *more]
    with tempfile.TemporaryDirectory() as folder:
        jobs = {name: ["evaluate.cpp", f"-DITNET_ISA={name}", *flags] for name, flags in sets.items()}
        jobs["dispatch"] = ["dispatch.cpp"]

        def run(job: tuple[str, list[str]]) -> str:
            name, (file, *flags) = job
            built = str(Path(folder) / f"{name}.o")
            _run([*command, *flags, "-c", str(source / file), "-o", built])
            return built

        with ThreadPoolExecutor() as pool:
            objects = list(pool.map(run, jobs.items()))
        _run([*command, "-shared", *objects, "-o", str(library)])


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
