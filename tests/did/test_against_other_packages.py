"""Estimates and standard errors of diff-diff on random panels: balanced, ragged, weighted and clustered."""

import warnings
from importlib.metadata import version

import numpy as np
import pandas as pd
import pytest

import apmkit as apm

KINDS = {"balanced": {}, "ragged": {"ends": True, "drop": 0.1}, "weighted": {"weights": "unit"}, "clustered": {}}
PANELS = 13  # of each kind
COLUMNS = {"outcome": "y", "unit": "unit", "time": "year", "first_treat": "first"}

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def random_panels(kind, make_frame, make_panel):
    """Frames and panels of one kind, and how diff-diff is told of their clusters and weights."""
    from diff_diff import SurveyDesign

    def draw(starts=(2012, 2013, 2014, None)):
        for seed in range(PANELS):
            size = {"n_units": 40 + 2 * seed, "n_periods": 5 + seed % 3}
            frame = make_frame(**size, **KINDS[kind], starts=starts, seed=100 + seed)
            frame = frame.assign(
                first=frame["cohort"].fillna(0).astype(int),
                ever=frame["cohort"].notna().astype(int),
                treated=(frame["year"] >= frame["cohort"]).astype(float),
            )
            cluster = "state" if kind == "clustered" else "unit"
            columns = {"weights": "weight"} if kind == "weighted" else {}
            survey = {"survey_design": SurveyDesign(weights="weight", psu="unit")} if kind == "weighted" else {}
            yield frame, make_panel(frame, cluster=cluster, **columns), cluster, survey

    return draw


@pytest.fixture
def agree(kind, agrees):
    """Compare our numbers with theirs over all panels of a kind; rows are (estimate, se) of one effect."""

    def compare(what, ours, theirs, design=""):
        ours, theirs = np.array(ours, dtype=float), np.array(theirs, dtype=float)
        for column, name in enumerate(("estimates", "standard errors")):
            agrees(
                ours[:, column],
                theirs[:, column],
                within=1e-6,
                what=what,
                package=f"diff-diff {version('diff-diff')}",
                case=f"{PANELS} random panels, {design}{kind}, {name}",
            )

    return compare


