"""`itnet doctor`: checks of the environment."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from itnet_core import Check
from itnet_registry.cli.output import machine_readable, print_json, print_line, print_table

if TYPE_CHECKING:
    from itnet_registry.api import Registry
    from itnet_registry.errors import Fault


@machine_readable
def doctor(
    plugins: Annotated[bool, typer.Option("--plugins", help="Import the plugins and run their checks too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Check versions, plugins and environment variables; by default no plugin is imported."""
    from itnet_registry.api import default_registry

    registry = default_registry()
    plugin_checks, faults = _plugins(registry) if plugins else _metadata(registry)
    checks = [*_environment(registry), *plugin_checks, *_shadowed(registry), *map(_failed, faults)]
    ok = all(check.ok for check in checks)
    if json:
        report = {"checks": [asdict(check) for check in checks], "quarantined": [asdict(fault) for fault in faults]}
        print_json({"ok": ok, **report})
    else:
        rows: list[tuple[Any, ...]] = [("ok" if check.ok else "WRONG", check.name, check.detail) for check in checks]
        print_table("doctor", ("", "check", "detail"), rows)
        for fault in faults:
            for line in f"{fault}\n{fault.traceback}".splitlines():
                print_line(line, err=True)
    raise typer.Exit(0 if ok else 1)


def _environment(registry: Registry) -> list[Check]:
    import platform
    from importlib.metadata import PackageNotFoundError, version

    import itnet_core
    import itnet_registry

    checks = [
        Check(name="python", ok=True, detail=platform.python_version()),
        Check(name="core", ok=True, detail=f"itnet-core {itnet_core.__version__}, API {itnet_core.API}"),
        Check(name="registry", ok=True, detail=f"itnet-registry {itnet_registry.__version__}"),
    ]
    try:
        checks.append(Check(name="torch", ok=True, detail=version("torch")))
    except PackageNotFoundError:
        checks.append(Check(name="torch", ok=False, detail="not installed: pip install torch"))
    return [*checks, *_fused_sums(registry), *_variables(registry)]


def _fused_sums(registry: Registry) -> list[Check]:
    """Report where the evaluator that computes the MLP kernel fastest on CPUs is absent; this is no failure."""
    from itnet_registry.plugins.fused_sums import GAIN, NATIVE
    from itnet_registry.plugins.requirements import pip_install

    if any(source.distribution == NATIVE for source in registry.discovery.sources):
        return []
    return [Check(name=NATIVE, ok=True, detail=f"not installed. {GAIN}: {pip_install([NATIVE])}")]


def _variables(registry: Registry) -> list[Check]:
    """Check that the environment variables name installed plugins."""
    from packaging.utils import canonicalize_name

    discovery = registry.discovery
    known = {
        str(canonicalize_name(name))
        for source in (*discovery.sources, *(source for source, _ in discovery.excluded))
        for name in (source.distribution, source.entry_point)
    }
    checks = []
    for variable, names in (("ITNET_PLUGINS", registry.settings.only), ("ITNET_DISABLE", registry.settings.disable)):
        unknown = sorted((names or frozenset()) - known)
        if unknown:
            checks.append(Check(name=variable, ok=False, detail=f"not installed: {', '.join(unknown)}"))
        elif names:
            checks.append(Check(name=variable, ok=True, detail=", ".join(sorted(names))))
    return checks


def _metadata(registry: Registry) -> tuple[list[Check], list[Fault]]:
    """Check the plugins' metadata."""
    sources, faults = registry.check_metadata()
    return [Check(name=s.distribution, ok=True, detail=f"{s.version}, {s.module}") for s in sources], faults


def _plugins(registry: Registry) -> tuple[list[Check], list[Fault]]:
    """Load the plugins and run their checks."""
    checks = []
    for plugin, plugin_checks in registry.doctor():
        source = plugin.source
        checks.append(Check(name=source.distribution, ok=True, detail=f"{source.version}, {source.module}"))
        checks += [Check(name=f"{source.distribution}: {c.name}", ok=c.ok, detail=c.detail) for c in plugin_checks]
    absent = sorted(set(registry.prefer) - set(registry.available()))
    if absent:
        checks.append(Check(name="ITNET_PREFER", ok=False, detail=f"not installed: {', '.join(absent)}"))
    return checks, list(registry.faults)


def _failed(fault: Fault) -> Check:
    return Check(name=fault.distribution, ok=False, detail=f"{fault.version}, stage {fault.stage}: {fault.error}")


def _shadowed(registry: Registry) -> list[Check]:
    """Report further copies of a distribution on `sys.path` that differ from the first."""
    return [
        Check(
            name=source.distribution,
            ok=False,
            detail=f"another copy, {source.version}, in {source.location}; Python imports the first one",
        )
        for source in registry.discovery.shadowed
    ]
