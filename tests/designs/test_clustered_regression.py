"""A regression on a dose that few clusters differ in."""

import itertools

import numpy as np
import pandas as pd
import pytest

import apmkit as apm
from apmkit.designs import clustered_regression
from apmkit.errors import ApmkitError, DesignWarning, EstimationError
from apmkit.inference import cluster_covariance

pytestmark = pytest.mark.filterwarnings("ignore::apmkit.errors.DesignWarning")
ROLES = {"outcome": "change", "regressor": "dose", "cluster": "province"}


def rows(seed=1, clusters="aabbbcdddeefff"):
    random = np.random.default_rng(seed)
    doses = dict(zip(sorted(set(clusters)), random.uniform(0, 8, size=len(set(clusters))).round(1), strict=True))
    frame = pd.DataFrame({"province": list(clusters)})
    frame["dose"] = frame["province"].map(doses)
    shock = dict(zip(doses, random.normal(size=len(doses)), strict=True))
    frame["change"] = 0.3 * frame["dose"] + frame["province"].map(shock) + random.normal(size=len(frame))
    frame["w"] = random.uniform(0.5, 2, size=len(frame))
    frame["z"] = random.normal(size=len(frame))
    return frame


def table(frame, **options):
    return clustered_regression(frame, **ROLES, **options).details["inference"].set_index("method")


@pytest.mark.parametrize("weights", [None, "w"])
@pytest.mark.parametrize("controls", [[], ["z"]])
def test_slope_and_cr1_are_those_of_statsmodels(agrees, weights, controls):
    import statsmodels
    import statsmodels.api as sm

    frame = rows()
    mass = np.ones(len(frame)) if weights is None else frame[weights]
    fitted = sm.WLS(frame["change"], sm.add_constant(frame[["dose", *controls]]), weights=mass).fit(
        cov_type="cluster", cov_kwds={"groups": frame["province"], "use_correction": True}
    )
    found = clustered_regression(frame, **ROLES, weights=weights, controls=controls)
    agrees(
        [found.table["estimate"].item(), found.details["inference"]["se"].iloc[0]],
        [fitted.params["dose"], fitted.bse["dose"]],
        within=1e-10,
        what="clustered_regression",
        package=f"statsmodels {statsmodels.__version__}",
        case=f"{'weights' if weights else 'no weights'}, {len(controls)} controls",
    )


def test_the_estimate_carries_cr2_with_satterthwaite_degrees_of_freedom():
    frame = rows()
    x = np.column_stack([frame["dose"], np.ones(len(frame))])
    residuals = frame["change"] - x @ np.linalg.lstsq(x, frame["change"])[0]
    covariance, df = cluster_covariance(x, residuals, frame["province"].to_numpy())
    row = clustered_regression(frame, **ROLES).table.iloc[0]
    assert row["se"] == pytest.approx(np.sqrt(covariance[0, 0]))
    assert row["df"] == pytest.approx(df[0])


def test_the_bootstrap_is_that_of_drawing_every_sign_by_hand():
    frame = rows()
    x, y = np.column_stack([frame["dose"], np.ones(len(frame))]), frame["change"].to_numpy()
    codes = frame["province"].astype("category").cat.codes.to_numpy()

    def t_of(outcome):
        b = np.linalg.lstsq(x, outcome)[0]
        centred = x[:, 0] - x[:, 0].mean()
        scores = np.bincount(codes, centred * (outcome - x @ b))
        return b[0] * (centred @ centred) / np.sqrt((scores**2).sum())

    null = y.mean()
    every = [t_of(null + (y - null) * np.array(s)[codes]) for s in itertools.product((-1, 1), repeat=6)]
    expected = np.mean(np.abs(every) >= abs(t_of(y)) * (1 - 1e-9))
    assert table(frame, bootstrap_weights="rademacher").loc["wild bootstrap (rademacher)", "p_value"] == expected


