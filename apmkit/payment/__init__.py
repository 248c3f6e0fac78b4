"""Payment models: dated, cited rules and the engines that pay by them."""

from apmkit.payment.alberta import alberta_blended_capitation
from apmkit.payment.british_columbia import bc_lfp
from apmkit.payment.capitation import CapitationSchedule, illustrative_schedule
from apmkit.payment.episodes import bpci_advanced, cjr, episodes_of
from apmkit.payment.global_budget import all_payer_growth, budget_and_fees, maryland_global_budget
from apmkit.payment.model_comparison import ModelComparison, compare_models, marginal_revenue
from apmkit.payment.ontario import access_bonus, ontario_fhg, ontario_fho
from apmkit.payment.practice_assumptions import practice_assumptions
from apmkit.payment.practices import Practices
from apmkit.payment.reach import aco_reach, next_generation_aco
from apmkit.payment.result import Payment
from apmkit.payment.rulebook import Rulebook, programmes, rulebook
from apmkit.payment.spending import path_to_target, price_and_quantity, primary_care_share, reference_shares
from apmkit.payment.synthetic_practices import synthetic_practices

__all__ = [
    "CapitationSchedule",
    "ModelComparison",
    "Payment",
    "Practices",
    "Rulebook",
    "access_bonus",
    "aco_reach",
    "alberta_blended_capitation",
    "all_payer_growth",
    "bc_lfp",
    "bpci_advanced",
    "budget_and_fees",
    "cjr",
    "compare_models",
    "episodes_of",
    "illustrative_schedule",
    "marginal_revenue",
    "maryland_global_budget",
    "next_generation_aco",
    "ontario_fhg",
    "ontario_fho",
    "path_to_target",
    "practice_assumptions",
    "price_and_quantity",
    "primary_care_share",
    "programmes",
    "reference_shares",
    "rulebook",
    "synthetic_practices",
]
