"""Difference-in-differences: one weight matrix per estimator over one kernel."""

from apmkit.did.decomposition import bacon_decomposition, negative_weights, treatment_weights
from apmkit.did.dose import dose_response
from apmkit.did.group_time import callaway_santanna
from apmkit.did.imputed import imputation, imputation_pretrends, two_stage
from apmkit.did.regression import event_study, sun_abraham, twfe

__all__ = [
    "bacon_decomposition",
    "callaway_santanna",
    "dose_response",
    "event_study",
    "imputation",
    "imputation_pretrends",
    "negative_weights",
    "sun_abraham",
    "treatment_weights",
    "twfe",
    "two_stage",
]
