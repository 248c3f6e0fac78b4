"""Difference-in-differences: one weight matrix per estimator over one kernel."""

from apmkit.did.group_time import callaway_santanna
from apmkit.did.imputed import imputation, two_stage
from apmkit.did.regression import event_study, sun_abraham, twfe

__all__ = ["callaway_santanna", "event_study", "imputation", "sun_abraham", "twfe", "two_stage"]
