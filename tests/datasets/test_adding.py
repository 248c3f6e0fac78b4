"""A newly published file becomes part of its data set, or is refused in one sentence that says why."""

import gzip
from datetime import date

import pandas as pd
import pytest

from apmkit import datasets
from apmkit.datasets.store import SHIPPED, read_shipped
from apmkit.datasets.tables import read_csv


@pytest.fixture(scope="session")
def py2023():
    file = next(file for file in datasets.describe("mssp").files if file.year == 2023)
    return read_csv(read_shipped(file).data, file.name)


@pytest.fixture
def py2024(py2023):
    """A file as CMS might publish it for 2024: the columns of 2023, other amounts."""
    table = py2023.copy()
    for column in ("ABtotBnchmk", "ABtotExp"):
        table[column] = (table[column].astype(float) + 1000).astype(int).astype(str)
    return table


@pytest.fixture
def write(tmp_path):
    def to_file(table, name):
        path = tmp_path / name
        table.to_csv(path, index=False)
        return path

    return to_file


@pytest.fixture
def refused(write):
    def message(name, table, filename="PY2024.csv", **options):
        with pytest.raises(datasets.DataError) as error:
            datasets.add(name, write(table, filename), **options)
        text = str(error.value)
        assert text.endswith(".")
        assert "\n" not in text
        assert not (datasets.user_data_folder() / name).exists(), "nothing may be copied"
        return text

    return message


def test_a_further_year_is_part_of_the_data_set_from_then_on(py2024, write, user_folder, mssp):
    before = datasets.checksum("mssp")
    path = datasets.add("mssp", write(py2024, "ACO results PY2024.csv"))
    assert path.parent == user_folder / "mssp"
    frame = datasets.load("mssp")
    assert (frame["year"] == 2024).sum() == 453
    pd.testing.assert_frame_equal(frame[frame["year"] < 2024], mssp)
    new, old = (frame[frame["year"] == year].set_index("aco_id") for year in (2024, 2023))
    assert (new["expenditures"] - old["expenditures"] == 1000).all()
    assert (new["savings_rate"] == old["savings_rate"]).all()
    assert datasets.checksum("mssp") != before
    added = datasets.check("mssp").query("origin == 'added'")
    assert added[["checksum", "rows", "years", "invariants"]].to_numpy().tolist() == [["ok", 453, "2024", "ok"]]


def test_the_year_can_be_given_and_compressed_files_are_read(py2024, tmp_path):
    path = tmp_path / "results.csv.gz"
    path.write_bytes(gzip.compress(py2024.to_csv(index=False).encode()))
    datasets.add("mssp", path, year=2024)
    assert datasets.load("mssp")["year"].max() == 2024


def test_a_name_without_a_year_is_refused(py2024, refused):
    text = refused("mssp", py2024, "results.csv")
    assert text == "results.csv was not added: Its name does not tell the year; give it with year= (--year)."


def test_a_year_out_of_the_programme_is_refused(py2024, refused):
    text = refused("mssp", py2024, "results.csv", year=2009)
    assert text == f"results.csv was not added: PY2009 is not a year from 2013 to {date.today().year}."
    assert "PY0 is not a year" in refused("mssp", py2024, "PY2024.csv", year=0)


def test_a_year_that_is_there_is_never_overwritten_silently(py2023, py2024, refused, write):
    text = refused("mssp", py2023, "PY2023.csv")
    assert "mssp already has PY2023; to put this file in its place, use replace=True (--replace)." in text
    datasets.add("mssp", write(py2024, "PY2024.csv"))
    with pytest.raises(datasets.DataError, match="already has PY2024"):
        datasets.add("mssp", write(py2024, "PY2024.csv"))


def test_a_shipped_year_can_be_replaced_on_request(py2024, write, mssp):
    datasets.add("mssp", write(py2024, "PY2023.csv"), replace=True)
    frame = datasets.load("mssp")
    assert len(frame) == len(mssp)
    change = frame.loc[frame["year"] == 2023, "benchmark"] - mssp.loc[mssp["year"] == 2023, "benchmark"]
    assert (change == 1000).all()


