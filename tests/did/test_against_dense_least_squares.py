"""Every estimator against the textbook: explicit dummies, dense least squares, sandwich by hand."""

import numpy as np
import pandas as pd
import pytest

import apmkit as apm

SHAPES = {"balanced": {}, "ragged ends": {"ends": True}, "interior gaps": {"drop": 0.15, "ends": True}}
pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture(params=SHAPES, ids=lambda name: name.replace(" ", "-"))
def shape(request):
    return SHAPES[request.param]


@pytest.fixture(params=[None, "unit", "cell"], ids=lambda kind: f"weights-{kind}")
def weights(request):
    return request.param


@pytest.fixture(params=["unit", "state"])
def cluster(request):
    return request.param


@pytest.fixture
def frame(shape, weights, make_frame):
    # With this seed some of the ragged panels have no never-treated unit in the first year.
    frame = make_frame(n_units=48, seed=2, weights=weights, **shape)
    frame = frame.assign(relative=frame["year"] - frame["cohort"], w=frame.get("weight", 1.0))
    return frame.assign(treated=(frame["relative"] >= 0).astype(float))


@pytest.fixture
def panel(frame, weights, cluster, make_panel):
    return make_panel(frame, cluster=cluster, weights=None if weights is None else "weight")


def dummies(frame):
    return pd.get_dummies(frame[["unit", "year"]].astype(str), dtype=float).to_numpy()


def clustered(scores, frame, cluster):
    sums = pd.DataFrame(scores).groupby(frame[cluster].to_numpy()).sum().to_numpy()
    return sums.T @ sums, len(sums)


def more_than_once(frame):
    return frame[frame.groupby("unit")["year"].transform("size") > 1]


def regression(frame, regressors, cluster):
    """Labels, coefficients and covariance, with fixest's factor, of the regressors that the rows identify."""
    root = np.sqrt(frame["w"].to_numpy())[:, None]
    x, z = regressors.to_numpy() * root, dummies(frame) * root
    y = frame["y"].to_numpy() * root[:, 0]
    x = x - z @ np.linalg.lstsq(z, x)[0]
    y = y - z @ np.linalg.lstsq(z, y)[0]
    bread = np.linalg.pinv(x.T @ x, rcond=1e-10, hermitian=True)
    beta = bread @ (x.T @ y)
    meat, g = clustered(x * (y - x @ beta)[:, None], frame, cluster)
    # Unit effects are nested in the clusters and do not count.
    n, k = len(frame), np.linalg.matrix_rank(x, tol=1e-8) + frame["year"].nunique()
    covariance = bread @ meat @ bread * g / (g - 1) * (n - 1) / (n - k)
    told = np.isclose(np.diag(bread @ x.T @ x), 1.0)
    return regressors.columns[told].tolist(), beta[told], covariance[np.ix_(told, told)]


def assert_equal(result, estimates, covariance):
    np.testing.assert_allclose(result.table["estimate"], estimates, rtol=0, atol=1e-9)
    np.testing.assert_allclose(result.covariance, covariance, rtol=0, atol=1e-9)


def test_twfe_is_the_regression_on_unit_and_period_dummies(frame, panel, cluster):
    rows = more_than_once(frame)
    _, *expected = regression(rows, rows[["treated"]], cluster)
    assert_equal(apm.twfe(panel), *expected)


def test_event_study_is_the_regression_on_relative_time_dummies(frame, panel, cluster):
    rows = more_than_once(frame)
    relative = pd.get_dummies(rows["relative"], dtype=float).drop(columns=-1.0)
    result = apm.event_study(panel)
    times, *expected = regression(rows, relative, cluster)
    assert result.table["relative_time"].tolist() == times == [-4, -3, -2, 0, 1, 2, 3]
    assert_equal(result, *expected)


def test_event_study_in_bins_is_the_regression_on_clipped_relative_time(frame, panel, cluster):
    rows = more_than_once(frame)
    relative = pd.get_dummies(rows["relative"].clip(-2, 1), dtype=float).drop(columns=-1.0)
    result = apm.event_study(panel, bins=(-2, 1))
    times, *expected = regression(rows, relative, cluster)
    assert result.table["relative_time"].tolist() == times == [-2, 0, 1]
    assert_equal(result, *expected)


def test_sun_abraham_is_the_regression_on_cohort_by_period_dummies(frame, panel, cluster):
    rows = more_than_once(frame)
    treated = rows["cohort"].notna()
    cells = pd.get_dummies(
        rows["cohort"].fillna(0).astype(int).astype(str).where(treated) + "-" + rows["year"].astype(str), dtype=float
    )
    cells = cells.drop(columns=[f"{g}-{g - 1}" for g in (2012, 2013, 2014)])
    result = apm.sun_abraham(panel)
    identified, *expected = regression(rows, cells, cluster)
    assert [f"{row.cohort}-{row.period}" for row in result.table.itertuples()] == identified
    lost = [f"ATT({name.replace('-', ', ')})" for name in cells.columns.difference(identified)]
    noted = result.diagnostics["left_out"].get("effects that no comparison identifies", {"first": []})
    assert noted["first"] == lost
    assert_equal(result, *expected)


