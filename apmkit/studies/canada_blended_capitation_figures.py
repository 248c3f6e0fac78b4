"""Tables and figures of the study of blended capitation in Canada."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from apmkit.plots.style import PALETTE, axes, name_rows
from apmkit.studies import tables
from apmkit.studies.canada_blended_capitation_words import component_mark, marginal_mark

table = partial(tables.table, precision=0, thousands=",", left=1)

_FAMILIES = {
    "Capitation and panel": (
        "base_capitation", "comprehensive_care", "capitation", "panel_complexity", "roster_disincentive"
    ),
    "Fees and premiums for services": (
        "fees", "fees_in_basket", "fees_after_hours", "comprehensive_premium", "shadow_billing", "blended_fees",
        "visits", "fees_not_enrolled", "fees_outside_basket",
    ),
    "Time": ("time",),
    "After-hours premium": ("after_hours_premium",),
    "Preventive bonuses": ("preventive_bonuses",),
    "Access bonus, or taken for visits elsewhere": ("access_bonus", "negation"),
}  # fmt: skip
_MODEL_COLOURS = {
    "Fee-for-service": "grey", "FHG": "blue", "FHN": "orange", "FHO": "green", "Alberta": "purple", "BC LFP": "sky"
}  # fmt: skip
_COLOURS = ("blue", "orange", "green", "sky", "light", "purple")


def families(components: pd.DataFrame) -> pd.DataFrame:
    """Components (rows) summed into six families; columns are models."""
    return pd.DataFrame(
        {name: components.reindex(parts).sum() for name, parts in _FAMILIES.items()}
    ).T  # the same models as columns


def component_table(components: pd.DataFrame, on: Mapping[str, str]) -> pd.DataFrame:
    """CAD per physician by component and model, with the signs of values in doubt; the total last."""
    rows = [name for name in components.index if name != "total"]
    order = [name for parts in _FAMILIES.values() for name in parts if name in rows]
    shown = pd.DataFrame(
        {
            model: [
                "" if np.isnan(value) else _amount(value, component_mark(model, name, on[model]))
                for name, value in components.loc[order, model].items()
            ]
            + [_amount(components.loc["total", model])]
            for model in components
        }
    )
    shown.insert(0, "CAD per physician and year", [name.replace("_", " ").capitalize() for name in [*order, "total"]])
    return shown


def marginal_table(marginal: pd.DataFrame, on: Mapping[str, str]) -> pd.DataFrame:
    """Mean marginal pay by change (rows) and model, with the signs of values in doubt."""
    means = marginal["mean"].unstack("model", sort=False)
    shown = pd.DataFrame(
        {
            model: [
                _amount(value, marginal_mark(model, change, on[model]), 2) for change, value in means[model].items()
            ]
            for model in means
        }
    )
    shown.insert(0, "CAD for one more", [change.replace("_", " ") for change in means.index])
    return shown


def _amount(value: float, mark: str = "", digits: int = 0) -> str:
    return f"{value + 0.0:,.{digits}f}{mark}" if round(value, digits) else f"0{mark}"


def component_bars(components: pd.DataFrame):
    """Figure: revenue per physician by family of components, one bar a model."""
    parts = families(components).loc[lambda frame: frame.abs().max(axis=1) > 0]
    ax = axes(None, 4.4)
    right, left = np.zeros(parts.shape[1]), np.zeros(parts.shape[1])
    for name, colour in zip(_FAMILIES, _COLOURS, strict=True):
        if name not in parts.index:
            continue
        value = parts.loc[name].to_numpy()
        start = np.where(value >= 0, right, left)
        ax.barh(range(len(value)), value, left=start, color=PALETTE[colour], label=name, height=0.62)
        right, left = right + np.maximum(value, 0), left + np.minimum(value, 0)
    for row, (end, total) in enumerate(zip(right, components.loc["total"], strict=True)):
        ax.annotate(
            f"{total:,.0f}", (end, row), xytext=(4, 0), textcoords="offset points", va="center", fontsize="small"
        )
    ax.set_yticks(range(parts.shape[1]), list(parts.columns))
    ax.invert_yaxis()
    ax.axvline(0, color=PALETTE["grey"], lw=0.9)
    ax.margins(x=0.12)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.set_xlabel("CAD per physician and year (number: total)")
    ax.legend(frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(-0.1, 1), fontsize="small")
    return ax


def marginal_dots(marginal: pd.DataFrame):
    """Figure: what one more of each event pays under each model, mean and range of practices.

    Parameters
    ----------
    marginal : DataFrame
        From `apmkit.marginal_revenue`.
    """
    changes = list(marginal.index.get_level_values("change").unique())
    models = list(marginal.index.get_level_values("model").unique())
    ax = axes(None, 1.4 + 0.75 * len(changes))
    for at, model in enumerate(models):
        colour = PALETTE[_MODEL_COLOURS[model]]
        rows = marginal.loc[model].loc[changes]
        heights = np.arange(len(changes)) + (at - (len(models) - 1) / 2) * 0.12
        ax.hlines(heights, rows["lowest"], rows["highest"], color=colour, lw=1.2)
        ax.plot(rows["mean"], heights, "o", ms=5, color=colour, label=model)
    ax.axvline(0, color=PALETTE["grey"], lw=0.9)
    name_rows(ax, [change.replace("_", " ").capitalize() for change in changes])
    ax.set_xlabel("Change of pay for one more, CAD: mean and range of practices")
    ax.legend(frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1), fontsize="small")
    return ax


def group_dots(gains: pd.DataFrame, base: str):
    """Figure: change of pay per patient against the base by age, risk and visits elsewhere, one colour a model.

    Parameters
    ----------
    gains : DataFrame
        CAD per patient by kind and group (rows) and model.
    """
    kinds = list(gains.index.get_level_values("kind").unique())
    heights = [(gains.index.get_level_values("kind") == kind).sum() for kind in kinds]
    _, axes = plt.subplots(
        len(kinds), figsize=(7.2, 1.6 + 0.36 * sum(heights)), sharex=True, layout="constrained",
        gridspec_kw={"height_ratios": heights},
    )  # fmt: skip
    for ax, kind in zip(axes, kinds, strict=True):
        rows = gains.loc[kind]
        for at, model in enumerate(gains):
            offset = (at - (gains.shape[1] - 1) / 2) * 0.13
            heights = np.arange(len(rows)) + offset
            ax.plot(rows[model], heights, "o", ms=5, color=PALETTE[_MODEL_COLOURS[model]], label=model)
        ax.axvline(0, color=PALETTE["grey"], lw=0.9)
        ax.set_yticks(range(len(rows)), list(rows.index))
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.set_title(kind)
        ax.grid(axis="y", color=PALETTE["light"], lw=0.4)
    axes[0].legend(frameon=False, ncols=5, loc="lower left", bbox_to_anchor=(0, 1.2), fontsize="small")
    axes[-1].set_xlabel(f"Change against {base}, CAD per patient and year")
    return axes[-1]


def _places(ax, bonus: pd.DataFrame, x: str, y: str):
    """Dots of practices, those in cities full and blue, the others orange rings; returns the axes."""
    for urban, style in (
        (True, {"marker": "o", "color": PALETTE["blue"], "label": "in cities"}),
        (False, {"marker": "D", "mfc": "none", "color": PALETTE["orange"], "mew": 1.8, "label": "outside cities"}),
    ):
        rows = bonus[bonus["urban"] == urban]
        ax.plot(rows[x], rows[y], ls="", ms=6, **style)
    ax.legend(frameon=False, fontsize="small")
    return ax


def assumed_places(bonus: pd.DataFrame):
    """Figure: what was assumed of places - visits elsewhere and emergency visits of each practice."""
    bonus = bonus.assign(elsewhere=100 * bonus["elsewhere"])
    ax = _places(axes(None, 3.8), bonus, "elsewhere", "emergency")
    ax.set(xlabel="Visits that go to other family doctors, %", ylabel="Emergency visits per 1,000 patients")
    return ax


def bonus_by_outside_use(bonus: pd.DataFrame):
    """Figure: the access bonus per physician by the share of visits elsewhere."""
    bonus = bonus.assign(elsewhere=100 * bonus["elsewhere"])
    ax = _places(axes(None, 3.8), bonus, "elsewhere", "bonus")
    ax.yaxis.set_major_formatter("{x:,.0f}")
    ax.set(xlabel="Visits that go to other family doctors, %", ylabel="Access bonus, CAD per physician")
    return ax


def link_intervals(links: pd.DataFrame):
    """Figure: rank correlation of the bonus kept with each measure, its interval, and the published direction."""
    ax = axes(None, 1 + 0.5 * len(links))
    rows = range(len(links))
    ax.hlines(rows, links["ci_low"], links["ci_high"], color=PALETTE["blue"], lw=2)
    ax.plot(links["correlation"], rows, "o", color=PALETTE["blue"])
    for row, published in zip(rows, links["published"], strict=True):
        ax.annotate(f"published: {published}", (1.02, row), xycoords=ax.get_yaxis_transform(), va="center",
                    fontsize="small", color=PALETTE["grey"], annotation_clip=False)  # fmt: skip
    ax.axvline(0, color=PALETTE["grey"], lw=0.9)
    name_rows(ax, list(links.index))
    ax.set_xlim(-1, 1)
    ax.set_xlabel("Rank correlation with the share of the access bonus that is kept")
    return ax


def kept_by_choice(choices: pd.DataFrame):
    """Figure: share of the highest bonus kept in cities and outside them, under each choice."""
    shares, rows = 100 * choices, range(len(choices))
    ax = axes(None, 1.2 + 0.3 * len(choices))
    ax.hlines(rows, shares["in cities"], shares["outside cities"], color=PALETTE["light"], lw=2)
    ax.plot(shares["in cities"], rows, "o", color=PALETTE["blue"], label="in cities")
    ax.plot(shares["outside cities"], rows, "D", mfc="none", mew=1.8, color=PALETTE["orange"], label="outside cities")
    name_rows(ax, list(choices.index))
    ax.set_xlim(-2, 102)
    ax.set_xlabel("Share of the highest access bonus that practices keep, %")
    ax.legend(frameon=False, fontsize="small", ncols=2, loc="lower right", bbox_to_anchor=(1, 1))
    return ax
