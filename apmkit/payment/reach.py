"""ACOs that bear most of the risk: ACO REACH with its risk corridors, and the Next Generation ACO before it."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from numbers import Real

import numpy as np
import pandas as pd

from apmkit.errors import PaymentError
from apmkit.payment.result import Payment
from apmkit.payment.rulebook import Rulebook, rules_on
from apmkit.payment.tables import Table, columns


def aco_reach(
    acos: pd.DataFrame, *, on: str | datetime.date, option: str = "professional", rules: Rulebook | None = None
) -> Payment:
    """Settle ACO REACH: the benchmark after discount and quality withhold, and savings or losses by risk corridor.

    Both the discount and the withhold are shares of the benchmark given; the withhold is earned back in proportion to
    the quality score. Of the savings or losses against what is left, each band keeps its own share with the ACO.

    Parameters
    ----------
    acos : DataFrame
        One row per ACO: `aco`, `benchmark` (USD, with regional blend, risk and equity adjustments, before the
        discount), `spending` (USD), `quality_score` (0 to 1).
    on : str or date
        A day of the performance year.
    option : str
        "professional" or "global".
    rules : Rulebook, optional
        Rules of your own; the shipped ones by default.

    Returns
    -------
    Payment
        One row per ACO, positive where Medicare pays. Components: `benchmark`, `discount`, `withheld`, `earned_back`,
        `spending`, `medicare_share` (of savings, positive of losses). Details: savings rate, share kept, quality score,
        reason.

    Raises
    ------
    PaymentError
        The option is unknown, or a column is absent or out of bounds.
    RulesError
        The model was not running on that day.

    Notes
    -----
    Left out: the optional stop-loss for costly patients, the retention withhold, the high performers pool, and
    capitation payments, which are an advance on the same claims.

    References
    ----------
    Centers for Medicare & Medicaid Services, ACO REACH Request for Applications (2022), table 6.16; sources of each
    value in the rules file.

    Examples
    --------
    >>> acos = pd.DataFrame({"aco": ["A"], "benchmark": [100e6], "spending": [90e6], "quality_score": [0.9]})
    >>> aco_reach(acos, on="2023-07-01").table.loc["A"].to_dict()  # doctest: +NORMALIZE_WHITESPACE
    {'benchmark': 100000000.0, 'discount': 0.0, 'withheld': -2000000.0, 'earned_back': 1800000.0,
     'spending': -90000000.0, 'medicare_share': -5621500.0, 'total': 4178500.0}
    """
    if option not in ("professional", "global"):
        raise PaymentError(f"option is {option!r}; write professional or global.")
    terms = rules_on(on, "aco_reach", rules)
    table = Table(acos, "ACOs", "aco")
    names = table.names
    given, spending = table.numbers("benchmark", least=0.01), table.numbers("spending", least=0)
    score = table.numbers("quality_score", 0, 1)
    discount, withheld = terms[f"discount.{option}"] * given, terms["quality.withhold"] * given
    benchmark = given - discount - withheld * (1 - score)
    savings = benchmark - spending
    kept = shared_by_corridor(savings, benchmark, terms[f"corridors.{option}"])
    return Payment.from_components(
        model=f"{terms.rulebook.title}, {option} option",
        currency="USD",
        components={
            "benchmark": given,
            "discount": -discount,
            "withheld": -withheld,
            "earned_back": withheld * score,
            "spending": -spending,
            "medicare_share": kept - savings,
        },
        index=names,
        details=_details(savings, benchmark, kept).assign(quality_score=score).set_axis(names),
        terms=[terms],
        notes=["Stop-loss for costly patients, the retention withhold and the high performers pool are left out."],
    )


def next_generation_aco(
    acos: pd.DataFrame,
    *,
    on: str | datetime.date,
    cap: float,
    arrangement: str = "full",
    rules: Rulebook | None = None,
) -> Payment:
    """Settle a Next Generation ACO: savings or losses within the cap it chose, shared, less sequestration of savings.

    Parameters
    ----------
    acos : DataFrame
        One row per ACO: `aco`, `benchmark` (USD, after its discount) and `spending` (USD).
    on : str or date
        A day of the performance year.
    cap : float
        Largest gross savings or losses, as a share of the benchmark, which the ACO chooses: 0.05 to 0.15.
    arrangement : str
        "partial" (A) or "full" (B).
    rules : Rulebook, optional
        Rules of your own; the shipped ones by default.

    Returns
    -------
    Payment
        One row per ACO, positive where Medicare pays. Components: `benchmark`, `spending`, `beyond_cap`,
        `medicare_share`, `sequestration`. Details: savings rate, share kept, reason.

    Raises
    ------
    PaymentError
        The arrangement or the cap is unknown, or a column is absent or out of bounds.
    RulesError
        The model was not running on that day.

    References
    ----------
    Next Generation ACO participation agreement, appendix on settlement.

    Examples
    --------
    >>> acos = pd.DataFrame({"aco": ["A"], "benchmark": [100e6], "spending": [93e6]})
    >>> float(next_generation_aco(acos, on="2017-07-01", cap=0.05, arrangement="partial").total["A"])
    3920000.0
    """
    if arrangement not in ("partial", "full"):
        raise PaymentError(f"arrangement is {arrangement!r}; write partial (A) or full (B).")
    terms = rules_on(on, "next_generation_aco", rules)
    low, high = terms["cap.smallest"], terms["cap.largest"]
    if not isinstance(cap, Real) or not low <= cap <= high:
        raise PaymentError(f"cap is {cap!r}; an ACO chooses from {low:g} to {high:g} of its benchmark.")
    table = Table(acos, "ACOs", "aco")
    names = table.names
    benchmark, spending = table.numbers("benchmark", least=0.01), table.numbers("spending", least=0)
    savings = benchmark - spending
    within = np.clip(savings, -cap * benchmark, cap * benchmark)
    shared = terms[f"sharing.{arrangement}"] * within
    sequestered = terms["sequestration"] * np.maximum(shared, 0)
    return Payment.from_components(
        model=f"{terms.rulebook.title}, {arrangement} risk",
        currency="USD",
        components={
            "benchmark": benchmark,
            "spending": -spending,
            "beyond_cap": within - savings,
            "medicare_share": shared - within,
            "sequestration": -sequestered,
        },
        index=names,
        details=_details(savings, benchmark, shared - sequestered).set_axis(names),
        terms=[terms],
    )


def shared_by_corridor(
    savings: np.ndarray, benchmark: np.ndarray, corridors: Sequence[Mapping[str, float]]
) -> np.ndarray:
    """What an ACO keeps of savings (or bears of losses, negative), each band of their size at its own share.

    Parameters
    ----------
    savings, benchmark : array
        USD; savings are negative where spending passed the benchmark.
    corridors : list of mappings
        `from` (share of benchmark) and `share` (kept in that band), the first from 0, in order.

    Returns
    -------
    array
        USD, of the sign of the savings.

    Raises
    ------
    PaymentError
        The bands do not begin at 0 and rise, one lacks `from` or `share`, or a share is not from 0 to 1.

    Examples
    --------
    >>> shared_by_corridor(np.array([8.0, -8.0]), np.array([100.0, 100.0]),
    ...                    [{"from": 0, "share": 0.5}, {"from": 0.05, "share": 0.35}])
    array([ 3.55, -3.55])
    """
    starts, shares = columns("risk corridors", corridors, "from", "share")
    if ((shares < 0) | (shares > 1)).any():
        raise PaymentError(f"Risk corridors keep {shares.tolist()}; each is a share from 0 to 1, so 0.5 for 50 %.")
    if starts[0] != 0 or (np.diff(starts) <= 0).any():
        raise PaymentError(f"Risk corridors begin at {starts.tolist()}; begin at 0 and let each start above the last.")
    size = np.abs(savings)[:, None]
    edges = benchmark[:, None] * np.append(starts, np.inf)
    return np.sign(savings) * (np.clip(size - edges[:, :-1], 0, np.diff(edges)) @ shares)


def _details(savings: np.ndarray, benchmark: np.ndarray, paid: np.ndarray) -> pd.DataFrame:
    kept = np.divide(paid, savings, out=np.full(len(savings), np.nan), where=savings != 0)
    reason = np.select([savings > 0, savings < 0], ["shares savings", "shares losses"], "neither savings nor losses")
    return pd.DataFrame({"savings_rate": savings / benchmark, "share_kept": kept, "reason": reason})
