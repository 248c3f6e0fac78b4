"""What the book generates: the data page from the registry, the parameter page and pictures from the studies."""

import json
from pathlib import Path

from apmkit.studies import payment_pages, reference
from apmkit.studies.markdown import anchor, dropdown, outcomes, plain, table

_HOW_YEARS_WERE_JOINED = {
    "mssp": "The {n_files} files of {first} to {last} have different layouts. A column is found by the name that the "
    "publisher uses now ({n_published} of the {n_columns} columns of the codebook; the others are computed), and "
    "names of other years are mapped to it; the file of 2013 is read by position. `%`, `$` and `,` are taken off, `*` "
    "becomes missing, and rates printed as percents in some years and as fractions in others all become fractions. "
    "Identifiers used before 2018 are replaced by the lasting ones of the CMS crosswalk, so that an ACO can be "
    "followed through all years.",
}


def write(folder: Path, agreement: Path, notebooks: Path) -> None:
    """Write the generated pages and the pictures into `folder`; what would not change is not touched.

    Parameters
    ----------
    folder : path
    agreement : path
        Table of what agrees with other packages; see `reference.agreement_page`.
    notebooks : path
        Executed notebooks; see `pictures`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "data.md": data_page(),
        "parameters.md": parameters_page(),
        "agreement.md": reference.agreement_page(agreement),
        "api.md": reference.api_page(),
        "payment_models.md": payment_pages.models_page(),
        "contracts.md": payment_pages.contracts_page(),
    }
    for name, text in {**texts, **pictures(notebooks)}.items():
        page = folder / name
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")


def pictures(notebooks: Path) -> dict[str, str]:
    """SVG figures of cells tagged ``front-page``, by file name: ``canada-bc_lfp.svg``.

    They let another page show a figure of a study; `glue` takes no SVG across pages.
    """
    found = {}
    for path in sorted(notebooks.rglob("[!.]*.ipynb")):
        name = "-".join(path.relative_to(notebooks).with_suffix("").parts)
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if "front-page" in cell["metadata"].get("tags", []):
                figures = [o["data"]["image/svg+xml"] for o in cell["outputs"] if "image/svg+xml" in o.get("data", {})]
                found[f"{name}.svg"] = "".join(figures[-1])
    return found


def data_page() -> str:
    """Return the data page: provenance, licence, known problems and codebook of every data set."""
    from apmkit import datasets, studies

    used_by = {}
    for study in studies.names():
        for name in studies.get(study).data:
            used_by.setdefault(name, []).append(f"[{plain(study)}](../notebooks/{study}.ipynb)")
    in_no_study = [name for name in datasets.names() if name not in used_by]
    records = [datasets.describe(name) for name in [*used_by, *in_no_study]]
    uses = {record.name: ", ".join(used_by.get(record.name, ["no study yet"])) for record in records}
    overview = [
        (f"[{record.name}](#{anchor('data', record.name)})", plain(record.title), _years(record), uses[record.name])
        for record in records
    ]
    return "\n\n".join(
        [
            "# Data",
            outcomes(
                "which public tables this book rests on, and what is wrong with each,",
                "where each comes from, under which terms, and how to see that your copy is the same.",
            ),
            "Every data set is a copy of a published table, with its source, licence and checksum. "
            "`apmkit.load(name)` gives a tidy frame; `apmkit datasets check` compares the files with the checksums "
            "below. A file that the publisher releases later can be added: see [](../rerun.md).",
            table(("Name", "What it is", "Years", "Used by"), overview),
            *(_data_section(record, uses[record.name]) for record in records),
            "",
        ]
    )


def _data_section(record, used_by: str) -> str:
    facts = [
        ("Load", f"`apmkit.load({record.name!r})`"),
        ("One row is", plain(record.unit_of_observation)),
        ("Years", _years(record)),
        ("Used by", used_by),
        ("Publisher", plain(record.publisher)),
        ("Source", f"[{plain(record.citation)}]({record.source_url})"),
        ("Licence", f"[{plain(record.licence)}]({record.licence_url})"),
        ("Attribution", plain(record.attribution)),
    ]
    if record.how_to_get:
        facts.append(("Your own copy", plain(record.how_to_get)))
    codebook = [
        (
            f"`{entry.column}`",
            plain(entry.unit),
            plain(entry.meaning),
            f"`{entry.source}`" if entry.source else "",
            (entry.years or "all").replace("-", " to "),
        )
        for entry in record.codebook
    ]
    files = [(f"`{file.name}`", f"{file.rows:,}", f"`{file.sha256}`", plain(file.copy_used)) for file in record.files]
    return "\n\n".join(
        [
            f"({anchor('data', record.name)})=\n## {plain(record.title)}",
            table(("Fact", "Value"), facts),
            *_how_years_were_joined(record),
            "Known problems:\n\n" + "\n".join(f"* {plain(problem)}" for problem in record.known_problems),
            dropdown("Codebook", table(("Column", "Unit", "Meaning", "Published as", "Years"), codebook)),
            dropdown("Files", table(("File", "Rows", "SHA-256 of the published file", "Copy used"), files)),
        ]
    )


def _how_years_were_joined(record) -> list[str]:
    if record.name not in _HOW_YEARS_WERE_JOINED:
        return []
    years = [file.year for file in record.files if file.year]
    text = _HOW_YEARS_WERE_JOINED[record.name].format(
        n_files=len(years),
        first=min(years),
        last=max(years),
        n_published=sum(entry.source is not None for entry in record.codebook),
        n_columns=len(record.codebook),
    )
    return [text]


def parameters_page() -> str:
    """Return the parameter page: for each study its parameters, their meaning, defaults and allowed values."""
    from apmkit import studies

    sections = []
    for name in studies.names():
        study = studies.get(name)
        rows = [
            (f"`{row.name}`", plain(row.meaning), f"`{row.default}`", plain(row.allowed))
            for row in study.parameter_table().itertuples(index=False)
        ]
        sections.append(
            f"({anchor('parameters', name)})=\n## {plain(study.title)}\n\n"
            f"[The page of `{name}`](../notebooks/{name}.ipynb) uses the defaults.\n\n"
            + table(("Parameter", "Meaning", "Default", "Allowed"), rows)
        )
    return "\n\n".join(
        [
            "# Parameters of the studies",
            "A wrong name, type or value is refused before anything runs. [](../rerun.md) shows the commands.",
            *sections,
            "",
        ]
    )


def _years(record) -> str:
    from apmkit import datasets

    years = datasets.years(record.name)
    first, last = min(years), max(years)
    return str(first) if first == last else f"{first} to {last}"