@pytest.mark.parametrize("year", range(2013, 2024))
def test_every_file_that_cms_published_is_accepted(year, tmp_path):
    file = next(file for file in datasets.describe("mssp").files if file.year == year)
    path = tmp_path / "as_published.csv"
    path.write_bytes(read_shipped(file).data)
    datasets.add("mssp", path, year=year, replace=True)


def test_replacing_an_added_year_leaves_one_file(py2024, write, user_folder):
    datasets.add("mssp", write(py2024, "PY2024.csv"))
    path = datasets.add("mssp", write(py2024.iloc[::-1], "PY2024.csv"), replace=True)
    assert list((user_folder / "mssp").iterdir()) == [path]


def test_missing_columns_are_named(py2024, refused):
    text = refused("mssp", py2024.drop(columns=["P_EDV_Vis", "QualScore"]))
    assert "It lacks 2 of the 12" in text
    assert "columns expected: QualScore, P_EDV_Vis; add the file as CMS published it." in text


def test_a_truncated_file_is_refused(py2024, tmp_path):
    path = tmp_path / "PY2024.csv"
    path.write_text(py2024.to_csv(index=False)[:200_000])
    with pytest.raises(datasets.DataError, match=r"truncated or damaged: row \d+ has \d+ fields, the header 168\.$"):
        datasets.add("mssp", path)


def test_a_field_that_never_ends_is_refused_in_one_sentence(tmp_path):
    path = tmp_path / "PY2024.csv"
    path.write_text('ACO_ID,ACO_Name\nA1001,"' + 20_000 * "A Name\n")
    with pytest.raises(datasets.DataError) as error:
        datasets.add("mssp", path)
    assert str(error.value) == (
        "PY2024.csv was not added: It is not a CSV table: field larger than field limit (131072)."
    )


def test_a_file_cut_between_rows_is_refused(py2024, refused):
    assert "It has 100 rows a year where 475 are usual" in refused("mssp", py2024.iloc[:100])
    assert "It has 300 rows a year where 475 are usual" in refused("mssp", py2024.iloc[:300])


def test_replacing_a_year_by_fewer_rows_says_so(py2024, write):
    with pytest.warns(UserWarning, match=r"^PY2023\.csv replaces 453 rows by 400\.$"):
        datasets.add("mssp", write(py2024.iloc[:400], "PY2023.csv"), replace=True)
    with pytest.warns(UserWarning, match=r"^PY2023\.csv replaces 400 rows by 390\.$"):
        datasets.add("mssp", write(py2024.iloc[:390], "PY2023.csv"), replace=True)
    with pytest.raises(
        datasets.DataError, match=r"It has 300 rows a year \(it would replace 390\) where 453 are usual"
    ):
        datasets.add("mssp", write(py2024.iloc[:300], "PY2023.csv"), replace=True)


def test_a_rate_in_another_unit_is_refused(py2024, refused):
    py2024.loc[3, "QualScore"] = "8991%"
    text = refused("mssp", py2024)
    assert "Column 'quality_score' (QualScore) holds 89.91, outside 0 to 1 fraction; check the file's units." in text


def test_an_amount_in_another_unit_is_refused(py2024, refused):
    py2024["ABtotExp"] = (py2024["ABtotExp"].astype(float) / 1000).astype(str)
    assert "In 453 of 453 rows BnchmkMinExp is not ABtotBnchmk - ABtotExp within $1.50" in refused("mssp", py2024)


@pytest.mark.parametrize(
    ("columns", "factor"),
    [
        (["Per_Capita_Exp_TOTAL_PY"], 1 / 12),
        (["ABtotBnchmk", "ABtotExp", "BnchmkMinExp", "GenSaveLoss"], 1e-3),
        (["ABtotBnchmk", "ABtotExp", "BnchmkMinExp", "GenSaveLoss"], 1e-6),
    ],
)
def test_totals_that_are_not_person_years_times_spending_are_refused(py2024, refused, columns, factor):
    for column in columns:
        py2024[column] = (py2024[column].str.replace(",", "").astype(float) * factor).astype(str)
    assert "In 453 of 453 rows ABtotExp is not N_AB_Year_PY x Per_Capita_Exp_TOTAL_PY" in refused("mssp", py2024)


