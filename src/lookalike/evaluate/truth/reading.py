"""What the readers of all layouts share: the folder they look at, lines, and queries half read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ... import sources
from ...errors import BadTruth
from ...picture import HEAD_BYTES, sniff
from ...places import disk_path
from ...types import Box
from .problems import Problems, Source
from .values import TruthQuery


@dataclass(frozen=True, slots=True)
class Reading:
    """One ground truth while it is read."""

    path: Path
    queries: Path | None
    """The folder of the query pictures, if they lie in one of their own."""
    problems: Problems = field(default_factory=Problems)
    """What keeps it from being used."""
    notes: Problems = field(default_factory=Problems)
    """What was odd."""

    def lines(self, path: Path) -> Iterator[tuple[int, str]]:
        """Every line of a text file with its number; what is not UTF-8 is a problem."""
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError:
                    self.problems.add(Source(path, number), "not UTF-8 text: save the file so")
                    text = line.decode("utf-8", "replace")
                yield number, text


def pictures_below(folder: Path) -> list[str]:
    """The places of all pictures in a folder and below, in the order of their names.

    See `is_picture`. Links to folders are not followed.
    """
    found = (item.place.path for item in sources.find(folder))
    return [place for place in found if is_picture(place)]


def folder_of_queries(reading: Reading) -> list[str]:
    """The places of the query pictures in the folder that was given for them."""
    if reading.queries is None:
        return []
    if not reading.queries.is_dir():
        raise BadTruth(
            reading.path, [f"{reading.queries} is not a folder: name that of the query pictures"]
        )
    return pictures_below(reading.queries)


def is_picture(place: str) -> bool:
    """Whether a file is one, by the ending of its name or by its first bytes.

    So one that cannot be decoded is, and neither a `README` nor an archive is.
    """
    if sources.looks_like_a_picture(place):
        return True
    try:
        with disk_path(place).open("rb") as file:
            return sniff(file.read(HEAD_BYTES)) is not None
    except OSError:
        return False


def add_once(name: str, source: Source, to: dict[str, Source], problems: Problems) -> None:
    """Keep where a name is said; to say it again is a problem."""
    if name in to:
        problems.add(source, f"`{name}` again, as in {to[name]}: leave one of them away")
    to.setdefault(name, source)


@dataclass(slots=True)
class Draft:
    """A query while its rows are read, what is said of it each with the first place."""

    name: str
    picture: str
    source: Source
    group: str | None = None
    box: Box | None = None
    relevant: dict[str, Source] = field(default_factory=dict)
    junk: dict[str, Source] = field(default_factory=dict)
    judged: dict[str, Source] = field(default_factory=dict)
    """Said to be wrong."""

    def query(self, itself: str | None) -> TruthQuery:
        """The query, `itself` as there."""
        return TruthQuery(
            self.name,
            self.picture,
            frozenset(self.relevant),
            junk=frozenset(self.junk),
            group=self.group,
            box=self.box,
            itself=itself,
        )

    def check(self, problems: Problems) -> None:
        """What is called relevant and junk, or either and wrong, is a problem."""
        sides = {"relevant": self.relevant, "junk": self.junk, "not relevant": self.judged}
        names = list(sides)
        for number, one in enumerate(names):
            for other in names[number + 1 :]:
                for name in (name for name in sides[one] if name in sides[other]):
                    problems.add(
                        sides[other][name],
                        f"`{name}` is {other} to `{self.name}`, but {one} in {sides[one][name]}",
                    )


class Drafts:
    """The queries of a file or folder, while they are read."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self.by_name: dict[str, Draft] = {}
        self.said: dict[str, Source] = {}

    def query(self, name: str, source: Source, group: str | None = None) -> Draft:
        """The query of this name, a new one, of the picture of this name, if it was not there."""
        draft = self.by_name.setdefault(name, Draft(name, name, source, group))
        self.said.setdefault(name, source)
        draft.group = draft.group or group
        if group not in (None, draft.group):
            self._problems.add(
                source, f"`{name}` is of the group `{group}`, but of `{draft.group}` before"
            )
        return draft

    def add(self, name: str, source: Source, to: dict[str, Source]) -> None:
        """A picture on one side of a query; twice on the same is a problem."""
        add_once(name, source, to, self._problems)
        self.said.setdefault(name, source)

    def finished(self) -> Mapping[str, Draft]:
        """All of them, checked."""
        for draft in self.by_name.values():
            draft.check(self._problems)
        return self.by_name
