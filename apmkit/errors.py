"""Errors and warnings that a user can meet."""

import sys
import warnings


class ApmkitError(ValueError):
    """Something given to apmkit cannot be used; the message says what, where, and what to do."""


class ApmkitFailure(RuntimeError):
    """Work that was well asked for and did not end well; the message says where it stopped and what is kept."""


class PanelError(ApmkitError):
    """The data cannot serve as a panel; the message names the column, the value and the remedy."""


class EstimationError(ApmkitError):
    """The panel is sound, but this estimator cannot use it; the message says why and what to do."""


class PaymentError(ApmkitError):
    """A payment model cannot be worked out from what was given; the message names the row, the value and the remedy."""


class DesignWarning(UserWarning):
    """The result stands, but something about the design weakens it."""


def warn(message: str) -> None:
    """Warn of a weakness of the design, at the line outside the package that led to it."""
    level, frame = 1, sys._getframe()
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "apmkit":
        level, frame = level + 1, frame.f_back
    warnings.warn(message, DesignWarning, stacklevel=level)
