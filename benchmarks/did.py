"""Seconds and memory of difference-in-differences estimators, side by side with other packages.

    pip install -e '.[bench]'
    python benchmarks/did.py                           # 50,000 units x 20 periods x 10 cohorts, a few minutes
    python benchmarks/did.py --units 5000 --periods 15

Each measurement runs in a process of its own, one at a time, on the same unsorted data frame. Columns that another
package needs (a treatment dummy, time since treatment, an index) are made before its clock starts; apmkit's time
includes `Panel(...)`. Time is the best of three runs, or of as many as three seconds hold, after a first one that is
not counted; imports are not in it. CPU seconds say more where the machine does other work. Memory is the highest
resident size over all runs, less the resident size with data and package loaded. The table is printed only if the
packages agree. Linux only: memory is read from /proc.
"""

import argparse
import contextlib
import gc
import importlib
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

COHORTS = 10
DESIGNS = {
    "twfe": "Two-way fixed effects",
    "event_study": "Event study",
    "imputation": "Imputation",
    "callaway_santanna": "Callaway-Sant'Anna, never treated",
    "covariates": "Callaway-Sant'Anna with two covariates, doubly robust",
}
TOLERANCE = 1e-6
MODULES = {
    "apmkit": "apmkit.did",
    "diff-diff": "diff_diff",
    "pyfixest": "pyfixest",
    "linearmodels": "linearmodels.panel",
    "csdid": "csdid.att_gt",
    "moderndid": "moderndid",
}
COVARIATES = ["age", "risk"]


def make_frame(units: int, periods: int) -> pd.DataFrame:
    """Staggered adoption: cohorts spread over the middle of the panel, some units never treated, rows in any order."""
    random = np.random.default_rng(20)
    starts = np.append(np.linspace(periods * 0.25, periods * 0.85, COHORTS).round(), np.nan)
    start = starts[random.integers(0, COHORTS + 1, size=units)]
    unit, year = np.repeat(np.arange(units), periods), np.tile(np.arange(periods), units)
    since = year - start[unit]
    y = random.normal(size=units)[unit] + 0.1 * year + random.normal(size=len(unit))
    y += np.where(since >= 0, 1.0 + 0.1 * since, 0.0)
    frame = pd.DataFrame({"unit": unit, "year": year, "y": y, "cohort": start[unit]})
    frame[COVARIATES] = np.random.default_rng(21).normal(size=(units, 2))[unit]
    return frame.iloc[random.permutation(len(frame))].reset_index(drop=True)


# Each function prepares what its package needs and returns the call to measure. The call returns estimates and standard
# errors: one pair, or one pair for each time since treatment.


def apmkit(design, frame):
    import apmkit as apm

    names = COVARIATES if design == "covariates" else []

    def run():
        panel = apm.Panel(frame, unit="unit", time="year", outcome="y", cohort="cohort", covariates=names)
        result = apm.callaway_santanna(panel, covariates=names) if names else getattr(apm, design)(panel)
        table = (result.aggregate("simple") if "cohort" in result.table else result).table
        return table["estimate"], table["se"]

    return run


def pyfixest(design, frame):
    import pyfixest

    relative = (frame["year"] - frame["cohort"]).fillna(-1).astype(int)
    frame = frame.assign(treated=(frame["year"] >= frame["cohort"]).astype(float), relative=relative)
    term = {"twfe": "treated", "event_study": "i(relative, ref=-1)"}[design]

    def run():
        fit = pyfixest.feols(f"y ~ {term} | unit + year", frame, vcov={"CRV1": "unit"})
        return fit.coef(), fit.se()

    return run


def linearmodels(design, frame):
    from linearmodels.panel import PanelOLS

    relative = frame["year"] - frame["cohort"]
    if design == "twfe":
        regressors = (relative >= 0).astype(float).to_frame("treated")
    else:
        regressors = pd.get_dummies(relative, dtype=float).drop(columns=-1.0).rename(columns=str)
    names = list(regressors.columns)
    frame = pd.concat([frame[["unit", "year", "y"]], regressors], axis=1).set_index(["unit", "year"])

    def run():
        model = PanelOLS(frame["y"], frame[names], entity_effects=True, time_effects=True)
        fit = model.fit(cov_type="clustered", cluster_entity=True, count_effects=False)
        return fit.params, fit.std_errors

    return run


def diff_diff(design, frame):
    import diff_diff

    frame = frame.assign(first=frame["cohort"].fillna(0).astype(int))
    names = COVARIATES if design == "covariates" else None
    estimator = diff_diff.ImputationDiD if design == "imputation" else diff_diff.CallawaySantAnna

    def run():
        fit = estimator().fit(frame, outcome="y", unit="unit", time="year", first_treat="first", covariates=names)
        return [fit.overall_att], [fit.overall_se]

    return run


def csdid(design, frame):
    from csdid.att_gt import ATTgt

    frame = frame.assign(first=frame["cohort"].fillna(0).astype(int))

    def run():
        model = ATTgt(
            yname="y", tname="year", idname="unit", gname="first", data=frame, xformla="y ~ age + risk",
            control_group="nevertreated",
        )  # fmt: skip
        with contextlib.redirect_stdout(io.StringIO()):
            fit = model.fit(est_method="dr", bstrap=False).aggte(typec="simple", bstrap=False, cband=False)
        return [float(fit.atte["overall_att"])], [float(np.squeeze(fit.atte["overall_se"]))]

    return run


