"""The repository is consistent with itself: packages, versions, links, notebooks, tracked files."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import apmkit

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONDA_NAMES = {"duckdb": "python-duckdb", "matplotlib": "matplotlib-base", "seaborn": "seaborn-base"}
FROM_PIP = {"diff-diff"}
NOTEBOOKS = sorted(path for path in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
PAGES = ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "CHANGELOG.md", "DATA_LICENSES.md"]


def requirements(extra=None):
    """Requirements of the package or of one extra, with the extras it builds on."""
    texts = PYPROJECT["dependencies"] if extra is None else PYPROJECT["optional-dependencies"][extra]
    for requirement in map(Requirement, texts):
        if requirement.name == "apmkit":
            for inner in requirement.extras:
                yield from requirements(inner)
        else:
            yield requirement


def tracked_files():
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


def bounds(requirement):
    return {str(specifier) for specifier in requirement.specifier}


def test_environment_yml_names_the_packages_and_bounds_of_pyproject():
    expected = {CONDA_NAMES.get(r.name, r.name): bounds(r) for r in [*requirements(), *requirements("test")]}
    expected["python"] = {PYPROJECT["requires-python"]}
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    conda = [Requirement(entry) for entry in environment if isinstance(entry, str) and entry != "pip"]
    ((editable, *from_pip),) = (entry["pip"] for entry in environment if isinstance(entry, dict))
    assert editable == "--editable ."
    assert {r.name for r in map(Requirement, from_pip)} == FROM_PIP
    assert {r.name: bounds(r) for r in [*conda, *map(Requirement, from_pip)]} == expected


def test_every_dependency_has_a_lower_bound():
    everything = [*requirements(), *requirements("test"), *requirements("browser"), *requirements("bench")]
    assert [r.name for r in everything if not any(s.operator == ">=" for s in r.specifier)] == []


def test_constraints_pin_every_dependency_within_its_bounds():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {r.name.lower(): r for r in map(Requirement, (line for line in lines if not line.startswith("#")))}
    for requirement in [*requirements(), *requirements("test"), *requirements("browser"), *requirements("bench")]:
        (pin,) = pins[requirement.name].specifier
        assert pin.operator == "=="
        assert requirement.specifier.contains(pin.version), requirement


def test_import_apmkit_loads_no_heavy_package():
    code = "import sys, apmkit; print([m for m in ('numpy', 'pandas', 'scipy', 'pydantic') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("name", sorted(apmkit.__all__))
def test_every_public_name_resolves(name):
    assert getattr(apmkit, name) is not None


def test_version_is_the_same_in_citation_and_changelog():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == apmkit.__version__
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert headings[0] == apmkit.__version__


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", ".ci/run", "book/index.md", "book/rerun.md"])
def test_every_make_command_in_the_text_is_a_target(page):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    commands = re.findall(r"^(?: {4})?make ([a-z-]+)|`make ([a-z-]+)`", (ROOT / page).read_text(encoding="utf-8"), re.M)
    assert {first or second for first, second in commands} <= set(targets)


def test_the_readme_starts_with_the_two_commands():
    first_screen = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:20]
    assert [line.split()[:2] for line in first_screen if line.startswith("    ")] == [
        ["make", "book"],
        ["make", "test"],
    ]


def test_the_python_example_in_the_readme_runs():
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    run = subprocess.run([sys.executable, "-c", example], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("page", PAGES)
def test_local_links_resolve(page):
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", (ROOT / page).read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []


def test_there_is_a_notebook_for_every_study():
    from apmkit import studies

    found = {path.relative_to(ROOT / "notebooks").with_suffix("").as_posix() for path in NOTEBOOKS}
    assert set(studies.names()) <= found


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_has_no_outputs_and_one_parameters_cell(notebook):
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["id"] for cell in code if cell["outputs"] or cell["execution_count"]] == []
    assert sum("parameters" in cell["metadata"].get("tags", []) for cell in code) == 1


def test_the_table_of_contents_lists_every_notebook_and_only_pages_that_exist():
    toc = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))
    listed = {toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])}
    notebooks = {path.relative_to(ROOT).with_suffix("").as_posix() for path in NOTEBOOKS}
    pages = {path.relative_to(ROOT / "book").with_suffix("").as_posix() for path in (ROOT / "book").glob("*.md")}
    generated = ("agreement", "api", "contracts", "data", "parameters", "payment_models")
    assert listed == notebooks | pages | {f"generated/{name}" for name in generated}


def test_tracked_files_name_no_machine_path_and_no_package_index():
    local = re.compile(r"/(?:work|root|tmp|(?:home|Users)(?!/me\b))/\w|\.\./shared|index-url|find-links|\bfile:///")
    found = []
    for path in tracked_files():
        if path == Path(__file__).resolve() or path.suffix in {".gz", ".xlsx", ".png", ".js"}:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if local.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert found == []


def test_what_is_generated_is_not_tracked():
    made = ("book/notebooks/", "book/generated/", "_build/", "runs/", ".venv/")
    names = [path.relative_to(ROOT).as_posix() for path in tracked_files()]
    assert [name for name in names if name.startswith(made)] == []
