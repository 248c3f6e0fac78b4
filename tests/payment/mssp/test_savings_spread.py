"""The spread of savings rates is found where it is known, and its intervals follow the ACOs."""

import numpy as np
import pandas as pd
import pytest

import apmkit
from apmkit.errors import ApmkitError, PaymentError
from apmkit.payment import rulebook
from apmkit.payment.mssp.savings_spread import sampling_spread, savings_reliability, savings_spread

FIXED, SAMPLING = 0.02**2, 3.0**2


def results(seed=1, n_acos=600, years=4, lasting=0.0, fixed=FIXED):
    """ACO-years whose savings rates have a known spread, a part of which may last."""
    random = np.random.default_rng(seed)
    n = np.exp(random.normal(9.4, 0.8, n_acos)).round()
    rows = pd.DataFrame({"aco_id": np.repeat(np.arange(n_acos), years), "year": np.tile(range(years), n_acos)})
    rows["beneficiaries"] = n[rows["aco_id"]]
    noise = random.normal(size=len(rows)) * np.sqrt(fixed + SAMPLING / rows["beneficiaries"])
    rows["savings_rate"] = 0.01 * rows["year"] + lasting * random.normal(size=n_acos)[rows["aco_id"]] + noise
    return rows


@pytest.fixture(scope="module")
def published():
    return apmkit.load("mssp")


@pytest.mark.parametrize("kind", ["published", "year_to_year"])
def test_both_parts_of_a_known_spread_are_found(kind):
    spread = savings_spread(results(n_acos=6_000), kind=kind, n_boot=0)
    assert np.sqrt([spread.fixed, spread.sampling]) == pytest.approx([0.02, 3.0], rel=0.05)
    assert spread.table[["ci_low", "ci_high"]].isna().all(axis=None)


def test_changes_from_year_to_year_leave_out_what_lasts():
    data = results(n_acos=4_000, lasting=0.03)
    assert savings_spread(data, n_boot=0).fixed == pytest.approx(0.02**2 + 0.03**2, rel=0.1)
    assert savings_spread(data, kind="year_to_year", n_boot=0).fixed == pytest.approx(0.02**2, rel=0.15)


def test_the_fit_has_the_highest_likelihood_in_its_neighbourhood(published):
    spread = savings_spread(published, n_boot=0)
    year = pd.factorize(published["year"])[0]

    def likelihood(fixed, sampling):
        variance = fixed + sampling / published["beneficiaries"]
        weighted = np.bincount(year, published["savings_rate"] / variance) / np.bincount(year, 1 / variance)
        return -(np.log(variance) + (published["savings_rate"] - weighted[year]) ** 2 / variance).sum()

    best = likelihood(spread.fixed, spread.sampling)
    for factor in (0.97, 1.03):
        assert likelihood(factor * spread.fixed, spread.sampling) < best
        assert likelihood(spread.fixed, factor * spread.sampling) < best


def test_a_spread_that_is_all_sampling_stays_on_the_border_of_variances():
    data = results(seed=4, fixed=0.0)
    data["savings_rate"] *= 1 + 4e3 / data["beneficiaries"]  # falls faster than 1 / n
    spread = savings_spread(data, n_boot=20)
    assert spread.fixed == 0
    assert (spread.draws >= 0).all()


@pytest.mark.slow
def test_intervals_cover_the_spread_when_acos_are_clusters():
    covered = []
    for seed in range(100):
        spread = savings_spread(results(seed, n_acos=250, lasting=0.02), n_boot=200, seed=seed)
        row = spread.table.set_index("part").loc["all, 10,000 beneficiaries"]
        covered.append(row["ci_low"] <= np.sqrt(0.02**2 + 0.02**2 + SAMPLING / 10_000) <= row["ci_high"])
    assert 0.87 <= np.mean(covered) <= 1


def test_a_bootstrap_sample_gives_what_its_rows_give_when_fitted_alone():
    data = results(n_acos=80, lasting=0.02)
    spread = savings_spread(data, n_boot=3, seed=9)
    times = np.random.default_rng(9).multinomial(80, np.full(80, 1 / 80), size=3)
    for drawn, pair in zip(times, spread.draws, strict=True):
        copies = [
            data[data["aco_id"] == aco].assign(aco_id=f"{aco}-{k}") for aco in range(80) for k in range(drawn[aco])
        ]
        alone = savings_spread(pd.concat(copies), n_boot=0)
        assert pair == pytest.approx([alone.fixed, alone.sampling], rel=1e-5)


