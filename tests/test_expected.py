"""Every number of R kept under tests/expected is compared with ours, and the book says how many digits agree."""

import csv
import json
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
AGREEMENT = TESTS.parent / "book" / "agreement.csv"
FROM_PYTHON = {"csdid_covariates", "moderndid_dose", "packages", "pyfixest", "pysyncon", "rddensity", "rdrobust"}
# No digits to count: what is random, stops short of an optimum or was rounded in print, and the test that judges it.
JUDGED_OTHERWISE = {
    "synthdid.prop99.sc": "synth/test_prop99.py::test_synthetic_control_is_the_optimum_that_synthdid_stops_short_of",
    "published.prop99": "synth/test_prop99.py::test_estimates_round_to_the_published_ones",
    "published.bcg": "synthesis/test_against_metafor.py::test_published_mean_is_found_again",
} | {
    f"synthdid.prop99.{name}": (
        "synth/test_prop99.py::test_placebo_standard_error_lies_within_the_monte_carlo_error_of_synthdid"
    )
    for name in (*(f"sdid.placebo_se.seed{seed}" for seed in (1, 2, 3)), "did.placebo_se", "sc.placebo_se")
}


def entries_of_r():
    for file in sorted((TESTS / "expected").rglob("*.json")):
        if file.stem not in FROM_PYTHON:
            yield from json.loads(file.read_text(encoding="utf-8")).get("entries", {})


@pytest.fixture(scope="module")
def cases():
    with AGREEMENT.open(encoding="utf-8", newline="") as file:
        return {row["case"] for row in csv.DictReader(file)}


@pytest.mark.parametrize("name", sorted(set(entries_of_r()) - JUDGED_OTHERWISE.keys()))
def test_numbers_of_r_are_in_the_table_of_agreement(name, cases):
    told = name in cases or any(case.startswith((f"{name},", f"{name} ")) for case in cases)
    assert told, f"no comparison with {name} in book/agreement.csv: run make agreement"


@pytest.mark.parametrize("name", JUDGED_OTHERWISE)
def test_numbers_without_digits_to_count_have_a_test_of_their_own(name):
    assert name in set(entries_of_r())
    file, test = JUDGED_OTHERWISE[name].split("::")
    assert f"def {test}(" in (TESTS / file).read_text(encoding="utf-8")
