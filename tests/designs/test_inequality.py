"""Slope and relative index of inequality."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apmkit.designs import relative_index_of_inequality, slope_index_of_inequality
from apmkit.errors import ApmkitError

ROLES = {"rate": "rate", "se": "se", "population": "people", "rank": "quintile"}


def groups(**columns):
    rows = {
        "quintile": [1, 2, 3, 4, 5],
        "people": [210.0, 190.0, 205.0, 195.0, 200.0],
        "rate": [62.0, 47.0, 45.0, 36.0, 30.0],
        "se": [2.5, 2.0, 2.2, 1.9, 1.7],
    }
    return pd.DataFrame(rows | columns)


def position(frame):
    """Middle of each group when groups are laid end to end from the top, one at a time."""
    found = {}
    below = 0.0
    for row in frame.sort_values("quintile", ascending=False).itertuples():
        found[row.Index] = (below + row.people / 2) / frame["people"].sum()
        below += row.people
    return np.array([found[at] for at in frame.index])


@pytest.mark.parametrize("relative", [False, True])
def test_with_precision_weights_both_are_those_of_weighted_least_squares_in_statsmodels(agrees, relative):
    import statsmodels
    import statsmodels.api as sm

    frame = groups()
    y = np.log(frame["rate"]) if relative else frame["rate"]
    se = frame["se"] / frame["rate"] if relative else frame["se"]
    theirs = sm.WLS(y, sm.add_constant(position(frame)), weights=1 / se**2).fit(
        cov_type="fixed scale", cov_kwds={"scale": 1.0}
    )
    index = relative_index_of_inequality if relative else slope_index_of_inequality
    row = index(frame, **ROLES, weights="precision").table.iloc[0]
    agrees(
        [row["estimate"], row["se"]],
        [theirs.params.iloc[1], theirs.bse.iloc[1]],
        within=1e-10,
        what=index.__name__,
        package=f"statsmodels {statsmodels.__version__}",
        case="five groups, known errors",
    )


def test_with_population_weights_the_error_is_that_of_a_weighted_sum_of_rates():
    frame = groups()
    x, mass = position(frame), frame["people"] / frame["people"].sum()
    centred = x - mass @ x
    of_rates = mass * centred / (mass @ centred**2)
    row = slope_index_of_inequality(frame, **ROLES).table.iloc[0]
    assert row["estimate"] == pytest.approx(of_rates @ frame["rate"])
    assert row["se"] == pytest.approx(np.sqrt(of_rates**2 @ frame["se"] ** 2))


def test_a_straight_gradient_is_found_exactly_and_fits():
    frame = groups()
    frame["rate"] = 20 + 30 * position(frame)
    found = slope_index_of_inequality(frame, **ROLES)
    assert found.table["estimate"].item() == pytest.approx(30)
    assert found.diagnostics["lack_of_fit_p"] == pytest.approx(1)
    frame["rate"] = 20 * np.exp(0.9 * position(frame))
    assert relative_index_of_inequality(frame, **ROLES).table["estimate"].item() == pytest.approx(0.9)


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(5)), st.floats(0.01, 1000), st.floats(0.1, 50))
def test_row_order_and_units_do_not_matter(order, unit, people):
    frame = groups()
    moved = frame.iloc[list(order)].assign(
        rate=lambda f: f["rate"] * unit, se=lambda f: f["se"] * unit, people=lambda f: f["people"] * people
    )
    for weights in ("population", "precision"):
        first = slope_index_of_inequality(frame, **ROLES, weights=weights).table
        second = slope_index_of_inequality(moved, **ROLES, weights=weights).table
        assert second[["estimate", "se"]].to_numpy() / unit == pytest.approx(first[["estimate", "se"]].to_numpy())
        a = relative_index_of_inequality(frame, **ROLES, weights=weights).table[["estimate", "se"]].to_numpy()
        b = relative_index_of_inequality(moved, **ROLES, weights=weights).table[["estimate", "se"]].to_numpy()
        assert b == pytest.approx(a)


def test_intervals_cover_the_gradient_in_95_of_100_draws_also_where_it_is_no_line():
    random, truth = np.random.default_rng(3), groups()
    target = slope_index_of_inequality(truth, **ROLES).table["estimate"].item()
    covered = 0
    for noise in random.normal(size=(500, 5)):
        row = slope_index_of_inequality(truth.assign(rate=truth["rate"] + noise * truth["se"]), **ROLES).table.iloc[0]
        covered += row["ci_low"] <= target <= row["ci_high"]
    assert 0.93 <= covered / 500 <= 0.97


def test_q_rejects_a_line_where_the_gradient_bends():
    bent = groups(rate=[90.0, 40.0, 38.0, 37.0, 36.0])
    assert slope_index_of_inequality(bent, **ROLES).diagnostics["lack_of_fit_p"] < 1e-6


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (groups(quintile=[1, 2, 2, 4, 5]), "holds 2 twice"),
        (groups(se=[0.0, 1, 1, 1, 1]), "'se' holds 0 at index 0"),
        (groups(people=[-1.0, 1, 1, 1, 1]), "'people' holds -1"),
        (groups(rate=[np.nan, 1, 1, 1, 1]), "'rate' is missing in 1 of 5 rows"),
        (groups().head(2), "at least three groups"),
        (groups().drop(columns="rate"), "rate='rate' is not a column"),
    ],
)
def test_bad_data_are_refused_in_one_sentence(frame, message):
    with pytest.raises(ApmkitError, match=message):
        slope_index_of_inequality(frame, **ROLES)


def test_a_rate_of_zero_has_a_slope_and_no_ratio():
    frame = groups(rate=[4.0, 3, 2, 1, 0])
    assert slope_index_of_inequality(frame, **ROLES).table["estimate"].item() > 0
    with pytest.raises(ApmkitError, match="'rate' holds 0 at index 4"):
        relative_index_of_inequality(frame, **ROLES)


def test_weights_that_are_not_known_are_refused():
    with pytest.raises(ApmkitError, match="give 'population' or 'precision'"):
        slope_index_of_inequality(groups(), **ROLES, weights="equal")
