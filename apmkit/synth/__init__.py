"""Designs with few treated units: synthetic control and its relatives, with inference by permutation."""

from apmkit.synth.augmented import augmented_synthetic_control
from apmkit.synth.conformal import conformal_intervals, conformal_test
from apmkit.synth.estimators import difference_in_differences, synthetic_control, synthetic_did
from apmkit.synth.few_periods import (
    differential_trend,
    gaps_of_exact_fits,
    placebo_detectable,
    placebo_power,
    without_trends,
)
from apmkit.synth.robustness import in_time_placebo, leave_one_donor_out
from apmkit.synth.staggered import staggered_synthetic_control, staggered_synthetic_did

__all__ = [
    "augmented_synthetic_control",
    "conformal_intervals",
    "conformal_test",
    "difference_in_differences",
    "differential_trend",
    "gaps_of_exact_fits",
    "in_time_placebo",
    "leave_one_donor_out",
    "placebo_detectable",
    "placebo_power",
    "staggered_synthetic_control",
    "staggered_synthetic_did",
    "synthetic_control",
    "synthetic_did",
    "without_trends",
]
