"""Students have numbers of their own, and each answer is what an independent calculation gives."""

import json
import re
import subprocess
import sys
from random import Random

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

import apmkit as apm
from apmkit import teaching
from apmkit.teaching import estimation_exercises, payment_exercises
from apmkit.teaching.sheets import parameters_of

SECRET = b"0123456789abcdef0123456789abcdef"
NAMES = [exercise.name for exercise in teaching.exercises()]
PINNED = {
    "minimum_savings": {"beneficiaries": 32713, "per_person": 10171},
    "states": ["AK", "AL", "AR", "CA", "CT"],
    "visits": [417.11, 310.84],
    "practice": 978,
}


def given_to(student, name):
    return parameters_of(SECRET, teaching.exercise(name), student)


# -- an independent route to each answer -------------------------------------------------------------------------------


def savings_needed(given):
    ends = {5000: 0.039, 5999: 0.036, 6000: 0.036, 6999: 0.034, 7000: 0.034, 7999: 0.032, 8000: 0.032, 8999: 0.031}
    ends |= {9000: 0.031, 9999: 0.03, 10000: 0.03, 14999: 0.027, 15000: 0.027, 19999: 0.025, 20000: 0.025}
    ends |= {49999: 0.022, 50000: 0.022, 59999: 0.02}
    rate = np.interp(given["beneficiaries"], list(ends), list(ends.values()))
    return rate * given["beneficiaries"] * given["per_person"]


def shared_savings(given):
    spent = round(given["benchmark"] * (1 - given["savings_rate"]))
    shared = given["final_sharing_rate"] * (given["benchmark"] - spent)
    limit = 0.2 if given["track"] == "ENHANCED" else 0.1
    return min(0.98 * shared, limit * given["benchmark"])


def break_even(given):
    patients = payment_exercises.practice(given)
    return given["fee"] * patients["visits"].sum() / patients["factor"].sum()


def mean_gap_by_cells(changes, counts):
    return sum(changes[cell] * counts[cell] for cell in changes) / sum(counts.values())


def att_by_cells(rows, unit, outcome, control):
    """Callaway and Sant'Anna by hand: mean changes of each cohort and year less those of its controls."""
    wide = rows.pivot(index=unit, columns="year", values=outcome)
    start = rows.groupby(unit)["start"].first().reindex(wide.index)
    changes, counts = {}, {}
    for cohort in sorted(start.dropna().unique()):
        earlier = [year for year in wide.columns if year < cohort]
        if not earlier:
            continue
        base = earlier[-1]
        for year in [year for year in wide.columns if year >= cohort]:
            change = wide[year] - wide[base]
            never = start.isna()
            controls = never | (start > max(year, base)) if control == "not_yet_treated" else never
            treated, others = change[start == cohort].dropna(), change[controls.fillna(False)].dropna()
            if len(treated) and len(others):
                changes[cohort, year] = treated.mean() - others.mean()
                counts[cohort, year] = len(treated)
    return changes, counts


def two_way_less_cells(given):
    rows = estimation_exercises.clinics(given).astype({"start": float})
    treated = (rows["year"] >= rows["start"]).astype(float)
    dummies = pd.get_dummies(rows[["clinic", "year"]].astype(str), drop_first=True, dtype=float)
    design = np.column_stack([treated, np.ones(len(rows)), dummies])
    twfe = np.linalg.lstsq(design, rows["ed_visits_per_1000"], rcond=None)[0][0]
    return twfe - mean_gap_by_cells(*att_by_cells(rows, "clinic", "ed_visits_per_1000", "never_treated"))


def states_of(states, last_year):
    table = apm.load("gv_state")
    table = table[table["state"].isin(states) & (table["year"] <= last_year)]
    return table.pivot(index="state", columns="year", values="spending_per_capita_standardised")


def gap_by_least_squares(given):
    wide = states_of(["MD", *given["donors"]], given["last_year"])
    before = [year for year in wide.columns if year < 2019]
    after = [year for year in wide.columns if year >= 2019]
    donors, maryland = wide.drop("MD"), wide.loc["MD"]
    scale = donors.to_numpy().std()
    rows, target = donors[before].to_numpy().T / scale, maryland[before].to_numpy() / scale
    # The weights sum to one by a row of its own, weighted so much that it holds.
    weights, _ = optimize.nnls(np.vstack([rows, np.full(len(donors), 1e6)]), np.append(target, 1e6))
    return (maryland[after] - weights @ donors[after]).mean()