@pytest.mark.parametrize(
    ("source", "column", "factor"),
    [("P_EDV_Vis", "ed_visits_per_1000", 1e-3), ("CapAnn_SNF", "snf_spending", 1 / 12)],
)
def test_a_column_whose_median_jumps_is_refused(py2024, refused, source, column, factor):
    values = pd.to_numeric(py2024[source].str.replace(r"[$,]", "", regex=True), errors="coerce")
    py2024[source] = (values * factor).astype(str).replace("nan", "*")
    text = refused("mssp", py2024)
    assert f"Column '{column}' ({source}) has the median" in text
    assert text.endswith("check the file's units.")


@pytest.mark.parametrize("mark", ["", "*"])
@pytest.mark.parametrize(
    ("source", "column"),
    [("P_EDV_Vis", "ed_visits_per_1000"), ("N_AB", "beneficiaries"), ("QualScore", "quality_score")],
)
def test_a_blank_column_is_refused(py2024, refused, source, column, mark):
    text = refused("mssp", py2024.assign(**{source: mark}))
    assert f"Column '{column}' ({source}) is empty in 100% of the rows" in text


@pytest.mark.parametrize("source", ["Per_Capita_Exp_TOTAL_PY", "ABtotExp", "ABtotBnchmk", "N_AB_Year_PY"])
def test_a_blank_column_of_the_accounts_is_refused(py2024, refused, source):
    assert "In 453 of 453 rows " in refused("mssp", py2024.assign(**{source: "*"}))


def test_percents_with_and_without_the_sign_in_one_column_are_read_value_by_value(py2024, write, mssp):
    percent = py2024["QualScore"].str.rstrip("%").astype(float)
    mixed = (percent / 100).astype(str).where(py2024.index % 2 == 0, py2024["QualScore"])
    datasets.add("mssp", write(py2024.assign(QualScore=mixed), "PY2024.csv"))
    new = datasets.load("mssp").query("year == 2024").set_index("aco_id")["quality_score"]
    assert new.to_numpy() == pytest.approx(mssp.query("year == 2023").set_index("aco_id")["quality_score"][new.index])


def test_text_in_a_number_column_is_refused(py2024, refused):
    py2024.loc[5, "P_EDV_Vis"] = "many"
    assert "Column 'P_EDV_Vis' holds 'many', which is not a number; write one or leave it blank." in refused(
        "mssp", py2024
    )


def test_a_doubled_aco_is_refused(py2024, refused):
    doubled = pd.concat([py2024, py2024.iloc[[7]]])
    aco = py2024["ACO_ID"].iloc[7]
    assert f"mssp has two rows for year 2024, aco_id {aco}; keep one." in refused("mssp", doubled)


def test_savings_that_contradict_the_minimum_savings_rate_are_refused(py2024, refused):
    generated = py2024["GenSaveLoss"].astype(float) > 0
    high = py2024["Rev_Exp_Cat"] == "High Revenue"
    row = py2024.index[generated & high][0]
    py2024.loc[row, "GenSaveLoss"] = "0"
    assert "In 1 of 453 rows GenSaveLoss is above 0 without the savings rate" in refused("mssp", py2024)


def test_low_revenue_basic_acos_may_share_below_the_minimum_from_2024_on(py2024, write):
    basic = py2024["Current_Track"].isin(list("ABCDE")) & (py2024["Rev_Exp_Cat"] == "Low Revenue")
    below = basic & (py2024["GenSaveLoss"] == "0") & (py2024["BnchmkMinExp"].astype(float) > 0)
    py2024.loc[below, "GenSaveLoss"] = py2024.loc[below, "BnchmkMinExp"]
    assert below.any()
    datasets.add("mssp", write(py2024, "PY2024.csv"))


def test_a_track_that_contradicts_the_risk_model_is_refused(py2024, refused):
    py2024.loc[0, "Risk_Model"] = "One-Sided"
    assert "A1001 has a Risk_Model that its track rules out." in refused("mssp", py2024)


