"""Difference-in-differences: one weight matrix per estimator over one kernel."""

from apmkit.did.callaway_santanna import callaway_santanna
from apmkit.did.imputation import imputation, two_stage
from apmkit.did.regression import event_study, sun_abraham, twfe

__all__ = ["callaway_santanna", "event_study", "imputation", "sun_abraham", "twfe", "two_stage"]
