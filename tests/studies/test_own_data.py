"""Files of the user's own: read as they are, refused in one sentence that says what there is."""

import hashlib

import duckdb
import pandas as pd
import pytest

from apmkit.studies.own_data import OwnData, OwnDataError

FRAME = pd.DataFrame({"clinic": ["007", "7"], "year": [2020, 2021], "net $": [1.5, 2.5]})


@pytest.fixture(params=["csv", "tsv", "parquet", "duckdb"])
def data(request, tmp_path):
    path, table = tmp_path / f"clinics.{request.param}", None
    if request.param == "duckdb":
        table = 'the "clinics"'
        with duckdb.connect(str(path)) as connection:
            connection.register("frame", FRAME)
            connection.execute('CREATE TABLE "the ""clinics""" AS SELECT * FROM frame')
    elif request.param == "parquet":
        duckdb.from_df(FRAME).write_parquet(str(path))
    else:
        FRAME.to_csv(path, sep="\t" if request.param == "tsv" else ",", index=False)
    return OwnData(str(path), table, text=("clinic",))


def test_every_kind_of_file_gives_the_same_rows_and_its_sha256(data):
    assert data.columns() == ["clinic", "year", "net $"]
    pd.testing.assert_frame_equal(data.load(["clinic", "net $"]), FRAME[["clinic", "net $"]], check_dtype=False)
    assert data.checksum() == hashlib.sha256(data.path.read_bytes()).hexdigest()


def test_what_load_gives_can_be_changed_without_harm(data):
    frame = data.load(["year"])
    frame["year"] = 0
    assert data.load(["year"])["year"].tolist() == [2020, 2021]


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    data = OwnData(str(tmp_path / "x.csv"))
    data.path.write_text("a,b\n1,2\n", encoding="utf-8-sig")
    assert data.columns() == ["a", "b"]
    assert data.load(["a"])["a"].tolist() == [1]


def test_a_changed_file_is_read_again(tmp_path):
    data = OwnData(str(tmp_path / "x.csv"))
    data.path.write_text("a\n1\n")
    assert data.load(["a"])["a"].tolist() == [1]
    data.path.write_text("a\n2\n")
    assert data.load(["a"])["a"].tolist() == [2]


def test_a_column_that_is_not_there_is_refused_with_those_that_are(data):
    with pytest.raises(OwnDataError, match=r"has no column 'cost': the columns are clinic, year, net \$\.$"):
        data.load(["cost"])


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("absent.csv", None, "absent.csv cannot be read (No such file or directory): put the file there"),
        ("x.xlsx", b"PK", "x.xlsx ends in .xlsx: give a .csv, .tsv, .parquet or .duckdb file."),
        ("x.csv", b"", "x.csv cannot be read as csv (No columns to parse from file): give another file."),
        ("x.csv", "clinic\n".encode("utf-16"), "x.csv is no text in UTF-8: save it as CSV UTF-8."),
        ("x.csv", b"clinic\nZo\xeb\n", "x.csv is no text in UTF-8: save it as CSV UTF-8."),
        (
            "x.csv",
            b"clinic;net $\n007;5\n",
            "the columns are clinic;net $: save it with commas in place of",
        ),
        ("x.csv", b"clinic,clinic\n1,2\n", "x.csv has two columns 'clinic': rename one."),
        ("x.csv", b"clinic,a\n007,1,5\n", "x.csv has more values in its first row than names of columns"),
        ("x.csv", b"clinic,a\n007,1\n008,1,5\n", "x.csv cannot be read as csv (Error tokenizing data"),
        ("x.parquet", b"no parquet", "x.parquet cannot be read as parquet ("),
        ("x.duckdb", b"no database" * 999, "x.duckdb cannot be read as a database ("),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_a_sentence(tmp_path, name, content, sentence):
    data = OwnData(str(tmp_path / name))
    if content is not None:
        data.path.write_bytes(content)
    with pytest.raises(OwnDataError) as refused:
        data.load(["clinic"])
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_database_needs_a_table_and_names_those_it_has(tmp_path):
    path = str(tmp_path / "x.duckdb")
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE clinics AS SELECT 1 AS a")
        connection.execute("CREATE SCHEMA bc")
        connection.execute("CREATE VIEW bc.visits AS SELECT 2 AS b")
    assert OwnData(path, "bc.visits").columns() == ["b"]
    with pytest.raises(OwnDataError, match=r"is a database: name a table by --table; it has bc\.visits, clinics\.$"):
        OwnData(path).columns()
    with pytest.raises(OwnDataError, match=r"x\.duckdb has no table 'clinic': it has bc\.visits, clinics\.$"):
        OwnData(path, "clinic").columns()
    with pytest.raises(OwnDataError, match=r"has no table 'a; DROP TABLE clinics': it has"):
        OwnData(path, "a; DROP TABLE clinics").columns()
    (tmp_path / "y.csv").write_text("a\n1\n")
    with pytest.raises(OwnDataError, match=r"y\.csv is no database and has no table 't': leave the table away\.$"):
        OwnData(str(tmp_path / "y.csv"), "t").columns()
