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


# With the first of these some of the ragged panels have no never-treated unit in the first year.
@pytest.fixture(params=[2, 3, 4], ids=lambda seed: f"seed-{seed}")
def frame(request, shape, weights, make_frame):
    frame = make_frame(n_units=48, seed=request.param, weights=weights, **shape)
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
    np.testing.assert_allclose(result.table["estimate"], estimates, rtol=0, atol=1e-10)
    np.testing.assert_allclose(result.covariance, covariance, rtol=0, atol=1e-10)


def assert_averages_are_by_weight_of_the_rows(cells, rows):
    """Averages of effects whose shares are taken as given, from the effects and the rows of each."""
    mass = rows.groupby(["cohort", "year"])["w"].sum()
    mass = mass.loc[list(zip(cells.table["cohort"], cells.table["period"], strict=True))].to_numpy()
    for by, label in (("simple", None), ("event", "relative_time"), ("cohort", "cohort"), ("calendar", "period")):
        result = cells.aggregate(by)
        share = np.ones((1, len(mass)))
        if label:
            share = (result.table[label].to_numpy()[:, None] == cells.table[label].to_numpy()).astype(float)
        share *= mass * ((cells.table["relative_time"] >= 0) | (by == "event")).to_numpy()
        share /= share.sum(axis=1, keepdims=True)
        assert_equal(result, share @ cells.table["estimate"], share @ cells.covariance.to_numpy() @ share.T)


def test_twfe_is_the_regression_on_unit_and_period_dummies(frame, panel, cluster):
    rows = more_than_once(frame)
    _, *expected = regression(rows, rows[["treated"]], cluster)
    assert_equal(apm.twfe(panel), *expected)


def test_event_study_is_the_regression_on_relative_time_dummies(frame, panel, cluster):
    rows = more_than_once(frame)
    relative = pd.get_dummies(rows["relative"], dtype=float).drop(columns=-1.0)
    result = apm.event_study(panel)
    times, *expected = regression(rows, relative, cluster)
    assert result.table["relative_time"].tolist() == times == relative.columns.tolist()
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
    assert_averages_are_by_weight_of_the_rows(result, rows)


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
    assert_averages_are_by_weight_of_the_rows(result, rows)


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


def cohort_effects(frame, control, base_period, tilt):
    """Effects of cohorts and periods and their averages, as functions of how often each unit counts.

    `tilt` has shape (draws, units): how often. Each value has shape (draws,).
    """
    outcomes, weights = (frame.pivot(index="unit", columns="year", values=name) for name in ("y", "w"))
    size, years = weights.mean(axis=1).to_numpy(), outcomes.columns.tolist()
    outcomes, weights = (dict(zip(years, table.to_numpy().T, strict=True)) for table in (outcomes, weights))
    of_unit = frame.groupby("unit")["cohort"].first().to_numpy()
    effects, shares = {}, {}
    for g in np.unique(of_unit[~np.isnan(of_unit)]):
        shares[g] = tilt @ (size * (of_unit == g))
        for t in years[1:] if base_period == "varying" else years:
            base = t - 1 if base_period == "varying" and t < g else g - 1
            later = max(t, base)
            compared = np.isnan(of_unit)
            if control == "not_yet_treated":
                compared |= (of_unit > later) & (of_unit != g)
            change = outcomes[t] - outcomes[base]
            seen, change = ~np.isnan(change), np.nan_to_num(change)
            sides = [np.where(side & seen, weights[later], 0.0) for side in (of_unit == g, compared)]
            if t != base and all(side.any() for side in sides):
                treated, controls = (tilt @ (side * change) / (tilt @ side) for side in sides)
                effects[g, t] = treated - controls
    after = [(g, t) for g, t in effects if t >= g]

    def average(cells):
        return sum(shares[g] * effects[g, t] for g, t in cells) / sum(shares[g] for g, _ in cells)

    values = {("cell", *cell): value for cell, value in effects.items()}
    values["simple"] = average(after)
    for name, key, cells in (
        ("event", lambda g, t: t - g, effects),
        ("cohort", lambda g, t: g, after),
        ("calendar", lambda g, t: t, after),
    ):
        rows = {label: [cell for cell in cells if key(*cell) == label] for label in {key(*cell) for cell in cells}}
        values |= {(name, label): average(row) for label, row in rows.items()}
    times = [label for name, label in (key for key in values if key[0] == "event") if label >= 0]
    values["event, overall"] = sum(values["event", time] for time in times) / len(times)
    years = sorted({t for _, t in after})
    values["calendar, overall"] = sum(values["calendar", t] for t in years) / len(years)
    started = sorted({g for g, _ in after})
    values["cohort, overall"] = sum(shares[g] * values["cohort", g] for g in started) / sum(map(shares.get, started))
    return values


@pytest.mark.parametrize("base_period", ["varying", "universal"])
@pytest.mark.parametrize("control", ["never_treated", "not_yet_treated"])
def test_callaway_santanna_is_means_of_changes_and_their_influence_a_derivative(
    frame, panel, cluster, control, base_period
):
    rows = frame[(frame["treated"] == 0).groupby(frame["unit"]).transform("any")]
    rows = more_than_once(rows)
    # The influence of a unit is the derivative with respect to how often it counts, here by a complex step.
    n, step = rows["unit"].nunique(), 1e-20
    values = cohort_effects(rows, control, base_period, 1.0 + 1j * step * np.eye(n))
    clusters = rows.groupby("unit")[cluster].first()
    expected = {
        key: (value.real[0], np.sqrt((pd.Series(value.imag / step).groupby(clusters.to_numpy()).sum() ** 2).sum()))
        for key, value in values.items()
    }

    cells = apm.callaway_santanna(panel, control=control, base_period=base_period)
    averages = {by: cells.aggregate(by) for by in ("event", "cohort", "calendar")}
    ours = {("cell", row.cohort, row.period): row for row in cells.table.itertuples()}
    ours["simple"] = next(cells.aggregate("simple").table.itertuples())
    for (by, result), label in zip(averages.items(), ("relative_time", "cohort", "period"), strict=True):
        ours |= {(by, getattr(row, label)): row for row in result.table.itertuples()}
        ours[f"{by}, overall"] = next(result.overall.table.itertuples())
    assert ours.keys() == expected.keys()
    ours = [(ours[key].estimate, ours[key].se) for key in expected]
    np.testing.assert_allclose(ours, list(expected.values()), rtol=0, atol=1e-10)
