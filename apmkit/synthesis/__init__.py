"""Synthesis of published estimates: what several studies say together, and how far they disagree."""

from apmkit.synthesis.checks import egger_test, leave_one_out, log_risk_ratio
from apmkit.synthesis.multilevel import multilevel_meta_analysis
from apmkit.synthesis.pooling import meta_analysis

__all__ = ["egger_test", "leave_one_out", "log_risk_ratio", "meta_analysis", "multilevel_meta_analysis"]
