"""The book's generated pages: the data page from the registry, the parameter page from the studies."""

from pathlib import Path


def write(folder: Path) -> None:
    """Write ``data.md`` and ``parameters.md`` into `folder`; a page that would not change is not touched."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("data.md", data_page()), ("parameters.md", parameters_page())):
        page = folder / name
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")


def data_page() -> str:
    """Return the data page: provenance, licence, known problems and codebook of every data set."""
    from apmkit import datasets

    records = {name: datasets.describe(name) for name in datasets.names()}
    overview = [
        (f"[{name}](#data-{_slug(name)})", record.title, record.unit_of_observation, _years(record.years))
        for name, record in records.items()
    ]
    return "\n\n".join(
        [
            "# Data",
            "Every data set is a copy of a published table, with its source, licence and checksum. "
            "Load one as a tidy frame with `apmkit.load(name)`; `apmkit datasets check` compares the files with the "
            "checksums below.",
            _table(("Name", "What it is", "One row is", "Years"), overview),
            *(_data_section(name, record) for name, record in records.items()),
            "",
        ]
    )


def _data_section(name, record) -> str:
    facts = [
        ("Publisher", _cell(record.publisher)),
        ("Licence", _link(record.licence, record.licence_url)),
        ("Source", _link(record.source_url, record.source_url)),
        ("Citation", _cell(record.citation)),
        ("One row is", _cell(record.unit_of_observation)),
        ("Years", _years(record.years)),
    ]
    codebook = [(f"`{entry.column}`", _cell(entry.unit), _cell(entry.meaning)) for entry in record.codebook]
    files = [(f"`{file.name}`", f"`{file.sha256}`") for file in record.files]
    parts = [f"(data-{_slug(name)})=\n## {record.title}", f"`apmkit.load({name!r})`", _table(("", ""), facts)]
    if record.known_problems:
        parts.append("Known problems:\n\n" + "\n".join(f"* {problem}" for problem in record.known_problems))
    parts.append(_dropdown("Codebook", _table(("Column", "Unit", "Meaning"), codebook)))
    parts.append(_dropdown("Files and checksums (SHA-256)", _table(("File", "SHA-256"), files)))
    return "\n\n".join(parts)


def parameters_page() -> str:
    """Return the parameter page: for each study its parameters, what they may be, and their defaults."""
    from apmkit import studies

    sections = []
    for name in studies.names():
        table = studies.parameter_table(name)
        rows = [tuple(_cell(value) for value in row) for row in table.itertuples(index=False)]
        sections.append(
            f"(parameters-{_slug(name)})=\n## {studies.get(name).title}\n\n"
            f"The study `{name}`, [its page](../notebooks/{name}.ipynb).\n\n" + _table(tuple(table.columns), rows)
        )
    return "\n\n".join(
        [
            "# Parameters of the studies",
            "What each study takes. A wrong name, type or value is refused before anything runs; "
            "[](../rerun.md) shows the commands.",
            *sections,
            "",
        ]
    )


def _slug(name: str) -> str:
    return name.replace("/", "-").replace("_", "-")


def _years(years) -> str:
    years = sorted(years)
    return str(years[0]) if len(years) == 1 else f"{years[0]} to {years[-1]}"


def _link(text: str, url: str | None) -> str:
    return f"[{_cell(text)}]({url})" if url else _cell(text)


def _cell(value) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")


def _table(header: tuple[str, ...], rows) -> str:
    lines = ["| " + " | ".join(cells) + " |" for cells in (header, ["---"] * len(header), *rows)]
    return "\n".join(lines)


def _dropdown(title: str, body: str) -> str:
    return f":::{{dropdown}} {title}\n{body}\n:::"
