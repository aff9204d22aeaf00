from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

import itnet_core
from itnet_core import ComponentSpec
from itnet_registry import PluginError, UnknownNameError
from itnet_registry.plugins.names import shortest

if TYPE_CHECKING:
    from registry.tests.conftest import Garden

COMPONENTS = """
    @hookimpl
    def itnet_register_components(api):
        {body}
"""
SPEC = 'ComponentSpec(kind="kernel", name="{name}", target="a.b:{target}", summary="")'

FAULTS = {
    "an import that raises": ("raise RuntimeError('no luck')", "import", "RuntimeError: no luck"),
    "an import that exits": ("raise SystemExit(3)", "import", "SystemExit: 3"),
    "an import of what is not there": ("import not_there_at_all", "import", "not_there_at_all"),
    "a syntax error": ("def (", "import", "SyntaxError"),
    "an exception of another family": ("class Odd(BaseException): pass\n\nraise Odd", "import", "Odd"),
    "an exception without a message": (
        "class Odd(Exception):\n    def __str__(self): raise ValueError\n\nraise Odd",
        "import",
        "Odd: its message cannot be read",
    ),
    "a message that no terminal shows": ("raise RuntimeError('no\\ud800\\nluck')", "import", r"no\ud800 luck"),
    "a newer API": (f"itnet_api = {itnet_core.API + 1}", "api", f"found {itnet_core.API + 1}"),
    "an older API": (f"itnet_api = {itnet_core.API - 2}", "api", f"found {itnet_core.API - 2}"),
    "an API that is no number": ("itnet_api = '1'", "api", "found '1'"),
    "a misspelt hook": (
        "@hookimpl\ndef itnet_register_component(api): return []",
        "hooks",
        "Did you mean 'itnet_register_components'?",
    ),
    "a misspelt hook without its mark": ("def itnet_docter(api): return []", "hooks", "Did you mean 'itnet_doctor'?"),
    "a marked function that is no hook": (
        "@hookimpl\ndef register(api): return []",
        "hooks",
        "'register' is not a hook",
    ),
    "a hook without its mark": ("def itnet_doctor(api): return []", "hooks", "itnet_core.hookimpl"),
    "a wrong signature": ("@hookimpl\ndef itnet_register_components(version): return []", "hooks", "version"),
    "an exception in a hook": (COMPONENTS.format(body="return 1 / 0"), "register", "ZeroDivisionError"),
    "an exit in a hook": (COMPONENTS.format(body="raise SystemExit"), "register", "SystemExit"),
    "a hook that returns nothing": (COMPONENTS.format(body="pass"), "register", "returned None"),
    "a hook that returns text": (COMPONENTS.format(body="return 'patch'"), "register", "returned 'patch'"),
    "a hook that returns a number": (COMPONENTS.format(body="return 3"), "register", "returned 3"),
    "a hook that returns other things": (COMPONENTS.format(body="return [3]"), "register", "with 3"),
    "a bad declaration": (COMPONENTS.format(body="return [ComponentSpec(kind='x')]"), "register", "TypeError"),
    "a name with two targets": (
        COMPONENTS.format(body=f"return [{SPEC.format(name='k', target='A')}, {SPEC.format(name='k', target='B')}]"),
        "register",
        "declared twice",
    ),
    "a fault in a hook for something else": (
        COMPONENTS.format(body=f"return [{SPEC.format(name='k', target='A')}]")
        + "\n    @hookimpl\n    def itnet_register_presets(api): return None",
        "register",
        "itnet_register_presets returned None",
    ),
    "a requirement that is none": (
        COMPONENTS.format(
            body="return [ComponentSpec(kind='kernel', name='k', target='a.b:C', summary='', requires=('==',))]"
        ),
        "register",
        "InvalidRequirement",
    ),
    "requirements that are one text": (
        COMPONENTS.format(
            body="return [ComponentSpec(kind='kernel', name='k', target='a.b:C', summary='', requires='numpy')]"
        ),
        "register",
        "found 'numpy'; expected a tuple of requirements",
    ),
    "a summary that is no text": (
        COMPONENTS.format(body="return [ComponentSpec(kind='kernel', name='k', target='a.b:C', summary=object())]"),
        "register",
        "ComponentSpec.summary: found <object",
    ),
    "a summary that no terminal shows": (
        "@hookimpl\ndef itnet_register_presets(api):\n    return [PresetSpec(name='p', summary='\\ud800')]",
        "register",
        "PresetSpec.summary",
    ),
    "a summary of two lines": (
        "@hookimpl\ndef itnet_register_commands(api):\n"
        "    return [CommandSpec(name='run', target='a.b:c', summary='a\\nb')]",
        "register",
        "CommandSpec.summary: found 'a\\nb'; expected one line of text",
    ),
    "a preset that JSON has not": (
        "@hookimpl\ndef itnet_register_presets(api):\n"
        "    return [PresetSpec(name='p', summary='', config={'kernel': object()})]",
        "register",
        "not JSON serializable",
    ),
    "a section that is itnet's own": (
        "@hookimpl\ndef itnet_register_commands(api):\n"
        "    return [CommandSpec(name='run', target='a.b:c', summary='', sections={'model': 'a.b:C'})]",
        "register",
        "found 'model'",
    ),
    "a command that is itnet's own": (
        "@hookimpl\ndef itnet_register_commands(api):\n"
        "    return [CommandSpec(name='list', target='a.b:c', summary='')]",
        "register",
        "itnet's own",
    ),
}


