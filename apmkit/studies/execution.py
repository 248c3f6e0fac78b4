"""Run a notebook on the Python that runs this."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from apmkit.errors import ApmkitFailure

if TYPE_CHECKING:
    from nbformat import NotebookNode


class NotebookError(ApmkitFailure):
    """A cell failed or the kernel died; the message names the cell and the error."""


def execute_notebook(
    source: Path, target: Path, parameters: dict[str, Any] | None = None, *, cwd: Path, progress: bool = False
) -> NotebookNode:
    """Execute a notebook with papermill.

    Parameters
    ----------
    source : path
    target : path
        Takes the executed copy, with its traceback if a cell fails.
    parameters : dict, optional
        Values that replace those of the cell tagged ``parameters``.
    cwd : path
        Working directory of the kernel.
    progress : bool
        Show a progress bar over the cells.

    Raises
    ------
    NotebookError
        A cell failed, or the kernel died.
    """
    import papermill
    from nbclient.exceptions import DeadKernelError

    try:
        return papermill.execute_notebook(
            source,
            target,
            parameters,
            progress_bar=progress,
            kernel_name="python3",
            kernel_manager_class=_this_python(),
            cwd=cwd,
        )
    except papermill.PapermillExecutionError as error:
        value = str(error.evalue).strip().partition("\n")[0].rstrip(".")
        raise NotebookError(f"failed in cell [{error.exec_count}] with {error.ename}: {value}") from None
    except DeadKernelError as error:
        raise NotebookError(f"died in cell [{_code_cells_started(target)}], perhaps for want of memory") from error


def _code_cells_started(executed: Path) -> int:
    import nbformat

    cells = nbformat.read(executed, as_version=4).cells
    return sum(cell.cell_type == "code" and cell.metadata.papermill.start_time is not None for cell in cells)


def _this_python():
    """A kernel manager that takes no kernel of that name installed elsewhere for the user or the machine."""
    from ipykernel.kernelspec import get_kernel_dict, make_ipkernel_cmd
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    class ThisPython(AsyncKernelManager):
        # Quiet: errors of cells are in the notebook, and the kernel's own remarks would break into the progress bar.
        kernel_spec = KernelSpec(
            **{**get_kernel_dict(), "argv": make_ipkernel_cmd(extra_arguments=["--log-level=CRITICAL"])}
        )

    return ThisPython
