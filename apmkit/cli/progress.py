"""Whether a progress bar is shown."""

from __future__ import annotations

import sys

import click

progress_option = click.option(
    "--progress/--no-progress", default=None, help="Show a progress bar.  [default: only on a terminal]"
)


def visible(progress: bool | None) -> bool:
    """What was asked for; by default a bar where a person looks on."""
    return sys.stderr.isatty() if progress is None else progress
