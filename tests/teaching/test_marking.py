"""Marks are right, say what is wrong without the answer, and what cannot be used is refused in one sentence."""

import json

import pandas as pd
import pytest
from click.testing import CliRunner

from apmkit import teaching
from apmkit.cli import main

NAME = "minimum_savings"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    teaching.make_secret("secret.txt")
    (tmp_path / "students.csv").write_text("student\nAnna\nBen\nNA\nZoë\n", encoding="utf-8")
    return tmp_path


@pytest.fixture
def key(folder):
    return teaching.key(teaching.read_secret("secret.txt"), [teaching.exercise(NAME)], ["anna", "Ben", "NA", "Zoë"])


def apmkit(*arguments):
    return CliRunner().invoke(main, list(arguments))


def refusal(*arguments):
    result = apmkit(*arguments)
    assert result.exit_code == 2, result.output
    assert result.output.startswith("Error: ")
    assert result.output.count("\n") == 1
    assert "Traceback" not in result.output
    return result.output


def test_from_the_sheet_to_the_mark(folder, key):
    made = apmkit("exercises", "make", NAME, "--students", "students.csv", "--secret-file", "secret.txt")
    assert made.exit_code == 0, made.output
    assert len(list((folder / "sheets").iterdir())) == 4
    wrote = apmkit(
        "exercises", "key", NAME, "--students", "students.csv", "--secret-file", "secret.txt", "--out", "k.csv"
    )
    assert wrote.exit_code == 0, wrote.output
    pd.testing.assert_frame_equal(pd.read_csv("k.csv", keep_default_na=False), key)
    assert key["student"].tolist() == ["anna", "ben", "na", "zoë"]
    assert key["answer"].nunique() == 4
    for row in key.itertuples():
        assert (folder / "sheets" / f"{NAME}-{row.student}-{row.sheet}.md").is_file()
        marked = apmkit(
            "check", NAME, "--student", row.student, "--secret-file", "secret.txt", "--answer", f"{row.answer:.6g}"
        )
        assert marked.output == f"{row.student}, {NAME}: right; within 0.2% of the answer.\n"
        assert json.loads(row.parameters)["beneficiaries"] >= 5000


@pytest.mark.parametrize(
    ("off", "verdict"), [(0.0019, "right"), (0.0021, "wrong"), (-0.0019, "right"), (-0.0021, "wrong")]
)
def test_an_answer_is_right_within_the_tolerance(folder, key, off, verdict):
    given = repr(float(key["answer"][0] * (1 + off)))
    assert teaching.mark(teaching.read_secret("secret.txt"), NAME, "anna", given).mark == verdict


def test_a_wrong_answer_is_told_by_its_mistake_and_not_by_the_answer(folder, key):
    answer = key["answer"][0]
    for given, remark in (
        (-answer, "the sign"),
        (100 * answer, "100 times too large"),
        (1.7 * answer, "no common mistake"),
    ):
        told = apmkit(
            "check", NAME, "--student", "anna", "--secret-file", "secret.txt", "--answer", repr(float(given))
        ).output
        assert "wrong" in told
        assert remark in told
        assert f"{answer:.4g}" not in told
    told = apmkit("check", NAME, "--student", "anna", "--secret-file", "secret.txt", "--answer", "1", "--show").output
    assert f"{answer:.8g}" in told


@pytest.mark.parametrize("name", [exercise.name for exercise in teaching.exercises()])
def test_each_common_mistake_is_recognised(folder, name):
    from apmkit.teaching.sheets import parameters_of

    secret, exercise = teaching.read_secret("secret.txt"), teaching.exercise(name)
    solution = exercise.solve(parameters_of(secret, exercise, "anna"))
    for words, value in solution.mistakes.items():
        if abs(value - solution.answer) > 2 * exercise.tolerance * abs(solution.answer):
            marked = teaching.mark(secret, name, "anna", repr(value))
            assert marked.mark == "wrong"
            assert marked.remark in solution.mistakes, words


def test_a_file_of_answers_is_marked_and_says_what_it_could_not_mark(folder, key):
    rows = [
        ("Anna", NAME, f"{key['answer'][0]:.6g}", key["sheet"][0]),
        ("Ben", NAME, "17", ""),
        ("NA", NAME, "1,234", key["sheet"][2]),
        ("Zoë", "no_such", "17", ""),
        ("Zoë", NAME, "17", key["sheet"][0]),
    ]
    pd.DataFrame(rows, columns=["student", "exercise", "answer", "sheet"]).to_csv("answers.csv", index=False)
    result = apmkit("check", "--answers", "answers.csv", "--secret-file", "secret.txt", "--out", "marks.csv")
    assert result.exit_code == 0, result.output
    marks = pd.read_csv("marks.csv", keep_default_na=False)
    assert marks["mark"].tolist() == ["right", "wrong", "not marked", "not marked", "not marked"]
    assert "is not a number" in marks["remark"][2]
    assert "There is no exercise 'no_such'" in marks["remark"][3]
    assert "is not that of Zoë" in marks["remark"][4]
    assert "answer" not in marks
    assert "1 right, 1 wrong, 3 not marked" in result.output


