"""What any design can ask for: variances, bootstraps, bands, tests, sensitivity, placebos, several outcomes."""

from apmkit.inference.bands import uniform_band
from apmkit.inference.cluster_variance import cluster_covariance, cluster_variance, driscoll_kraay
from apmkit.inference.few_clusters import effective_clusters
from apmkit.inference.honest import breakdown, sensitivity
from apmkit.inference.jackknife import jackknife
from apmkit.inference.joint import joint_test
from apmkit.inference.multiplier_bootstrap import multiplier_bootstrap
from apmkit.inference.outcomes import adjust_p_values, outcome_report, romano_wolf
from apmkit.inference.placebo import placebo_dates, placebo_outcomes
from apmkit.inference.power import (
    Precision,
    cluster_trial_precision,
    did_precision,
    minimum_detectable_effect,
    power_curve,
    stepped_wedge_precision,
)
from apmkit.inference.pretrends import pretrend_power, trend_after_pretest
from apmkit.inference.randomisation import randomisation_test
from apmkit.inference.simulated_power import simulated_power
from apmkit.inference.tost import equivalence
from apmkit.inference.wild_bootstrap import wild_bootstrap

__all__ = [
    "Precision",
    "adjust_p_values",
    "breakdown",
    "cluster_covariance",
    "cluster_trial_precision",
    "cluster_variance",
    "did_precision",
    "driscoll_kraay",
    "effective_clusters",
    "equivalence",
    "jackknife",
    "joint_test",
    "minimum_detectable_effect",
    "multiplier_bootstrap",
    "outcome_report",
    "placebo_dates",
    "placebo_outcomes",
    "power_curve",
    "pretrend_power",
    "randomisation_test",
    "romano_wolf",
    "sensitivity",
    "simulated_power",
    "stepped_wedge_precision",
    "trend_after_pretest",
    "uniform_band",
    "wild_bootstrap",
]
