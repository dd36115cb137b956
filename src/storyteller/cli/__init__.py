"""The command `storyteller`: each sub-command parses, calls one function and prints what it returns.

Nothing heavy is imported here: `storyteller --help` answers in under half a second.
"""

from __future__ import annotations

import sys
import traceback

import typer

from storyteller.cli.doctor import doctor
from storyteller.cli.evaluate import evaluate
from storyteller.cli.finetune import finetune
from storyteller.cli.inspect import inspect
from storyteller.cli.models import app as models
from storyteller.cli.prepare import prepare
from storyteller.cli.recipes import recipes
from storyteller.cli.tokenize import tokenize
from storyteller.cli.write import write
from storyteller.errors import StorytellerError

__all__ = ["app", "main"]

app = typer.Typer(
    name="storyteller",
    help="Turn a language model into a storyteller, and write with it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(models, name="models", help="List, fetch and describe models.")
for _command in (write, prepare, tokenize, inspect, finetune, evaluate, recipes, doctor):
    app.command()(_command)


@app.callback()
def _options(debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error.")) -> None:
    """Turn a language model into a storyteller, and write with it."""


def main() -> None:
    """Run the command; a mistake of the user ends with one message and exit code 2, Ctrl-C with 130."""
    debug = "--debug" in sys.argv
    # `--debug` may stand anywhere on the line.
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        app(args=arguments)
    except StorytellerError as error:
        if debug:
            traceback.print_exc()
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of a pipe has gone (`storyteller ... | head`): nothing is wrong here.
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        if debug:
            traceback.print_exc()
        print(f"error: {error.strerror or error}: {error.filename or ''}".rstrip(": "), file=sys.stderr)
        sys.exit(2)
