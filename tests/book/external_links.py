"""List the links of the built book that lead out of it, and ask each whether it is still there: make check-links.

The buttons that open the source of a page are left out: they follow from `_config.yml`. DOIs are looked up in their
register, since publishers often turn away programs. A site that does so is not called dead.
"""

import html
import json
import re
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote, unquote

HTML = Path(__file__).resolve().parents[2] / "_build" / "html"
_OWN = re.compile(r"https://(?:mybinder\.org|colab\.research\.google\.com|github\.com/apmkit/apmkit)(?:/|$)")
_LINK = re.compile(r"""\shref=["'](https?://[^"']+)["']""")
_TURNED_AWAY = {401, 403, 405, 406, 418, 429, 451, 503, 999}
_AGENT = {"User-Agent": "Mozilla/5.0 (compatible; check of the links of a book)"}
SECONDS, AT_A_TIME = 20, 4


def external(folder: Path) -> dict[str, list[str]]:
    """Addresses outside the book, each with the pages that lead there."""
    found = {}
    for file in sorted(folder.rglob("*.html")):
        page = file.relative_to(folder).as_posix()
        if not page.startswith("_static/"):
            for address in {html.unescape(link) for link in _LINK.findall(file.read_text(encoding="utf-8"))}:
                if not _OWN.match(address):
                    found.setdefault(address, []).append(page)
    return dict(sorted(found.items()))


def asked_at(address: str) -> str:
    """Where to ask for an address: a DOI at the register."""
    doi = address.removeprefix("https://doi.org/")
    return address if doi == address else f"https://doi.org/api/handles/{quote(unquote(doi), safe='/')}"


def answer(address: str) -> str:
    """`alive`, `dead: ...`, `turns programs away: ...` or `no answer: ...`."""
    try:
        request = urllib.request.Request(asked_at(address), headers=_AGENT)
        with urllib.request.urlopen(request, timeout=SECONDS) as reply:
            if "/api/handles/" in request.full_url and json.load(reply).get("responseCode") != 1:
                return "dead: not in the register of DOIs"
        return "alive"
    except urllib.error.HTTPError as error:
        return f"{'turns programs away' if error.code in _TURNED_AWAY else 'dead'}: {error.code} {error.reason}"
    except (OSError, ValueError) as error:
        return f"no answer: {getattr(error, 'reason', error)}"


def main(folder: Path = HTML) -> int:
    """Print what each link answers, what is wrong first; 1 with a dead link, 2 if nothing could be asked."""
    if not (folder / "index.html").exists():
        print(f"Error: there is no book in {folder}; build it first: make book", file=sys.stderr)
        return 2
    links = external(folder)
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        answers = dict(zip(links, pool.map(answer, links), strict=True))
    for address in sorted(links, key=lambda link: (answers[link] == "alive", answers[link])):
        pages = links[address]
        more = f" and {len(pages) - 3} more" if len(pages) > 3 else ""
        print(f"{answers[address]}\n    {address}\n    on {', '.join(pages[:3])}{more}")
    if all(said.startswith("no answer") for said in answers.values()):
        print(f"No network: none of the {len(links)} links above could be asked.", file=sys.stderr)
        return 2
    bad = sum(said.startswith(("dead", "no answer")) for said in answers.values())
    print(f"{len(links)} links, {sum(said == 'alive' for said in answers.values())} alive, {bad} dead or silent.")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
