"""A page of thumbnails to look at: queries and what was found, in one file that needs no other."""

from __future__ import annotations

import base64
import contextlib
import html
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

from .collection import Answer, Collection
from .errors import CannotWritePage, LookalikeError, PictureError
from .picture import HEAD_BYTES, sniff
from .types import Hit

_SIDE = 320

_HEAD = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>lookalike</title>
<style>
:root {
  color-scheme: light dark;
  --page: light-dark(#f6f6f4, #161618); --card: light-dark(#fff, #222226);
  --text: light-dark(#1d1d1f, #eee); --faint: light-dark(#6b6b70, #9a9aa2);
  --line: light-dark(#e3e3df, #333338); --mark: light-dark(#c2410c, #fb923c);
  font: 15px/1.45 system-ui, sans-serif; color: var(--text); background: var(--page);
}
body { margin: 0 auto; max-width: 1400px; padding: 2rem clamp(1rem, 3vw, 2.5rem); }
section { display: grid; grid-template-columns: minmax(0, 240px) minmax(0, 1fr); gap: 2rem; }
section + section { margin-top: 2.5rem; padding-top: 2.5rem; border-top: 1px solid var(--line); }
@media (max-width: 700px) { section { grid-template-columns: 1fr; gap: 1rem; } }
figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  overflow: hidden; }
img, .none { display: block; width: 100%; aspect-ratio: 1; object-fit: contain;
  background: color-mix(in srgb, var(--line) 45%, transparent); }
.none { display: grid; place-content: center; padding: 1rem; box-sizing: border-box;
  text-align: center; color: var(--faint); font-size: .8rem; }
figcaption { padding: .55rem .7rem .65rem; font-size: .8rem; overflow-wrap: anywhere; }
.query { position: sticky; top: 1rem; align-self: start; display: grid; gap: 14px; }
.query figure { border: 2px solid var(--mark); }
.query strong { display: block; color: var(--mark); font-size: .7rem; letter-spacing: .08em;
  text-transform: uppercase; }
.hits { display: grid; gap: 14px; align-content: start;
  grid-template-columns: repeat(auto-fill, minmax(160px, 1fr)); }
.hits p { color: var(--faint); margin: 0; }
.row { display: flex; justify-content: space-between; gap: .5rem; }
.score { font-weight: 600; font-variant-numeric: tabular-nums; }
.label { color: var(--faint); text-align: right; }
.path { color: var(--faint); display: block; }
</style>
"""


class Gallery:
    """The page while it is written, an answer at a time. A context manager; `CannotWritePage`."""

    def __init__(self, path: Path, collection: Collection) -> None:
        self._path = path
        self._collection = collection
        with self._writing():
            _check_free(path)
            self._file = path.open("w", encoding="utf-8", errors="replace")
            self._file.write(_HEAD)

    def add(self, answer: Answer) -> None:
        """Write a query and its hits."""
        several = [answer.query] if isinstance(answer.query, str) else answer.query
        queries = "\n".join(map(self._query, several))
        found = "\n".join(map(self._hit, answer.hits)) or "<p>Nothing was found.</p>"
        with self._writing():
            self._file.write(
                f'<section>\n<div class="query">\n{queries}\n</div>\n'
                f'<div class="hits">\n{found}\n</div>\n</section>\n'
            )

    def __enter__(self) -> Gallery:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._writing():
            self._file.write("</html>\n")
            self._file.close()

    def _query(self, query: str) -> str:
        image = _image(query, lambda: self._look_at(query))
        caption = f"<strong>Query</strong>{_name(query)}"
        return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"

    def _look_at(self, query: str) -> bytes:
        """The picture of a query, which is an id or lies somewhere."""
        with contextlib.suppress(LookalikeError):
            return self._collection.thumbnail(query, _SIDE)
        return self._collection.preview(query, _SIDE)

    def _hit(self, hit: Hit) -> str:
        image = _image(hit.path, lambda: self._collection.thumbnail(hit.id, _SIDE))
        label = html.escape(hit.record.label or "")
        return (
            f'<figure>{image}<figcaption><span class="row">'
            f'<span class="score">{hit.score:.3f}</span><span class="label">{label}</span></span>'
            f"{_name(hit.path)}</figcaption></figure>"
        )

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CannotWritePage(self._path, error.strerror or str(error)) from error


def _check_free(path: Path) -> None:
    """Whether a page may be written there: a slip must not cost anybody a picture."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise CannotWritePage(path, "its name does not end in .html")
    if path.is_file():
        with path.open("rb") as file:
            kind = sniff(file.read(HEAD_BYTES))
        if kind is not None:
            raise CannotWritePage(path, f"there is a picture ({kind}) under this name")


def _name(path: str) -> str:
    """The last part of a path; the whole shows under the pointer."""
    last = html.escape(path.rpartition("/")[2])
    return f'<span class="path" title="{html.escape(path)}">{last}</span>'


def _image(name: str, jpeg: Callable[[], bytes]) -> str:
    """An image element, or why there is none."""
    try:
        data = base64.b64encode(jpeg()).decode()
    except PictureError as error:
        return f'<div class="none">{html.escape(error.reason)}</div>'
    return f'<img alt="{html.escape(name)}" src="data:image/jpeg;base64,{data}">'