def moderndid(design, frame):
    from moderndid import aggte, att_gt

    frame = frame.assign(first=frame["cohort"].fillna(0).astype(int))
    columns = {"yname": "y", "tname": "year", "idname": "unit", "gname": "first"}

    def run():
        fit = aggte(att_gt(frame, **columns, xformla="~ age + risk", est_method="dr", cband=False), type="simple")
        return [float(fit.overall_att)], [float(fit.overall_se)]

    return run


# Sun-Abraham and two-stage of diff-diff and did2s of pyfixest take over a minute at this size and are not here.
# diff-diff's two-way regressions take one adoption date; pyfixest and linearmodels have no Callaway-Sant'Anna.
CONTESTANTS = {
    "twfe": {"apmkit": apmkit, "pyfixest": pyfixest, "linearmodels": linearmodels},
    "event_study": {"apmkit": apmkit, "pyfixest": pyfixest, "linearmodels": linearmodels},
    "imputation": {"apmkit": apmkit, "diff-diff": diff_diff},
    "callaway_santanna": {"apmkit": apmkit, "diff-diff": diff_diff},
    "covariates": {"apmkit": apmkit, "diff-diff": diff_diff, "csdid": csdid, "moderndid": moderndid},
}


def resident(field: str) -> float:
    """A size of this process in MB: VmRSS now, or VmHWM at its highest."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise OSError(f"/proc/self/status has no {field}: this benchmark needs Linux.")


def measure(design: str, package: str, units: int, periods: int) -> dict:
    """One package on one design, in this process."""
    warnings.simplefilter("ignore")
    importlib.import_module(MODULES[package])
    run = CONTESTANTS[design][package](design, make_frame(units, periods))
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the highest size counts from here
    before = resident("VmRSS")
    estimates, errors = run()
    seconds, cpu = [], []
    while len(seconds) < 3 or sum(seconds) < 3:
        start, start_of_processors = time.perf_counter(), time.process_time()
        run()
        seconds.append(time.perf_counter() - start)
        cpu.append(time.process_time() - start_of_processors)
    return {
        "design": design,
        "package": package,
        "seconds": min(seconds),
        "cpu": min(cpu),
        "memory": max(resident("VmHWM") - before, 0.0),
        "estimates": [float(value) for value in estimates],
        "errors": [float(value) for value in errors],
    }


def measure_apart(design: str, package: str, units: int, periods: int) -> dict:
    """The same in a process of its own, so that no run finds the memory or the caches of another."""
    sizes = ["--units", str(units), "--periods", str(periods)]
    command = [sys.executable, __file__, "--measure", design, package, *sizes]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"Error: {package} failed on {design}.\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def disagreement(results: list[dict]) -> float:
    """Largest difference between the estimates of the first package and of any other."""
    first = np.array(results[0]["estimates"])
    return max(float(np.abs(np.array(result["estimates"]) - first).max()) for result in results[1:])


def report(results: list[dict]) -> list[str]:
    """Rows of the table for one design."""
    seconds, cpu = (min(r[clock] for r in results if r["package"] != "apmkit") for clock in ("seconds", "cpu"))
    return [
        f"| {DESIGNS[r['design']]} | {r['package']} | {r['seconds']:.3f} | {seconds / r['seconds']:.1f} | "
        f"{r['cpu']:.3f} | {cpu / r['cpu']:.1f} | {r['memory']:,.0f} | "
        f"{r['estimates'][-1]:.6f} ({r['errors'][-1]:.6f}) |"
        for r in results
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, default=50_000)
    parser.add_argument("--periods", type=int, default=20)
    parser.add_argument("--measure", nargs=2, metavar=("DESIGN", "PACKAGE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.units < 1_000 or options.periods < 15:
        parser.error("give at least 1,000 units and 15 periods, so that ten cohorts differ")
    if options.measure:
        print(json.dumps(measure(*options.measure, options.units, options.periods)))
        return

    rows = []
    for design, packages in CONTESTANTS.items():
        results = []
        for package in packages:
            print(f"{DESIGNS[design]}: {package} ...", file=sys.stderr)
            results.append(measure_apart(design, package, options.units, options.periods))
        if (gap := disagreement(results)) > TOLERANCE:
            sys.exit(f"Error: the packages differ by {gap:.2g} on {design}: no time is comparable.")
        rows += report(results)
    versions = ", ".join(f"{name} {version(name)}" for name in [*MODULES, "numpy", "pandas", "scipy"])
    print(f"{options.units:,} units x {options.periods} periods, {COHORTS} cohorts and never treated, unsorted rows.")
    print(f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}; Python {platform.python_version()}")
    print(f"{versions}\n")
    print("| design | package | seconds | fastest peer / this | CPU seconds | fastest peer / this | memory, MB |"
          " last estimate (se) |")  # fmt: skip
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
