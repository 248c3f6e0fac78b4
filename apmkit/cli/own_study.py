"""The command that makes a study on the user's own data."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(
    "new-study",
    epilog="""
\b
Examples:
  apmkit new-study us/clinics --data clinics.csv --unit clinic --time year --outcome visits --cohort start
  apmkit new-study canada/rostering --data rosters.parquet --unit practice --time year \\
      --outcome spending --outcome visits --treatment rostered --cluster region
  apmkit new-study us/claims --data claims.duckdb --table spending --unit aco --time year --outcome paid --cohort start
""",
)
@click.argument("name")
@click.option(
    "--data", "file", required=True, type=click.Path(path_type=Path), help="A .csv, .tsv, .parquet or .duckdb file."
)
@click.option("--table", metavar="TABLE", help="Table or view of the database.")
@click.option(
    "--unit", default="unit", show_default=True, metavar="COLUMN", help="Who: practices, organizations, regions."
)
@click.option("--time", default="time", show_default=True, metavar="COLUMN", help="When: whole numbers such as years.")
@click.option(
    "--outcome", "outcomes", multiple=True, default=["outcome"], show_default=True, metavar="COLUMN",
    help="What may have changed; may be repeated, the first is the default.",
)  # fmt: skip
@click.option("--cohort", metavar="COLUMN", help="First treated period of the unit, empty if never.  [default: cohort]")
@click.option("--treatment", metavar="COLUMN", help="0 and 1, in place of --cohort.")
@click.option("--cluster", metavar="COLUMN", help="Level at which errors go together.  [default: the unit]")
@click.option("--weights", metavar="COLUMN", help="Positive weights, such as person-years.")
@click.option("--title", metavar="TEXT", help="The question that the page asks.")
def new_study(name, file, table, unit, time, outcomes, cohort, treatment, cluster, weights, title):
    """Scaffold a case study on your own data: notebook, module, test and the entry in the book.

    The data are checked first and stay where they are. NAME is country/subject, the country us, canada or both. One row
    of the data is one unit in one period. Nothing that is there is written over.
    """
    from apmkit.studies.own_data import OwnData
    from apmkit.studies.scaffold import new_study, path_from
    from apmkit.studies.study import repository

    if cohort and treatment:
        raise click.UsageError("Give --cohort or --treatment, not both: each says when a unit was treated.")
    start = {"treatment": treatment} if treatment else {"cohort": cohort or "cohort"}
    others = {role: column for role, column in {"cluster": cluster, "weights": weights}.items() if column}
    root = repository()
    data = OwnData(
        path_from(root, file) if root else str(file), table, text=tuple(dict.fromkeys(filter(None, (unit, cluster))))
    )
    written = new_study(
        name, data, columns={"unit": unit, "time": time, **start, **others}, outcomes=list(outcomes), title=title
    )
    shown = [str(path.relative_to(root)) for path in written]
    click.echo(
        "\n".join(
            ["Written:", *(f"  {path}" for path in shown[:3]), "One line more:", *(f"  {path}" for path in shown[3:])]
        )
    )
    click.echo(
        f"\nNow: apmkit run {name}\n"
        f"Test it: pytest {shown[2]}\n"
        "Put it in the book: apmkit book\n"
        f"Then write the parts marked 'Write here' in {shown[1]}, and the unit of the outcome in {shown[0]}.\n"
        f"To undo: delete the three files, and the line with {name} in each of the other two."
    )