def test_the_same_seed_gives_the_same_intervals_and_the_order_of_rows_does_not_matter():
    data = results(n_acos=60)
    first, second = (savings_spread(data, n_boot=10, seed=seed) for seed in (2, 2))
    np.testing.assert_array_equal(first.draws, second.draws)
    shuffled = savings_spread(data.sample(frac=1, random_state=0), n_boot=0)
    assert (shuffled.fixed, shuffled.sampling) == pytest.approx((first.fixed, first.sampling), rel=1e-6)


def test_published_spreads_come_in_the_order_that_their_contents_imply(published):
    wide, middle = (savings_spread(published, kind=kind, n_boot=30) for kind in ("published", "year_to_year"))
    for n in (5_000, 20_000, 50_000):
        low, high = middle.interval(middle.replicates([n]))
        assert sampling_spread().standard_deviation(n) < low < high < wide.interval(wide.replicates([n]))[0]


def test_the_table_of_minimum_savings_rates_implies_one_spread_per_beneficiary_at_its_three_sizes():
    spread = sampling_spread()
    # 3.9 % at 5,000 and 90 %; 2.5 % at 20,000 and 95 %; 2.2 % at 50,000 and 99 %
    each = [0.039 / 1.281552 * 5_000**0.5, 0.025 / 1.644854 * 20_000**0.5, 0.022 / 2.326348 * 50_000**0.5]
    assert max(each) / min(each) < 1.02
    assert np.sqrt(spread.sampling) == pytest.approx(np.sqrt(np.mean(np.square(each))), rel=1e-5)
    stricter = [{"beneficiaries": 5_000, "confidence": 0.95}]
    rules = rulebook("mssp").with_values({"minimum_savings_rate.confidence": stricter})
    assert np.sqrt(sampling_spread(rules=rules).sampling) == pytest.approx(0.039 / 1.644854 * 5_000**0.5, rel=1e-5)


def test_reliability_finds_the_share_of_the_spread_that_lasts():
    data = results(n_acos=3_000, lasting=0.04, fixed=0.03**2)
    data["beneficiaries"] = 1e7  # sampling is nil in what follows
    random = np.random.default_rng(0)
    lasting = 0.04 * random.normal(size=3_000)[data["aco_id"]]
    data["savings_rate"] = lasting + 0.03 * random.normal(size=len(data))
    table = savings_reliability(data, n_boot=50).set_index("pairs_of_years")
    share = 0.04**2 / (0.04**2 + 0.03**2)
    for name in ("1 year apart", "3 years apart", "all pairs of years"):
        assert table.loc[name, "correlation"] == pytest.approx(share, abs=0.03)
        assert table.loc[name, "ci_low"] < table.loc[name, "correlation"] < table.loc[name, "ci_high"]
    assert table.loc["1 year apart", "pairs"] == 9_000
    assert "1 year apart, one agreement period" not in table.index


def test_reliability_is_the_correlation_that_pandas_finds(published):
    table = savings_reliability(published, n_boot=0).set_index("pairs_of_years")
    rate = published.pivot(index="aco_id", columns="year", values="savings_rate")
    rate -= rate.mean()
    pairs = pd.concat([rate[[y, y + 1]].dropna().set_axis(["x", "y"], axis=1) for y in range(2013, 2023)])
    assert table.loc["1 year apart", "correlation"] == pytest.approx(pairs.corr().iloc[0, 1])
    assert table.loc["1 year apart", "pairs"] == len(pairs)
    parts = table.loc[["1 year apart, one agreement period", "1 year apart, two agreement periods"], "pairs"]
    assert parts.sum() == len(pairs)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.drop(columns="beneficiaries"), "no column beneficiaries"),
        (lambda d: d.assign(beneficiaries=0), "is 0; give at least 1"),
        (lambda d: d.assign(savings_rate="x"), "Column savings_rate of the results holds text"),
        (lambda d: d.assign(savings_rate=0.01), "All savings rates are the same"),
        (lambda d: d.assign(savings_rate=3.0), "A savings_rate is 3; give shares of the benchmark, 0.03 for 3 %"),
        (lambda d: pd.concat([d, d.head(1)]), "ACO 0 has two rows in 0"),
        (lambda d: d[d["aco_id"] < 20], "Only 20 ACOs"),
    ],
)
def test_unusable_results_are_refused(change, says):
    with pytest.raises(PaymentError, match=says):
        savings_spread(change(results(n_acos=40)))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"kind": "luck"}, "kind is 'luck'"),
        ({"level": 95}, "level=95"),
        ({"n_boot": 2.5}, "n_boot is 2.5"),
        ({"seed": -1}, "seed"),
    ],
)
def test_unusable_options_are_refused(options, says):
    with pytest.raises(ApmkitError, match=says):
        savings_spread(results(n_acos=40), **options)
