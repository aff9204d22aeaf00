"""The command in a process of its own: what it imports, what it prints where, and what it costs."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from registry.tests.conftest import Garden

IMPORTED = """
import sys
from itnet_registry.cli.app import app
try:
    app({arguments!r})
except SystemExit as end:
    print(*(name for name in {names!r} if name in sys.modules), file=sys.stderr)
    sys.exit(end.code)
"""

POLICY = """
import os, sys
from itnet_registry.cli.app import main
sys.argv[1:] = ["--version"]
try:
    main()
except SystemExit:
    print("torch" in sys.modules, os.environ["OMP_WAIT_POLICY"])
"""


def imported(garden: Garden, *arguments: str, names: list[str]) -> list[str]:
    """Run the command and return which modules of `names` were imported."""
    done = garden.run("-c", IMPORTED.format(arguments=list(arguments), names=names))
    assert done.returncode == 0, done.stderr
    return done.stderr.splitlines()[-1].split()


@pytest.mark.parametrize(("before", "policy"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_idle_threads_do_not_spin_unless_the_environment_says_so(
    monkeypatch: pytest.MonkeyPatch, before: str | None, policy: str
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if before is not None:
        monkeypatch.setenv("OMP_WAIT_POLICY", before)
    done = subprocess.run([sys.executable, "-c", POLICY], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"False {policy}"


@pytest.mark.parametrize("arguments", [["--version"], ["doctor"], ["doctor", "--json"], ["list", "--metadata-only"]])
def test_no_plugin_is_imported(garden: Garden, arguments: list[Any]) -> None:
    garden.toy()
    assert imported(garden, *arguments, names=["itnet_toy", "itnet_core.plugin.builtin", "torch"]) == []


@pytest.mark.parametrize("arguments", [["--version"], ["doctor"], ["list", "--metadata-only"]])
def test_a_plugin_that_sleeps_holds_up_nothing_that_reads_metadata(garden: Garden, arguments: list[Any]) -> None:
    garden.plant("acme-slow", "import time\ntime.sleep(60)")
    start = time.monotonic()
    done = garden.run("-m", "itnet_registry", *arguments)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - start < 30  # a busy machine takes a second or two; the plugin would take a minute


@pytest.mark.parametrize("arguments", [["list"], ["list", "--json"], ["list", "--kind", "kernel"], ["--help"]])
def test_plugins_are_imported_and_torch_is_not(garden: Garden, arguments: list[Any]) -> None:
    garden.toy()
    names = ["itnet_toy.plugin", "itnet_toy.parts", "itnet_toy.command", "torch", "safetensors"]
    assert imported(garden, *arguments, names=names) == ["itnet_toy.plugin"]


def test_json_needs_no_tables(garden: Garden) -> None:
    assert imported(garden, "list", "--json", names=["rich.table", "yaml"]) == []


def test_json_is_whole_whatever_a_plugin_prints(garden: Garden) -> None:
    garden.plant("acme-loud", "import sys\nprint('hello')\nsys.stdout.write('again')\nprint('last', file=sys.stdout)")
    done = garden.run("-m", "itnet_registry", "list", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["quarantined"] == []
    assert "hello" in done.stderr


LOUD = """
import atexit, os
os.system("echo hello")
os.write(1, b"hello")
atexit.register(print, "goodbye")
@hookimpl
def itnet_doctor(api):
    os.system("echo hello")
    return []
@hookimpl
def itnet_register_components(api):
    return [ComponentSpec(kind="kernel", name="loud", target="acme_loud.parts:Loud", summary="it prints")]
"""
PARTS = """
import os
from itnet_core import MLPKernel
print("hello")
class Loud(MLPKernel):
    def __init__(self, *args, **options):
        print("hello")
        os.write(1, b"hello")
        super().__init__(*args, **options)
"""
CONFIG = "model: {width: 8, depth: 1, encoder: {name: field, channels: 3}, heads: {}, kernel: {name: loud, heads: 2}}"


@pytest.mark.parametrize(
    "arguments",
    [["list", "--json"], ["info", "loud", "--json"], ["doctor", "--plugins", "--json"], ["schema"], ["validate"]],
    ids=" ".join,
)
def test_json_is_whole_whatever_writes_to_stdout_and_when(garden: Garden, tmp_path: Path, arguments: list[Any]) -> None:
    """A subprocess, a C library, a component when it is built, and all that is left to the end of the process."""
    garden.plant("acme-loud", LOUD, modules={"parts": PARTS})
    if arguments == ["validate"]:
        (tmp_path / "run.yaml").write_text(CONFIG)
        arguments = ["validate", tmp_path / "run.yaml", "--json"]
    done = garden.run("-m", "itnet_registry", *arguments)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
    assert "hello" in done.stderr
    assert "goodbye" in done.stderr


def test_the_variables_choose_before_anything_is_imported(garden: Garden) -> None:
    garden.plant_kernel("acme-a", "a")
    garden.plant_kernel("acme-b", "b")

    def kernels(**variables: str) -> Any:
        done = garden.run("-m", "itnet_registry", "list", "--kind", "kernel", "--json", **variables)
        return {item["name"] for item in json.loads(done.stdout)["components"]}

    assert kernels() == {"mlp", "a", "b"}
    assert kernels(ITNET_PLUGINS="acme-a") == {"mlp", "a"}
    assert kernels(ITNET_DISABLE="acme_a") == {"mlp", "b"}
    assert kernels(ITNET_PLUGINS="acme-a,acme-b", ITNET_DISABLE="acme-b,itnet-core") == {"a"}


def test_errors_are_one_line_and_an_exit_code(garden: Garden) -> None:
    done = garden.run("-m", "itnet_registry", "info", "nothing")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: name: found 'nothing'")
    assert len(done.stderr.splitlines()) == 1
    garden.plant("acme-bad", "raise RuntimeError('no luck')")
    done = garden.run("-m", "itnet_registry", "list", ITNET_STRICT="1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: plugin acme-bad 1.0")


def test_a_list_takes_little_more_than_its_libraries(garden: Garden, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every plugin of this environment, in CPU time, beside a process that imports pydantic and pluggy alone."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)

    def seconds(*arguments: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = garden.run(*arguments, ITNET_PLUGINS="")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert done.returncode == 0, done.stderr
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    pairs = [(seconds("-m", "itnet_registry", "list"), seconds("-c", "import pydantic.main, pluggy")) for _ in range(3)]
    assert min(ours / libraries for ours, libraries in pairs) < 5


LATE = """
import atexit, sys, threading, time