def test_another_secret_is_noticed_by_the_sheet_and_suspected_without_it(folder, key):
    teaching.make_secret("other.txt")
    told = refusal(
        "check", NAME, "--student", "anna", "--secret-file", "other.txt", "--answer", "1", "--sheet", key["sheet"][0]
    )
    assert "check the name, the code, and that the secret is the one that the sheets were made with" in told
    answers = key[["student", "exercise", "answer"]]
    answers.to_csv("answers.csv", index=False)
    result = apmkit("check", "--answers", "answers.csv", "--secret-file", "other.txt")
    assert "is this the secret that the sheets were made with?" in result.output


CHECK = ("check", NAME, "--student", "anna", "--secret-file")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((*CHECK, "secret.txt", "--answer", "many"), "The answer 'many' is not a number"),
        ((*CHECK, "secret.txt", "--answer", "nan"), "is not a number"),
        ((*CHECK, "secret.txt", "--answer", "1e999"), "is not a number"),
        ((*CHECK, "secret.txt", "--answer", "0,5"), "is not a number"),
        ((*CHECK, "secret.txt", "--answer", "１２"), "is not a number"),
        (
            (*CHECK, "none.txt", "--answer", "1"),
            "There is no secret file none.txt: apmkit exercises secret FILE makes one",
        ),
        ((*CHECK, "short.txt", "--answer", "1"), "must hold 32 to 4096 characters"),
        ((*CHECK, ".", "--answer", "1"), "cannot be read"),
        (("check", "minimum_saving", *CHECK[2:], "secret.txt", "--answer", "1"), "did you mean 'minimum_savings'?"),
        (("check", NAME, "--secret-file", "secret.txt", "--answer", "1"), "--student missing"),
        (("check", NAME, "--student", " ", "--secret-file", "secret.txt", "--answer", "1"), "has no name"),
        (("check", NAME, "--student", "=1+1", "--secret-file", "secret.txt", "--answer", "1"), "formula"),
        (("check", "--answers", "none.csv", "--secret-file", "secret.txt"), "There is no file none.csv"),
        (("check", "--answers", "students.csv", "--secret-file", "secret.txt"), "has no column exercise, answer"),
        (("check", NAME, "--answers", "students.csv", "--secret-file", "secret.txt"), "do not go together"),
        (("exercises", "make", NAME, "--secret-file", "secret.txt"), "either --student NAME or --students FILE"),
        (("exercises", "make", NAME, "--students", "twice.csv", "--secret-file", "secret.txt"), "line 3: ' anna' and"),
        (
            ("exercises", "make", NAME, "--students", "gap.csv", "--secret-file", "secret.txt"),
            "line 3: A student has no",
        ),
        (("exercises", "make", NAME, "--students", "empty.csv", "--secret-file", "secret.txt"), "has no rows"),
        (("exercises", "make", NAME, "--students", "latin.csv", "--secret-file", "secret.txt"), "in UTF-8"),
        (("exercises", "secret", "secret.txt"), "exists and is kept"),
        (("exercises", "secret", "checkout/secret.txt"), "is in the git repository"),
        ((*CHECK, "checkout/mine.txt", "--answer", "1"), "is in the git repository"),
        (
            ("exercises", "key", NAME, "--student", "anna", "--secret-file", "secret.txt", "--out", "checkout/k.csv"),
            "keep the key",
        ),
        (("exercises", "make"), "The exercises are minimum_savings"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence(folder, arguments, said):
    (folder / "checkout" / ".git").mkdir(parents=True)
    (folder / "checkout" / "mine.txt").write_text("x" * 40)
    (folder / "short.txt").write_text("password")
    (folder / "twice.csv").write_text("student\nAnna\n anna\n")
    (folder / "gap.csv").write_text('student,group\nAnna,1\n" ",2\n')
    (folder / "empty.csv").write_text("student\n")
    (folder / "latin.csv").write_bytes("student\nZoë\n".encode("latin-1"))
    secret = (folder / "secret.txt").read_text().strip()
    told = refusal(*arguments)
    assert said in told
    assert secret not in told


def test_a_secret_is_new_each_time_long_and_for_the_user_only(folder):
    first = teaching.read_secret("secret.txt")
    teaching.make_secret("second.txt")
    assert first != teaching.read_secret("second.txt")
    assert len(first) == 64
    assert (folder / "secret.txt").stat().st_mode & 0o077 == 0


def test_the_secret_is_in_nothing_that_is_written(folder, key):
    secret = (folder / "secret.txt").read_text().strip()
    apmkit("exercises", "make", "all", "--student", "anna", "--secret-file", "secret.txt", "--out", "out")
    key.to_csv("out/key.csv", index=False)
    for path in (folder / "out").iterdir():
        assert secret not in path.read_text(encoding="utf-8")
    assert len(list((folder / "out").iterdir())) == len(teaching.exercises()) + 3


def marks_of(folder, text):
    (folder / "answers.csv").write_text(text, encoding="utf-8")
    result = apmkit("check", "--answers", "answers.csv", "--secret-file", "secret.txt", "--out", "marks.csv")
    assert result.exit_code == 0, result.output
    return result.output, pd.read_csv("marks.csv", keep_default_na=False)


def test_nothing_that_a_student_writes_is_a_formula_in_the_marks_or_a_command_to_the_terminal(folder):
    rows = ['"=HYPERLINK(""x"")",=1+1,@SUM(1)', "\uff1dx,power,1", "\x1b[2Janna,\x1b]0;x\x07,\x1b[31m"]
    told, marks = marks_of(folder, "\n".join(["student,exercise,answer", *rows]))
    assert set(marks["mark"]) == {"not marked"}
    assert not marks.apply(lambda column: column.str.match("[=+@\uff1d-]")).any(axis=None)
    assert "\x1b" not in told
    assert "\x1b" not in (folder / "marks.csv").read_text(encoding="utf-8")


def test_who_hands_in_several_answers_to_an_exercise_gets_none_marked(folder, key):
    right = f"{key['answer'][0]:.6g}"
    told, marks = marks_of(folder, f"student,exercise,answer\nAnna,{NAME},1\n anna ,{NAME},{right}\nBen,{NAME},1\n")
    assert marks["mark"].tolist() == ["not marked", "not marked", "wrong"]
    assert "There are 2 answers of this student" in marks["remark"][0]
    assert "0 right" in told


def test_the_answer_of_a_neighbour_is_told(folder, key):
    copied = f"{key['answer'][0]:.4g}"
    _, marks = marks_of(folder, f"student,exercise,answer\nAnna,{NAME},{copied}\nBen,{NAME},{copied}\n")
    assert marks["mark"].tolist() == ["right", "wrong"]
    assert marks["remark"][1] == "it is the answer to the sheet of anna"


@pytest.mark.parametrize(
    ("text", "students"),
    [
        ("student;mail\nAnna;x\n", ["Anna"]),
        ("\ufeff Student ,group\nAnna,1\n\nBen\n", ["Anna", "Ben"]),
        ("student\n007\n7\n", ["007", "7"]),
    ],
)
def test_a_list_of_students_is_read_as_spreadsheets_write_it(folder, text, students):
    (folder / "list.csv").write_text(text, encoding="utf-8")
    assert teaching.students_of("list.csv") == students


def test_a_list_with_more_values_than_names_of_columns_is_refused_and_not_shifted(folder):
    (folder / "list.csv").write_text("student\nAnna,x\nBen,y\n")
    told = refusal("exercises", "make", NAME, "--students", "list.csv", "--secret-file", "secret.txt")
    assert "list.csv, line 2: there are more values than names of columns" in told
    assert not (folder / "sheets").exists()


def test_a_secret_that_an_editor_saved_again_is_the_same_or_refused(folder):
    secret = (folder / "secret.txt").read_text().strip()
    (folder / "mark.txt").write_text(f"\ufeff{secret}\r\n", encoding="utf-8")
    (folder / "mark.txt").chmod(0o600)
    assert teaching.read_secret("mark.txt") == secret.encode()
    (folder / "wide.txt").write_text(secret, encoding="utf-16")
    with pytest.raises(teaching.TeachingError, match=r"wide.txt is not the text that was made: save it in UTF-8\.$"):
        teaching.read_secret("wide.txt")


def test_a_secret_that_others_may_read_is_used_with_a_warning(folder):
    (folder / "secret.txt").chmod(0o644)
    with pytest.warns(UserWarning, match=r"Others on this computer may read the secret file secret.txt: chmod 600"):
        teaching.read_secret("secret.txt")


def test_a_key_that_cannot_be_written_is_told_before_the_work(folder, monkeypatch):
    monkeypatch.setattr("apmkit.teaching.sheets._answer", lambda *_: pytest.fail("answers are worked out"))
    told = refusal("exercises", "key", "--student", "a", "--secret-file", "secret.txt", "--out", "nowhere/key.csv")
    assert "nowhere/key.csv cannot be written (its folder is not there)" in told
