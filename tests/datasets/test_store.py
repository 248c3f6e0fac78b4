"""Files on disk: changed ones are found, and the user's folder is where the platform keeps data."""

import gzip
import shutil
from pathlib import Path

import pandas as pd
import pytest

from apmkit import datasets
from apmkit.datasets import store


@pytest.fixture
def own_files(tmp_path, monkeypatch):
    """A copy of the shipped files that a test may damage."""
    folder = tmp_path / "files"
    shutil.copytree(store.SHIPPED, folder)
    monkeypatch.setattr(store, "SHIPPED", folder)
    return folder


def test_a_changed_shipped_file_is_found_by_its_checksum(own_files):
    path = own_files / "statcan_unmet_need_province_2018_2024.csv.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace(b"4.4", b"4.5", 1)))
    with pytest.raises(
        datasets.DataError, match=r"does not match its SHA-256 in the registry; reinstall apmkit .*git checkout"
    ):
        datasets.load("unmet_need")
    assert "does not match" in datasets.check("unmet_need")["checksum"].iloc[0]


def test_a_truncated_shipped_file_is_found(own_files):
    path = own_files / "mssp_py2018.csv.gz"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(datasets.DataError, match=r"^mssp_py2018\.csv\.gz is truncated or not a gzip file"):
        datasets.load("mssp")


def test_a_damaged_crosswalk_is_told_in_its_row_and_leaves_the_years_unchecked(own_files):
    path = own_files / "ssp_aco_id_crosswalk.xlsx"
    path.write_bytes(path.read_bytes()[:5000])
    table = datasets.check("mssp").set_index("file")
    assert "does not match its SHA-256" in table.loc[path.name, "checksum"]
    assert (table["checksum"].drop(path.name) == "ok").all()
    assert table["invariants"].drop(path.name).unique().tolist() == [
        "not checked: a file that belongs to it is damaged"
    ]


def test_a_shipped_file_that_is_gone_is_named(own_files):
    (own_files / "gv_state_2014_2024.csv.gz").unlink()
    with pytest.raises(datasets.DataError, match=r"'gv_state' lacks gv_state_2014_2024\.csv\.gz.*reinstall apmkit"):
        datasets.load("gv_state")


@pytest.mark.parametrize("name", ["notes.csv", "2024.csv", "added.csv", f"20245.{'0' * 64}.csv", "added.x.csv"])
def test_a_file_that_apmkit_did_not_put_into_the_users_folder_is_named_and_not_read(user_folder, name):
    expected = datasets.checksum("unmet_need")
    (user_folder / "unmet_need").mkdir(parents=True)
    (user_folder / "unmet_need" / name).write_text("Year,AB\n2025,1\n")
    with pytest.warns(UserWarning, match=rf"{name} is not read: .* 'apmkit datasets add unmet_need FILE' or move it"):
        assert datasets.load("unmet_need")["year"].max() == 2024
    with pytest.warns(UserWarning, match="is not read"):
        assert datasets.checksum("unmet_need") == expected


def test_the_checksum_follows_content():
    assert datasets.checksum("gv_state") == datasets.checksum("gv_state")
    assert len({datasets.checksum(name) for name in datasets.names()}) == len(datasets.names())


@pytest.mark.parametrize(
    ("platform", "variable", "value", "expected"),
    [
        ("linux", "XDG_DATA_HOME", "/data", "/data/apmkit"),
        ("linux", None, None, "/home/me/.local/share/apmkit"),
        ("darwin", None, None, "/home/me/Library/Application Support/apmkit"),
        ("win32", "LOCALAPPDATA", "/local", "/local/apmkit"),
        ("linux", "APMKIT_DATA", "/chosen", "/chosen"),
    ],
)
def test_the_users_folder_is_the_platforms(monkeypatch, platform, variable, value, expected):
    for name in ("APMKIT_DATA", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(store.sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: Path("/home/me"))
    if variable:
        monkeypatch.setenv(variable, value)
    assert datasets.user_data_folder() == Path(expected)


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("APMKIT_DATA", str(tmp_path / "file"))
    path = tmp_path / "unmet.csv"
    path.write_text("Year,AB,BC,MB,NB,NL,NS,ON,PE,QC,SK\n2025,8,9,8,9,10,9,8,9,8,7\n")
    with pytest.raises(datasets.DataError, match=r"cannot be written: "):
        datasets.add("unmet_need", path)


@pytest.mark.parametrize(("name", "year"), [("mssp", 2023), ("gv_state", 2024), ("npdb_payments", 2010)])
def test_a_withheld_year_is_gone_from_rows_years_and_checksum_until_the_block_ends(name, year):
    whole, checksum = datasets.load(name), datasets.checksum(name)
    (column, *_) = [entry.column for entry in datasets.describe(name).codebook if entry.unit == "year"]
    with datasets.withheld(name, year):
        part = datasets.load(name)
        assert len(part) == (whole[column] != year).sum() < len(whole)
        assert year not in set(part[column]) | set(datasets.years(name))
        assert datasets.checksum(name) != checksum
    assert datasets.checksum(name) == checksum
    pd.testing.assert_frame_equal(datasets.load(name), whole)


def test_a_year_that_is_not_there_cannot_be_withheld():
    with (
        pytest.raises(datasets.DataError, match="mssp holds no 2031, only 2013 to 2023"),
        datasets.withheld("mssp", 2031),
    ):
        pass