def test_a_blank_track_is_refused(py2024, refused):
    py2024.loc[[0, 1], "Current_Track"] = ""
    assert "Column 'Current_Track' is blank in 2 rows; known are A, B, C, D, E, EN." in refused("mssp", py2024)


def test_a_flag_other_than_0_and_1_is_refused_with_its_value(py2024, refused):
    py2024.loc[0, "SNF_Waiver"] = "2"
    assert "Column 'SNF_Waiver' holds '2'; it takes 0 and 1 only." in refused("mssp", py2024)


def test_an_unknown_track_is_refused(py2024, refused):
    py2024.loc[0, "Current_Track"] = "F"
    assert "Column 'Current_Track' holds 'F'; known are A, B, C, D, E, EN." in refused("mssp", py2024)


def test_an_identifier_that_is_none_is_refused(py2024, refused):
    py2024.loc[0, "ACO_ID"] = "X1"
    text = refused("mssp", py2024)
    assert "Column 'ACO_ID' holds 'X1' in row 2 of PY2024, no ACO identifier" in text


def test_a_footnote_is_refused_with_its_row(py2024, refused):
    footnote = pd.DataFrame([["Suppressed cells are marked *"] + [""] * (py2024.shape[1] - 1)], columns=py2024.columns)
    text = refused("mssp", pd.concat([py2024, footnote]))
    assert "holds 'Suppressed cells are marked *' in row 455 of PY2024" in text
    assert "delete footnotes and totals." in text


def test_blank_rows_blanks_round_identifiers_row_numbers_and_accountants_negatives_are_read(py2024, write):
    loss = py2024.index[py2024["BnchmkMinExp"].astype(float) < 0][0]
    expected = float(py2024.loc[loss, "BnchmkMinExp"])
    py2024["BnchmkMinExp"] = [f"({v[1:]})" if v.startswith("-") else v for v in py2024["BnchmkMinExp"]]
    py2024["ACO_ID"] = " " + py2024["ACO_ID"]
    path = write(py2024, "PY2024.csv")
    lines = path.read_text().splitlines()
    numbered = ["," + lines[0], *(f"{number},{line}" for number, line in enumerate(lines[1:]))]
    path.write_text("\n".join([*numbered, "," * py2024.shape[1]]) + "\n")
    datasets.add("mssp", path)
    frame = datasets.load("mssp").query("year == 2024").set_index("aco_id")
    assert len(frame) == 453
    assert frame.loc[py2024.loc[loss, "ACO_ID"].strip(), "benchmark_minus_expenditures"] == expected


def test_an_identifier_outside_the_crosswalk_is_refused(py2024, refused):
    py2024.loc[0, "ACO_ID"] = "A00000"
    assert "ACO A00000 is not in the CMS crosswalk of identifiers." in refused("mssp", py2024)


def test_a_date_that_is_none_is_refused(py2024, refused):
    py2024.loc[0, "Current_Start_Date"] = "soon"
    assert "Column 'Current_Start_Date' holds 'soon', which is not a date." in refused("mssp", py2024)


def test_the_file_of_another_year_is_refused(py2023, refused):
    assert "It repeats the expenditures of PY2023; check the year." in refused("mssp", py2023)


def test_a_file_that_is_no_table_is_refused(tmp_path):
    path = tmp_path / "PY2024.csv"
    path.write_text("<html>")
    with pytest.raises(datasets.DataError, match="not a CSV table with a header and rows"):
        datasets.add("mssp", path)
    path.write_bytes(b"a,b\n\0\0,\0\n")
    with pytest.raises(datasets.DataError, match="not a CSV table with a header and rows"):
        datasets.add("mssp", path)


