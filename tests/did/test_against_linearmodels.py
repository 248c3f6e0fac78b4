"""Two-way fixed effects with weights and gaps against linearmodels' PanelOLS."""

from importlib.metadata import version

import pandas as pd
import pytest

import apmkit as apm

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.mark.parametrize("cluster", ["unit", "state"])
@pytest.mark.parametrize("weights", [None, "unit", "cell"])
@pytest.mark.parametrize("drop", [0.0, 0.15])
def test_regressions_are_those_of_panel_ols(drop, weights, cluster, make_frame, make_panel, agrees):
    from linearmodels.panel import PanelOLS

    frame = make_frame(seed=5, drop=drop, weights=weights)
    panel = make_panel(frame, cluster=cluster, weights=None if weights is None else "weight")
    indexed = frame.set_index(["unit", "year"], drop=False)
    relative = indexed["year"] - indexed["cohort"]
    dummies = pd.get_dummies(relative, dtype=float).drop(columns=-1.0)
    designs = {apm.twfe: (relative >= 0).to_frame("D").astype(float), apm.event_study: dummies}
    for estimator, design in designs.items():
        fit = PanelOLS(
            indexed["y"],
            design,
            weights=None if weights is None else indexed["weight"],
            entity_effects=True,
            time_effects=True,
        ).fit(cov_type="clustered", clusters=indexed[cluster].to_frame("c"), group_debias=False, debiased=False)
        result = estimator(panel, small_sample="none")
        # linearmodels counts unit and period effects in its factor.
        absorbed = len(panel.units) + len(panel.periods) - 1
        factor = (panel.n_obs - absorbed) / panel.n_obs
        about = {
            "within": 1e-10,
            "what": estimator.__name__,
            "package": f"linearmodels {version('linearmodels')}",
            "case": f"{'gaps' if drop else 'balanced'}, weights by {weights or 'nothing'}, clusters by {cluster}",
        }
        agrees(result.table["estimate"], fit.params, **about)
        agrees(result.covariance, fit.cov * factor, **about)