@pytest.mark.parametrize(("plugin", "stage", "error"), FAULTS.values(), ids=FAULTS.keys())
def test_a_plugin_that_fails_is_quarantined_and_the_others_go_on(
    garden: Garden, plugin: str, stage: str, error: str
) -> None:
    garden.plant("acme-bad", plugin)
    garden.plant_kernel("acme-good", "fine")
    registry = garden.registry()
    assert "acme-good/fine" in registry.available()
    assert not [name for name in registry.available() if name.startswith("acme-bad/")]
    [fault] = registry.faults
    assert (fault.distribution, fault.version, fault.stage) == ("acme-bad", "1.0", stage)
    assert error in fault.error
    assert "Traceback" in fault.traceback


@pytest.mark.parametrize(("plugin", "stage", "error"), FAULTS.values(), ids=FAULTS.keys())
def test_a_model_that_needs_a_quarantined_plugin_quotes_the_fault(
    garden: Garden, plugin: str, stage: str, error: str
) -> None:
    garden.toy()
    garden.plant("acme-bad", plugin)
    registry = garden.registry()
    registry.create_model("toy", encoder="pixels", heads={})
    with pytest.raises(UnknownNameError) as caught:
        registry.create_model("toy", encoder="pixels", heads={}, kernel="acme-bad/k")
    assert "model.kernel: found 'acme-bad/k'" in str(caught.value)
    assert f"acme-bad 1.0 is in quarantine since stage {stage!r}" in str(caught.value)
    assert error in str(caught.value)


@pytest.mark.parametrize(("plugin", "stage", "error"), FAULTS.values(), ids=FAULTS.keys())
def test_strict_raises_at_once(garden: Garden, plugin: str, stage: str, error: str) -> None:
    garden.plant("acme-bad", plugin)
    with pytest.raises(PluginError) as caught:
        garden.registry(strict=True).available()
    assert caught.value.fault is not None
    assert caught.value.fault.stage == stage
    assert "acme-bad 1.0" in str(caught.value)
    assert error in str(caught.value)


@pytest.mark.parametrize(
    ("requirement", "fits"),
    [
        ("itnet-core>=0.1,<0.2", True),
        ("ITNet_Core>=0.1", True),
        ("itnet-core", True),
        ("itnet-core>=9", False),
        ("itnet.core<0.1", False),
        ("itnet-core>=9; python_version < '3'", True),
        ("itnet-core>=9; extra == 'dev'", True),
        ("itnet-core>=", False),
        ("some-other>=9", True),
        ("not a requirement", True),
    ],
)
def test_the_cores_range_is_read_before_the_import(garden: Garden, requirement: str, fits: bool) -> None:
    garden.plant("acme-thing", "import sys; sys.acme_was_here = True", requires=(requirement,))
    registry = garden.registry()
    registry.available()
    assert [fault.stage for fault in registry.faults] == ([] if fits else ["version"])
    assert hasattr(sys, "acme_was_here") is fits
    if fits:
        del vars(sys)["acme_was_here"]


