import pytest

from apmkit import datasets


@pytest.fixture(autouse=True)
def user_folder(tmp_path, monkeypatch):
    """An empty folder in place of the user's own, so that no test reads or writes what a user added."""
    folder = tmp_path / "user"
    monkeypatch.setenv("APMKIT_DATA", str(folder))
    return folder


@pytest.fixture(scope="session")
def mssp():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("APMKIT_DATA", "/nonexistent")
        return datasets.load("mssp")
