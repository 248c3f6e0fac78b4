"""The same design where no effect can be."""

import numpy as np
import pandas as pd
import pytest

import apmkit as apm
from apmkit.errors import ApmkitError, PanelError
from apmkit.inference import adjust_p_values, placebo_dates, placebo_outcomes

COLUMNS = {"unit": "unit", "time": "year", "cohort": "start"}


def made(seed=0, anticipation=0.0):
    random = np.random.default_rng(seed)
    frame = pd.DataFrame({"unit": np.repeat(np.arange(80), 8), "year": np.tile(np.arange(2014, 2022), 80)})
    frame["start"] = np.array([2019, np.nan])[frame["unit"] % 2]
    frame["visits"] = random.normal(size=len(frame)) + 3.0 * (frame["year"] >= frame["start"])
    frame["visits"] += anticipation * (frame["year"] >= frame["start"] - 2)
    frame["rain"], frame["height"] = random.normal(size=(2, len(frame)))
    return frame


@pytest.fixture
def panel():
    return apm.Panel(made(), outcome="visits", **COLUMNS)


def test_placebo_dates_are_estimates_on_backdated_panels(panel):
    table = placebo_dates(panel, apm.twfe)
    assert table["date"].tolist() == [2015, 2016, 2017, 2018]
    for row in table.itertuples():
        one = apm.twfe(panel.backdate(row.date)).table.iloc[0]
        assert (row.estimate, row.se, row.p_value) == (one["estimate"], one["se"], one["p_value"])
    np.testing.assert_allclose(table["p_adjusted"], adjust_p_values(table["p_value"]))
    assert (table["p_adjusted"] > 0.05).all()
    assert placebo_dates(panel, apm.twfe, [2017])["date"].tolist() == [2017]


def test_a_placebo_date_finds_what_came_before_the_start():
    panel = apm.Panel(made(anticipation=2.0), outcome="visits", **COLUMNS)
    table = placebo_dates(panel, lambda part: apm.callaway_santanna(part).aggregate("simple")).set_index("date")
    assert table.loc[2017, "p_adjusted"] < 0.001
    assert table.loc[2017, "ci_low"] < 2 < table.loc[2017, "ci_high"]


def test_placebo_outcomes_are_estimates_of_each():
    frame = made()
    table = placebo_outcomes(frame, ["rain", "height", "visits"], apm.twfe, **COLUMNS)
    for row in table.itertuples():
        one = apm.twfe(apm.Panel(frame, outcome=row.outcome, **COLUMNS)).table.iloc[0]
        assert (row.estimate, row.p_value) == (one["estimate"], one["p_value"])
    np.testing.assert_allclose(table["p_adjusted"], adjust_p_values(table["p_value"]))
    assert (table["p_adjusted"] < 0.05).tolist() == [False, False, True]


def test_what_cannot_be_used_is_said_in_one_sentence(panel):
    with pytest.raises(PanelError, match="period=2019 cannot be a placebo start; those that can: 2015"):
        placebo_dates(panel, apm.twfe, [2019])
    with pytest.raises(PanelError, match="A Panel is needed, not DataFrame"):
        placebo_dates(made(), apm.twfe)
    with pytest.raises(ApmkitError, match="terms for date 2016, and one is compared"):
        placebo_dates(panel, apm.event_study, [2016])
    short = apm.Panel(made().query("year >= 2018"), outcome="visits", **COLUMNS)
    with pytest.raises(PanelError, match="fewer than two periods before treatment"):
        placebo_dates(short, apm.twfe)
    with pytest.raises(ApmkitError, match="names no column"):
        placebo_outcomes(made(), [], apm.twfe, **COLUMNS)
    with pytest.raises(ApmkitError, match="names 'rain' twice"):
        placebo_outcomes(made(), ["rain", "rain"], apm.twfe, **COLUMNS)
    with pytest.raises(PanelError, match="outcome='snow' is not a column"):
        placebo_outcomes(made(), "snow", apm.twfe, **COLUMNS)
