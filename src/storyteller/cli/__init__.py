"""The command `storyteller`: each sub-command parses, calls one function and prints what it returns.

Nothing heavy is imported here: `storyteller --help` answers in under half a second.
"""

from __future__ import annotations

import io
import os
import sys
import traceback

import typer
from typer.core import TyperGroup

from storyteller import __version__
from storyteller.cli.augment import augment
from storyteller.cli.doctor import doctor
from storyteller.cli.ensemble import app as ensemble
from storyteller.cli.evaluate import app as evaluate
from storyteller.cli.fill import fill
from storyteller.cli.finetune import finetune
from storyteller.cli.inspect import inspect
from storyteller.cli.label import label
from storyteller.cli.models import app as models
from storyteller.cli.prepare import prepare
from storyteller.cli.pretrain import pretrain
from storyteller.cli.recipes import recipes
from storyteller.cli.refine import refine
from storyteller.cli.run import run
from storyteller.cli.runs import app as runs
from storyteller.cli.serve import serve
from storyteller.cli.studio import studio
from storyteller.cli.sweep import sweep
from storyteller.cli.tokenize import tokenize
from storyteller.cli.write import write
from storyteller.errors import StorytellerError
from storyteller.threads import sleep_soon

__all__ = ["app", "main"]


class _Command(TyperGroup):
    """The command: a mistake of the user ends with one message and exit code 2, Ctrl-C with 130."""

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        """Run the sub-command and translate what it raises."""
        try:
            result: object = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except (StorytellerError, OSError) as error:
            if isinstance(error, BrokenPipeError):
                # The reader of a pipe has gone (`storyteller ... | head`): nothing is wrong here.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                return None
            if ctx.params["debug"]:
                traceback.print_exc()
            print(f"error: {_message(error)}", file=sys.stderr)
            raise typer.Exit(2) from None
        except KeyboardInterrupt as stop:
            print(str(stop) or "stopped", file=sys.stderr)
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=_Command,
    name="storyteller",
    help="Turn a language model into a storyteller, and write with it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(models, name="models", help="List, fetch and describe models.")
app.add_typer(
    ensemble, name="ensemble", help="Mix models at each token, merge their weights, choose among their drafts."
)
app.add_typer(evaluate, name="evaluate", help="Measure models on held-out stories; let people or a judge compare.")
app.add_typer(runs, name="runs", help="List, compare and plot runs.")
_COMMANDS = (
    write, fill, studio, serve, prepare, augment, label, tokenize, inspect, pretrain, finetune, refine, sweep, run, recipes,
    doctor,
)  # fmt: skip
for _function in _COMMANDS:
    app.command()(_function)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"storyteller {__version__}")
        raise typer.Exit


_TRAINING = ("pretrain", "finetune", "refine", "sweep", "run")
"""What has the machine to itself when it runs in the foreground; in the background it is started to sleep."""


@app.callback()
def _options(
    context: typer.Context,
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Show the version."),
) -> None:
    """Turn a language model into a storyteller, and write with it."""
    if context.invoked_subcommand not in _TRAINING:
        sleep_soon()


def main() -> None:
    """Run the command; `--debug` may stand anywhere on the line."""
    for stream in (sys.stdout, sys.stderr):  # a console or a pipe may know fewer letters than a story has
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    arguments = sys.argv[1:]
    app(["--debug"] + [word for word in arguments if word != "--debug"] if "--debug" in arguments else arguments)


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror + (f": {error.filename}" if error.filename else "")
    return str(error)