def test_a_broken_gzip_file_is_refused(tmp_path):
    path = tmp_path / "PY2024.csv.gz"
    path.write_bytes((SHIPPED / "mssp_py2023.csv.gz").read_bytes()[:9000])
    with pytest.raises(datasets.DataError, match="truncated or not a gzip file; get a fresh copy"):
        datasets.add("mssp", path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(datasets.DataError, match=r"There is no file .*PY2024\.csv\."):
        datasets.add("mssp", tmp_path / "PY2024.csv")


def test_another_kind_of_file_is_refused(tmp_path):
    path = tmp_path / "PY2024.pdf"
    path.write_bytes(b"%PDF")
    with pytest.raises(datasets.DataError, match=r"PY2024\.pdf was not added: It is not a \.csv or \.csv\.gz file"):
        datasets.add("mssp", path)


def test_a_repeated_column_is_refused(tmp_path):
    path = tmp_path / "u.csv"
    path.write_text("Year,AB,AB\n2025,1,2\n")
    with pytest.raises(datasets.DataError, match="has the column 'AB' twice"):
        datasets.add("unmet_need", path)


def test_a_changed_added_file_is_found(py2024, write):
    path = datasets.add("mssp", write(py2024, "PY2024.csv"))
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(datasets.DataError, match="was changed or truncated after it was added"):
        datasets.load("mssp")
    assert "changed or truncated" in datasets.check("mssp").query("origin == 'added'")["checksum"].iloc[0]


@pytest.mark.parametrize("damage", [b"", b"aco_id\n"])
def test_a_damaged_added_year_is_mended_by_adding_it_again(py2024, write, damage):
    file = write(py2024, "PY2024.csv")
    path = datasets.add("mssp", file)
    path.write_bytes(damage)
    assert datasets.add("mssp", file, replace=True) == path
    assert datasets.load("mssp")["year"].max() == 2024


def test_a_damaged_added_table_is_mended_by_adding_it_again(tmp_path):
    file = tmp_path / "unmet.csv"
    file.write_text(UNMET_2025.format(8))
    path = datasets.add("unmet_need", file)
    path.write_bytes(b"")
    with pytest.raises(datasets.DataError, match="was changed or truncated after it was added"):
        datasets.add("unmet_need", file)
    with pytest.warns(UserWarning, match="It is left out, with every year that only it held"):
        datasets.add("unmet_need", file, replace=True)
    assert datasets.load("unmet_need")["year"].max() == 2025


def test_an_added_file_has_the_mode_that_new_files_have(tmp_path):
    file = tmp_path / "unmet.csv"
    file.write_text(UNMET_2025.format(8))
    assert datasets.add("unmet_need", file).stat().st_mode == file.stat().st_mode


def test_two_added_files_of_one_year_are_refused(py2024, write):
    path = datasets.add("mssp", write(py2024, "PY2024.csv"))
    (path.parent / f"2024.{'0' * 64}.csv").write_text("x")
    with pytest.raises(datasets.DataError, match="Two added files hold the same years of mssp; delete"):
        datasets.load("mssp")


UNMET_2025 = "Year,AB,BC,MB,NB,NL,NS,ON,PE,QC,SK\n2025,8,9,8,9,10,9,8,9,8,{}\n"


def test_a_table_is_extended_and_replaced_by_year(tmp_path):
    path = tmp_path / "unmet.csv"
    path.write_text(UNMET_2025.format(8))
    datasets.add("unmet_need", path)
    frame = datasets.load("unmet_need")
    assert frame["year"].max() == 2025
    assert datasets.years("unmet_need") == list(range(2018, 2026))
    assert len(frame) == 80
    with pytest.raises(datasets.DataError, match="unmet_need already has 2025; to put this file in its place"):
        datasets.add("unmet_need", path)
    path.write_text(UNMET_2025.format(7).replace("2025", "2024") + UNMET_2025.format(6).splitlines()[1] + "\n")
    datasets.add("unmet_need", path, replace=True)
    frame = datasets.load("unmet_need").query("province == 'SK'").set_index("year")["unmet_need"]
    assert frame.loc[[2024, 2025]].tolist() == pytest.approx([0.07, 0.06])
    assert frame.size == 8


def test_a_table_in_another_layout_is_refused(tmp_path):
    path = tmp_path / "unmet.csv"
    path.write_text("Year,AB\n2025,8\n")
    with pytest.raises(datasets.DataError, match=r"lacks 'BC', 'MB', .*; the columns of unmet_need are Year, AB, BC"):
        datasets.add("unmet_need", path)


def test_a_share_in_another_unit_is_refused(tmp_path):
    path = tmp_path / "unmet.csv"
    path.write_text(UNMET_2025.format(800))
    with pytest.raises(datasets.DataError, match=r"Column 'unmet_need' .* holds 8, outside 0 to 1 fraction"):
        datasets.add("unmet_need", path)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("fiscal_year_start", "2042", "It holds the year 2042, which has not begun; check column 'fiscal_year_start'"),
        ("fiscal_year_start", "2024", "fiscal_year does not begin in fiscal_year_start"),
    ],
)
def test_a_fiscal_year_that_cannot_be_is_refused(tmp_path, column, value, message):
    file = datasets.describe("npdb_payments").files[0]
    table = read_csv(read_shipped(file).data, file.name).query("fiscal_year == '2023-2024'").assign(**{column: value})
    if value == "2042":
        table["fiscal_year"] = "2042-2043"
    path = tmp_path / "npdb.csv"
    table.to_csv(path, index=False)
    with pytest.raises(datasets.DataError, match=message):
        datasets.add("npdb_payments", path)


