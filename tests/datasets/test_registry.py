import fnmatch
import gzip
import hashlib
import tomllib
from pathlib import Path

import pandas as pd
import pytest

from apmkit import datasets
from apmkit.datasets.catalogue import read_record
from apmkit.datasets.store import SHIPPED
from apmkit.datasets.tables import read_csv

ROOT = Path(__file__).parents[2]
NAMES = [
    "gv_county",
    "gv_state",
    "life_expectancy",
    "metro_hospitalisation",
    "mssp",
    "mssp_county_assignment",
    "nhex",
    "npdb_payments",
    "physicians",
    "population",
    "price_levels",
    "published_effects",
    "published_effects_second_reading",
    "unmet_need",
]
FILES = [(name, file) for name in NAMES for file in datasets.describe(name).files]


def test_the_registry_holds_these_data_sets():
    assert datasets.names() == NAMES


def test_a_wrong_name_is_refused_with_the_names_there_are():
    with pytest.raises(datasets.DataError, match=r"^There is no data set 'msp'; choose one of gv_county, .*\.$"):
        datasets.describe("msp")


@pytest.mark.parametrize(("name", "file"), FILES, ids=[file.name for _, file in FILES])
def test_shipped_files_are_the_published_ones(name, file):
    data = (SHIPPED / file.name).read_bytes()
    content = gzip.decompress(data) if file.name.endswith(".gz") else data
    assert hashlib.sha256(content).hexdigest() == file.sha256
    if file.name.endswith(".gz"):
        assert data[4:8] == bytes(4), "the time in the gzip header must be 0, so that the file is reproducible"
        assert len(read_csv(content, file.name)) == file.rows


def test_no_file_is_shipped_that_the_registry_does_not_name():
    assert {path.name for path in SHIPPED.iterdir()} == {file.name for _, file in FILES}


@pytest.mark.parametrize("name", NAMES)
def test_the_codebook_is_the_frame(name):
    record = datasets.describe(name)
    frame = datasets.load(name)
    assert list(frame.columns) == record.columns
    assert not frame.duplicated(list(record.key)).any()
    assert frame.notna().any().all(), "every column holds values"
    for entry in record.codebook:
        if entry.within:
            low, high = entry.within
            assert frame[entry.column].dropna().between(low, high).all(), entry.column


@pytest.mark.parametrize("name", [name for name in NAMES if name != "mssp"])
def test_the_layout_is_the_header_of_the_published_file(name):
    record = datasets.describe(name)
    content = gzip.decompress((SHIPPED / record.files[0].name).read_bytes())
    assert tuple(read_csv(content, name).columns) == record.layout
    assert record.period_column in record.layout


@pytest.mark.parametrize("name", ["gv_state", "physicians"])
def test_frames_are_fresh_copies(name):
    first = datasets.load(name)
    expected = first.copy()
    first.iloc[:, 0] = first.iloc[0, 0]
    pd.testing.assert_frame_equal(datasets.load(name), expected)


def test_every_file_is_licensed_and_its_notice_printed():
    text = (ROOT / "DATA_LICENSES.md").read_text(encoding="utf-8")
    for name in NAMES:
        record = datasets.describe(name)
        assert record.licence in text
        assert record.attribution in text
        for file in record.files:
            assert f"`{file.name}`" in text


def test_the_wheel_leaves_out_exactly_the_files_under_cihis_notice():
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = config["tool"]["hatch"]["build"]["exclude"]
    for name, file in FILES:
        left_out = any(fnmatch.fnmatch(f"apmkit/datasets/files/{file.name}", pattern) for pattern in patterns)
        assert left_out == ("CIHI" in datasets.describe(name).publisher), file.name


def test_data_sets_left_out_of_the_wheel_say_how_to_get_them():
    for name in NAMES:
        record = datasets.describe(name)
        assert bool(record.how_to_get) == ("CIHI" in record.publisher)


def test_an_unknown_key_in_a_registry_file_is_refused(tmp_path):
    text = (ROOT / "apmkit/datasets/registry/unmet_need.yml").read_text(encoding="utf-8")
    path = tmp_path / "unmet_need.yml"
    path.write_text(text + "colour: blue\n", encoding="utf-8")
    with pytest.raises(datasets.DataError, match=r"unmet_need\.yml is wrong at 'colour': Extra inputs"):
        read_record(path)


def test_a_registry_file_that_is_no_yaml_is_refused_in_one_sentence(tmp_path):
    path = tmp_path / "unmet_need.yml"
    path.write_text("name: unmet_need\ntitle: [broken\n", encoding="utf-8")
    with pytest.raises(
        datasets.DataError, match=r"^Registry file unmet_need\.yml, line \d+: this is not YAML [^\n]+\.$"
    ):
        read_record(path)


def test_records_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        datasets.describe("mssp").title = "other"


def test_check_finds_every_file_in_order():
    table = datasets.check()
    assert sorted(table["file"]) == sorted(file.name for _, file in FILES)
    assert (table["checksum"] == "ok").all()
    assert (table["invariants"] == "ok").all()
    assert (table["rows"] > 0).all()
