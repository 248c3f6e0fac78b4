import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apmkit.errors import ApmkitError, PaymentError
from apmkit.payment import CapitationSchedule, Practices, illustrative_schedule


def bands(**columns):
    """Two bands of ages for each sex, with some columns replaced."""
    given = {"age_from": [0, 65, 0, 65], "age_to": [64, None, 64, None], "sex": ["F", "F", "M", "M"]}
    return pd.DataFrame({**given, "rate": [140.0, 300.0, 110.0, 290.0], **columns})


def test_each_age_and_sex_has_the_rate_of_its_band():
    rates = CapitationSchedule(bands()).rates([0, 64, 65, 120, 64], ["F", "F", "F", "M", "M"])
    assert rates.tolist() == [140, 140, 300, 290, 110]


def test_the_order_of_the_bands_does_not_matter():
    shuffled = bands().iloc[[3, 0, 2, 1]]
    ages, sexes = np.arange(100), ["F", "M"] * 50
    assert CapitationSchedule(shuffled).rates(ages, sexes).tolist() == (
        CapitationSchedule(bands()).rates(ages, sexes).tolist()
    )


def test_monthly_rates_are_paid_twelve_times_and_factors_multiply_the_base_rate():
    assert CapitationSchedule(bands(), per="month").rates([70], ["F"]).item() == 12 * 300
    factors = bands().drop(columns="rate").assign(factor=[1.0, 2.0, 0.8, 1.9])
    assert CapitationSchedule(factors, base_rate=150).rates([70], ["M"]).item() == pytest.approx(1.9 * 150)


def test_months_and_enrolment_scale_what_is_paid():
    patients = pd.DataFrame(
        {"practice": "A", "age": [40, 40, 40], "sex": "F", "enrolled": [True, True, False], "months": [12, 3, 12]}
    )
    practices = Practices(patients, pd.DataFrame({"practice": ["A"], "physicians": [1]}), country="Canada")
    assert CapitationSchedule(bands()).pay(practices).tolist() == [140, 35, 0]


def test_a_csv_file_with_remarks_is_read(tmp_path):
    file = tmp_path / "agreement.csv"
    file.write_text("# from the agreement\n" + bands().to_csv(index=False), encoding="utf-8")
    schedule = CapitationSchedule.read(file)
    assert schedule.name == "agreement"
    assert schedule.rates([70], ["F"]).item() == 300


def test_the_illustrative_schedule_says_what_it_is_and_has_the_shape_it_describes():
    schedule = illustrative_schedule(100)
    ages = np.arange(5, 121)
    women, men = (schedule.rates(ages, [sex] * len(ages)) for sex in "FM")
    assert schedule.illustrative
    assert (np.diff(men[ages >= 15]) >= 0).all()
    assert men.argmin() == np.flatnonzero(ages == 10).item()
    reproductive, later = (ages >= 15) & (ages < 50), (ages >= 50) & (ages < 65)
    assert (women - men)[reproductive] == pytest.approx(40)
    assert (women - men)[later] == pytest.approx(10)
    assert (women == men)[~reproductive & ~later].all()


@settings(deadline=None)
@given(st.lists(st.integers(1, 119), unique=True, max_size=15), st.integers(0, 14))
def test_any_partition_of_ages_is_accepted_and_without_one_band_refused(cuts, lost):
    starts = [0, *sorted(cuts)]
    ends = [*(start - 1 for start in starts[1:]), None]
    women = pd.DataFrame({"age_from": starts, "age_to": ends, "sex": "F", "rate": np.arange(len(starts))})
    both = pd.concat([women, women.assign(sex="M")], ignore_index=True)
    ages = np.arange(121)
    assert CapitationSchedule(both).rates(ages, ["F"] * 121).tolist() == [
        sum(age >= cut for cut in cuts) for age in ages.tolist()
    ]
    with pytest.raises(PaymentError, match=r"sex F have no rate|no bands of sex F"):
        CapitationSchedule(both.drop(index=lost % len(starts)))


