"""What the launch buttons need: an environment, and a first cell that installs the library on Colab."""

import builtins
import importlib.util
import sys
import tomllib
import types
from pathlib import Path

import nbformat
import pytest
import yaml

from apmkit import studies
from apmkit.studies import book

ROOT = Path(__file__).parents[2]
# Studies on a user's own data are for the user's machine.
OWN = {ROOT / "notebooks" / f"{name}.ipynb" for name in studies.names() if studies.get(name).own}
NOTEBOOKS = sorted(
    path for path in {*(ROOT / "notebooks").rglob("*.ipynb")} - OWN if ".ipynb_checkpoints" not in path.parts
)
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))


def first_code(notebook):
    return next(cell for cell in nbformat.read(notebook, 4).cells if cell.cell_type == "code")


@pytest.fixture
def commands(monkeypatch):
    """What a cell hands to Jupyter."""
    sent = []
    jupyter = types.SimpleNamespace(system=sent.append, run_line_magic=lambda *words: sent.append(" ".join(words)))
    monkeypatch.setattr(builtins, "get_ipython", lambda: jupyter, raising=False)
    return sent


def run(source):
    exec(source, {})


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_starts_with_the_same_cell_which_pages_do_not_show(notebook):
    cell = first_code(notebook)
    assert cell.source == first_code(NOTEBOOKS[0]).source
    assert cell.metadata.tags == ["remove-cell"]


def test_the_cell_does_nothing_elsewhere(commands):
    run(first_code(NOTEBOOKS[0]).source)
    assert commands == []


def test_the_cell_installs_the_repository_on_colab_and_says_what_to_do_next(commands, monkeypatch):
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    run(first_code(NOTEBOOKS[0]).source)
    assert commands == []  # installed already
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="Restart session, then Runtime, Run all"):
        run(first_code(NOTEBOOKS[0]).source)
    clone, install = commands
    assert clone.endswith(f" {CONFIG['repository']['url']} apmkit-book")
    assert install == "pip install --quiet --editable './apmkit-book[notebooks]'"
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert "notebooks" in extras


def test_binder_finds_an_environment_with_a_notebook_interface_and_the_library():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    assert {"--editable ."} <= set(next(entry["pip"] for entry in environment if isinstance(entry, dict)))
    assert any(str(entry).startswith("ipykernel") for entry in environment)
    assert CONFIG["launch_buttons"]["notebook_interface"] == "jupyterlab"  # Binder brings its own


def test_the_download_of_a_page_is_the_notebook_and_not_the_copy_that_ran(tmp_path):
    cell = nbformat.v4.new_code_cell("6 * 7")
    source = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# A page"), cell])
    source.metadata.language_info = {"name": "python", "pygments_lexer": "ipython3"}
    for folder in ("notebooks", "book/notebooks"):
        (tmp_path / folder).mkdir(parents=True)
        nbformat.write(source, tmp_path / folder / "page.ipynb")
        cell.outputs = [nbformat.v4.new_output("execute_result", {"text/plain": "42"}, execution_count=1)]
    (tmp_path / "_config.yml").write_text("title: A book\nexecute: {execute_notebooks: 'off'}\n")
    (tmp_path / "book" / "_toc.yml").write_text("format: jb-book\nroot: notebooks/page\n")
    index = book.render(tmp_path)
    assert "42" in (index.parent / "notebooks" / "page.html").read_text(encoding="utf-8")
    download = index.parent / "_sources" / "notebooks" / "page.ipynb"
    assert download.read_bytes() == (tmp_path / "notebooks" / "page.ipynb").read_bytes()
