"""YAML is read as people mean it, or refused with file and line."""

import pytest

from apmkit.strict_yaml import Mapping, YamlError, read


def written(tmp_path, text):
    path = tmp_path / "file.yml"
    path.write_text(text, encoding="utf-8")
    return path


def test_texts_numbers_truth_values_null_lists_and_days_are_read_as_they_stand(tmp_path):
    text = "a: 1\nb: -2.5\nc: [x, 'ON', true]\n2020-01-01: 2019-07-01\nd: {e: null}\nf: '1e5'\n"
    assert read(written(tmp_path, text)) == {
        "a": 1,
        "b": -2.5,
        "c": ["x", "ON", True],
        "2020-01-01": "2019-07-01",
        "d": {"e": None},
        "f": "1e5",
    }


def test_a_mapping_knows_its_lines(tmp_path):
    top = read(written(tmp_path, "# a comment\na: 1\nb:\n  c: 2\n"))
    assert isinstance(top["b"], Mapping)
    assert (top.lines, top["b"].lines, top["b"].line) == ({"a": 2, "b": 3}, {"c": 4}, 4)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: 1\nprovince: ON", "line 2: YAML reads ON as a truth value; put it in quotes"),
        ("a: 1\nNO: 2", "line 2: YAML reads the name NO as a truth value"),
        ("a: yes", "line 1: YAML reads yes as a truth value"),
        ("a: &x 1\nb: *x", "line 1: anchors and aliases are not read"),
        ("a: &x [1]", "line 1: anchors and aliases are not read"),
        ("<<: {a: 1}", "line 1: merge keys"),
        ("a: 1\nb: 2\na: 3", "line 3: a is given twice"),
        ("a: {b: 1, b: 2}", "line 1: b is given twice"),
        ("a: 010", "line 1: write the number 010 in plain digits"),
        ("a: 1:30", "line 1: write the number 1:30 in plain digits"),
        ("a: 1_000", "line 1: write the number 1_000 in plain digits"),
        ("a: 0x1F", "line 1: write the number 0x1F in plain digits"),
        ("a: .inf", "line 1: write the number .inf in plain digits"),
        ("a: .nan", "line 1: write the number .nan in plain digits"),
        ("a: 1e5", "line 1: write the number 1e5 in plain digits"),
        ("a: ~", "line 1: write a value or null"),
        ("a:\nb: 1", "line 1: write a value or null; an empty place is neither"),
        ("a: 2020-01-01T10:00:00", "line 1: write the day 2020-01-01T10:00:00 as YYYY-MM-DD"),
        ("a: !!python/object/apply:os.system [x]", "line 1: tags such as"),
        ("a: !mine x", "line 1: tags such as !mine are not read"),
        ("? [1]\n: 2", "line 1: a name must be one word"),
        ("a: [1", "line 1: this is not YAML"),
        ("a: 1\n---\nb: 1", "line 2: this is not YAML"),
        ("a: \x00", "file.yml is not YAML"),
        ("- 1", "file.yml must hold names with values"),
        ("", "file.yml must hold names with values"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused_with_its_line(tmp_path, text, sentence):
    with pytest.raises(YamlError) as caught:
        read(written(tmp_path, text))
    assert sentence in str(caught.value)
    assert str(caught.value).startswith("file.yml")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_absent_a_folder_or_not_text_is_refused(tmp_path):
    binary = tmp_path / "binary.yml"
    binary.write_bytes(b"a: \xff\xfe")
    for path, sentence in (
        (tmp_path / "none.yml", "No such file"),
        (tmp_path, "Is a directory"),
        (binary, "not UTF-8 text"),
    ):
        with pytest.raises(YamlError, match=sentence):
            read(path)


def test_a_file_nested_without_end_is_refused(tmp_path):
    with pytest.raises(YamlError, match="nested too deeply"):
        read(written(tmp_path, "a: " + "[" * 2_000 + "]" * 2_000))