def test_a_core_out_of_range_is_named_with_the_hint(garden: Garden) -> None:
    garden.plant("acme-thing", requires=("itnet-core>=9",))
    registry = garden.registry()
    registry.available()
    [fault] = registry.faults
    assert f"found itnet-core {itnet_core.__version__}; expected itnet-core>=9" in fault.error
    assert "pip install --upgrade acme-thing itnet-core" in fault.error


@pytest.mark.parametrize("api", [itnet_core.API, itnet_core.API - 1])
def test_this_api_and_the_last_are_served(garden: Garden, api: int) -> None:
    garden.plant("acme-thing", f"itnet_api = {api}")
    registry = garden.registry()
    registry.available()
    assert registry.faults == ()


def test_an_interrupt_is_not_a_fault(garden: Garden) -> None:
    garden.plant("acme-thing", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        garden.registry().available()


@pytest.mark.parametrize(
    "plugin",
    [
        "import time\ntime.sleep(0.5)",
        "import time\n@hookimpl\ndef itnet_register_components(api):\n    time.sleep(0.5)\n    return []",
    ],
    ids=["import", "hook"],
)
def test_a_plugin_that_does_not_return_is_named_with_what_disables_it(
    garden: Garden, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], plugin: str
) -> None:
    monkeypatch.setattr("itnet_registry.plugins.plugin_code.PATIENCE", 0.05)
    garden.plant("acme-stuck", plugin)
    garden.registry().available()
    told = capsys.readouterr().err
    assert "itnet: loading acme-stuck 1.0 (acme_stuck.plugin) has not returned after 0.05 s" in told
    assert "ITNET_DISABLE=acme-stuck goes on without it" in told
    assert "itnet-core" not in told


def test_a_component_that_does_not_return_is_named(
    garden: Garden, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("itnet_registry.plugins.declarations.PATIENCE_WITH_TORCH", 0.05)
    parts = "import time\ntime.sleep(0.5)\nfrom itnet_core import MLPKernel as K"
    garden.plant_kernel("acme-stuck", "k", "acme_stuck.parts:K", modules={"parts": parts})
    garden.registry().component("kernel", "k").load()
    assert "importing acme_stuck.parts of acme-stuck 1.0 (acme_stuck.plugin) has not" in capsys.readouterr().err


def test_an_interrupt_names_the_plugin(garden: Garden, capsys: pytest.CaptureFixture[str]) -> None:
    garden.plant("acme-stuck", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        garden.registry().available()
    assert "itnet: interrupted while loading acme-stuck 1.0 (acme_stuck.plugin)" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["ComponentSpec", "PresetSpec", "CommandSpec"])
@pytest.mark.parametrize("way", ["a subclass that checks nothing", "a name that was changed since"])
def test_no_spec_escapes_its_check(garden: Garden, kind: Any, way: str) -> None:
    hook = {"ComponentSpec": "components", "PresetSpec": "presets", "CommandSpec": "commands"}[kind]
    options = {"ComponentSpec": "kind='kernel', target='a.b:C', ", "CommandSpec": "target='a.b:c', "}.get(kind, "")
    plugin = f"""
class Mine({kind}):
    def __post_init__(self): pass

@hookimpl
def itnet_register_{hook}(api):
    if {way.startswith("a subclass")}:
        return [Mine({options}name='Not A Name', summary='')]
    spec = {kind}({options}name='k', summary='')
    object.__setattr__(spec, 'name', 'Not A Name')
    return [spec]
"""
    garden.plant("acme-bad", plugin)
    registry = garden.registry()
    registry.available()
    [fault] = registry.faults
    assert fault.stage == "register"
    assert fault.error.startswith(f"ValueError: {kind}.name: found 'Not A Name'; expected something like ")


def test_a_subclass_that_holds_is_its_spec(garden: Garden) -> None:
    plugin = """
class Mine(ComponentSpec):
    pass

@hookimpl
def itnet_register_components(api):
    return [Mine(kind='kernel', name='k', target='a.b:C', summary='')]
"""
    garden.plant("acme-good", plugin)
    assert type(garden.registry().component("kernel", "acme-good/k").spec) is ComponentSpec


MANY = 20_000


def test_many_declarations_take_time_in_proportion(garden: Garden) -> None:
    """In proportion to their number, that is: it was to its square."""
    garden.plant(
        "acme-many",
        f"""
        @hookimpl
        def itnet_register_components(api):
            return [
                ComponentSpec(kind="kernel", name=f"k{{i}}", target="a.b:C", summary="") for i in range({MANY})
            ]
        @hookimpl
        def itnet_register_commands(api):
            return [CommandSpec(name=f"c{{i}}", target="a.b:c", summary="") for i in range({MANY})]
        """,
    )
    registry = garden.registry()
    start = time.process_time()
    assert len(registry.components("kernel")) == MANY + 1
    assert len(shortest(registry.commands())) == MANY
    assert [registry.command(f"c{i}").name for i in range(0, MANY, 10)] == [f"c{i}" for i in range(0, MANY, 10)]
    assert registry.component("kernel", "k123").id == "acme-many/k123"
    assert time.process_time() - start < 5


def test_a_plugin_whose_import_was_interrupted_is_imported_when_it_is_asked_for_again(
    garden: Garden, monkeypatch: pytest.MonkeyPatch
) -> None:
    garden.plant_kernel("acme-thing", "k")
    plugin = garden.root / "acme_thing" / "plugin.py"
    plugin.write_text("import sys\nif hasattr(sys, 'acme_stop'): raise KeyboardInterrupt\n" + plugin.read_text())
    registry = garden.registry()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "acme_stop", True, raising=False)
        with pytest.raises(KeyboardInterrupt):
            registry.available()
    assert "acme-thing/k" in registry.available()


