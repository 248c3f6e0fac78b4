import os
import sys
import tempfile
from pathlib import Path

import pytest

# Linear algebra on one thread for each worker of pytest-xdist; read when NumPy is first imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# What a user added is no part of the tests: an empty folder for doctests, shared fixtures, workers and kernels.
EMPTY = tempfile.TemporaryDirectory(prefix="apmkit-data-")
os.environ["APMKIT_DATA"] = EMPTY.name

HERE = Path(__file__).parent / "studies"


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