def test_a_table_takes_no_year(tmp_path):
    path = tmp_path / "unmet.csv"
    path.write_text(UNMET_2025.format(8))
    with pytest.raises(datasets.DataError, match="unmet_need has its years in column 'Year'; leave year out"):
        datasets.add("unmet_need", path, year=2025)


@pytest.fixture
def without_cihi(monkeypatch, tmp_path):
    """The installed package: CIHI's tables are not there."""
    folder = tmp_path / "files"
    folder.mkdir()
    for path in SHIPPED.iterdir():
        if not path.name.startswith("cihi_"):
            (folder / path.name).symlink_to(path)
    monkeypatch.setattr("apmkit.datasets.store.SHIPPED", folder)


@pytest.mark.parametrize("name", ["npdb_payments", "nhex", "physicians", "metro_hospitalisation"])
def test_without_cihis_table_load_says_how_to_get_it_and_a_workbook_does(without_cihi, name, tmp_path):
    with pytest.raises(
        datasets.DataError, match=rf"download .* from https://www\.cihi\.ca.* datasets add {name} FILE\.$"
    ):
        datasets.load(name)
    assert "not part of this installation" in datasets.check(name)["checksum"].iloc[0]
    file = datasets.describe(name).files[0]
    table = read_csv(gzip.decompress((SHIPPED / file.name).read_bytes()), file.name)
    path = tmp_path / "table.xlsx"
    with pd.ExcelWriter(path) as book:
        pd.DataFrame({"Notes": ["A cover sheet."]}).to_excel(book, sheet_name="Notes", index=False)
        table.to_excel(book, sheet_name="Table", index=False)
    datasets.add(name, path)
    frame = datasets.load(name)
    assert len(frame) == file.rows
    assert list(frame.columns) == datasets.describe(name).columns


def test_a_workbook_without_the_table_is_refused(tmp_path):
    path = tmp_path / "table.xlsx"
    pd.DataFrame({"Notes": ["A cover sheet."]}).to_excel(path, index=False)
    with pytest.raises(datasets.DataError, match=r"No sheet of table\.xlsx has the columns province, year, status"):
        datasets.add("nhex", path)
    path.write_bytes(b"PK")
    with pytest.raises(datasets.DataError, match=r"table\.xlsx was not added: It cannot be read as a workbook"):
        datasets.add("nhex", path)


def test_sums_that_do_not_add_up_are_refused(tmp_path):
    file = datasets.describe("npdb_payments").files[0]
    table = read_csv(read_shipped(file).data, file.name)
    table.loc[table["prov"] == "BC", "total_k"] = "1"
    path = tmp_path / "npdb.csv"
    table.to_csv(path, index=False)
    with pytest.raises(datasets.DataError, match="fee-for-service and alternative payments do not add up to the total"):
        datasets.add("npdb_payments", path, replace=True)
