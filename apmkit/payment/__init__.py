"""Payment models: dated, cited rules and the engines that pay by them."""

from apmkit.payment.practices import Practices
from apmkit.payment.result import Payment
from apmkit.payment.rulebook import Rulebook, programmes, rulebook

__all__ = ["Payment", "Practices", "Rulebook", "programmes", "rulebook"]
