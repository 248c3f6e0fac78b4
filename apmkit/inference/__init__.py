"""What any design can ask for: variances, bootstraps, bands, tests, sensitivity, placebos, several outcomes."""

from apmkit.inference.bands import uniform_band
from apmkit.inference.cluster_variance import cluster_covariance, cluster_variance, driscoll_kraay
from apmkit.inference.equivalence import equivalence
from apmkit.inference.few_clusters import effective_clusters
from apmkit.inference.jackknife import jackknife
from apmkit.inference.joint import joint_test
from apmkit.inference.multiplier_bootstrap import multiplier_bootstrap
from apmkit.inference.outcomes import adjust_p_values, outcome_report, romano_wolf
from apmkit.inference.placebo import placebo_dates, placebo_outcomes
from apmkit.inference.pretrends import pretrend_power, trend_after_pretest
from apmkit.inference.randomisation import randomisation_test
from apmkit.inference.sensitivity import breakdown, sensitivity
from apmkit.inference.wild_bootstrap import wild_bootstrap

__all__ = [
    "adjust_p_values",
    "breakdown",
    "cluster_covariance",
    "cluster_variance",
    "driscoll_kraay",
    "effective_clusters",
    "equivalence",
    "jackknife",
    "joint_test",
    "multiplier_bootstrap",
    "outcome_report",
    "placebo_dates",
    "placebo_outcomes",
    "pretrend_power",
    "randomisation_test",
    "romano_wolf",
    "sensitivity",
    "trend_after_pretest",
    "uniform_band",
    "wild_bootstrap",
]
