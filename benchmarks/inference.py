"""Seconds of inference with clusters, side by side with other packages.

    pip install -e '.[bench]'
    python benchmarks/inference.py                     # a few minutes
    python benchmarks/inference.py --draws 9999 --simulations 100

* The wild cluster bootstrap of a two-way fixed effects effect: p value and interval, for 50 and for 1,000 clusters.
pyfixest
  joins where wildboottest is installed.
* CR2 standard errors with Satterthwaite degrees of freedom, 200 clusters.
* A simulation: many panels made, estimated and tested.

Each measurement runs in a process of its own, one at a time, on the same data; what a package needs (a design matrix, a
treatment dummy) is made before its clock starts. apmkit's time of the simulation includes `Panel(...)`, and of the
others the regression itself. Time is the best of three runs, or one where a run takes more than five seconds. The table
is printed only if the packages agree: p values to their Monte Carlo error, the rest to six digits.
"""

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import time
import warnings
from importlib.metadata import version

import numpy as np
import pandas as pd

PERIODS = 10
TASKS = {
    "wild 50": "Wild bootstrap, 50 clusters",
    "wild 1000": "Wild bootstrap, 1,000 clusters",
    "CR2": "CR2 and degrees of freedom, 200 clusters",
    "simulation": "Simulation, 50 clusters",
}


def make_frame(clusters: int, seed: int = 0) -> pd.DataFrame:
    """Staggered adoption by cluster; each cluster is one unit."""
    random = np.random.default_rng(seed)
    start = np.array([3.0, 5.0, 7.0, np.nan])[random.integers(0, 4, clusters)]
    unit, year = np.repeat(np.arange(clusters), PERIODS), np.tile(np.arange(PERIODS), clusters)
    y = random.normal(size=clusters)[unit] + random.normal(size=len(unit)) + 0.1 * (year >= start[unit])
    frame = pd.DataFrame({"unit": unit, "year": year, "y": y, "cohort": start[unit]})
    return frame.assign(treated=(year >= start[unit]).astype(float))


def design(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Treatment and period effects net of unit effects, the outcome net of them, clusters."""
    unit = frame["unit"].to_numpy()
    columns = np.column_stack([frame["treated"], pd.get_dummies(frame["year"], dtype=float).iloc[:, 1:], frame["y"]])
    within = columns - pd.DataFrame(columns).groupby(unit).transform("mean").to_numpy()
    return within[:, :-1], within[:, -1], unit


# Each function prepares what its package needs and returns the call to measure, which gives the numbers to compare.


def apmkit(task, draws, simulations):
    import apmkit as apm

    def panel(frame):
        return apm.Panel(frame, unit="unit", time="year", outcome="y", cohort="cohort")

    if task.startswith("wild"):
        estimate = apm.twfe(panel(make_frame(int(task.split()[1]))))
        return lambda: [apm.wild_bootstrap(estimate, draws=draws)["p_value"][0]]
    if task == "CR2":
        estimate = apm.twfe(panel(make_frame(200)))
        return lambda: apm.cluster_variance(estimate).table[["se", "df"]].iloc[0].tolist()
    frames = [make_frame(50, seed) for seed in range(simulations)]
    return lambda: [apm.twfe(panel(frame)).table["p_value"][0] for frame in frames]


def diff_diff(task, draws, simulations):
    from diff_diff import linalg, wild_bootstrap_se

    if task.startswith("wild"):
        x, y, clusters = design(make_frame(int(task.split()[1])))
        return lambda: [wild_bootstrap_se(x, y, y, clusters, 0, n_bootstrap=draws, seed=1).p_value]
    x, y, clusters = design(make_frame(200))
    residuals = y - x @ np.linalg.lstsq(x, y)[0]

    def run():
        covariance, df = linalg.compute_robust_vcov(x, residuals, clusters, vcov_type="hc2_bm", return_dof=True)
        return [covariance[0, 0] ** 0.5, df[0]]

    return run


def pyfixest(task, draws, simulations):
    import pyfixest

    def fit(frame):
        return pyfixest.feols("y ~ treated | unit + year", frame, vcov={"CRV1": "unit"})

    if task.startswith("wild"):
        fitted = fit(make_frame(int(task.split()[1])))
        return lambda: [fitted.wildboottest(param="treated", reps=draws, cluster="unit", seed=1)["Pr(>|t|)"]]
    frames = [make_frame(50, seed) for seed in range(simulations)]
    return lambda: [fit(frame).pvalue()["treated"] for frame in frames]


def contestants(task: str) -> dict:
    """Who can do what: diff-diff regresses one adoption date, pyfixest 0.60 has no CR2."""
    if task == "CR2":
        return {"apmkit": apmkit, "diff-diff": diff_diff}
    if task == "simulation":
        return {"apmkit": apmkit, "pyfixest": pyfixest}
    wild = {"apmkit": apmkit, "diff-diff": diff_diff}
    return {**wild, "pyfixest": pyfixest} if importlib.util.find_spec("wildboottest") else wild


def measure(task: str, package: str, draws: int, simulations: int) -> dict:
    """One package on one task, in this process."""
    warnings.simplefilter("ignore")
    run = contestants(task)[package](task, draws, simulations)
    seconds = []
    while len(seconds) < 3 and (not seconds or seconds[-1] < 5):
        start = time.perf_counter()
        numbers = run()
        seconds.append(time.perf_counter() - start)
    return {"package": package, "seconds": min(seconds), "numbers": [float(number) for number in numbers]}


def measure_apart(task: str, package: str, options) -> dict:
    """The same in a process of its own, so that no run finds the memory or the caches of another."""
    sizes = ["--draws", str(options.draws), "--simulations", str(options.simulations)]
    command = [sys.executable, __file__, "--measure", task, package, *sizes]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"Error: {package} failed on {task}.\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=99_999)
    parser.add_argument("--simulations", type=int, default=1_000)
    parser.add_argument("--measure", nargs=2, metavar=("TASK", "PACKAGE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.draws < 999 or options.simulations < 10:
        parser.error("give at least 999 draws and 10 simulations")
    if options.measure:
        print(json.dumps(measure(*options.measure, options.draws, options.simulations)))
        return

    rows = []
    for task, name in TASKS.items():
        results = []
        for package in contestants(task):
            print(f"{name}: {package} ...", file=sys.stderr)
            results.append(measure_apart(task, package, options))
        allowed = 3 / options.draws**0.5 if task.startswith("wild") else 1e-6
        first = np.array(results[0]["numbers"])
        gap = max(float(np.abs(np.array(r["numbers"]) - first).max()) for r in results[1:])
        if gap > allowed:
            sys.exit(f"Error: the packages differ by {gap:.2g} on {task}: no time is comparable.")
        fastest = min(r["seconds"] for r in results if r["package"] != "apmkit")
        rows += [
            f"| {name} | {r['package']} | {r['seconds']:.3f} | {fastest / r['seconds']:.1f} | {r['numbers'][0]:.6f} |"
            for r in results
        ]
    versions = ", ".join(f"{name} {version(name)}" for name in ("apmkit", "diff-diff", "pyfixest", "numpy", "pandas"))
    print(f"{options.draws:,} bootstrap draws, {options.simulations:,} simulations, {PERIODS} periods.")
    print(f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}; Python {platform.python_version()}")
    print(f"{versions}\n")
    print("| task | package | seconds | times the speed of the fastest peer | first number |")
    print("|---|---|---:|---:|---:|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
