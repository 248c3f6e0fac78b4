"""Seconds and memory of difference-in-differences on parquet files, beside the scan of the outcome column.

    pip install -e '.[bench]'
    python benchmarks/large.py              # 10 million rows, half a minute
    python benchmarks/large.py --hundred    # 100 million rows too, and about 1 GB of disk for some minutes

The files are written to a temporary directory and deleted. The floor is DuckDB's `SELECT sum(y)` of the same file, the
best of three. Each estimator runs in a process of its own with two threads; its time includes `Panel(path, ...)`, the
one pass over the rows, and is the best of three too. CPU seconds say more where the machine does other work. Memory is
the highest resident size of that process, imports included. The table is printed only if the estimates are near the
effect that was put into the data. Linux only.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import duckdb

PERIODS, EFFECT = 20, 1.0
ESTIMATORS = ("twfe", "event_study", "sun_abraham", "callaway_santanna", "imputation", "two_stage")


def write(path: Path, units: int, shuffled: bool) -> None:
    """Staggered adoption in ten cohorts and never, sorted by unit or by a hash of unit and period."""
    connection = duckdb.connect(config={"threads": 2, "memory_limit": "1GB", "temp_directory": str(path.parent)})
    rows = connection.sql(
        """
        SELECT unit, year, CASE WHEN hash(unit) % 11 = 10 THEN NULL ELSE 5 + hash(unit) % 11 END AS cohort,
            0.1 * year + sin(unit) + 3 * (random() - 0.5)
            + CASE WHEN hash(unit) % 11 < 10 AND year >= 5 + hash(unit) % 11 THEN $effect ELSE 0 END AS y
        FROM range($units) units(unit), range($periods) periods(year)
        """,
        params={"effect": EFFECT, "units": units, "periods": PERIODS},
    )
    rows.order("hash(unit, year)" if shuffled else "unit, year").write_parquet(str(path))


def best(run) -> dict:
    """Least seconds of three runs, by the clock and of the processors."""
    clock, processors = [], []
    for _ in range(3):
        start, start_of_processors = time.perf_counter(), time.process_time()
        run()
        clock.append(time.perf_counter() - start)
        processors.append(time.process_time() - start_of_processors)
    return {"seconds": min(clock), "cpu": min(processors)}


def highest_resident() -> float:
    """Highest resident size of this process in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/self/status has no VmHWM: this benchmark needs Linux.")


def measure(path: str, estimator: str | None) -> dict:
    """The scan, or one estimator, in this process."""
    if estimator is None:
        relation = duckdb.connect(config={"threads": 2}).read_parquet(path).aggregate("sum(y)")
        return best(relation.fetchall)
    import apmkit as apm

    warnings.simplefilter("ignore")
    results = []

    def run():
        panel = apm.Panel(path, unit="unit", time="year", outcome="y", cohort="cohort")
        results[:] = [getattr(apm, estimator)(panel)]

    times = best(run)
    table = results[0].aggregate("simple").table if "cohort" in results[0].table else results[0].table
    last = table.iloc[-1]
    return {**times, "memory": highest_resident(), "estimate": last["estimate"], "se": last["se"]}


def measure_apart(path: Path, estimator: str | None) -> dict:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--measure", str(path), *([estimator] if estimator else [])]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "OPENBLAS_NUM_THREADS": "2"}
    )
    if done.returncode:
        sys.exit(f"Error: {estimator or 'the scan'} failed.\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def report(units: int, shuffled: bool = False) -> list[str]:
    """Rows of the table for one file."""
    rows, order = units * PERIODS, "any order" if shuffled else "sorted by unit"
    with tempfile.TemporaryDirectory() as folder:
        free = shutil.disk_usage(folder).free
        if free < 40 * rows:
            sys.exit(
                f"Error: {rows:,} rows need {40 * rows / 1e9:.1f} GB of disk to write and sort them; "
                f"{free / 1e9:.1f} are free."
            )
        path = Path(folder) / "panel.parquet"
        print(f"writing {rows:,} rows, {order} ...", file=sys.stderr)
        write(path, units, shuffled)
        floor = measure_apart(path, None)
        seconds, cpu, label = floor["seconds"], floor["cpu"], f"{rows:,}, {order}"
        lines = [f"| {label} | scan of the outcome | {seconds:.3f} | 1.0 | {cpu:.3f} | 1.0 | | |"]
        for estimator in ESTIMATORS[-1:] if shuffled else ESTIMATORS:
            print(f"{estimator} ...", file=sys.stderr)
            result = measure_apart(path, estimator)
            if abs(result["estimate"] - EFFECT) > 6 * result["se"]:
                sys.exit(f"Error: {estimator} gives {result['estimate']} ({result['se']}) for an effect of {EFFECT}.")
            lines.append(
                f"| {label} | {estimator} | {result['seconds']:.3f} | {result['seconds'] / seconds:.1f} | "
                f"{result['cpu']:.3f} | {result['cpu'] / cpu:.1f} | "
                f"{result['memory']:,.0f} | {result['estimate']:.5f} ({result['se']:.5f}) |"
            )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hundred", action="store_true", help="100 million rows too")
    parser.add_argument("--units", type=int, default=500_000)
    parser.add_argument("--measure", nargs="+", metavar=("PATH", "ESTIMATOR"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(*[*options.measure, None][:2])))
        return
    lines = report(options.units) + report(options.units, shuffled=True)
    if options.hundred:
        lines += report(5_000_000)
    print(f"{PERIODS} periods, ten cohorts and never treated; units are the clusters. Two threads.")
    print(f"{platform.machine()}, {platform.system()}; Python {platform.python_version()}")
    print(", ".join(f"{name} {version(name)}" for name in ("duckdb", "numpy", "pandas", "scipy")) + "\n")
    print("| rows | what | seconds | times the scan | CPU seconds | times the scan | memory, MB | last estimate (se) |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
