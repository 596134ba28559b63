"""The queries that the best recipe answers worst, with the pictures that it found."""

from __future__ import annotations

import base64
from collections.abc import Callable

from ..comparison import Found, RecipeComparison, WorstQuery
from ..decoding import DecodePool
from ..errors import PictureError
from ..picture import from_pixels, thumbnail
from ..sources import encoded_at
from ..types import Box
from .markup import Markup, element
from .parts import section

_SIDE = 176
"""Pixels: twelve queries with five hits each make less than a megabyte."""
_FULL_SIZE = 1_000_000
"""A shortest side that no picture has, so that a box lies where it should."""

_Shown = Callable[[str, Box | None], Markup]


def worst_queries(comparison: RecipeComparison) -> Markup:
    """A row of pictures for each."""
    best = next((r for r in comparison.results if r.name == comparison.verdict.best), None)
    if best is None:
        return Markup()
    if not best.worst:
        return section(f"Where {best.name} fails", "Nowhere: no query could be answered better.")
    with DecodePool(1) as pool:
        rows = [_row(each, lambda place, box: _image(pool, place, box)) for each in best.worst]
    return section(
        f"Where {best.name} fails",
        f"The queries that the best recipe answers worst, {len(rows)} of them, each with the first "
        "five that it found: in green and with a tick what is right, in red and with a cross what "
        "is wrong. The number is the score.",
        *rows,
    )


def _row(query: WorstQuery, shown: _Shown) -> Markup:
    asked = element(
        "figure",
        shown(query.place, query.box),
        element("figcaption", element("div", element("strong", "Query")), _last(query.place)),
    )
    found = [_hit(each, shown) for each in query.found]
    nothing = [] if found else [element("p", "Nothing was found.", class_="faint")]
    return element(
        "div",
        element("h3", _told(query)),
        element("div", asked, *found, *nothing, class_="row"),
        class_="query",
    )


def _told(query: WorstQuery) -> str:
    """How bad it is."""
    right, which = f"{query.relevant:,} pictures are right", "the first of them"
    if query.relevant == 1:
        right, which = "1 picture is right", "it"
    first = "nothing right was found"
    if query.first_right is not None:
        first = f"{which} is at rank {query.first_right:,}"
    group = f"{query.group}: " if query.group else ""
    return f"{group}{right}, {first}"


def _hit(found: Found, shown: _Shown) -> Markup:
    word = "\N{CHECK MARK} right" if found.right else "\N{MULTIPLICATION X} wrong"
    mark = element("strong", word, class_="good" if found.right else "bad")
    caption = element("figcaption", element("div", mark, f" {found.score:.3f}"), _last(found.place))
    side = "right" if found.right else "wrong"
    return element("figure", shown(found.place, None), caption, class_=side)


def _last(place: str) -> str:
    """The folder and the name, which is what tells pictures apart."""
    return "/".join(place.split("/")[-2:])


def _image(pool: DecodePool, place: str, box: Box | None) -> Markup:
    """A picture, decoded where it can do no harm, or why there is none."""
    try:
        picture = pool.decode(encoded_at(place), _SIDE if box is None else _FULL_SIZE)
        if box is not None:
            picture = from_pixels(box.crop(picture.pixels))
        data = base64.b64encode(thumbnail(picture, _SIDE)).decode()
    except PictureError as error:
        return element("div", error.reason, class_="none")
    return element("img", alt=_last(place), src=f"data:image/jpeg;base64,{data}")