class Kept:
    def __del__(self):
        print("taken down", flush=True)

def work():
    time.sleep(0.2)
    print("thread")

kept = Kept()
sys.argv[1:] = {arguments!r}
from itnet_registry.__main__ import run
main = sys.modules["itnet_registry.__main__"].main

def start():
    atexit.register(print, "exit function")
    threading.Thread(target=work).start()
    main()

sys.modules["itnet_registry.__main__"].main = start
run()
"""


@pytest.mark.parametrize(("arguments", "code"), [(["--version"], 0), (["info", "nothing"], 2)])
def test_the_process_leaves_after_threads_and_exit_functions(garden: Garden, arguments: list[Any], code: int) -> None:
    done = garden.run("-c", LATE.format(arguments=arguments))
    assert (done.returncode, done.stdout.splitlines()[-2:]) == (code, ["thread", "exit function"])


FULL = "import os, sys; os.dup2(os.open('/dev/full', os.O_WRONLY), {fd}); sys.argv[1:] = {arguments!r}; "
FULL += "from itnet_registry.cli.app import main; main()"


@pytest.mark.parametrize("arguments", [["list"], ["list", "--json"], ["--version"], ["--help"]], ids=" ".join)
def test_a_full_disk_behind_stdout_is_one_line(garden: Garden, arguments: list[Any]) -> None:
    """Whether it shows in the middle of the output or when the last of it is flushed."""
    done = garden.run("-c", FULL.format(fd=1, arguments=arguments))
    assert (done.returncode, done.stderr) == (1, "error: No space left on device\n")


def test_a_full_disk_behind_stderr_changes_no_exit_code(garden: Garden) -> None:
    assert garden.run("-c", FULL.format(fd=2, arguments=["info", "nothing"])).returncode == 2


def test_a_terminal_of_ascii_and_one_that_is_closed(garden: Garden) -> None:
    garden.plant("acme-a", "import warnings\nwarnings.warn('caf\\xe9\\x1b')\nraise RuntimeError('caf\\xe9')")
    done = garden.run("-m", "itnet_registry", "list", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "caf\\xe9" in done.stdout
    assert "caf\\xe9\\x1b" in done.stderr
    closed = "import os; os.close(1); os.close(2); os.execvp({0!r}, [{0!r}, '-m', 'itnet_registry', 'list'])"
    assert garden.run("-c", closed.format(sys.executable)).returncode == 0


def test_a_fault_of_the_program_is_told_in_full_and_printable(garden: Garden) -> None:
    command = "CommandSpec(name='fail', target='acme_a.parts:run', summary='')"
    garden.plant(
        "acme-a",
        f"@hookimpl\ndef itnet_register_commands(api):\n    return [{command}]",
        modules={"parts": "def run(): raise RuntimeError('\\x1b[31m')"},
    )
    done = garden.run("-m", "itnet_registry", "fail")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert done.stderr.endswith("RuntimeError: \\x1b[31m\n")


@pytest.mark.parametrize("command", [["list"], ["info", "acme-good/fine"]], ids=" ".join)
def test_ctrl_c_names_the_plugin_that_does_not_return(garden: Garden, tmp_path: Path, command: list[str]) -> None:
    garden.plant("acme-stuck", f"import time\nopen({str(tmp_path / 'here')!r}, 'w').close()\ntime.sleep(60)")
    garden.plant_kernel("acme-good", "fine")
    environment = {**os.environ, "PYTHONPATH": str(garden.root), "ITNET_PLUGINS": "acme-stuck,acme-good"}
    arguments = [sys.executable, "-m", "itnet_registry", *command]
    with subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        end = time.monotonic() + 60
        while not (tmp_path / "here").exists() and time.monotonic() < end:
            time.sleep(0.02)
        run.send_signal(signal.SIGINT)
        _, told = run.communicate(timeout=60)
    assert run.returncode != 0
    assert "itnet: interrupted while loading acme-stuck 1.0" in told
    assert "ITNET_DISABLE=acme-stuck" in told
    assert "Traceback" not in told