def first_stage(frame):
    """Rows whose unit has an untreated one; untreated design, its inverse, and outcome minus imputed outcome."""
    rows = frame[(frame["treated"] == 0).groupby(frame["unit"]).transform("any")]
    z, w = dummies(rows), rows["w"].to_numpy()
    untreated = rows["treated"].to_numpy() == 0
    inverse = np.linalg.pinv((z[untreated] * w[untreated, None]).T @ z[untreated], hermitian=True)
    fitted = z @ (inverse @ (z[untreated] * w[untreated, None]).T @ rows["y"].to_numpy()[untreated])
    return rows, z, untreated, inverse, rows["y"].to_numpy() - fitted


def loads(rows, z, untreated, inverse, cells):
    """What the mean of outcome minus imputed outcome over some cells puts on each row's outcome, (rows, terms)."""
    w = rows["w"].to_numpy()[:, None]
    own = cells * w / (cells * w).sum(axis=0)
    return own - np.where(untreated[:, None], w * (z @ inverse @ (z.T @ own)), 0.0)


def test_imputation_is_least_squares_on_untreated_rows_and_the_conservative_variance(frame, panel, cluster):
    rows, z, untreated, inverse, gain = first_stage(frame)
    w = rows["w"].to_numpy()
    result = apm.imputation(panel)
    cells = np.column_stack(
        [(rows["cohort"] == row.cohort) & (rows["year"] == row.period) for row in result.table.itertuples()]
    ).astype(float)
    assert cells.sum() == rows["treated"].sum()
    estimates = (cells * (w * gain)[:, None]).sum(axis=0) / (cells * w[:, None]).sum(axis=0)
    mean = (cells * (w**2 * gain)[:, None]).sum(axis=0) / (cells * (w**2)[:, None]).sum(axis=0)
    residual = np.where(untreated, gain, gain - cells @ mean)
    covariance, _ = clustered(loads(rows, z, untreated, inverse, cells) * residual[:, None], rows, cluster)
    assert_equal(result, estimates, covariance)


@pytest.mark.parametrize("by", ["simple", "event"])
def test_two_stage_is_a_second_regression_with_the_error_of_the_first(frame, panel, cluster, by):
    rows, z, untreated, inverse, gain = first_stage(frame)
    w = rows["w"].to_numpy()
    second = pd.get_dummies(rows["relative"], dtype=float).drop(columns=-1.0)
    x = rows[["treated"]].to_numpy() if by == "simple" else second.to_numpy()
    bread = np.linalg.inv((x * w[:, None]).T @ x)
    gamma = bread @ (x * w[:, None]).T @ gain
    moved = bread @ ((x * w[:, None]).T @ z) @ inverse
    first = np.where(untreated, w * gain, 0.0)[:, None] * (z @ moved.T)
    scores = (x * (w * (gain - x @ gamma))[:, None]) @ bread - first
    covariance, _ = clustered(scores, rows, cluster)
    assert_equal(apm.two_stage(panel, by=by), gamma, covariance)


@pytest.mark.parametrize("control", ["never_treated", "not_yet_treated"])
def test_callaway_santanna_is_a_difference_of_mean_changes_of_units_seen_twice(frame, panel, cluster, control):
    result = apm.callaway_santanna(panel, control=control)
    outcomes = frame.set_index(["unit", "year"])["y"].unstack()
    weights = frame.set_index(["unit", "year"])["w"].unstack()
    cohorts, clusters = frame.groupby("unit")["cohort"].first(), frame.groupby("unit")[cluster].first()
    for row in result.table.itertuples():
        base = row.period - 1 if row.period < row.cohort else row.cohort - 1
        change, weight = outcomes[row.period] - outcomes[base], weights[max(row.period, base)]
        compared = cohorts.isna()
        if control == "not_yet_treated":
            compared |= (cohorts > max(row.period, base)) & (cohorts != row.cohort)
        influence = 0.0
        estimate = 0.0
        for side, sign in ((cohorts == row.cohort, 1.0), (compared, -1.0)):
            share = sign * weight.where(side & change.notna(), 0.0)
            share /= share.abs().sum()
            mean = (share * change).sum()
            estimate += mean
            influence += (share * (change - sign * mean)).fillna(0.0)
        se = np.sqrt((influence.groupby(clusters).sum() ** 2).sum())
        assert row.estimate == pytest.approx(estimate, abs=1e-10)
        assert row.se == pytest.approx(se, abs=1e-10)
