"""Ground truth: from the layouts in which it is published, to stored pictures.

    truth = truths.read("roxford5k/gnd_roxford5k.pkl")
    resolved = truths.against(truth, collection)
    answer = resolved.queries[0].judge(ids, scores, "hard")

| layout | is |
|---|---|
| `class-folders` | a folder of folders of pictures, such as Caltech or CIFAR |
| `csv` | a table `query,relevant`, and perhaps `junk` and `group` |
| `qrels` | TREC's `query 0 picture relevance` |
| `oxford` | the folder of lists of Oxford5k or Paris6k |
| `roxford` | the pickle of ROxford or RParis, easy, medium and hard |
| `holidays` `ukbench` `copydays` | the folder of pictures, whose names say what is right |
| `disc21` | a table `query_id,reference_id` of copies |

How each is understood is said at its reader, in `tables`, `oxford` and `named`; which measures
papers report on it, in `values.PROTOCOLS`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from ...errors import BadTruth, UnknownName
from ...places import absolute, place_name
from ...types import Box
from . import named, oxford, tables
from .names import Names
from .problems import Source
from .reading import Reading, folder_of_queries, is_picture
from .resolving import against
from .values import Layout, Protocol, Resolved, ResolvedQuery, Setup, Truth, TruthQuery

__all__ = [
    "Box",
    "Layout",
    "Protocol",
    "Resolved",
    "ResolvedQuery",
    "Setup",
    "Truth",
    "TruthQuery",
    "against",
    "read",
]


def read(
    path: str | os.PathLike[str],
    *,
    queries: str | os.PathLike[str] | None = None,
    layout: str | None = None,
) -> Truth:
    """The ground truth at `path`, whose layout is seen from what it is unless `layout` says it.

    `queries`: the folder of the query pictures, if they have one of their own; else they lie where
    the truth says, or are pictures of the collection. Raises `BadTruth` with all that is wrong,
    each with its line, and `UnknownName` for a layout that there is not.
    """
    where = absolute(os.fspath(path))
    reading = Reading(where, None if queries is None else absolute(os.fspath(queries)))
    try:
        chosen = _layout(where, layout)
        if reading.queries is not None and chosen in _SELF_CONTAINED:
            raise BadTruth(where, [f"the layout {chosen} has its queries in it: name no other"])
        truth = _placed(reading, _READERS[chosen](reading))
    except OSError as error:
        why = f"cannot read {error.filename or where}: {error.strerror}"
        raise BadTruth(where, [why]) from error
    reading.problems.raise_if_any(where)
    return replace(truth, notes=reading.notes.texts())


_READERS: Mapping[Layout, Callable[[Reading], Truth]] = {
    "class-folders": named.read_class_folders,
    "csv": tables.read_csv,
    "qrels": tables.read_qrels,
    "oxford": oxford.read_oxford,
    "roxford": oxford.read_roxford,
    "holidays": named.read_holidays,
    "ukbench": named.read_ukbench,
    "copydays": named.read_copydays,
    "disc21": tables.read_disc21,
}
_FOLDERS: frozenset[Layout] = frozenset(
    ("class-folders", "oxford", "holidays", "ukbench", "copydays")
)
_SELF_CONTAINED: frozenset[Layout] = frozenset(("holidays", "ukbench", "copydays"))
_TABLES: frozenset[Layout] = frozenset(("csv", "qrels", "disc21"))
_ENDINGS = ("", ".jpg", ".jpeg", ".png")


def _layout(path: Path, said: str | None) -> Layout:
    """The layout that is said, or that is there."""
    if not path.exists():
        raise BadTruth(path, ["it does not exist"])
    if not path.is_dir() and not path.is_file():
        raise BadTruth(path, ["it is neither a file nor a folder"])
    if said is None:
        found = _layout_of_folder(path) if path.is_dir() else tables.layout_of(path)
        if found is None:
            raise BadTruth(
                path,
                [
                    f"it has none of the layouts {', '.join(_READERS)}: a table begins with a "
                    "heading such as query,relevant with commas between, and pictures lie in a "
                    "folder for each class"
                ],
            )
        return found
    for layout in _READERS:
        if layout == said:
            if path.is_dir() != (layout in _FOLDERS):
                kind = "folder" if layout in _FOLDERS else "file"
                raise BadTruth(path, [f"the layout {layout} is a {kind}"])
            return layout
    raise UnknownName("layout of ground truth", said, _READERS)


def _layout_of_folder(folder: Path) -> Layout | None:
    return "oxford" if oxford.is_oxford(folder) else named.layout_of(folder)


def _placed(reading: Reading, truth: Truth) -> Truth:
    """With the places of the query pictures that are found without a collection."""
    if all(query.place is not None for query in truth.queries):
        return truth
    places = folder_of_queries(reading)
    names = Names((place, [place]) for place in places)
    queries = tuple(_with_place(reading, truth, names, query) for query in truth.queries)
    others = len(places) - len({query.place for query in queries} - {None})
    if others > 0 and truth.layout in _TABLES:
        reading.notes.add(
            Source(truth.path), f"not asked with: {others:,} pictures of {reading.queries}"
        )
    return replace(truth, queries=queries)


def _with_place(reading: Reading, truth: Truth, names: Names, query: TruthQuery) -> TruthQuery:
    if reading.queries is None:
        return replace(query, place=_file(truth.roots, query.picture))
    source = truth.said.get(query.picture, Source(truth.path))
    found = names.find(query.picture, [reading.queries])
    if len(found) == 1:
        place = found[0].place
        return replace(query, place=place, itself=query.itself and place)
    if found:
        places = " or ".join(sorted(match.place for match in found)[:3])
        reading.problems.add(source, f"the query `{query.picture}` may be {places}")
    else:
        reading.problems.add(source, f"there is no query `{query.picture}` in {reading.queries}")
    return query


def _file(roots: tuple[Path, ...], name: str) -> str | None:
    """The place of a picture below one of the roots, if there is one."""
    paths = (root / f"{name}{ending}" for root in roots for ending in _ENDINGS)
    places = (place_name(path) for path in paths if os.path.isfile(path))  # noqa: PTH113
    return next(filter(is_picture, places), None)