@pytest.mark.parametrize(
    ("columns", "terms", "message"),
    [
        (
            {"age_from": [0, 70, 0, 65]},
            {},
            "ages 65 to 69 of sex F have no rate, a gap before ages 70 and over of sex F",
        ),
        ({"age_from": [0, 65, 5, 65]}, {}, "ages 0 to 4 of sex M have no rate"),
        ({"age_from": [0, 60, 0, 65]}, {}, "ages 60 and over of sex F overlaps"),
        ({"age_to": [None, None, 64, None]}, {}, "ages 65 and over of sex F overlaps"),
        ({"age_to": [64, 99, 64, None]}, {}, "ages 100 and over of sex F have no rate; leave age_to of the last band"),
        ({"age_from": [64, 65, 0, 65], "age_to": [0, None, 64, None]}, {}, "ages 64 to 0 of sex F ends before"),
        ({"age_from": [0, 64.5, 0, 65]}, {}, r"age_from of ages 64.5 and over of sex F is 64.5; .* whole number"),
        ({"sex": "F"}, {}, "overlaps the band before it"),
        ({"sex": ["F", "F", "X", "M"]}, {}, "a band has the sex 'X'; write F or M"),
        ({"rate": [140, -300, 110, 290]}, {}, "rate of ages 65 and over of sex F is -300; it must be 0 or more"),
        ({"rate": [140, np.nan, 110, 290]}, {}, "rate of ages 65 and over of sex F is nan"),
        ({"rate": ["a", "b", "c", "d"]}, {}, "column rate is not numeric"),
        ({"note": "x"}, {}, "has a column note; it may have"),
        ({}, {"per": "day"}, "per is 'day'; rates are per year or per month"),
        ({}, {"base_rate": 150}, "give base_rate with a column factor, and only then"),
    ],
)
def test_a_schedule_that_cannot_pay_is_refused_with_the_band_named(columns, terms, message):
    with pytest.raises(PaymentError, match=message):
        CapitationSchedule(bands(**columns), **terms)


def test_a_missing_sex_or_column_is_refused():
    with pytest.raises(PaymentError, match="has no bands of sex M"):
        CapitationSchedule(bands().query("sex == 'F'"))
    with pytest.raises(PaymentError, match="has no column sex; add it"):
        CapitationSchedule(bands().drop(columns="sex"))
    with pytest.raises(PaymentError, match="one column of money, rate or factor; it has 2"):
        CapitationSchedule(bands(factor=1.0), base_rate=1)
    with pytest.raises(PaymentError, match="one column of money, rate or factor; it has 0"):
        CapitationSchedule(bands().drop(columns="rate"))


def test_factors_without_a_base_rate_or_in_money_are_refused():
    factors = bands().rename(columns={"rate": "factor"})
    with pytest.raises(PaymentError, match="give base_rate with a column factor"):
        CapitationSchedule(factors)
    with pytest.raises(PaymentError, match="base_rate is -1; it must be above 0"):
        CapitationSchedule(factors, base_rate=-1)
    with pytest.raises(PaymentError, match="the factor of ages 65 and over of sex F is 300, which looks like money"):
        CapitationSchedule(factors, base_rate=150)


def test_ages_and_sexes_that_do_not_go_together_and_odd_terms_are_refused(tmp_path):
    schedule = CapitationSchedule(bands())
    for ages, sexes, message in (
        ([40, 41], ["F"], "2 ages and 1 sexes; give two lists of one length"),
        (40, "F", "give two lists of one length"),
        (["old"], ["F"], "age must hold numbers only"),
    ):
        with pytest.raises(ApmkitError, match=message):
            schedule.rates(ages, sexes)
    with pytest.raises(PaymentError, match="base_rate is '150'; it must be above 0"):
        CapitationSchedule(bands().rename(columns={"rate": "factor"}), base_rate="150")
    with pytest.raises(PaymentError, match=r"per is \['year'\]; rates are per year or per month"):
        CapitationSchedule(bands(), per=["year"])
    with pytest.raises(PaymentError, match="has the column rate twice; keep one"):
        CapitationSchedule(pd.concat([bands(), bands()[["rate"]]], axis=1))
    with pytest.raises(PaymentError, match=r"cannot be read .* give the path of a CSV file"):
        CapitationSchedule.read(tmp_path)


@pytest.mark.parametrize(("age", "sex"), [(-1, "F"), (np.nan, "F"), (40, "X"), (40, None)])
def test_a_patient_of_no_age_or_sex_has_no_rate(age, sex):
    with pytest.raises(PaymentError, match="ages from 0 and for the sexes F and M only"):
        CapitationSchedule(bands()).rates([40, age], ["F", sex])


def test_what_is_no_table_or_file_is_refused(tmp_path):
    with pytest.raises(PaymentError, match="bands must be a DataFrame, not list"):
        CapitationSchedule([1, 2])
    with pytest.raises(PaymentError, match=r"There is no schedule .*absent.csv"):
        CapitationSchedule.read(tmp_path / "absent.csv")
    (tmp_path / "empty.csv").write_text("", encoding="utf-8")
    with pytest.raises(PaymentError, match=r"empty.csv cannot be read as a CSV file"):
        CapitationSchedule.read(tmp_path / "empty.csv")
