"""The command `apmkit`."""

from __future__ import annotations

import os
import re
import sys
import traceback
import warnings

import click

from apmkit import __version__
from apmkit.cli import contracts, datasets, payment, studies, teaching
from apmkit.errors import ApmkitError, ApmkitFailure


class _Commands(click.Group):
    """Turns every error into one sentence: exit 2 for what the user can mend, 1 for what failed."""

    def invoke(self, ctx):
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: click.echo(f"Warning: {message}", err=True)
            try:
                return super().invoke(ctx)
            except (click.exceptions.Exit, click.Abort):
                raise
            except BrokenPipeError:  # the reader of the output, such as head, has had enough
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                ctx.exit(0)
            except (Exception, KeyboardInterrupt) as error:
                if ctx.params["debug"]:
                    traceback.print_exception(error)
                raise _sentence(error) from None


def _names(group: str) -> tuple[str, list[str]]:
    """What a NAME of this group of commands may be."""
    if group == "datasets":
        from apmkit import datasets

        return "data sets", datasets.names()
    if group == "contracts":
        from apmkit.contract import gallery

        return "contracts", list(gallery())
    if group == "rules":
        from apmkit.payment.rulebook import programmes

        return "programmes", programmes()
    if group == "exercises":
        from apmkit import teaching

        return "exercises", [exercise.name for exercise in teaching.exercises()]
    from apmkit import studies

    return "studies", studies.names()


def _lesson(error: click.UsageError) -> str:
    """The message of click, with the names there are and an example where something is missing."""
    text = error.format_message()
    if isinstance(error, click.NoSuchOption) and error.option_name == "--debug":
        return "--debug goes before the command: write apmkit --debug run ..."
    if not isinstance(error, click.MissingParameter) or error.ctx is None:
        return text
    if error.param.name in ("name", "exercise"):
        kind, names = _names(error.ctx.parent.command.name)
        text += f" The {kind} are {', '.join(names)}."
    example = re.search(r"apmkit \w.*", error.ctx.command.epilog or "")
    return f"{text} Write for instance: {example[0]}" if example else text


def _sentence(error: BaseException) -> click.ClickException:
    if isinstance(error, click.UsageError):
        text, code = _lesson(error), error.exit_code
    elif isinstance(error, click.ClickException):
        text, code = error.format_message(), error.exit_code
    elif isinstance(error, KeyboardInterrupt):
        text, code = " ".join(["Interrupted.", *getattr(error, "__notes__", [])]), 130
    elif isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("apmkit"):
        package = error.name.partition(".")[0]
        extra = "book" if package in {"jupyter_book", "pypdf"} else "notebooks"
        text, code = f"This needs the package {package}: install it with pip install 'apmkit[{extra}]'.", 1
    elif isinstance(error, ApmkitError):
        text, code = str(error), 2
    elif isinstance(error, ApmkitFailure):
        text, code = str(error), 1
    else:
        text, code = f"{type(error).__name__}: {error} (apmkit --debug ... shows where).", 1
    shown = click.ClickException(text)
    shown.exit_code = code
    return shown


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""
\b
Examples:
  apmkit studies                           what there is
  apmkit studies us/mssp_downside_risk     its parameters
  apmkit run us/mssp_downside_risk -p control=never_treated
  apmkit sweep us/mssp_downside_risk --grid outcome=all --jobs 2
  apmkit results --format csv > results.csv
  apmkit book --open
  apmkit rules show mssp --on 2022-01-01   the rules of a payment model
  apmkit contracts show ontario_fho        a payment contract, placed and judged
  apmkit slides us/mssp_downside_risk      slides for a class
  apmkit exercises list                    exercises with numbers of each student's own
""",
)
@click.version_option(__version__, message="apmkit %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug):
    """Evaluate health-care payment reform: case studies you can rerun with your own parameters.

    A study is a notebook with parameters. `run` executes it, `sweep` repeats its estimate over many sets of
    parameters, `results` lists what was found, `book` builds the pages. Payment models are
    rules with days and sources: `rules` shows them.
    """


for command in (
    *studies.COMMANDS,
    datasets.datasets,
    *payment.COMMANDS,
    *contracts.COMMANDS,
    *teaching.COMMANDS,
):
    main.add_command(command)
