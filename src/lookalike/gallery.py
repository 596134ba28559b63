"""A page of thumbnails to look at: queries and what was found, in one file that needs no other."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Sequence
from pathlib import Path

from .collection import Answer, Collection
from .errors import CannotWrite, PictureError
from .types import Hit

_SIDE = 220

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>lookalike</title>
<style>
:root {{ color-scheme: light dark; font: 15px/1.4 system-ui, sans-serif; }}
body {{ margin: 2rem auto; max-width: 1200px; padding: 0 1rem; }}
section {{ margin-bottom: 3rem; }}
h2 {{ font-size: 1rem; font-weight: 600; overflow-wrap: anywhere; }}
.hits {{ display: grid; gap: 12px; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); }}
figure {{ margin: 0; }}
img {{ width: 100%; aspect-ratio: 1; object-fit: contain; border-radius: 8px; background: #8882; }}
.query {{ width: {side}px; }}
figcaption {{ font-size: .8rem; overflow-wrap: anywhere; }}
figcaption b {{ font-variant-numeric: tabular-nums; }}
</style>
{sections}
</html>
"""


def write_gallery(path: Path, answers: Sequence[Answer], collection: Collection) -> None:
    """Write the page; `CannotWrite` if the file refuses."""
    sections = "\n".join(_section(answer, collection) for answer in answers)
    try:
        path.write_text(_PAGE.format(side=_SIDE, sections=sections), "utf-8")
    except OSError as error:
        raise CannotWrite(path, error.strerror or str(error)) from error


def _section(answer: Answer, collection: Collection) -> str:
    title = html.escape(str(answer.query))
    if answer.error is not None:
        return f"<section><h2>{title}</h2><p>{html.escape(answer.error.reason)}</p></section>"
    query = _image(str(answer.query), lambda: collection.preview(answer.query, _SIDE), "query")
    figures = "\n".join(_figure(hit, collection) for hit in answer.hits)
    return f'<section><h2>{title}</h2>\n{query}\n<div class="hits">\n{figures}\n</div></section>'


def _figure(hit: Hit, collection: Collection) -> str:
    name = html.escape(hit.path)
    caption = f"<b>{hit.score:.3f}</b> {html.escape(hit.record.label or '')}<br>{name}"
    image = _image(hit.path, lambda: collection.thumbnail(hit.id, _SIDE), "hit")
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


def _image(name: str, jpeg: Callable[[], bytes], kind: str) -> str:
    """An image element, or why there is none."""
    try:
        data = base64.b64encode(jpeg()).decode()
    except PictureError as error:
        return f"<p>{html.escape(error.reason)}</p>"
    alt = html.escape(name)
    return f'<img class="{kind}" alt="{alt}" src="data:image/jpeg;base64,{data}">'
