"""A module that carries the name of its function never takes the function's place."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "command",
    [
        ["-c", "import apmkit.payment.cpc_plus; from apmkit.payment import cpc_plus; cpc_plus.__kwdefaults__"],
        # The file of the function is collected first, then a test that calls the function.
        ["-m", "pytest", "-q", "apmkit/payment/cpc_plus.py", "tests/payment/test_cpc_plus.py", "-k", "dementia"],
    ],
    ids=["module first", "collected first"],
)
def test_the_function_is_found_whatever_comes_first(command):
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
