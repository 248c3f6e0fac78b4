"""apmkit: evaluate health-care payment reform with methods that can be read, rerun and taught.

Public names are imported when first used, so that ``import apmkit`` stays fast.
"""

import importlib

__version__ = "0.1.0"

_HOMES = {
    "Panel": "apmkit.panel",
    "Estimate": "apmkit.estimate",
    "twfe": "apmkit.did",
    "event_study": "apmkit.did",
    "callaway_santanna": "apmkit.did",
    "sun_abraham": "apmkit.did",
    "imputation": "apmkit.did",
    "two_stage": "apmkit.did",
    "imputation_pretrends": "apmkit.did",
    "dose_response": "apmkit.did",
    "bacon_decomposition": "apmkit.did",
    "treatment_weights": "apmkit.did",
    "negative_weights": "apmkit.did",
    "synthetic_control": "apmkit.synth",
    "synthetic_did": "apmkit.synth",
    "augmented_synthetic_control": "apmkit.synth",
    "staggered_synthetic_control": "apmkit.synth",
    "staggered_synthetic_did": "apmkit.synth",
    "conformal_test": "apmkit.synth",
    "conformal_intervals": "apmkit.synth",
    "difference_in_differences": "apmkit.synth",
    "in_time_placebo": "apmkit.synth",
    "leave_one_donor_out": "apmkit.synth",
    "meta_analysis": "apmkit.synthesis",
    "multilevel_meta_analysis": "apmkit.synthesis",
    "leave_one_out": "apmkit.synthesis",
    "egger_test": "apmkit.synthesis",
    "log_risk_ratio": "apmkit.synthesis",
    "adjust_p_values": "apmkit.inference",
    "breakdown": "apmkit.inference",
    "cluster_covariance": "apmkit.inference",
    "cluster_variance": "apmkit.inference",
    "driscoll_kraay": "apmkit.inference",
    "effective_clusters": "apmkit.inference",
    "jackknife": "apmkit.inference",
    "multiplier_bootstrap": "apmkit.inference",
    "randomisation_test": "apmkit.inference",
    "wild_bootstrap": "apmkit.inference",
    "equivalence": "apmkit.inference",
    "outcome_report": "apmkit.inference",
    "placebo_dates": "apmkit.inference",
    "placebo_outcomes": "apmkit.inference",
    "pretrend_power": "apmkit.inference",
    "cluster_trial_precision": "apmkit.inference",
    "did_precision": "apmkit.inference",
    "minimum_detectable_effect": "apmkit.inference",
    "power_curve": "apmkit.inference",
    "simulated_power": "apmkit.inference",
    "stepped_wedge_precision": "apmkit.inference",
    "romano_wolf": "apmkit.inference",
    "sensitivity": "apmkit.inference",
    "trend_after_pretest": "apmkit.inference",
    "interrupted_time_series": "apmkit.designs",
    "comparative_interrupted_time_series": "apmkit.designs",
    "instrumental_variables": "apmkit.designs",
    "inverse_probability_weighting": "apmkit.designs",
    "augmented_ipw": "apmkit.designs",
    "entropy_balancing": "apmkit.designs",
    "balance_table": "apmkit.designs",
    "regression_to_the_mean": "apmkit.designs",
    "regression_discontinuity": "apmkit.designs",
    "bandwidth_sensitivity": "apmkit.designs",
    "covariate_tests": "apmkit.designs",
    "density_curves": "apmkit.designs",
    "density_test": "apmkit.designs",
    "placebo_cutoffs": "apmkit.designs",
    "CapitationSchedule": "apmkit.payment",
    "illustrative_schedule": "apmkit.payment",
    "ontario_fhg": "apmkit.payment",
    "ontario_fho": "apmkit.payment",
    "access_bonus": "apmkit.payment",
    "alberta_blended_capitation": "apmkit.payment",
    "bc_lfp": "apmkit.payment",
    "ApmkitError": "apmkit.errors",
    "DesignWarning": "apmkit.errors",
    "EstimationError": "apmkit.errors",
    "PanelError": "apmkit.errors",
    "datasets": "apmkit.datasets",
    "plots": "apmkit.plots",
    "studies": "apmkit.studies",
    "load": "apmkit.datasets",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'apmkit' has no attribute {name!r}")
    home = importlib.import_module(_HOMES[name])
    return home if name == home.__name__.rpartition(".")[2] else getattr(home, name)


def __dir__():
    return sorted(__all__)
