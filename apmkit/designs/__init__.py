"""Other designs: interrupted time series, instruments, weighting, discontinuities, few clusters, inequality."""

from apmkit.designs.balance import balance_table
from apmkit.designs.clustered_regression import clustered_regression
from apmkit.designs.discontinuity import regression_discontinuity
from apmkit.designs.discontinuity_checks import bandwidth_sensitivity, covariate_tests, placebo_cutoffs
from apmkit.designs.discontinuity_density import density_curves, density_test
from apmkit.designs.inequality import relative_index_of_inequality, slope_index_of_inequality
from apmkit.designs.instrumental_variables import instrumental_variables
from apmkit.designs.interrupted_time_series import comparative_interrupted_time_series, interrupted_time_series
from apmkit.designs.regression_to_mean import regression_to_the_mean
from apmkit.designs.weighting import augmented_ipw, entropy_balancing, inverse_probability_weighting

__all__ = [
    "augmented_ipw",
    "balance_table",
    "bandwidth_sensitivity",
    "clustered_regression",
    "comparative_interrupted_time_series",
    "covariate_tests",
    "density_curves",
    "density_test",
    "entropy_balancing",
    "instrumental_variables",
    "interrupted_time_series",
    "inverse_probability_weighting",
    "placebo_cutoffs",
    "regression_discontinuity",
    "regression_to_the_mean",
    "relative_index_of_inequality",
    "slope_index_of_inequality",
]
