"""Ground truth of the buildings of Oxford and Paris, as first published and as revisited."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from ...types import Box
from . import pickled
from .problems import Source
from .reading import Draft, Drafts, Reading
from .values import Truth, TruthQuery

_QUERY = "_query.txt"


def is_oxford(folder: Path) -> bool:
    """Whether a folder has the lists of Oxford5k or Paris6k."""
    return any(folder.glob(f"*{_QUERY}"))


def read_oxford(reading: Reading) -> Truth:
    """A folder of lists: of each query `NAME_query.txt`, `_good.txt`, `_ok.txt`, `_junk.txt`.

    The first has the name of a picture, in Oxford with `oxc1_` before it, and the corners x1 y1 x2
    y2 of the part that is asked with. Good and ok pictures are relevant, all others but junk are
    wrong. The query's picture is one of the collection and stands in one of its own lists, mostly
    as good: as in the authors' program it then counts as right, and is not left out. Lists are
    taken as sets, as there, and what is listed twice is noted. `NAME` without its number is the
    landmark. Philbin et al., CVPR 2007; robots.ox.ac.uk/~vgg/data/oxbuildings, compute_ap.cpp.
    """
    drafts = Drafts(reading.problems)
    for file in sorted(reading.path.glob(f"*{_QUERY}")):
        name = file.name.removesuffix(_QUERY)
        draft = drafts.query(name, Source(file, 1), re.sub(r"_\d+$", "", name))
        _query(reading, file, draft)
        drafts.said.setdefault(draft.picture, draft.source)
        for kind, side in (
            ("good", draft.relevant),
            ("ok", draft.relevant),
            ("junk", draft.junk),
        ):
            _list(reading, file.with_name(f"{name}_{kind}.txt"), side, drafts.said)
        if not draft.relevant:
            reading.problems.add(Source(file), f"nothing is good or ok for `{name}`")
    if not drafts.by_name:
        reading.problems.add(Source(reading.path), f"there is no *{_QUERY} in it")
    return Truth(
        reading.path,
        "oxford",
        tuple(draft.query(None) for draft in drafts.finished().values()),
        (reading.path, reading.path.parent / "jpg"),
        said=drafts.said,
    )


def read_roxford(reading: Reading) -> Truth:
    """A pickle `gnd_roxford5k.pkl` or `gnd_rparis6k.pkl`, of which only plain data is read.

    `imlist` and `qimlist` name the pictures of the collection and of the queries; `gnd` has for
    each query the positions in `imlist` of what is `easy`, `hard` and `junk`, and `bbx`, the
    corners x1 y1 x2 y2 of the part that is asked with. Three setups: easy (hard pictures are
    junk), medium (all), hard (easy pictures are junk). All of `imlist` is expected in the
    collection. The queries' pictures are no part of it: where they were indexed with the others,
    they are ignored. Radenović et al., "Revisiting Oxford and Paris", CVPR 2018;
    github.com/filipradenovic/revisitop, python/dataset.py and example_evaluate.py.
    """
    source, problems = Source(reading.path), reading.problems
    try:
        pictures, asked, entries = _contents(pickled.load(reading.path))
    except pickled.Refused as error:
        problems.add(source, str(error))
        problems.raise_if_any(reading.path)
        raise
    queries = []
    for number, (name, entry) in enumerate(zip(asked, entries, strict=True), 1):
        try:
            queries.append(_revisited(name, entry, pictures))
        except (ValueError, TypeError, OverflowError) as error:
            problems.add(source, f"query {number} (`{name}`): {error}")
    for key, names in (("imlist", pictures), ("qimlist", asked)):
        for name, times in Counter(names).items():
            if times > 1:
                problems.add(source, f"`{name}` is {times} times in `{key}`")
    return Truth(
        reading.path,
        "roxford",
        tuple(queries),
        (reading.path.parent / "jpg", reading.path.parent),
        expected=frozenset(pictures),
        ignored=frozenset(asked),
    )


def _query(reading: Reading, file: Path, draft: Draft) -> None:
    """The name of the picture, and the box."""
    name, *corners = [word for _, line in reading.lines(file) for word in line.split()] or [""]
    draft.picture = name.removeprefix("oxc1_")
    try:
        draft.box = _box([float(corner) for corner in corners])
    except ValueError as error:
        reading.problems.add(draft.source, f"expected a picture's name and x1 y1 x2 y2: {error}")


def _list(reading: Reading, file: Path, side: dict[str, Source], said: dict[str, Source]) -> None:
    """The names in a list, one a line."""
    try:
        for number, line in reading.lines(file):
            name, source = line.strip(), Source(file, number)
            if name and name in side:
                reading.notes.add(source, f"`{name}` again, as in {side[name]}: counted once")
            elif name:
                side[name] = source
                said.setdefault(name, source)
    except FileNotFoundError:
        reading.problems.add(Source(file), "this list is missing")


def _box(corners: Sequence[float]) -> Box:
    """The box of two corners; `ValueError` if it is none."""
    if len(corners) != 4:
        raise ValueError(f"{len(corners)} numbers, where a box has 4")
    x1, y1, x2, y2 = map(float, corners)
    if not all(map(math.isfinite, corners)) or x2 <= x1 or y2 <= y1:
        raise ValueError(f"the box {x1:g} {y1:g} {x2:g} {y2:g} has no area")
    return Box(x1, y1, x2 - x1, y2 - y1)


def _contents(loaded: Any) -> tuple[list[str], list[str], list[Mapping[str, Any]]]:
    """`imlist`, `qimlist` and `gnd`."""
    found = []
    for key, kind in (("imlist", str), ("qimlist", str), ("gnd", dict)):
        value = loaded.get(key) if isinstance(loaded, dict) else None
        if not isinstance(value, list) or not all(isinstance(each, kind) for each in value):
            what = "texts" if kind is str else "dictionaries"
            raise pickled.Refused(f"expected a dictionary with `{key}`, a list of {what}")
        found.append(value)
    pictures, asked, entries = found
    if len(asked) != len(entries):
        raise pickled.Refused(f"`qimlist` has {len(asked)} queries, `gnd` has {len(entries)}")
    if not asked:
        raise pickled.Refused("it has no queries")
    return pictures, asked, entries


def _revisited(name: str, entry: Mapping[str, Any], pictures: Sequence[str]) -> TruthQuery:
    """One query of `gnd`; `ValueError` or `TypeError` says what is wrong with it."""
    sides = {key: _positions(entry, key, len(pictures)) for key in ("easy", "hard", "junk")}
    for position, times in Counter(chain.from_iterable(sides.values())).items():
        if times > 1:
            raise ValueError(f"`{pictures[position]}` is {times} times in easy, hard and junk")
    if not sides["easy"] and not sides["hard"]:
        raise ValueError("nothing is easy or hard, so that nothing is relevant")
    easy, hard, junk = (frozenset(pictures[at] for at in each) for each in sides.values())
    box = _box(entry["bbx"]) if "bbx" in entry else None
    group = re.sub(r"_\d+$", "", name)
    return TruthQuery(name, name, easy | hard, junk=junk, hard=hard, group=group, box=box)


def _positions(entry: Mapping[str, Any], key: str, count: int) -> list[int]:
    positions = entry.get(key)
    if not isinstance(positions, list) or not all(type(each) is int for each in positions):
        raise ValueError(f"`{key}` must be a list of whole numbers")
    for position in positions:
        if not 0 <= position < count:
            raise ValueError(f"`{key}` has the position {position}, `imlist` has {count} pictures")
    return positions
