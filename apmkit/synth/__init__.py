"""Designs with few treated units: synthetic control and its relatives, with placebo inference."""

from apmkit.synth.estimators import difference_in_differences, synthetic_control, synthetic_did
from apmkit.synth.robustness import in_time_placebo, leave_one_donor_out

__all__ = [
    "difference_in_differences",
    "in_time_placebo",
    "leave_one_donor_out",
    "synthetic_control",
    "synthetic_did",
]
