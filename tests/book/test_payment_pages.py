"""The pages on payment models say every rule with its source, and every contract with its reasons."""

import re

from apmkit.contract import classify, gallery
from apmkit.payment import programmes, rulebook
from apmkit.studies import payment_pages
from apmkit.studies.markdown import plain


def test_the_page_of_models_shows_every_rule_with_its_source_and_marks_what_is_in_doubt():
    page = payment_pages.models_page()
    for book in map(rulebook, programmes()):
        start = page.index(f"(rules-{book.programme.replace('_', '-')})=")
        section = page[start : page.index(":::\n", page.index(":::{dropdown}", start)) if start else None]
        for row in book.table().itertuples():
            if row.value is None:
                continue
            lines = [line for line in section.splitlines() if line.startswith(f"| `{row.parameter}` |")]
            line = next(line for line in lines if f"| {row.effective}" in line)
            assert plain(row.citation) in line
            assert (f"**{row.status}**" in line) == (row.status in ("unconfirmed", "partly confirmed"))


def test_the_functions_that_pay_are_public_and_linked():
    page = payment_pages.models_page()
    for names in payment_pages._PAID_BY.values():
        for name in names:
            assert f"{{py:func}}`~apmkit.{name}`" in page


def test_the_page_of_contracts_shows_every_contract_with_category_reason_and_sources():
    page = payment_pages.contracts_page()
    sections = re.split(r"\n\(contract-", page)[1:]
    assert len(sections) == len(gallery())
    for contract, section in zip(gallery().values(), sections, strict=True):
        found = classify(contract)
        assert plain(contract.title) in section
        assert plain(found.reason.replace("_", " ")) in section
        for source in contract.sources:
            assert plain(source.citation) in section
            address = f"https://doi.org/{source.doi}" if source.doi else source.url
            assert address is None or f"](<{address}>)" in section
