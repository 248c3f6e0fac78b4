"""Payment models: dated, cited rules and the engines that pay by them."""

from apmkit.payment.model_comparison import ModelComparison, compare_models, marginal_revenue
from apmkit.payment.practice_assumptions import practice_assumptions
from apmkit.payment.practices import Practices
from apmkit.payment.result import Payment
from apmkit.payment.rulebook import Rulebook, programmes, rulebook
from apmkit.payment.synthetic_practices import synthetic_practices

__all__ = [
    "ModelComparison",
    "Payment",
    "Practices",
    "Rulebook",
    "compare_models",
    "marginal_revenue",
    "practice_assumptions",
    "programmes",
    "rulebook",
    "synthetic_practices",
]
