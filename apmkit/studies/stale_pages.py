"""Which pages to build again because of what other pages say: an extension of Sphinx, named in ``_config.yml``.

Sphinx reads a page again when its own file changed. But a page also shows numbers that notebooks glued, and titles,
labels and citations of other pages; without this they would stay as they were, or everything would have to be built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from docutils import nodes


def setup(app) -> dict[str, Any]:
    """Note which notebooks a page shows values of, and compare what pages show of each other with the last build."""
    app.connect("doctree-read", _note_glued)
    app.connect("env-updated", _showing_what_changed, priority=900)  # after the bibliography
    return {"version": "1", "parallel_read_safe": True}


def _note_glued(app, doctree: nodes.document) -> None:
    """A page depends on the notebooks whose values it shows."""
    from myst_nb.ext.glue.utils import PendingGlueReference

    for reference in doctree.findall(PendingGlueReference):
        app.env.note_dependency(str(app.env.doc2path(reference.refdoc)))


def _showing_what_changed(app, env) -> list[str]:
    """All pages, if something changed or went that any of them may show or link to; else none."""
    before, env.apmkit_shown = getattr(env, "apmkit_shown", None), _shown(env)
    if before is None:  # everything has just been read
        return []
    same = before["site"] == env.apmkit_shown["site"] and before["names"].items() <= env.apmkit_shown["names"].items()
    return [] if same else sorted(env.found_docs)


def _shown(env) -> dict[str, Any]:
    """What stands in the navigation of every page, and what links between pages say and lead to."""
    standard, works = env.get_domain("std"), env.get_domain("cite").citations
    links = {
        **standard.anonlabels,
        **standard.labels,
        **standard.objects,
        **env.get_domain("py").objects,
        **{("work", work.key): work.formatted_entry.text.render_as("html") for work in works},
    }
    titles = {page: title.astext() for page, title in env.titles.items()}
    return {"site": [titles, env.external_site_map.as_json()], "names": links}
