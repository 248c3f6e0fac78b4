"""Build the book: run the notebooks, write the generated pages, render everything with Jupyter Book."""

import hashlib
import importlib.util
import json
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import apmkit
from apmkit import datasets, studies
from apmkit.errors import ApmkitError, ApmkitFailure
from apmkit.studies import pages
from apmkit.studies.execution import NotebookError, execute_notebook
from apmkit.studies.study import versions

_JUPYTER_BOOK = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_PROBLEM = re.compile(r"WARNING|ERROR|CRITICAL|Exception|Error:")


class BookError(ApmkitFailure):
    """A notebook failed or a page could not be built."""


def build_book(root: str | Path, *, all: bool = False, jobs: int | None = None) -> Path:
    """Run every notebook that changed, then build the book with warnings as errors.

    Parameters
    ----------
    root : path
        A checkout of the repository: it holds ``_config.yml``, ``book/`` and ``notebooks/``.
    all : bool
        Run every notebook and build every page, also the unchanged ones.
    jobs : int, optional
        Notebooks run at a time; by default one per processor.

    Returns
    -------
    Path
        The book's first page, ``_build/html/index.html``.

    Raises
    ------
    ApmkitError
        If `root` holds no book, or `jobs` is not positive.
    ModuleNotFoundError
        If Jupyter Book is not installed.
    BookError
        If a notebook fails (its executed copy under ``book/notebooks/`` holds the traceback) or a page does not build.
    """
    root = Path(root).resolve()
    for needed in ("_config.yml", "book/_toc.yml", "notebooks"):
        if not (root / needed).exists():
            raise ApmkitError(f"{root} holds no book: {needed} is missing; run this in a clone of the repository.")
    if jobs is not None and jobs < 1:
        raise ApmkitError(f"jobs is {jobs}; it must be 1 or more.")
    if importlib.util.find_spec("jupyter_book") is None:
        raise ModuleNotFoundError("No module named 'jupyter_book'", name="jupyter_book")
    estimate_grids(root / "notebooks", jobs=jobs)
    execute_notebooks(root / "notebooks", root / "book" / "notebooks", all=all, jobs=jobs)
    pages.write(root / "book" / "generated", root / "book" / "agreement.csv", root / "book" / "notebooks")
    return render(root, all=all)


def estimate_grids(sources: Path, *, jobs: int | None = None) -> None:
    """Estimate the specification curves of the studies under `sources`, so that their notebooks find them ready.

    Raises
    ------
    StudyError
        A set of a study failed.
    """
    from apmkit.studies.specifications import specifications

    for study in map(studies.get, studies.names()):
        if study.grid and (sources / f"{study.name}.ipynb").exists():
            specifications(study, jobs=jobs, progress=None)


def execute_notebooks(sources: Path, targets: Path, *, all: bool = False, jobs: int | None = None) -> list[Path]:
    """Run the notebooks under `sources` into the same places under `targets`, and return those that ran.

    A notebook is skipped when its executed copy came from the same notebook, library, data and package versions: the
    copy carries their checksum, which is written only after the last cell has run.

    Raises
    ------
    BookError
        If a notebook fails; the others are still run.
    """
    from tqdm import tqdm

    stale = stale_notebooks(sources, targets, all=all)
    if not stale:
        return []
    failures = []
    workers = min(jobs or os.cpu_count() or 1, len(stale))
    with (
        ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool,
        tqdm(total=len(stale), desc="Running notebooks", unit="notebook", disable=None) as bar,
    ):
        running = {pool.submit(_execute, source, *stale[source]): source for source in stale}
        for done in as_completed(running):
            try:
                failure = done.result()
            except BrokenProcessPool:
                failure = "lost its process, perhaps for want of memory: run fewer notebooks at a time (--jobs 1)"
            if failure:
                failures.append(f"{running[done].relative_to(sources)} {failure}.")
            bar.update()
    if failures:
        failures.append(f"The executed copies with their tracebacks are in {targets}.")
        raise BookError("\n".join(failures))
    return list(stale)