def test_what_plugins_print_goes_to_stderr(garden: Garden, capsys: pytest.CaptureFixture[str]) -> None:
    garden.plant(
        "acme-loud",
        """
        print("importing")
        @hookimpl
        def itnet_register_components(api):
            print("registering")
            yield ComponentSpec(kind="kernel", name="loud", target="acme_loud.parts:Loud", summary="")
            print("registered")
        @hookimpl
        def itnet_doctor(api):
            print("looking")
            return []
        """,
        modules={"parts": "print('using')\nfrom itnet_core import MLPKernel as Loud"},
    )
    registry = garden.registry()
    registry.component("kernel", "loud").load()
    registry.doctor()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.split() == ["importing", "registering", "registered", "using", "looking"]


def test_the_identical_declaration_twice_is_no_error(garden: Garden) -> None:
    garden.plant("acme-thing", COMPONENTS.format(body=f"return 2 * [{SPEC.format(name='k', target='A')}]"))
    registry = garden.registry()
    assert registry.available("kernel").count("acme-thing/k") == 1
    assert registry.faults == ()


def test_a_doctor_that_fails_is_a_failed_check(garden: Garden) -> None:
    garden.plant("acme-thing", "@hookimpl\ndef itnet_doctor(api): raise RuntimeError('ill')")
    registry = garden.registry()
    [check] = [check for plugin, checks in registry.doctor() for check in checks]
    assert (check.ok, check.detail) == (False, "RuntimeError: ill")
    assert registry.faults == ()


def test_a_doctors_answer_is_plain_whatever_its_types(garden: Garden) -> None:
    check = "Check(name='disk', ok=numpy.bool_(False), detail=3)"
    garden.plant("acme-thing", f"import numpy\n@hookimpl\ndef itnet_doctor(api): return [{check}]")
    [told] = [check for plugin, checks in garden.registry().doctor() for check in checks]
    assert (told.name, told.ok, told.detail) == ("disk", False, "3")
    assert type(told.ok) is bool


def test_a_plugin_that_lists_plugins_while_it_is_imported_does_not_go_in_circles(garden: Garden) -> None:
    garden.plant_kernel("acme-thing", "k")
    plugin = garden.root / "acme_thing" / "plugin.py"
    plugin.write_text("from itnet_registry import available\navailable()\n" + plugin.read_text())
    assert "acme-thing/k" in garden.registry().available()


def test_a_plugin_error_survives_a_worker_process(garden: Garden) -> None:
    import pickle

    garden.plant("acme-bad", "raise RuntimeError('no luck')")
    with pytest.raises(PluginError) as caught:
        garden.registry(strict=True).available()
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert again.fault == caught.value.fault
