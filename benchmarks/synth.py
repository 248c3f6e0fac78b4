"""Seconds of designs with few treated units and all their placebos, side by side with other packages.

    pip install -e '.[bench]'
    python benchmarks/synth.py                         # a few minutes; pysyncon is left out where it is missing

On California's tobacco sales (39 states, 1970 to 2000):

* Synthetic control of California, outcomes only, and of each donor as a placebo.
* Augmented synthetic control with its cross-validation, without placebos.
* Synthetic difference-in-differences and its placebos: all there are, against 200 random ones.
* The same with five states called treated and 200 random placebo sets.

Each measurement runs in a process of its own, one at a time and on one core, on the same data frame. Objects that
another package needs are made before its clock starts; apmkit's time includes `Panel(...)`. Time is the best of four
runs, or of one that takes more than five seconds; imports are not in it. The table is printed only if the estimates
agree to a hundredth: other packages stop their solvers early.
"""

import argparse
import contextlib
import importlib.util
import io
import json
import os
import platform
import subprocess
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

DATA = Path(__file__).parents[1] / "tests" / "expected" / "synth" / "california_prop99.csv"
OTHERS = ["Colorado", "Montana", "Utah", "Virginia"]
TASKS = {
    "control": "Synthetic control, 38 placebos",
    "augmented": "Augmented synthetic control, ridge by cross-validation",
    "did": "Synthetic DiD, one treated, 200 placebos",
    "did sets": "Synthetic DiD, five treated, 200 placebo sets",
}
TOLERANCE = 0.01


def make_frame(task: str) -> pd.DataFrame:
    """Sales, with a column that marks treated states in treated years."""
    frame = pd.read_csv(DATA)
    if task == "did sets":
        frame["treated"] = (frame["State"].isin(["California", *OTHERS]) & (frame["Year"] >= 1989)).astype(int)
    return frame


# Each function prepares what its package needs and returns the call to measure, which gives the estimate.


def apmkit(task, frame):
    import apmkit as apm

    method, options = {
        "control": (apm.synthetic_control, {"placebo": "in_space"}),
        "augmented": (apm.augmented_synthetic_control, {"placebo": None}),
        "did": (apm.synthetic_did, {}),
        "did sets": (apm.synthetic_did, {"draws": 200}),
    }[task]

    def run():
        panel = apm.Panel(frame, unit="State", time="Year", outcome="PacksPerCapita", treatment="treated")
        return method(panel, **options).table["estimate"].iloc[0]

    return run


def pysyncon(task, frame):
    from pysyncon import AugSynth, Dataprep, Synth
    from pysyncon.utils import PlaceboTest

    states = sorted(frame["State"].unique())
    before, years = range(1970, 1989), range(1989, 2001)
    prepared = Dataprep(
        foo=frame, predictors=[], special_predictors=[("PacksPerCapita", [year], "mean") for year in before],
        predictors_op="mean", dependent="PacksPerCapita", unit_variable="State", time_variable="Year",
        treatment_identifier="California", controls_identifier=[s for s in states if s != "California"],
        time_predictors_prior=before, time_optimize_ssr=before,
    )  # fmt: skip
    if task == "control":
        # Synth divides each year by its standard deviation over states; these importances undo that.
        spread = frame.pivot(index="State", columns="Year", values="PacksPerCapita")[list(before)].var()

        def run():
            test = PlaceboTest()
            with contextlib.redirect_stdout(io.StringIO()):
                test.fit(
                    prepared, scm=Synth(), scm_options={"custom_V": spread.to_numpy()}, max_workers=1, verbose=False
                )
            return test.treated_gap.loc[list(years)].mean()

    else:

        def run():
            model = AugSynth()
            model.fit(prepared, use_covariates=False)
            return model.att(years)["att"]

    return run


def diff_diff(task, frame):
    from diff_diff import SyntheticDiD

    frame = frame.assign(ever=frame["State"].isin(frame.loc[frame["treated"] == 1, "State"]).astype(int))

    def run():
        fit = SyntheticDiD(variance_method="placebo", n_bootstrap=200, seed=1)
        return fit.fit(
            frame, outcome="PacksPerCapita", treatment="ever", unit="State", time="Year",
            post_periods=list(range(1989, 2001)),
        ).att  # fmt: skip

    return run


CONTESTANTS = {
    "control": {"apmkit": apmkit, "pysyncon": pysyncon},
    "augmented": {"apmkit": apmkit, "pysyncon": pysyncon},
    "did": {"apmkit": apmkit, "diff-diff": diff_diff},
    "did sets": {"apmkit": apmkit, "diff-diff": diff_diff},
}


def measure(task: str, package: str) -> dict:
    """One package on one task, in this process."""
    warnings.simplefilter("ignore")
    run = CONTESTANTS[task][package](task, make_frame(task))
    seconds = []
    while len(seconds) < 4 and (not seconds or max(seconds) < 5):
        start = time.perf_counter()
        estimate = float(run())
        seconds.append(time.perf_counter() - start)
    return {"package": package, "seconds": min(seconds), "estimate": estimate}


def measure_apart(task: str, package: str) -> dict:
    """The same in a process of its own, so that no run finds the memory or the caches of another."""
    command = [sys.executable, __file__, "--measure", task, package]
    one_core = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=one_core)
    if done.returncode:
        sys.exit(f"Error: {package} failed on {task}.\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", nargs=2, metavar=("TASK", "PACKAGE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(*options.measure)))
        return

    rows, seen = [], ["apmkit", "numpy", "pandas", "scipy"]
    for task, packages in CONTESTANTS.items():
        results = []
        for package in packages:
            if importlib.util.find_spec(package.replace("-", "_")) is None:
                print(f"{package} is not installed: left out.", file=sys.stderr)
                continue
            print(f"{TASKS[task]}: {package} ...", file=sys.stderr)
            results.append(measure_apart(task, package))
            seen += [package] if package not in seen else []
        estimates = np.array([result["estimate"] for result in results])
        if (gap := np.ptp(estimates)) > TOLERANCE:
            sys.exit(f"Error: the packages differ by {gap:.2g} on {task}: no time is comparable.")
        fastest = min((r["seconds"] for r in results[1:]), default=np.nan)
        rows += [
            f"| {TASKS[task]} | {r['package']} | {r['seconds']:.3f} | {fastest / r['seconds']:.1f} | "
            f"{r['estimate']:.4f} |"
            for r in results
        ]
    print(f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}; Python {platform.python_version()}")
    print(", ".join(f"{name} {version(name)}" for name in seen) + "\n")
    print("| task | package | seconds | times the speed of the peer | estimate |")
    print("|---|---|---:|---:|---:|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
