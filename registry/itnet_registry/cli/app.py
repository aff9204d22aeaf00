"""The command `itnet`: built-in commands, and those of plugins, which are imported when they are called."""

from __future__ import annotations

import io
import os
import sys
import traceback
import warnings
from contextlib import suppress
from importlib import import_module
from typing import Annotated, Any, NoReturn, TextIO

import typer
from typer.core import TyperCommand, TyperGroup

from itnet_core import ConfigError, ITNetError
from itnet_core.plugin.printable import printable
from itnet_registry.errors import AmbiguousNameError, PluginError, UnknownNameError, one_line, os_error_text

USAGE = (ConfigError, UnknownNameError, AmbiguousNameError)

BUILT_IN = {
    "list": "listing:list_components",
    "info": "info:info",
    "cite": "cite:cite",
    "doctor": "doctor:doctor",
    "new-plugin": "new_plugin:new_plugin",
    "schema": "schema:schema",
    "validate": "validate:validate",
}
"""Modules and functions of the built-in commands, imported when they are called, or listed for help."""


class PluginGroup(TyperGroup):
    """The built-in commands, and those that plugins declare.

    Declarations are read for an unknown name and for help; a plugin's function is imported when it is called.
    """

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """Return all names, the built-in ones first."""
        from itnet_registry.api import default_registry
        from itnet_registry.plugins.names import shortest

        return [*BUILT_IN, *shortest(default_registry().commands())]

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]
        """Return a built-in command, or a plugin's command with only its summary."""
        if cmd_name in BUILT_IN:
            return _loaded(cmd_name)
        from itnet_registry.api import default_registry

        try:
            command = default_registry().command(cmd_name)
        except UnknownNameError:
            return None
        return TyperCommand(cmd_name, help=command.spec.summary, short_help=command.spec.summary)

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> Any:  # type: ignore[override]
        """Return the called command, with its function imported; `list runs` is the plugins' command `list-runs`."""
        if len(args) > 1 and args[0] == "list" and args[1].isalpha() and not ctx.resilient_parsing:
            from itnet_registry.api import default_registry

            joined = "-".join(args[:2])
            if any(command.name == joined for command in default_registry().commands()):
                args = [joined, *args[2:]]
        if args and not args[0].startswith("-") and not ctx.resilient_parsing:
            return args[0], _loaded(args[0]), args[1:]
        return super().resolve_command(ctx, args)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run; an `ITNetError` or an error of the operating system ends as one message.

        The exit code is 2 for errors of usage and configuration, 1 for others.
        """
        try:
            try:
                return super().main(*args, **kwargs)
            finally:
                sys.stdout.flush()  # here a full disk is an error of the command, not of the interpreter's end
        except ITNetError as error:
            _end(str(error), 2 if isinstance(error, USAGE) else 1)
        except BrokenPipeError:  # the reader of a pipe closed it
            _end(None, 1)
        except OSError as error:
            _end(printable(os_error_text(error)), 1)


def _end(message: str | None, code: int) -> NoReturn:
    """Exit with an error's message, even if stdout or stderr cannot be written."""
    try:
        sys.stdout.flush()
    except OSError:
        sys.stdout = _null_stream()
    if message is not None:
        with suppress(OSError):
            print(f"error: {message}", file=sys.stderr, flush=True)
    sys.exit(code)


def _null_stream() -> TextIO:
    return os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")


def _loaded(name: str) -> Any:
    """Return a command with its function."""
    if name in BUILT_IN:
        module, _, function = BUILT_IN[name].partition(":")
        return _command(name, getattr(import_module(f"itnet_registry.cli.{module}"), function))
    from itnet_registry.api import default_registry

    command = default_registry().command(name)
    try:
        function = command.import_target(command.spec.target)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise PluginError(
            f"command {command.id} of {command.source.title}",
            found=f"{one_line(error)}, when {command.spec.target} was imported",
            expected="a target that imports",
        ) from error
    return _command(name, function)


def _command(name: str, function: Any) -> Any:
    """Return the command of a function, or of a `typer.Typer`."""
    if isinstance(function, typer.Typer):
        return typer.main.get_command(function)
    holder = typer.Typer(add_completion=False)
    holder.command(name)(function)
    return typer.main.get_command(holder)


app = typer.Typer(
    cls=PluginGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="ITNet: plugins, models and configurations.",
)


def _version(requested: bool) -> None:
    if requested:
        import itnet_core
        import itnet_registry

        typer.echo(
            f"itnet-registry {itnet_registry.__version__}, itnet-core {itnet_core.__version__}, API {itnet_core.API}"
        )
        raise typer.Exit


@app.callback()
def itnet(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the versions and exit.")
    ] = False,
) -> None:
    """ITNet: plugins, models and configurations."""


def main() -> None:
    """Run the command `itnet`; characters that the terminal cannot show are escaped in all its output."""
    # OpenMP reads it when torch is imported. Threads that spin would take the cores from those that work.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # the process was started without it
            setattr(sys, name, _null_stream())
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    format_warning = warnings.formatwarning
    warnings.formatwarning = lambda *args, **options: printable(format_warning(*args, **options), keep="\n")
    try:
        app()
    except Exception as error:  # a defect of the program
        sys.exit(printable("".join(traceback.format_exception(error)).rstrip(), keep="\n"))
