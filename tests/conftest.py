import csv
import math
import os
import sys
import tempfile
import warnings
from functools import cache
from pathlib import Path

import pytest

# Linear algebra on one thread for each worker of pytest-xdist; read when NumPy is first imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# What a user added is no part of the tests: an empty folder for doctests, shared fixtures, workers and kernels.
EMPTY = tempfile.TemporaryDirectory(prefix="apmkit-data-")
os.environ["APMKIT_DATA"] = EMPTY.name

HERE = Path(__file__).parent / "studies"
AGREEMENT = Path(__file__).parents[1] / "book" / "agreement.csv"


def pytest_addoption(parser):
    parser.addoption(
        "--agreement", metavar="FILE", help="write how many digits agree with other packages to a CSV file"
    )


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch):
    """What a command prints does not depend on the width of the terminal that the tests run in."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def agrees(request):
    """Compare with the numbers of another package, and keep how many digits agree for the table in the book.

    ``agrees(ours, theirs, within=1e-6, what="callaway_santanna", package="R did 2.3.0", case="...")``: `within` is
    the largest difference allowed, relative to numbers above one and absolute below.
    """

    import numpy as np

    def compare(ours, theirs, *, within, what, package, case):
        ours, theirs = np.asarray(ours, dtype=float).ravel(), np.asarray(theirs, dtype=float).ravel()
        assert ours.shape == theirs.shape
        assert len(ours)
        difference = float(np.max(np.abs(ours - theirs) / np.maximum(np.abs(theirs), 1.0)))
        assert difference <= within, f"{what} differs from {package} by {difference:.2g} in {case}"
        digits = min(12, math.floor(-math.log10(max(difference, 1e-16))))
        row = {"what": what, "package": package, "case": case, "numbers": len(ours), "digits": digits}
        if request.config.getoption("agreement"):
            request.node.user_properties.append(("agreement", row))
            return
        shown = shown_digits().get((what, package, case, len(ours)))
        assert shown is not None, f"{what} in {case} is not in the book's table of agreement: run make agreement"
        assert digits >= shown - 2, f"the book says that {shown} digits of {what} agree in {case}, not {digits}"

    return compare


@cache
def shown_digits():
    """Digits that agree by the table in the book; another machine may lose the last two."""
    with AGREEMENT.open(encoding="utf-8", newline="") as file:
        return {
            (row["what"], row["package"], row["case"], int(row["numbers"])): int(row["digits"])
            for row in csv.DictReader(file)
        }


class Agreement:
    """Collects what `agrees` saw, from all workers, and writes it when the tests are done."""

    def __init__(self, file):
        self.file, self.rows = file, []

    def pytest_runtest_logreport(self, report):
        if report.when == "call" and report.passed:
            self.rows += [row for name, row in report.user_properties if name == "agreement"]

    def pytest_sessionfinish(self):
        rows = sorted(self.rows, key=lambda row: (row["what"], row["package"], row["case"]))
        with open(self.file, "w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, ["what", "package", "case", "numbers", "digits"], lineterminator="\n")
            table.writeheader()
            table.writerows(rows)


def pytest_configure(config):
    if config.getoption("agreement", None) and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Agreement(config.getoption("agreement")))


@pytest.fixture(autouse=True)
def user_folder(tmp_path, monkeypatch):
    """An empty folder in place of the user's own, so that no test reads or writes what a user added."""
    folder = tmp_path / "user"
    monkeypatch.setenv("APMKIT_DATA", str(folder))
    return folder


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """The toy study as the only one there is, for this process, workers and kernels; runs go to a temporary folder."""
    monkeypatch.syspath_prepend(HERE)
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    monkeypatch.setenv("APMKIT_RUNS", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)
    import toy

    from apmkit.studies import registry, study

    monkeypatch.setattr(study, "notebooks_folder", lambda: toy.NOTEBOOKS)
    monkeypatch.setattr(registry, "NAMES", (toy.STUDY.name,))
    monkeypatch.setitem(sys.modules, "apmkit.studies.us_toy", toy)
    return toy.STUDY


@pytest.fixture
def make_panel():
    """A Panel of a frame with the columns of `make_frame`; other column names can be given."""
    import apmkit as apm

    named = {"unit": "unit", "time": "year", "outcome": "y", "cohort": "cohort"}

    def make(frame, **columns):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", apm.DesignWarning)
            return apm.Panel(frame, **{**named, **columns})

    return make


@pytest.fixture
def quiet():
    """Ignore warnings of the design: the test at hand is not about them."""
    from apmkit.errors import DesignWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DesignWarning)
        yield