def effect_found_by_bisection(given):
    wide = states_of(given["states"], 2024).to_numpy()
    before, after, treated = given["before"], given["after"], given["treated"]
    variances = []
    for first in range(wide.shape[1] - before - after + 1):
        change = wide[:, first + before : first + before + after].mean(axis=1)
        variances.append((change - wide[:, first : first + before].mean(axis=1)).var(ddof=1))
    se = np.sqrt(np.mean(variances) * (1 / treated + 1 / (30 - treated)))
    cut = stats.t.ppf(0.975, 28)
    power = lambda effect: stats.nct.sf(cut, 28, effect / se) + stats.nct.cdf(-cut, 28, effect / se)  # noqa: E731
    return optimize.bisect(lambda effect: power(effect) - 0.8, 0.1 * se, 10 * se)


def pooled_by_dersimonian_laird(given):
    table = apm.load("metro_hospitalisation")
    here = table["indicator"].eq("Ambulatory Care Sensitive Conditions: Overall")
    here &= table["first_fiscal_year"].eq(2011) & table["income_quintile"].eq(1).fillna(False)
    rows = table[here & table["area"].isin(given["areas"])].astype({"rate_ratio": float})
    assert len(rows) == len(given["areas"])
    y = np.log(rows["rate_ratio"].to_numpy(float))
    width = np.log(rows["rate_ratio_ci_high"].to_numpy(float) / rows["rate_ratio_ci_low"].to_numpy(float))
    v = (width / 3.919928) ** 2
    w = 1 / v
    q = (w * (y - np.average(y, weights=w)) ** 2).sum()
    tau2 = max(0, (q - len(y) + 1) / (w.sum() - (w**2).sum() / w.sum()))
    return np.exp(np.average(y, weights=1 / (v + tau2)))


INDEPENDENT = {
    "minimum_savings": savings_needed,
    "settlement": shared_savings,
    "break_even": break_even,
    "staggered": two_way_less_cells,
    "donors": gap_by_least_squares,
    "power": effect_found_by_bisection,
    "income_ratio": pooled_by_dersimonian_laird,
}


@pytest.mark.parametrize("name", INDEPENDENT)
@pytest.mark.parametrize("student", ["anna", "ben", "chloé", "1234567"])
def test_the_answer_is_what_an_independent_calculation_gives(name, student):
    given = given_to(student, name)
    answer = teaching.exercise(name).solve(given).answer
    assert answer == pytest.approx(INDEPENDENT[name](given), rel=5e-4)


@pytest.mark.parametrize("student", ["anna", "ben"])
def test_the_answer_of_the_window_is_what_cells_by_hand_give(student):
    given = given_to(student, "window")
    from apmkit.studies.us_mssp_downside_risk import aco_years

    rows = aco_years()
    years = set(range(given["first_year"], given["last_year"] + 1)) - {int(year) for year in given["leave_out_years"]}
    rows = rows[rows["year"].isin(years) & ~rows["always_two_sided"]].dropna(subset=[given["outcome"]])
    rows = rows.rename(columns={"cohort": "start"})
    changes, counts = att_by_cells(rows, "aco_id", given["outcome"], given["control"])
    # A cohort weighs as many ACOs as it has that are seen twice or more, and once before their start.
    acos = rows.groupby("aco_id").agg(start=("start", "first"), first=("year", "min"), seen=("year", "size"))
    size = acos.loc[(acos["seen"] > 1) & (acos["first"] < acos["start"]), "start"].value_counts()
    counts = {cell: size[cell[0]] for cell in counts}
    answer = teaching.exercise("window").solve(given).answer
    assert answer == pytest.approx(mean_gap_by_cells(changes, counts), rel=1e-8)


def test_every_exercise_has_an_independent_route():
    assert {*INDEPENDENT, "window"} == set(NAMES)


