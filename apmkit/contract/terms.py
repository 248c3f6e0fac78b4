"""The words of a contract: themes, types of payment and tasks, each with its meaning."""

PAYMENT_TYPES = {
    "fee_for_service": "a fee for each act",
    "capitation": "a fixed amount for each patient and period, whatever is done",
    "care_management_fee": "an amount for each patient and period, on top of other pay, for work that no fee covers",
    "infrastructure_payment": "money for staff, technology or start-up, not tied to single patients' care",
    "pay_for_reporting": "money for reporting data, whatever they show",
    "performance_bonus": "money for reaching a measured goal",
    "shared_savings": "a share of spending below a benchmark; with downside also a share of spending above it",
    "episode": "one price for all care of an episode",
    "global_budget": "a fixed budget for all care of a provider or a population",
    "salary": "a salary",
    "hourly": "an amount for each hour worked",
}
"""The types of payment and what each means."""

PAID = {
    "fee_for_service": ("per act",),
    "salary": ("by time",),
    "hourly": ("by time",),
    "capitation": ("in advance",),
    "shared_savings": ("afterwards",),
    "episode": ("in advance", "afterwards"),
    "global_budget": ("in advance", "afterwards"),
}
"""When payments of some types are paid; others may be paid in any way."""

THEMES = {
    "population": "Population and scope of care",
    "measurement": "Benchmarking, metrics, data and technology",
    "finance": "Finance, risk adjustment and incentives",
    "providers": "Provider partnerships and the role of physicians",
    "governance": "Leadership and regulation",
}
"""The five design themes of Howard et al. (2024), doi 10.3389/frhs.2024.1235913, by the name of their field."""

TASKS = {
    "visits": "Visits in person",
    "calls": "Phone calls and messages in place of visits",
    "team": "Work of other professions in a team",
    "coordination": "Coordination with hospitals, specialists and social care",
    "self_management": "Support of patients' self-management",
    "communication": "Ongoing communication between visits",
    "after_hours": "Access outside office hours",
    "prevention": "Prevention: screening and vaccination",
    "complex": "Care of a panel with complex patients",
}
"""The tasks by the name that `targets` uses."""

CATEGORIES = {
    "1": "fee-for-service with no link to quality and value",
    "2A": "foundational payments for infrastructure and operations",
    "2B": "pay for reporting",
    "2C": "pay for performance",
    "3N": "risk-based payment not linked to quality",
    "3A": "shared savings, upside only",
    "3B": "shared savings with downside risk",
    "4N": "capitated payment not linked to quality",
    "4A": "population-based payment for a condition or a part of care",
    "4B": "comprehensive population-based payment",
    "4C": "integrated finance and delivery",
}
"""The categories in the order of the framework, each N first in its group: it is no step towards value."""
