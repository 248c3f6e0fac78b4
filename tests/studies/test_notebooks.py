"""Every notebook runs with two sets of parameters that change its design; the defaults run when the book is built."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

from apmkit import studies
from apmkit.studies import runs
from apmkit.studies.execution import execute_notebook
from apmkit.studies.study import notebooks_folder

SETS = {
    "both/published_evidence": (
        {"group": "shared_savings_spending", "uncertainty": "exact_p_values", "dependence": "composite"},
        {"group": "capitation_after_hours", "least_steps": 4, "sources": "all", "small_sample": False},
    ),
    "both/two_countries": (
        {"place": "ON", "measure": "alternative_per_person", "first_year": 2005, "flagged": "keep", "average_years": 3},
        {"place": "NB", "measure": "fee_for_service_per_person", "last_year": 2015, "spending_from": 2018},
    ),
    "canada/bc_lfp": (
        {"outcome": "unmet_need", "estimator": "difference_in_differences", "leave_out": []},
        {"estimator": "synthetic_did", "leave_out": ["ON", "NB"], "first_year": 2000, "treatment_year": 2015},
    ),
    "canada/blended_capitation": (
        {"rules_on": "2012-04-01", "base": "FHG", "budget": "as_ruled", "panel_size": 1400},
        {"rules_on": "2024-05-01", "outside_use": 0.4, "n_practices": 24},
    ),
    "canada/fhg_to_fho": (
        {"scenario": "hong_2024", "outcome": "ed_less_urgent", "estimator": "cross_section", "first_year": 2006},
        {"outcome": "services", "estimator": "synthetic_did", "last_year": 2012, "n_practices": 120},
    ),
    "canada/metro_acsc_equity": (
        {"outcome": "rate", "weights": "random_effects", "lag": 2, "leave_out": ["ON"]},
        {"outcome": "relative_index", "condition": "falls", "adjust_level": True, "index_weights": "precision"},
    ),
    "canada/ontario_capitation_wave": (
        {"outcome": "physician_spending", "estimator": "synthetic_did", "start_year": 2005, "first_year": 1985},
        {"estimator": "difference_in_differences", "start_year": 2004, "donors": "least_moved", "moved_points": 12,
         "estimated_values": "leave_out"},
    ),
    "canada/screening_bonus": (
        {"launch_effect": -5.0, "last_period": "2010-Q4", "model_launch": True, "comparison": True, "measure": "level"},
        {"true_bonus_slope": 2.0, "launch_reach": 0.0, "last_period": "2008-Q1", "comparison": True},
    ),
    "methods/bulletin": ({"dataset": "gv_state", "without": 2024}, {"without": 2022}),
    "methods/confidence_interval": (
        {"outcome": "ed_visits_per_1000", "acos_in_a_sample": 10},
        {"acos_in_a_sample": 80, "level": 0.8},
    ),
    "methods/design_studio": (
        {"contract": "cpc_plus_track_2", "against": ["primary_care_first"], "panel_size": 1000},
        {"contract": "bpci_advanced", "mean_risk": 1.5, "risk_spread": 0.0, "capitation_share": 0.0},
    ),
    "methods/difference_in_differences": (
        {"outcome": "ed_visits_per_1000", "first_year": 2016, "anticipation": 0},
        {"outcome": "quality_score", "anticipation": 2},
    ),
    "methods/dose_response": ({"smallest": 0, "degree": 1, "selection": 0.0}, {"smallest": 10_000, "degree": 2}),
    "methods/estimators_on_trial": (
        {"effect": -2.0, "growth": 0.0, "trend": 0.0, "draws": 20, "units": 60, "periods": 6},
        {"effect": 0.0, "clusters": 30, "selection": 0.0, "exit": 0.5, "draws": 20, "periods": 10},
    ),
    "methods/few_treated_units": (
        {"state": "MD", "start": 2019, "outcome": "ed_visits_per_1000"},
        {"state": "PA", "start": 2022, "outcome": "spending_per_capita"},
    ),
    "methods/instrumental_variables": (
        {"pull": 0.6, "direct": 0.0, "useless": 5},
        {"pull": 0.02, "direct": 30.0, "useless": 60},
    ),
    "methods/interrupted_time_series": (
        {"level_change": 0.0, "slope_change": 0.2, "other_event": 0.0},
        {"level_change": 10.0, "slope_change": 0.0, "other_event": 12.0},
    ),
    "methods/power": ({"treated_states": 3, "power_wanted": 0.9}, {"treated_states": 20, "margin": 40.0}),
    "methods/regression_discontinuity": (
        {"effect": 0.0, "sorting": 0.0, "take_up": 1.0},
        {"effect": 900.0, "sorting": 1.0, "take_up": 0.3},
    ),
    "methods/sensitivity": (
        {"outcome": "ed_visits_per_1000", "before": 3, "after": 2},
        {"outcome": "snf_spending", "before": 4, "after": 4},
    ),
    "methods/standard_errors": ({"states": 30, "treated": 15, "draws": 20}, {"states": 8, "treated": 1, "draws": 20}),
    "methods/synthesis": ({"method": "DL", "level": 0.9}, {"method": "PM", "level": 0.99}),
    "methods/weighting": (
        {"effect": 0.0, "motive": 0.0, "threshold": 110.0},
        {"effect": 25.0, "motive": -15.0, "threshold": 140.0},
    ),
    "methods/weights": (
        {"timing": "late", "growth": 0.0, "never_treated": 0.6},
        {"timing": "early", "effect": 2.0, "never_treated": 0.0, "noise": 0.5},
    ),
    "us/county_aco_penetration": (
        {"suppressed": "zero", "trends": "differential", "comparison": "state", "weights": "none", "scale": "log"},
        {"suppressed": "ten", "covariates": "ma_each_year", "smallest": 5_000, "last_year": 2014, "treated_from": 5.0},
    ),
    "us/maryland_global_budgets": (
        {"model": "total_cost_of_care", "outcome": "ed_visits", "estimator": "synthetic_did", "donors": "all",
         "leave_out_years": ["2020", "2021"]},
        {"estimator": "differential_trend", "donors": "like_in_advantage", "leave_out": ["DC"], "first_year": 2009},
    ),
    "us/mssp_downside_risk": (
        {"outcome": "ed_visits_per_1000", "control": "never_treated", "first_year": 2015, "sample": "balanced"},
        {"estimator": "twfe", "leave_out_years": ["2020", "2021"], "weights": "person_years", "scale": "log"},
    ),
    "us/mssp_savings_threshold": (
        {"outcome": "leaves", "effect": "passing", "risk": "one_sided", "years_after": 2, "order": 2},
        {"outcome": "quality_score", "leave_out_years": ["2020"], "bandwidth": 2.0, "donut": 0.1, "adjust": True},
    ),
    "us/mssp_settlement": (
        {"first_year": 2016, "last_year": 2021, "minimum_size": 10_000, "lag": 2, "spread": "sampling"},
        {"last_year": 2019, "lag": 3, "spread": "published", "aco": "A2342-2023", "what_if_minimum": 0.03},
    ),
    "us/upfront_payment": (
        {"model": "primary_care_first", "physicians": 5, "patients": 400, "existing": False, "claims_lag": 3},
        {"model": "advance", "physicians": 1, "opening_cash": 0, "nurse_cost": 16_000, "savings_rate": 0.0},
    ),
    "us/vermont_all_payer": (
        {"outcome": "cost_per_capita", "estimator": "synthetic_did", "year_2017": "before", "last_year": 2019},
        {"outcome": "inpatient_stays", "estimator": "differential_trend", "donors": "all", "leave_out_years": ["2020"]},
    ),
}  # fmt: skip
"""Two sets for each notebook, each with another design and not another seed."""

OWN = {name for name in studies.names() if studies.get(name).own}
"""Made by `apmkit new-study`, with a test of their own."""

SHIPPED = [name for name in studies.names() if name not in OWN]

FAST = ("methods/confidence_interval", "methods/synthesis", "methods/weights")
"""Notebooks that `make test` runs; `make test-slow` runs the others."""


def slow_unless(quick, names):
    return [pytest.param(name, marks=[] if quick(name) else pytest.mark.slow) for name in names]


def texts_of(notebook):
    """The texts that a page takes from an executed notebook or shows, as one text."""
    outputs = [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])]
    return "\n".join(data[kind] for data in outputs for kind in data if kind.endswith(("text/plain", "text/markdown")))


def defaults_of(path: Path):
    cell = next(c for c in nbformat.read(path, as_version=4).cells if "parameters" in c.metadata.get("tags", []))
    return {line.targets[0].id: ast.literal_eval(line.value) for line in ast.parse(cell.source).body}


def test_every_notebook_has_two_sets_that_change_its_design():
    folder = notebooks_folder()
    notebooks = [path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.ipynb")]
    assert sorted(set(notebooks) - OWN) == sorted(SETS)
    for name, sets in SETS.items():
        defaults = defaults_of(folder / f"{name}.ipynb")
        assert len(sets) == 2
        for chosen in sets:
            assert "seed" not in chosen
            assert all(value != defaults[parameter] for parameter, value in chosen.items()), (name, chosen)


@pytest.mark.parametrize("name", slow_unless(lambda name: name != "methods/estimators_on_trial", SHIPPED))
def test_a_study_answers_otherwise_with_each_of_its_sets(name):
    study = studies.get(name)
    results = [study.run(study.parameters(**chosen)) for chosen in ({}, *SETS[name])]
    assert len({result.estimates[result.headline].table["estimate"].iloc[0] for result in results}) == 3
    said = [sentence for result in results for sentence in result.sentences if re.search(r"\d", sentence)]
    assert len(said) == len(set(said))


@pytest.mark.parametrize("name", slow_unless(FAST.__contains__, SETS))
def test_a_notebook_runs_with_each_of_its_sets_and_says_other_things(name, tmp_path, monkeypatch):
    monkeypatch.setenv("APMKIT_RUNS", str(tmp_path / "runs"))
    pages = []
    for at, chosen in enumerate(SETS[name]):
        if name in studies.names():
            study = studies.get(name)
            folder = runs.run(study, study.parameters(**chosen))
            pages.append(texts_of(nbformat.read(next(folder.glob("*.ipynb")), as_version=4)))
            assert not [said for said in study.run().sentences if re.search(r"\d", said) and said in pages[-1]]
        else:
            source = notebooks_folder() / f"{name}.ipynb"
            pages.append(texts_of(execute_notebook(source, tmp_path / f"{at}.ipynb", chosen, cwd=tmp_path)))
    assert pages[0] != pages[1]
