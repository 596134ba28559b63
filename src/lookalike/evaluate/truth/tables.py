"""Ground truth in text tables: CSV, TREC qrels, and the CSV of DISC21."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from .names import Names
from .problems import Source
from .reading import Drafts, Reading, add_once, folder_of_queries
from .values import Layout, Truth

_HEAD = 65_536

PAIRS = ("query", "relevant")
"""The columns that a CSV of ours must have."""

DISC21 = ("query_id", "reference_id")
"""Those of DISC21."""

_BARE = re.compile(r"Q\d{5},(R\d{6})?")
"""A row of a file of DISC21 that has no heading."""


def layout_of(path: Path) -> Layout | None:
    """The layout of a file, by its ending or the first line with anything in it, if any."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if path.suffix.lower() == ".pkl":
        return "roxford"
    lines = head.decode("utf-8-sig", "replace").splitlines()
    first = next((line.strip() for line in lines if line.strip()), "")
    columns = {cell.strip(' "').lower() for cell in first.split(",")}
    if columns.intersection(DISC21) or _BARE.fullmatch(first):
        return "disc21"
    if columns.intersection(PAIRS):
        return "csv"
    return "qrels" if len(first.split()) == 4 else None


def read_csv(reading: Reading) -> Truth:
    """A table with the columns `query` and `relevant`, and perhaps `junk` and `group`.

    A row says of one query which pictures are relevant to it and which are junk, neither right nor
    wrong. Several in one cell are separated by semicolons (spaces belong to names), or stand in
    rows of their own: the rows of one query are put together. `group` is the query's class or kind
    of edit. Every query needs a relevant picture; a table that has others has the heading of
    DISC21.

    A query that is a picture of the collection is left out of its own answer, unless it is named
    as relevant to itself: then it counts.
    """
    drafts, heading = Drafts(reading.problems), (*PAIRS, "junk", "group")
    for source, row in _rows(reading, heading, PAIRS):
        sides = {name: _several(row.get(name, "")) for name in ("relevant", "junk")}
        if not row["query"]:
            reading.problems.add(source, "it names no query")
            continue
        if not any(sides.values()):
            reading.problems.add(source, f"nothing is relevant to `{row['query']}` in this row")
        draft = drafts.query(row["query"], source, row.get("group") or None)
        for name in sides["relevant"]:
            drafts.add(name, source, draft.relevant)
        for name in sides["junk"]:
            drafts.add(name, source, draft.junk)
    for draft in drafts.by_name.values():
        if draft.junk and not draft.relevant:
            reading.problems.add(draft.source, f"nothing is relevant to `{draft.name}`, in any row")
    return _truth(reading, "csv", drafts)


def read_disc21(reading: Reading) -> Truth:
    """The table of DISC21: `query_id,reference_id`, and perhaps `group`; copies, one a row.

    An empty reference says that the query has no copy. The challenge's own files may have no
    heading, and may name only queries that have a copy: then all other pictures in the folder of
    queries are asked as well, as ones without. Where a row has an empty reference, or without that
    folder, the queries are those that are named. Douze et al., "The 2021 image similarity dataset
    and challenge", arXiv 2106.09672; github.com/facebookresearch/isc2021, isc/io.py.

    Nothing is left out of an answer: queries are not in the collection, unless they are copies.
    """
    drafts, without = Drafts(reading.problems), dict[str, Source]()
    for source, row in _rows(reading, (*DISC21, "group"), DISC21, without_heading=True):
        query, reference = (row[name] for name in DISC21)
        if not query:
            reading.problems.add(source, "it names no query")
            continue
        draft = drafts.query(query, source, row.get("group") or None)
        if reference:
            drafts.add(reference, source, draft.relevant)
        else:
            add_once(query, source, without, reading.problems)
    for name, source in without.items():
        if drafts.by_name[name].relevant:
            reading.problems.add(source, f"`{name}` has no copy here, but one in another row")
    if not without:
        _ask_others(reading, drafts)
    return _truth(reading, "disc21", drafts)