def fitted(model, frame, **arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(frame, **arguments)


def more_than_once(frame):
    """The sample of a regression: a unit seen once says nothing given its own effect."""
    return frame[frame.groupby("unit")["year"].transform("size") > 1]


def rows_of(table, factor=1.0):
    """Estimates and standard errors of one of our tables, the variance multiplied."""
    return np.column_stack([table["estimate"], table["se"] * np.sqrt(factor)]).tolist()


def of_survey(result):
    """Given weights, diff-diff multiplies a variance by G/(G-1) where fixest's factor has (n-1)/(n-K) too."""
    return result.n_clusters / (result.n_clusters - 1) / result.diagnostics["variance_factor"]


def test_two_way_fixed_effects_are_a_regression_of_diff_diff(random_panels, agree):
    # Its TwoWayFixedEffects is for treatment that starts for all at once, so here it is given the dummies.
    from diff_diff import LinearRegression

    ours, theirs = [], []
    for frame, panel, cluster, survey in random_panels():
        seen = more_than_once(frame)
        units, years = (pd.get_dummies(seen[name], dtype=float) for name in ("unit", "year"))
        x = pd.concat([seen[["treated"]], units, years.iloc[:, 1:]], axis=1).to_numpy()
        model = LinearRegression(
            include_intercept=False,
            cluster_ids=seen[cluster].to_numpy(),
            weights=seen["weight"].to_numpy() if survey else None,
        )
        fit = model.fit(x, seen["y"].to_numpy())
        theirs.append((fit.coefficients_[0], np.sqrt(fit.vcov_[0, 0])))
        # It counts the unit effects in its factor; fixest does not, for they are nested in the clusters.
        clusters, (n, k) = seen[cluster].nunique(), x.shape
        factor = clusters / (clusters - 1) * (n - 1) / (n - k)
        ours += rows_of(apm.twfe(panel, small_sample="none").table, factor)
    agree("twfe", ours, theirs)


def test_event_studies_of_one_start_are_those_of_diff_diff(random_panels, agree):
    from diff_diff import TwoWayFixedEffects

    ours, theirs = [], []
    for frame, panel, cluster, survey in random_panels(starts=(2013, None)):
        fit = fitted(
            TwoWayFixedEffects(cluster=None if survey else cluster),
            more_than_once(frame), outcome="y", treatment="ever", unit="unit", time="year", event_study=True,
            post_periods=[t for t in panel.periods if t >= 2013], reference_period=2012, **survey,
        )  # fmt: skip
        result = apm.event_study(panel)
        ours += rows_of(result.table, of_survey(result) if survey else 1.0)
        by_year = fit.to_dataframe().set_index("event_time")
        theirs += by_year.loc[result.table["relative_time"] + 2013, ["att", "se"]].to_numpy().tolist()
    agree("event_study", ours, theirs)


def test_sun_abraham_and_its_averages_are_those_of_diff_diff(random_panels, agree):
    from diff_diff import SunAbraham

    ours, theirs = [], []
    for frame, panel, cluster, survey in random_panels():
        fit = fitted(SunAbraham(cluster=None if survey else cluster), more_than_once(frame), **COLUMNS, **survey)
        cells = apm.sun_abraham(panel)
        # An effect that no comparison identifies is left out of our averages; diff-diff drops a dummy of its choice and
        # averages what remains. Those averages are not compared.
        known = cells.table.groupby("relative_time").size()
        asked = pd.Series([time for _, time in fit.cohort_effects]).value_counts()
        event = cells.aggregate("event").table
        event = event[event["relative_time"].map(known) == event["relative_time"].map(asked)]
        factor = of_survey(cells) if survey else 1.0
        for table in (cells.table, event, cells.aggregate("simple").table):
            ours += rows_of(table, factor)
        of_cells = zip(cells.table["cohort"], cells.table["relative_time"], strict=True)
        effects = [fit.cohort_effects[cell] for cell in of_cells]
        effects += [fit.event_study_effects[time] for time in event["relative_time"]]
        theirs += [(effect["effect"], effect["se"]) for effect in effects]
        theirs.append((fit.overall_att, fit.overall_se))
    agree("sun_abraham", ours, theirs)


@pytest.mark.parametrize("control", ["never_treated", "not_yet_treated"])
def test_callaway_santanna_and_its_averages_are_those_of_diff_diff(random_panels, agree, kind, control):
    from diff_diff import CallawaySantAnna, SurveyDesign

    ours, theirs = [], []
    for i, (frame, panel, cluster, survey) in enumerate(random_panels()):
        base = ("varying", "universal")[i % 2]
        cells = apm.callaway_santanna(panel, control=control, base_period=base)
        # The shares of cohorts are those of the units that some pair of periods can use.
        given = frame[frame["unit"].isin(cells.panel.units)]
        if kind == "ragged":
            # Without weights it gives a cohort the share of its units seen in a cell; with weights, as R and apmkit
            # always, the share of all its units.
            given, survey = given.assign(one=1.0), {"survey_design": SurveyDesign(weights="one", psu="unit")}
        cluster = cluster if kind == "clustered" else None
        model = CallawaySantAnna(control_group=control, base_period=base, cluster=cluster)
        fit = fitted(model, given, **COLUMNS, **survey)
        event, cohort = cells.aggregate("event"), cells.aggregate("cohort")
        # With clusters or weights it multiplies the variance by G/(G-1).
        factor = 1.0 if kind == "balanced" else cells.n_clusters / (cells.n_clusters - 1)
        for result in (cells, event, cohort, cells.aggregate("simple")):
            ours += rows_of(result.table, factor)
        of_cells = zip(cells.table["cohort"], cells.table["period"], strict=True)
        effects = [fit.group_time_effects[cell] for cell in of_cells]
        theirs += [(effect["effect"], effect["se"]) for effect in effects]
        for by, index, rows in (("event_study", "event_time", event.table["relative_time"]),
                                ("group", "label", cohort.table["cohort"])):  # fmt: skip
            average = fit.aggregate(by).to_dataframe().set_index(index)
            theirs += average.loc[rows.tolist(), ["att", "se"]].to_numpy(float).tolist()
        theirs.append((fit.overall_att, fit.overall_se))
    agree("callaway_santanna", ours, theirs, f"{control}, ")


def test_imputation_and_its_averages_are_those_of_diff_diff(random_panels, agree):
    from diff_diff import ImputationDiD

    ours, theirs = [], []
    for frame, panel, cluster, survey in random_panels():
        fit = fitted(ImputationDiD(cluster=None if survey else cluster), frame, **COLUMNS, **survey)
        cells = apm.imputation(panel)
        event, simple = cells.aggregate("event"), cells.aggregate("simple")
        for result in (event, simple):
            table = result.table
            if survey:
                # Given weights, it takes the scores of the clusters as deviations from their mean, and G/(G-1).
                deviations = result.influence - result.influence.mean()
                variance = (deviations**2).sum() * result.n_clusters / (result.n_clusters - 1)
                table = table.assign(se=np.sqrt(variance.to_numpy()))
            ours += rows_of(table)
        theirs += since_treatment(fit, event)
    agree("imputation", ours, theirs)


def test_two_stage_regressions_are_those_of_diff_diff(random_panels, agree):
    from diff_diff import TwoStageDiD

    ours, theirs = [], []
    for frame, panel, cluster, survey in random_panels():
        fit = fitted(TwoStageDiD(cluster=None if survey else cluster), frame, **COLUMNS, **survey)
        event = apm.two_stage(panel, by="event")
        since = event.table[event.table["relative_time"] >= 0]
        ours += rows_of(since) + rows_of(apm.two_stage(panel).table)
        theirs += since_treatment(fit, event)
    agree("two_stage", ours, theirs)


def since_treatment(fit, event):
    """Estimates and standard errors of diff-diff by time since treatment, and overall."""
    times = [time for time in event.table["relative_time"] if time >= 0]
    average = fit.aggregate("event_study").to_dataframe().set_index("event_time")
    return [*average.loc[times, ["att", "se"]].to_numpy(float).tolist(), (fit.overall_att, fit.overall_se)]
