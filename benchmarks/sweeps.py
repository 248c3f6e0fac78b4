"""Seconds for many sets of parameters of each study, with one worker and with several, and whether the numbers agree.

    python benchmarks/sweeps.py                                # 200 sets of every study with a grid, several minutes
    python benchmarks/sweeps.py us/mssp_settlement --sets 50 --jobs 4

Sets are the combinations of a study's grid, then those with one more choice among the named values of other parameters.
Workers are started before the clock. Numbers agree if they are the same to 12 digits.
"""

import argparse
import itertools
import math
import time
import warnings

from apmkit import studies
from apmkit.studies.sweep import estimated, forbidden, in_workers, points


def sets_of(study, number):
    """Allowed sets of parameters, the defaults first."""
    fields = study.Parameters.model_fields
    extra = {name: study.Parameters.choices(name) for name in fields if name not in study.grid}
    more = [{}, *({name: [v] if study.Parameters.takes_several(name) else v} for name in extra for v in extra[name])]
    every = ({**point, **other} for other, point in itertools.product(more, points(study.grid)))
    allowed = (study.parameters(**values) for values in every if forbidden(study, values) is None)
    return list(itertools.islice(dict.fromkeys(allowed), number))


def timed(study, sets, jobs):
    list(in_workers(estimated, study, sets[:1] * jobs, jobs=jobs))
    start = time.perf_counter()
    records = list(in_workers(estimated, study, sets, jobs=jobs))
    return time.perf_counter() - start, records


def numbers(records):
    return [
        value
        for record in records
        for name in sorted(record.get("estimates", {}))
        for row in record["estimates"][name]["table"]
        for value in row.values()
        if isinstance(value, float)
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    with_grid = [name for name in studies.names() if studies.get(name).grid]
    parser.add_argument("names", nargs="*", default=with_grid, metavar="STUDY")
    parser.add_argument("--sets", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"{'study':<32}{'sets':>6}{'1 worker, s':>13}{f'{chosen.jobs} workers, s':>14}  agree")
    for name in chosen.names:
        study = studies.get(name)
        sets = sets_of(study, chosen.sets)
        (alone, first), (together, second) = (timed(study, sets, jobs) for jobs in (1, chosen.jobs))
        pairs = zip(numbers(first), numbers(second), strict=True)
        agree = all(math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-12) or (a != a and b != b) for a, b in pairs)
        print(f"{name:<32}{len(sets):>6}{alone:>13.1f}{together:>14.1f}  {'yes' if agree else 'NO'}", flush=True)


if __name__ == "__main__":
    main()