def read_qrels(reading: Reading) -> Truth:
    """Relevance judgements as TREC has them: `query 0 picture relevance`, separated by spaces.

    Above 0 is relevant, whatever the grade, 0 is not. Below 0 is what nobody judged: it is taken
    out as junk, where trec_eval does so with its option -J alone, and else counts it as wrong. A
    query with no judgement above 0 has nothing relevant. The second column says nothing.
    github.com/usnistgov/trec_eval, form_res_rels.c.

    A query that is a picture of the collection is left out of its own answer, unless it is judged
    relevant to itself: then it counts.
    """
    drafts = Drafts(reading.problems)
    for number, line in reading.lines(reading.path):
        source, words = Source(reading.path, number), line.split()
        if not words:
            continue
        if len(words) != 4 or not re.fullmatch(r"[+-]?[0-9]{1,9}", words[3]):
            reading.problems.add(source, "expected four columns: query 0 picture relevance")
            continue
        draft, grade = drafts.query(words[0], source), int(words[3])
        side = draft.relevant if grade > 0 else draft.junk if grade < 0 else draft.judged
        drafts.add(words[2], source, side)
    return _truth(reading, "qrels", drafts)


def _truth(reading: Reading, layout: Layout, drafts: Drafts) -> Truth:
    queries = [
        draft.query(None if layout == "disc21" or name in draft.relevant else name)
        for name, draft in drafts.finished().items()
    ]
    if not queries and not reading.problems.count:
        reading.problems.add(Source(reading.path), "it names no query")
    return Truth(
        reading.path, layout, tuple(queries), (reading.path.parent,), said=dict(drafts.said)
    )


def _ask_others(reading: Reading, drafts: Drafts) -> None:
    """The pictures in the folder of queries that are not named are queries without a copy."""
    places = folder_of_queries(reading)
    if reading.queries is None:
        return
    names = Names((place, [place]) for place in places)
    named = {
        match.place for query in drafts.by_name for match in names.find(query, [reading.queries])
    }
    others = [place for place in places if place not in named]
    for place in others:
        drafts.query(place, Source(reading.path))
    if others:
        reading.notes.add(
            Source(reading.path),
            f"not named, asked as without a copy: {len(others):,} pictures of {reading.queries}",
        )


def _several(cell: str) -> list[str]:
    return [name for name in map(str.strip, cell.split(";")) if name]


def _rows(
    reading: Reading,
    known: Sequence[str],
    needed: Sequence[str],
    *,
    without_heading: bool = False,
) -> Iterator[tuple[Source, Mapping[str, str]]]:
    """The rows of a CSV by its heading, with the last line of each; wrong ones are problems."""
    # Strict, as a quote that nothing closes would swallow the rest of the file in silence.
    rows = csv.reader((text for _, text in reading.lines(reading.path)), strict=True)
    columns: Sequence[str] = ()
    try:
        for row in rows:
            source, cells = Source(reading.path, rows.line_num), [cell.strip() for cell in row]
            if not columns and without_heading and _BARE.fullmatch(",".join(cells)):
                columns = needed
            if cells in ([], [""]):
                continue
            if not columns:
                columns = [cell.lower() for cell in cells]
                if not _heading(reading, source, columns, known, needed):
                    return
            elif len(cells) == len(columns):
                yield source, dict(zip(columns, cells, strict=True))
            else:
                reading.problems.add(
                    source, f"columns: {len(cells)}, where the heading has {len(columns)}"
                )
    except csv.Error as error:
        reading.problems.add(Source(reading.path, rows.line_num), f"not CSV: {error}")


def _heading(
    reading: Reading,
    source: Source,
    columns: Sequence[str],
    known: Sequence[str],
    needed: Sequence[str],
) -> bool:
    """Whether a heading is one; a column that nobody would read is a problem as well."""
    before = reading.problems.count
    for name in dict.fromkeys(columns):
        if name not in known:
            reading.problems.add(
                source, f"there is no column `{name}`; there are {', '.join(known)}"
            )
        elif columns.count(name) > 1:
            reading.problems.add(source, f"the column `{name}` is there twice")
    for name in needed:
        if name not in columns:
            reading.problems.add(source, f"the column `{name}` is missing")
    return reading.problems.count == before
