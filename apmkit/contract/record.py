"""A payment contract as a record: five design themes, several payments, sources, and gaps that are stated."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from apmkit import strict_yaml
from apmkit.contract.messages import sentence
from apmkit.contract.terms import CATEGORIES, PAID, PAYMENT_TYPES, TASKS, THEMES
from apmkit.errors import ApmkitError


class ContractError(ApmkitError):
    """A contract, or a name of one, that cannot be used; the message names the field, the line and the remedy."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _known_fields(cls, given: Any) -> Any:
        for key in given if isinstance(given, dict) else ():
            if key not in cls.model_fields:
                near = difflib.get_close_matches(str(key), cls.model_fields, n=1)
                meant = f"did you mean {near[0]}?" if near else f"it may have {', '.join(cls.model_fields)}."
                context = {"key": key, "what": cls.__name__.lower().replace("component", "payment"), "meant": meant}
                raise PydanticCustomError("unknown_field", "{what} has no field {key}; {meant}", context)
        return given


def _in_calendar(day: str) -> str:
    try:
        date.fromisoformat((day + "-01-01")[:10])
    except ValueError:
        raise PydanticCustomError("day", "{day} is no day of the calendar", {"day": day}) from None
    return day


Text = Annotated[str, Field(min_length=1)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Day = Annotated[str, Field(pattern=r"^\d{4}(-\d{2}(-\d{2})?)?$"), AfterValidator(_in_calendar)]
Status = Literal["primary", "secondary", "unconfirmed"]
PaymentType = Literal[tuple(PAYMENT_TYPES)]
Theme = Literal[tuple(THEMES)]
Task = Literal[tuple(TASKS)]
Category = Literal[tuple(CATEGORIES)]


class Gap(_Record):
    """A field that is absent, and why: honest, and counted."""

    gap: Literal["not published", "not found", "does not apply"]
    note: str = ""

    def __str__(self) -> str:
        return f"{self.gap}: {self.note}" if self.note else self.gap


def _kind(given: Any) -> str:
    return "missing" if given is None else "gap" if isinstance(given, dict | Gap) else "value"


def _or_gap(kind: Any) -> Any:
    """A value of some kind, a stated gap, or nothing."""
    tagged = Annotated[None, Tag("missing")] | Annotated[Gap, Tag("gap")] | Annotated[kind, Tag("value")]
    return Annotated[tagged, Discriminator(_kind)]


Words = _or_gap(Text)
List = _or_gap(tuple[Text, ...])
YesNo = _or_gap(StrictBool)


class _Theme(_Record):
    unconfirmed: tuple[Text, ...] = Field((), description="Fields whose value no source was found for.")

    @model_validator(mode="after")
    def _unconfirmed_fields_are_filled(self):
        for name in self.unconfirmed:
            if name == "unconfirmed" or name not in type(self).model_fields or not filled(getattr(self, name)):
                raise PydanticCustomError(
                    "unconfirmed", "unconfirmed names {name}, which is not a filled field here", {"name": name}
                )
        return self


class Population(_Theme):
    """Population and scope of care."""

    covered: Words = Field(None, description="Who is covered.")
    attribution: Words = Field(None, description="How a patient comes to count for a provider.")
    known: _or_gap(Literal["before the year", "after the year", "no population"]) = Field(
        None, description="When the provider knows the population that payment rests on."
    )
    services: Words = Field(None, description="Which care the contract pays for or holds providers to account for.")
    eligibility: Words = Field(None, description="Which providers may take part, with any minimum size.")
    participation: _or_gap(Literal["voluntary", "mandatory"]) = Field(None, description="Whether providers choose it.")


class Measurement(_Theme):
    """Benchmarking, metrics, data and technology."""

    benchmark: Words = Field(None, description="What spending or performance is held against.")
    metrics: Words = Field(None, description="Measures of quality, use and experience.")
    data: Words = Field(None, description="Which data providers receive or must report.")
    technology: Words = Field(None, description="Technology that is required or paid for.")


class Component(_Theme):
    """One payment of a contract."""

    name: Name = Field(description="A name of its own, in small letters, digits and _.")
    type: PaymentType = Field(description="One of the payment types.")
    amount: Words = Field(None, description="How much, with its unit.")
    base: Words = Field(None, description="What it is paid on: each act, patient and month, share of savings ...")
    scope: _or_gap(Literal["primary care", "physician services", "condition", "hospital", "total cost"]) = Field(
        None, description="The care that it covers."
    )
    paid: _or_gap(Literal["per act", "in advance", "by time", "afterwards"]) = Field(
        None, description="When it is paid; afterwards means after a reconciliation."
    )
    part: _or_gap(Literal["main", "supplement"]) = Field(
        None, description="Whether it is a main part of what the contract pays; there may be several."
    )
    optional: StrictBool = Field(False, description="Whether the provider may choose it or leave it.")
    risk_adjustment: _or_gap(Literal["none", "age and sex", "health status"]) = Field(
        None, description="What the amount is adjusted for."
    )
    risk_adjustment_cap: Words = Field(None, description="How far the adjustment may move.")
    linked_to_quality: YesNo = Field(None, description="Whether the amount depends on measured quality.")
    downside: YesNo = Field(None, description="Whether the provider can lose by this payment, or must pay back.")
    targets: tuple[Task, ...] = Field((), description="Tasks that the contract names as what it is for.")
    engine: Text | None = Field(None, description="The function of apmkit.payment that computes it.")
    rules: Text | None = Field(None, description="The rules file that the engine reads.")
    terms: dict[str, Any] = Field({}, description="Terms that the engine is called with, by name.")
    rule_values: dict[str, Any] = Field({}, description="Values that replace those of the rules file, by name.")
    no_engine: Text | None = Field(None, description="Why no engine computes it.")
    note: Text | None = Field(None, description="Anything else worth knowing.")

    @field_validator("type", mode="before")
    @classmethod
    def _risk_is_a_field(cls, given: Any) -> Any:
        if given == "shared_risk":
            raise PydanticCustomError("type", "write shared risk as type: shared_savings with downside: true")
        return given

    @field_validator("terms", "rule_values")
    @classmethod
    def _plain(cls, given: dict[str, Any]) -> dict[str, Any]:
        for name, value in given.items():
            if not isinstance(value, bool | int | float | str):
                raise PydanticCustomError("plain", "{name} must be one number, text, true or false", {"name": name})
        return given

    @model_validator(mode="after")
    def _consistent(self):
        allowed = PAID.get(self.type)
        if allowed and filled(self.paid) and self.paid not in allowed:
            context = {"type": self.type, "allowed": " or ".join(allowed), "paid": self.paid}
            raise PydanticCustomError("paid", "{type} is paid {allowed}, not {paid}", context)
        if (self.engine is None) == (self.no_engine is None):
            raise PydanticCustomError(
                "engine", "payment {name} needs either engine, or no_engine with the reason", {"name": self.name}
            )
        for given, needed in (("terms", "engine"), ("rule_values", "rules")):
            if getattr(self, given) and getattr(self, needed) is None:
                context = {"name": self.name, "given": given, "needed": needed}
                raise PydanticCustomError("engine", "payment {name} has {given} without {needed}", context)
        return self


class Finance(_Theme):
    """Finance, risk adjustment and incentives: the payments, and what goes across them."""

    payments: tuple[Component, ...] = Field(min_length=1, description="Each payment of the contract.")
    upfront_money: Words = Field(None, description="Money before any result is known, and whether it is paid back.")
    risk_limits: List = Field(
        None, description="A list of what limits the provider's risk (caps, corridors, truncation); [] for none."
    )

    @field_validator("payments")
    @classmethod
    def _names_differ(cls, payments: tuple[Component, ...]) -> tuple[Component, ...]:
        names = [payment.name for payment in payments]
        for name in names:
            if names.count(name) > 1:
                raise PydanticCustomError("name", "two payments are called {name}; give each its own", {"name": name})
        return payments


class Providers(_Theme):
    """Provider partnerships and the role of physicians."""

    payee: _or_gap(
        Literal["physician", "practice", "physician group", "multidisciplinary group", "hospital", "community board"]
    ) = Field(None, description="Who receives the money.")
    partners: Words = Field(None, description="Who works together under the contract.")
    team: Words = Field(None, description="Professions beside physicians, and who pays them.")
    physician_role: Words = Field(None, description="What physicians decide or lead.")
    gain_sharing: Words = Field(None, description="How money reaches the single physician.")
    payer_and_provider_are_one: YesNo = Field(None, description="Whether payer and provider are one organisation.")


class Governance(_Theme):
    """Leadership and regulation."""

    sponsor: Words = Field(None, description="Who pays and runs it.")
    payers: Words = Field(None, description="One payer, or several together.")
    legal_basis: Words = Field(None, description="Law, regulation or agreement.")
    oversight: Words = Field(None, description="Who governs the provider organisation, and who watches over it.")
    evaluation: Words = Field(None, description="Whether and by whom it was evaluated.")


class Source(_Record):
    """Where facts of a contract come from, and which themes rest on it."""

    citation: Text
    url: Text | None = None
    doi: Annotated[str, Field(pattern=r"^10\.\d+/\S+$")] | None = None
    supports: tuple[Theme, ...] = Field(min_length=1)
    status: Status


class Placement(_Record):
    """Where somebody else placed the contract in the HCP-LAN framework; it plays no part in `classify`."""

    categories: tuple[Category, ...] = Field(min_length=1)
    citation: Text
    status: Status
    difference: Text | None = Field(None, description="Why the derived category differs, where it does.")


class Contract(_Record):
    """A payment contract: who is covered, what is measured, how it pays, who provides and who governs.

    Read one with `Contract.from_yaml` or take one from `gallery`; ``contract.change(...)`` gives a what-if copy.

    Examples
    --------
    >>> fees = {"name": "fees", "type": "fee_for_service", "engine": "fee_for_service"}
    >>> contract = Contract.from_dict(
    ...     {"name": "example", "title": "An example", "country": "Canada", "finance": {"payments": [fees]}}
    ... )
    >>> contract.payments[0].type
    'fee_for_service'
    """

    name: Name
    title: Text
    country: Literal["US", "Canada"]
    jurisdiction: Words = None
    starts: _or_gap(Day) = None
    ends: _or_gap(Day) = None
    note: Text | None = None
    population: Population = Population()
    measurement: Measurement = Measurement()
    finance: Finance
    providers: Providers = Providers()
    governance: Governance = Governance()
    sources: tuple[Source, ...] = ()
    placement: Placement | None = None

    @property
    def payments(self) -> tuple[Component, ...]:
        """The payments of the contract."""
        return self.finance.payments

    @classmethod
    def from_yaml(cls, path: str | Path) -> Contract:
        """Read a contract from a YAML file; see `apmkit contracts new` for a template.

        Raises
        ------
        ContractError
            The file cannot be read, has an unknown field, or a value of the wrong kind; the message names the line.
        """
        path = Path(path)
        try:
            given = strict_yaml.read(path)
        except strict_yaml.YamlError as error:
            raise ContractError(str(error)) from None
        return cls.from_dict(given, path.name)

    @classmethod
    def from_dict(cls, given: dict[str, Any], place: str = "contract") -> Contract:
        """A contract from nested mappings; `place` begins the message of an error.

        Raises
        ------
        ContractError
            A field is unknown or missing, or its value is of the wrong kind.
        """
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise ContractError(sentence(error, given, place)) from None

    def change(self, payment: str | None = None, **values: Any) -> Contract:
        """A copy in which fields of the contract, or of one of its payments, have other values.

        Examples
        --------
        >>> from apmkit.contract import classify, gallery
        >>> contract = gallery("mssp_basic_e")
        >>> classify(contract).category, classify(contract.change("shared_savings", downside=False)).category
        ('3B', '3A')

        Raises
        ------
        ContractError
            There is no such payment or field, or the value does not fit it.
        """
        record = self.model_dump()
        if payment is None:
            record |= values
        else:
            names = [each.name for each in self.payments]
            if payment not in names:
                raise ContractError(f"{self.name} has no payment {payment!r}; it has {', '.join(names)}.")
            payments = list(record["finance"]["payments"])
            payments[names.index(payment)] |= values
            record["finance"]["payments"] = payments
        return Contract.from_dict(record, self.name)

    def fields(self) -> Iterator[tuple[str, str, Any, bool]]:
        """Theme, field, value (None where missing, a `Gap` where absent) and whether it is unconfirmed."""
        for theme in THEMES:
            record = getattr(self, theme)
            yield from _fields(theme, record, "")
        for payment in self.payments:
            yield from _fields("finance", payment, f"{payment.name}.")


UNCOUNTED = {
    *("payments", "unconfirmed", "name", "type", "optional", "targets"),
    *("engine", "rules", "terms", "rule_values", "no_engine", "note"),
}
"""Fields of themes and payments that say nothing about how much of a contract is known."""


def _fields(theme: str, record: _Theme, prefix: str) -> Iterator[tuple[str, str, Any, bool]]:
    for name in type(record).model_fields:
        without_cap = name == "risk_adjustment_cap" and record.risk_adjustment not in ("age and sex", "health status")
        if name not in UNCOUNTED and not without_cap:
            yield theme, prefix + name, getattr(record, name), name in record.unconfirmed


def check_contract(given: Any) -> None:
    """Refuse what is no contract.

    Raises
    ------
    ContractError
        It is something else, for instance a name.
    """
    if not isinstance(given, Contract):
        what = f"{given!r} is no contract"
        raise ContractError(f"{what}; give one, such as gallery('bc_lfp') or read_contract('mine.yml').")


def filled(value: Any) -> bool:
    """Whether a field holds a value: neither missing nor a stated gap."""
    return value is not None and not isinstance(value, Gap)