# -- parameters --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_students_have_different_numbers_and_a_student_always_the_same(name):
    drawn = [json.dumps(given_to(f"student {i}", name)) for i in range(30)]
    assert len(set(drawn)) >= 29  # the window has some thousand sets only
    assert json.dumps(given_to(" Student  0 ", name)) == drawn[0]
    exercise = teaching.exercise(name)
    assert json.dumps(parameters_of(b"another secret of the same size.", exercise, "student 0")) != drawn[0]


def test_numbers_are_the_same_on_every_machine():
    # Random().random() and HMAC-SHA256 are fixed by Python and by the standard: these values may never change.
    assert given_to("anna", "minimum_savings") == PINNED["minimum_savings"]
    assert given_to("anna", "power")["states"][:5] == PINNED["states"]
    assert estimation_exercises.clinics({"seed": 1}).iloc[[0, 599], 3].tolist() == PINNED["visits"]
    assert payment_exercises.practice({"seed": 1})["visits"].sum() == PINNED["practice"]


def test_numbers_do_not_hang_on_the_hash_of_the_process():
    code = (
        "from apmkit import teaching; from apmkit.teaching.sheets import parameters_of; "
        f"print([parameters_of({SECRET!r}, teaching.exercise(n), 'anna') for n in ('power', 'window', 'donors')])"
    )
    run = [
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert run[0] == run[1]
    assert "treated" in run[0]


@pytest.mark.parametrize("name", NAMES)
def test_a_draw_takes_nothing_but_the_stable_sequence(name):
    class OnlyRandom(Random):
        def getrandbits(self, k):
            raise AssertionError("only random() is the same in every version of Python")

    exercise = teaching.exercise(name)
    exercise.draw(OnlyRandom(1))


@pytest.mark.parametrize("name", NAMES)
def test_mistakes_are_not_the_answer(name):
    exercise = teaching.exercise(name)
    for student in ("anna", "ben", "chloé"):
        solution = exercise.solve(given_to(student, name))
        assert np.isfinite(solution.answer)
        assert solution.answer != 0
        for value in solution.mistakes.values():
            assert np.isfinite(value)


# -- sheets ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_sheet_has_the_task_and_neither_the_answer_nor_the_secret(name, tmp_path):
    (path,) = teaching.make_sheets(SECRET, [teaching.exercise(name)], ["Anna"], tmp_path)
    text = path.read_text(encoding="utf-8")
    exercise, given = teaching.exercise(name), given_to("anna", name)
    answer = exercise.solve(given).answer
    numbers = {float(found.replace(",", "")) for found in re.findall(r"\d[\d,]*\.?\d*", text)}
    assert not any(abs(number - abs(answer)) <= exercise.tolerance * abs(answer) for number in numbers)
    everything = "".join(file.read_text(encoding="utf-8") for file in tmp_path.iterdir())
    assert SECRET.decode() not in everything
    assert exercise.title in text
    assert teaching.sheet_code(SECRET, name, "anna") in text
    assert str(given.get("seed", "no seed")) not in everything


@pytest.mark.parametrize("name", [e.name for e in teaching.exercises() if e.needs == "Python" or e.data])
def test_the_code_that_a_sheet_begins_with_runs(name, tmp_path):
    (path,) = teaching.make_sheets(SECRET, [teaching.exercise(name)], ["Anna"], tmp_path)
    code = re.search(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.DOTALL)[1]
    done = subprocess.run([sys.executable, "-"], input=code, text=True, capture_output=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_command_that_the_window_begins_with_is_a_run_of_the_study_with_these_parameters():
    from apmkit import studies

    given = given_to("anna", "window")
    command = teaching.exercise("window").start(given).splitlines()[0]
    options = dict(re.findall(r"-p (\w+)=(\S+)", command))
    study = studies.get("us/mssp_downside_risk")
    assert study.parameters(**options).plain() == study.parameters(**given).plain()


def test_names_that_look_alike_as_files_get_sheets_of_their_own(tmp_path):
    made = teaching.make_sheets(SECRET, [teaching.exercise("power")], ["a b", "a/b", "a_b"], tmp_path)
    assert len({path.name for path in made}) == 3
    assert {path.parent for path in made} == {tmp_path}
