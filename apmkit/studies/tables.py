"""A table as a reader of a page sees it."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

import pandas as pd
from pandas.api.types import is_numeric_dtype

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

_CAPTION = "caption-side: bottom; text-align: left; font-size: 0.85em; opacity: 0.8; padding-top: 0.5em"
_LEFT = {"text-align": "left", "vertical-align": "top"}


def table(
    frame: pd.DataFrame,
    source: str,
    formats: Mapping[str, str] | None = None,
    *,
    precision: int = 1,
    thousands: str | None = None,
    left: int | None = None,
    scroll: bool = False,
) -> Styler:
    """A table without index, its source below it; text is shown as it is, whatever signs it has.

    Parameters
    ----------
    frame : DataFrame
    source : str
        With a full stop.
    formats : mapping of str to str, optional
        How to write the numbers of columns, `p` with three decimals unless given; names that are no column are passed
        over.
    precision : int
        Decimals of all other numbers.
    thousands : str, optional
        Sign between their thousands.
    left : int, optional
        Columns with text at the left; the others have it at the right. All are at the left by default.
    scroll : bool
        Whether a long table scrolls.

    Examples
    --------
    >>> html = table(pd.DataFrame({"State": ["<MD>"], "p": [0.0312]}), "CMS.").to_html()
    >>> "&lt;MD&gt;" in html, "0.031" in html, "Source: CMS." in html
    (True, True, True)
    """
    usual = {"p": "{:.3f}"} if "p" in frame and is_numeric_dtype(frame["p"]) else {}
    shown = {name: form for name, form in (usual | dict(formats or {})).items() if name in frame}
    styled = (
        frame.rename(columns=escape)
        .style.hide()
        .format(precision=precision, thousands=thousands, na_rep="", escape="html")
        .set_properties(**_LEFT)
        .set_caption(escape(f"Source: {source}"))
        .set_table_styles([{"selector": "caption", "props": _CAPTION}, {"selector": "th", "props": "text-align: left"}])
    )
    for name, form in shown.items():
        styled = styled.format(form, subset=escape(name), na_rep="")
    if left is not None:
        styled = styled.set_properties(subset=list(styled.columns[left:]), **{"text-align": "right"})
    if "Rank" in frame:
        styled = styled.set_properties(subset=["Rank"], **{"white-space": "nowrap"})
    return styled.set_table_attributes('style="display: block; max-height: 32em; overflow: auto"') if scroll else styled
