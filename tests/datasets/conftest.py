import pytest

from apmkit import datasets


@pytest.fixture(scope="session")
def mssp():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("APMKIT_DATA", "/nonexistent")
        return datasets.load("mssp")
