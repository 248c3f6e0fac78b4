"""What any design can ask for: joint tests, bands, sensitivity to unparallel trends, placebos, several outcomes."""

from apmkit.inference.bands import uniform_band
from apmkit.inference.equivalence import equivalence
from apmkit.inference.joint import joint_test
from apmkit.inference.outcomes import adjust_p_values, outcome_report, romano_wolf
from apmkit.inference.placebo import placebo_dates, placebo_outcomes
from apmkit.inference.pretrends import pretrend_power, trend_after_pretest
from apmkit.inference.sensitivity import breakdown, sensitivity

__all__ = [
    "adjust_p_values",
    "breakdown",
    "equivalence",
    "joint_test",
    "outcome_report",
    "placebo_dates",
    "placebo_outcomes",
    "pretrend_power",
    "romano_wolf",
    "sensitivity",
    "trend_after_pretest",
    "uniform_band",
]
