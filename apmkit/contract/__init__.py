"""Payment contracts described: five design themes, HCP-LAN category, preferred design, tasks, and a gallery."""

from apmkit.contract.classification import Classification, classify
from apmkit.contract.comparison import compare, describe
from apmkit.contract.completeness import completeness, gaps
from apmkit.contract.contracts import gallery, gallery_table, placements, read_contract
from apmkit.contract.engines import engines, practice_model, practice_payments
from apmkit.contract.moves import category_moves
from apmkit.contract.preferred_design import design_score, preferred_design
from apmkit.contract.record import Component, Contract, ContractError, Gap, Source
from apmkit.contract.tasks import task_matrix, tasks
from apmkit.contract.template import template
from apmkit.contract.terms import CATEGORIES, PAYMENT_TYPES, TASKS, THEMES

__all__ = [
    "CATEGORIES",
    "PAYMENT_TYPES",
    "TASKS",
    "THEMES",
    "Classification",
    "Component",
    "Contract",
    "ContractError",
    "Gap",
    "Source",
    "category_moves",
    "classify",
    "compare",
    "completeness",
    "describe",
    "design_score",
    "engines",
    "gallery",
    "gallery_table",
    "gaps",
    "placements",
    "practice_model",
    "practice_payments",
    "preferred_design",
    "read_contract",
    "task_matrix",
    "tasks",
    "template",
]
