"""Figures of contracts show what `classify` and `tasks` say."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from matplotlib.colors import to_hex

from apmkit import ApmkitError, plots
from apmkit.contract import CATEGORIES, classify, gallery, task_matrix

mpl.use("Agg")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def points(ax, name):
    line = next(line for line in ax.lines if line.get_label() == name)
    return {(list(CATEGORIES)[int(x)], int(y)) for x, y in line.get_xydata()}


def test_each_contract_of_the_gallery_stands_in_its_categories():
    ax = plots.contract_categories()
    found = [classify(contract) for contract in gallery().values()]
    assert points(ax, "the contract") == {
        (code, y) for y, each in enumerate(found) for code in each.category.split(" or ") if code in CATEGORIES
    }
    assert points(ax, "a payment") == {(code, y) for y, each in enumerate(found) for code in each.parts}
    assert points(ax, "nearest, outside the framework") == {
        (code, y) for y, each in enumerate(found) for code in each.nearest
    }
    shown = [label.get_text().replace("\n", " ") for label in ax.get_yticklabels()]
    assert shown == [contract.title for contract in gallery().values()]


def test_chosen_contracts_are_drawn_alone_and_none_is_refused():
    assert len(plots.contract_categories([gallery("bc_lfp")]).get_yticklabels()) == 1
    with pytest.raises(ApmkitError, match="There is no contract to draw"):
        plots.contract_categories([])


def test_dollars_in_a_title_are_no_formula():
    contract = gallery("bc_lfp").change(title=r"From $5 to $\oops a visit")
    for figure in (plots.contract_categories([contract]), plots.contract_tasks(contract)):
        figure.figure.canvas.draw()


def test_each_task_and_payment_has_a_cell_in_the_colour_of_its_level():
    contract = gallery("ontario_fho")
    ax = plots.contract_tasks(contract)
    matrix = task_matrix(contract)
    assert len(ax.patches) == matrix.size
    (legend,) = ax.figure.legends
    colours = {
        text.get_text(): patch.get_facecolor() for text, patch in zip(legend.texts, legend.get_patches(), strict=True)
    }
    cells = [to_hex(patch.get_facecolor()) for patch in ax.patches]
    assert cells == [to_hex(colours[level]) for level in matrix.to_numpy().ravel()]
