"""Seconds and memory of settling Shared Savings Program ACOs, beside a plain loop over them.

    python benchmarks/settlement.py                    # 5,000 and 1,000,000 ACO-years, half a minute
    python benchmarks/settlement.py --loop 1000000     # the loop on all of them too

Contracts are drawn over every track and year and stand in one table. The plain loop
(tests/payment/mssp/plain_settlement.py) takes the rows of the table as dictionaries and gives one amount for each, with
no check and no breakdown; it is timed on at most `--loop` of them and its time is scaled up. The time of the engine
includes every check of the input and the whole result, and is the best of three after one that is not counted. Each
size runs in a process of its own. Memory is the highest resident size less the size with
the data loaded. The table is printed only if both agree to the cent. Linux only: memory is read from /proc.
"""

import argparse
import importlib.util
import json
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

SIZES = (5_000, 1_000_000)
PLAIN = Path(__file__).parents[1] / "tests" / "payment" / "mssp" / "plain_settlement.py"
SEED = 4


def plain_settlement():
    spec = importlib.util.spec_from_file_location("plain_settlement", PLAIN)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def resident(what: str) -> float:
    """VmRSS (now) or VmHWM (highest) of this process in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(what):
            return int(line.split()[1]) / 1024
    raise OSError(f"/proc/self/status has no {what}: this benchmark needs Linux.")


def best(run) -> tuple[float, float]:
    """Wall and CPU seconds, the best of three."""
    times = []
    for _ in range(3):
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    return min(times)


def measure(rows: int, looped: int) -> dict:
    """The engine on all rows and the loop on some, in this process."""
    from apmkit.payment import settle_mssp

    plain = plain_settlement()
    acos = plain.random_contracts(rows, SEED)
    settle_mssp(acos.head(100))
    before = resident("VmRSS")
    total = settle_mssp(acos).total.to_numpy()
    memory = resident("VmHWM") - before
    wall, cpu = best(lambda: settle_mssp(acos))

    started = time.perf_counter()
    amounts = [plain.settle(aco) for aco in acos.head(looped).to_dict("records")]
    loop = (time.perf_counter() - started) * rows / len(amounts)
    apart = float(np.abs(total[: len(amounts)] - amounts).max())
    return {"seconds": wall, "cpu": cpu, "memory": memory, "loop": loop, "apart": apart}


def measure_apart(rows: int, looped: int) -> dict:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--measure", str(rows), "--loop", str(looped)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"Error: settling {rows:,} ACO-years failed.\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--loop", type=int, default=100_000, help="most ACO-years that the loop is timed on")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.loop)))
        return
    lines = []
    for rows in SIZES:
        print(f"{rows:,} ACO-years ...", file=sys.stderr)
        found = measure_apart(rows, options.loop)
        if found["apart"] > 0.0101:
            sys.exit(f"Error: the engine and the plain loop differ by {found['apart']:.2f} dollars.")
        lines.append(
            f"| {rows:,} | {found['seconds']:.3f} | {found['cpu']:.3f} | {found['loop']:.3f} | "
            f"{found['loop'] / found['seconds']:.1f} | {found['memory']:,.0f} |"
        )
    print(f"{platform.machine()}, {platform.system()}; Python {platform.python_version()}")
    print(", ".join(f"{name} {version(name)}" for name in ("numpy", "pandas")) + "\n")
    print("| ACO-years | seconds | CPU seconds | plain loop, seconds | times faster | memory, MB |")
    print("|---:|---:|---:|---:|---:|---:|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