def test_the_interval_of_the_bootstrap_holds_what_it_does_not_reject():
    frame = rows()
    row = table(frame).loc["wild bootstrap (webb)"]
    for outwards, inside in ((-0.02, True), (0.02, False)):
        moved = frame.assign(change=frame["change"] - (row["ci_high"] + outwards) * frame["dose"])
        assert bool(table(moved).loc["wild bootstrap (webb)", "p_value"] > 0.05) is inside


def test_permutations_are_those_of_handing_the_doses_round_by_hand():
    frame = rows()
    doses = frame.groupby("province")["dose"].first()
    slopes = []
    for order in itertools.permutations(doses):
        dose = frame["province"].map(dict(zip(doses.index, order, strict=True)))
        slopes.append(np.polyfit(dose, frame["change"], 1)[0])
    observed = np.polyfit(frame["dose"], frame["change"], 1)[0]
    found = clustered_regression(frame, **ROLES)
    p = found.details["inference"].set_index("method").loc["permutation of the estimate", "p_value"]
    assert p == np.mean(np.abs(slopes) >= abs(observed) * (1 - 1e-9))
    assert (found.diagnostics["permutations"], found.diagnostics["permutation_exact"]) == (720, True)


def test_a_dose_that_varies_within_clusters_is_not_permuted():
    frame = rows()
    frame.loc[0, "dose"] += 1
    assert not table(frame).index.str.startswith("permutation").any()


def test_clusters_of_equal_shape_count_in_full_and_one_that_decides_counts_as_one():
    even = pd.DataFrame({"province": list("aabbccdd"), "dose": [0, 0, 1, 1, 0, 0, 1, 1], "change": np.arange(8.0) ** 2})
    assert clustered_regression(even, **ROLES).diagnostics["effective_clusters"] == pytest.approx(4)
    far = even.assign(dose=[100, 100, 0.1, 0.1, 0, 0, 0.2, 0.2])
    assert clustered_regression(far, **ROLES).diagnostics["effective_clusters"] < 2


def test_a_shift_of_outcomes_and_the_order_of_rows_change_nothing():
    frame = rows()
    first = table(frame, weights="w", controls="z")
    moved = frame.assign(change=frame["change"] + 1e8).sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(first, table(moved, weights="w", controls="z"), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_with_eight_unequal_clusters_permutation_keeps_its_size_best_and_cr1_worst():
    random, rejected = np.random.default_rng(5), []
    clusters = np.repeat(np.arange(8), [2, 2, 1, 1, 1, 3, 2, 3])
    dose = np.array([-0.3, 0.0, -1.2, 0.6, 1.7, 6.6, 7.1, 7.3])
    for _ in range(1000):
        change = random.normal(size=8)[clusters] + random.normal(size=len(clusters))
        frame = pd.DataFrame({"province": clusters, "dose": dose[clusters], "change": change})
        rejected.append(table(frame, draws=999)["p_value"] <= 0.05)
    share = pd.DataFrame(rejected).mean()
    assert share["permutation of the estimate"] <= 0.075
    assert share["CR2"] <= 0.09
    assert share["wild bootstrap (webb)"] <= 0.12
    assert share["CR1"] > share.drop("CR1").max()


def test_few_clusters_are_warned_of():
    with pytest.warns(DesignWarning, match="6 clusters of 'province' are few"):
        apm.clustered_regression(rows(), **ROLES)


@pytest.mark.parametrize(
    ("change", "options", "error", "message"),
    [
        ({"dose": 1.0}, {}, EstimationError, "'dose' does not vary beyond the controls"),
        ({"province": "a"}, {}, EstimationError, "has 1 clusters"),
        ({"w": 0.0}, {"weights": "w"}, ApmkitError, "'w' holds 0"),
        ({"change": np.nan}, {}, ApmkitError, "'change' is missing"),
        ({"province": None}, {}, ApmkitError, "rows without a cluster"),
        ({}, {"controls": ["dose"]}, ApmkitError, "is both"),
        ({}, {"bootstrap_weights": "normal"}, ApmkitError, "is not known"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(change, options, error, message):
    with pytest.raises(error, match=message):
        clustered_regression(rows().assign(**change), **ROLES, **options)
