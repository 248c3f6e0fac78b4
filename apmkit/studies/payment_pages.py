"""The pages of the book on payment models: the rules of each programme and the gallery of contracts."""

from __future__ import annotations

import importlib
import inspect
from typing import TYPE_CHECKING

from apmkit.cli.screen import value
from apmkit.studies.markdown import anchor, dropdown, outcomes, plain, table

if TYPE_CHECKING:
    from apmkit.contract.record import Source

_PAID_BY = {
    "mssp": ("settle_mssp", "mssp_benchmark", "advance_investment_payments"),
    "aco_reach": ("aco_reach",),
    "next_generation_aco": ("next_generation_aco",),
    "cpc_plus": ("cpc_plus",),
    "comprehensive_primary_care": (),
    "primary_care_first": ("primary_care_first",),
    "bpci_advanced": ("bpci_advanced",),
    "cjr": ("cjr",),
    "maryland": ("maryland_global_budget",),
    "primary_care_spending": ("primary_care_share", "path_to_target"),
    "ontario": ("ontario_fhg", "ontario_fho", "access_bonus"),
    "alberta": ("alberta_blended_capitation",),
    "bc_lfp": ("bc_lfp",),
}
"""The functions that read the rules of each programme."""

_AT_A_GLANCE = ["category", "preferred design", "fields filled"]
_DOUBT = {"unconfirmed": "**unconfirmed**", "partly confirmed": "**partly confirmed**"}


def models_page() -> str:
    """Return the page of payment models: by country each programme, what pays by it, and every dated rule."""
    from apmkit.payment import programmes, rulebook

    books = [rulebook(name) for name in programmes()]
    if unplaced := {book.programme for book in books} ^ set(_PAID_BY):
        raise KeyError(f"The page of payment models and the rules differ in {sorted(unplaced)}.")
    parts = [
        "(payment-models)=\n# Payment models of both countries",
        outcomes(
            "how each programme of both countries pays, rule by rule and day by day,",
            "which values were read in the rule itself, and which are in doubt.",
        ),
        "Each programme is a file of rules. A rule has a unit, a value for each day from which it held, a source and a "
        "status. The value in force is the last one dated on or before the day that is asked for. A result that rests "
        "on a value in doubt says so.",
        table(
            ("Status", "Meaning"),
            [
                ("primary", "read in the rule itself or on the sponsor's page"),
                ("secondary", "read in a source that cites the rule"),
                ("reproduced", "gives back published results"),
                ("partly confirmed", "the source says which part was read"),
                ("unconfirmed", "not read in any source: use with care"),
            ],
        ),
        "`apmkit rules show mssp --on 2022-01-01` prints the rules of a day; [](contracts.md) describes the contracts "
        "around them.",
    ]
    for country, heading in {"US": "United States", "Canada": "Canada"}.items():
        here = sorted((book for book in books if book.country == country), key=lambda book: book.title)
        parts += [f"## {heading}", table(("Model", "Rules", "First day", "In doubt"), map(_row, here))]
        parts += map(_programme, here)
    return "\n\n".join([*parts, ""])


def _row(book) -> tuple[str, ...]:
    values = book.table()
    doubtful = values["status"].isin(_DOUBT).sum()
    link = f"[{plain(book.title)}](#{anchor('rules', book.programme)})"
    return link, str(len(book.parameters)), str(values["effective"].min()), f"{doubtful} of {len(values)} values"


def _programme(book) -> str:
    values = book.table()
    until = values.groupby("parameter")["effective"].shift(-1).astype(object).fillna("")
    shown = values.assign(until=until)[values["value"].notna()]
    shown["note"] = shown["note"].mask(shown.duplicated(["parameter", "note"]), "")  # a rule's note once, not each day
    rows = [
        (
            f"`{row.parameter}`",
            plain(row.label),
            plain(value(row.value)),
            plain(row.unit),
            f"{row.effective}" + (f" to {row.until}" if row.until else ""),
            _DOUBT.get(row.status, row.status),
            plain(f"{row.citation}. {row.note}" if row.note else row.citation),
        )
        for row in shown.itertuples(index=False)
    ]
    header = ("Rule", "What it is", "Value", "Unit", "In force from", "Status", "Source and note")
    return "\n\n".join(
        [
            f"({anchor('rules', book.programme)})=\n### {plain(book.title)}",
            f"Amounts in {book.currency}. {_paid_by(book.programme)}",
            dropdown(f"{len(book.parameters)} rules", table(header, rows)),
        ]
    )