def stale_notebooks(sources: Path, targets: Path, *, all: bool = False) -> dict[Path, tuple[Path, str]]:
    """Return for each notebook that must run its executed copy's place and the checksum of what decides its results."""
    surroundings = _library_digest() + _data_digest() + json.dumps(versions())
    own = {s.name: json.dumps(s.checksums()) for s in map(studies.get, studies.names()) if s.own}
    stale = {}
    for source in sorted(sources.rglob("*.ipynb")):
        if ".ipynb_checkpoints" in source.parts:
            continue
        target = targets / source.relative_to(sources)
        files = own.get(source.relative_to(sources).with_suffix("").as_posix(), "")
        digest = _digest([source.read_bytes(), (surroundings + files).encode()])
        if all or _finished_digest(target) != digest:
            stale[source] = (target, digest)
    return stale


def _execute(source: Path, target: Path, digest: str) -> str | None:
    """Run one notebook; return what failed and where, or None."""
    import nbformat

    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}")
    try:
        notebook = execute_notebook(source, unfinished, cwd=source.parent)
    except NotebookError as error:
        os.replace(unfinished, target)
        return str(error)
    notebook.metadata["apmkit"] = {"digest": digest}
    nbformat.write(notebook, unfinished)
    os.replace(unfinished, target)
    return None


def _finished_digest(target: Path) -> str | None:
    try:
        return json.loads(target.read_text(encoding="utf-8"))["metadata"]["apmkit"]["digest"]
    except (FileNotFoundError, json.JSONDecodeError, KeyError):
        return None


def _library_digest() -> str:
    package = Path(apmkit.__file__).parent
    files = sorted(path for path in package.rglob("*") if path.suffix in {".py", ".yml", ".csv", ".js", ".css"})
    return _digest(part for path in files for part in (str(path.relative_to(package)).encode(), path.read_bytes()))


def _data_digest() -> str:
    return _digest(datasets.checksum(name).encode() for name in datasets.names())


def _digest(parts) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def render(root: Path, *, all: bool = False) -> Path:
    """Render ``book/`` into ``_build/html/`` with Jupyter Book, and return the first page.

    Raises
    ------
    BookError
        If there is a warning or an error; the message lists them.
    """
    print("Building pages ...", file=sys.stderr, flush=True)
    jupyter_book(root, all=all)
    html = root / "_build" / "html"
    # The download button of a page gives the notebook itself, and not the copy that ran.
    for notebook in (root / "notebooks").rglob("*.ipynb"):
        download = html / "_sources" / notebook.relative_to(root)
        if download.exists():
            shutil.copyfile(notebook, download)
    return html / "index.html"


def jupyter_book(root: Path, *, all: bool = False, builder: str | None = None) -> None:
    """Run Jupyter Book on ``book/`` into a folder of ``_build/``; its output goes to ``_build/book.log``.

    Parameters
    ----------
    root : path
    all : bool
        Also read pages that did not change.
    builder : str, optional
        Another builder of Sphinx than that of HTML pages.

    Raises
    ------
    BookError
        If there is a warning or an error; the message lists them.
    """
    build = root / "_build"
    build.mkdir(exist_ok=True)
    log = build / "book.log"
    options = ["--config", "_config.yml", "--path-output", ".", "-W", "-n", "--keep-going"]
    options += ["--all"] if all else []
    options += ["--builder", "custom", "--custom-builder", builder] if builder else []
    result = None
    try:
        with log.open("w", encoding="utf-8") as output:
            result = subprocess.run(
                [*_JUPYTER_BOOK, "build", "book", *options],
                cwd=root,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
    finally:
        # Sphinx reports a page's warnings when it reads the page, and notes what is to be written before it is: forget
        # what was read, or the next build passes over it.
        if result is None or result.returncode:
            shutil.rmtree(build / ".doctrees", ignore_errors=True)
    if result.returncode:
        lines = _COLOUR.sub("", log.read_text(encoding="utf-8")).splitlines()
        problems = [line for line in lines if _PROBLEM.search(line)]
        raise BookError("\n".join(["The book did not build.", *problems[:20], f"Its log is {log}."]))