def _paid_by(programme: str) -> str:
    payment = importlib.import_module("apmkit.payment")
    said = []
    for name in _PAID_BY[programme]:
        first = inspect.getdoc(getattr(payment, name)).partition("\n")[0]
        said.append(f"{{py:func}}`~apmkit.{name}`: {plain(first)}")
    return " ".join(said) or "No function pays by these rules; they stand here for comparison."


def contracts_page() -> str:
    """Return the page of the contract gallery: category and score of each contract, then each contract by theme."""
    from apmkit.contract import CATEGORIES, gallery, gallery_table, placements

    overview = [
        (f"[{plain(row['title'])}](#{anchor('contract', name)})", row["country"], *map(plain, row[_AT_A_GLANCE]))
        for name, row in gallery_table().iterrows()
    ]
    elsewhere = placements().query("not agrees")
    differing = [
        (plain(gallery(name).title), row["derived"], row["placed"], plain(row["why"]))
        for name, row in elsewhere.iterrows()
    ]
    return "\n\n".join(
        [
            "(contracts)=\n# Contracts, described and classified",
            outcomes(
                "how contracts of both countries can be described in the same words and compared,",
                "how a category and a score follow from the description, and what they do not say.",
            ),
            "A contract is described in five themes {cite:p}`howard2024`. From the description follow its category in "
            "the framework of the Health Care Payment Learning and Action Network (HCP-LAN), a score against a "
            "preferred design {cite:p}`cattel2020`, the tasks of primary care that it pays for, and what is not "
            "known. The criteria of the score are a reading of that paper, and the tasks are a theory from the kind of "
            "payment; no category is typed in.",
            "`apmkit contracts show mssp_basic_e` prints one of them, `apmkit contracts compare ontario_fhg "
            "ontario_fho` two side by side, and `apmkit contracts new mine.yml` begins one of your own.",
            dropdown("The categories", table(("Category", "Meaning"), [(c, plain(m)) for c, m in CATEGORIES.items()])),
            table(("Contract", "Country", "Category", "Preferred design", "Fields filled"), overview),
            "## Where another placement differs",
            "Placements that circulate have no published source that was found. They are unconfirmed, and compared "
            "here with what follows from the definitions.",
            table(("Contract", "Payments here", "Placed elsewhere", "Why they differ"), differing),
            *(section for name in gallery() for section in _contract(name)),
            "",
        ]
    )


def _contract(name: str) -> list[str]:
    from apmkit.contract import classify, completeness, describe, gallery, preferred_design, task_matrix

    contract, matrix = gallery(name), task_matrix(gallery(name))
    found = classify(contract)
    payments = [tuple(map(_spaced, (payment, *row))) for payment, row in found.payments.iterrows()]
    design = [
        (plain(criterion), plain(row["verdict"]), plain(row["reason"]))
        for criterion, row in preferred_design(contract).iterrows()
    ]
    tasks = [(plain(task), *map(plain, row)) for task, row in matrix.iterrows()]
    fields = [
        (plain(theme), plain(field), plain(row["value"])) for (theme, field), row in describe(contract).iterrows()
    ]
    known = [
        (plain(theme), f"{row['filled']:.0f} of {row['fields']:.0f}", f"{row['absent']:.0f}", f"{row['missing']:.0f}")
        for theme, row in completeness(contract).iterrows()
    ]
    sources = "\n".join(f"* {_cited(source)} ({source.status})" for source in contract.sources)
    return [
        f"({anchor('contract', name)})=\n## {plain(contract.title)}",
        f"**{plain(found.category)}.** {_spaced(found.reason)}",
        table(("Payment", *(column.capitalize() for column in found.payments.columns)), payments),
        dropdown("Preferred design", table(("Criterion", "Verdict", "Reason"), design)),
        dropdown("Tasks of primary care", table(("Task", *map(_spaced, matrix.columns)), tasks)),
        dropdown("The contract by theme", table(("Theme", "Field", "Value"), fields)),
        dropdown("What is known", table(("Theme", "Fields filled", "Absent, with the reason", "Missing"), known)),
        dropdown("Sources", sources),
    ]


def _spaced(name: str) -> str:
    """A name of a payment in words."""
    return plain(name.replace("_", " "))


def _cited(source: Source) -> str:
    """A source as a link, where it has an address."""
    address = f"https://doi.org/{source.doi}" if source.doi else source.url
    return f"[{plain(source.citation)}](<{address}>)" if address else plain(source.citation)
