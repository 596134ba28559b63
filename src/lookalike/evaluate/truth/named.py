"""Ground truth in the names of folders and files: classes, Holidays, UKBench, Copydays."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from ...places import disk_path, plain_text
from .problems import Source
from .reading import Reading, folder_of_queries, pictures_below
from .values import Layout, Truth, TruthQuery

_HOLIDAYS = re.compile(r"1\d{5}")
_UKBENCH = re.compile(r"ukbench(\d{5})")
_COPYDAYS = re.compile(r"2\d{5}")
_EDITS = ("strong", "jpegqual", "crops")


def layout_of(folder: Path) -> Layout | None:
    """Which of these layouts a folder has, by the names in it; None if it has none of them."""
    if (folder / "original").is_dir() and any((folder / edit).is_dir() for edit in _EDITS):
        return "copydays"
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    stems = {entry.stem for entry in entries if entry.suffix.lower() in (".jpg", ".jpeg", ".png")}
    if stems and all(map(_UKBENCH.fullmatch, stems)):
        return "ukbench"
    if stems and all(map(_HOLIDAYS.fullmatch, stems)):
        return "holidays"
    return "class-folders" if any(entry.is_dir() for entry in entries) else None


def read_class_folders(reading: Reading) -> Truth:
    """A folder of folders of pictures: another picture of the same class is relevant.

    The folder right below is the class, at whatever depth a picture lies in it. Every picture is a
    query, and is left out of its own answer. Or the queries lie in a folder of their own, with the
    same classes, as the test pictures of CIFAR do; one that is in the collection at the very same
    place is left out of its own answer.
    """
    classes = _by_class(reading, reading.path, pictures_below(reading.path))
    if len(classes) == 1 and not reading.problems.count:
        (only,) = classes
        reading.problems.add(
            Source(reading.path), f"there is one class, `{only}`: name a folder of several"
        )
    relevant = {name: frozenset(places) for name, places in classes.items()}
    asked = classes
    if reading.queries is not None:
        asked = _by_class(reading, reading.queries, folder_of_queries(reading))
        for name in asked.keys() - relevant.keys():
            reading.problems.add(
                Source(reading.queries / name), f"{reading.path} has no class of this name"
            )
    return _truth(
        reading,
        "class-folders",
        [
            TruthQuery(place, place, relevant[name], place, group=name, itself=place)
            for name, places in asked.items()
            if name in relevant
            for place in places
        ],
    )


def read_holidays(reading: Reading) -> Truth:
    """INRIA Holidays: `100000.jpg` asks, and `100001.jpg`, `100002.jpg` and so on are relevant.

    The first four digits are the scene. The query is left out of its own answer. All pictures are
    expected in the collection. Jégou, Douze and Schmid, "Hamming embedding and weak geometric
    consistency", ECCV 2008; the authors' holidays_map.py.
    """
    scenes: dict[str, dict[str, str]] = {}
    for stem, place in _named(reading, _HOLIDAYS, "six digits from 100000, as 100001.jpg"):
        scenes.setdefault(stem[:4], {})[stem[4:]] = place
    queries = []
    for scene, pictures in scenes.items():
        relevant = frozenset(place for number, place in pictures.items() if number != "00")
        if "00" not in pictures:
            reading.problems.add(Source(reading.path), f"the query {scene}00.jpg is missing")
        elif not relevant:
            reading.problems.add(_where(pictures["00"]), "no other picture is of its scene")
        else:
            place = pictures["00"]
            queries.append(TruthQuery(f"{scene}00", place, relevant, place, itself=place))
    expected = frozenset(place for pictures in scenes.values() for place in pictures.values())
    return _truth(reading, "holidays", queries, expected)


def read_ukbench(reading: Reading) -> Truth:
    """UKBench: `ukbench00000.jpg` and on, four of each object; every picture asks for all four.

    The query is one of the four and counts as right, so it is not left out. Nistér and Stewénius,
    "Scalable recognition with a vocabulary tree", CVPR 2006.
    """
    objects: dict[int, set[str]] = {}
    for stem, place in _named(reading, _UKBENCH, "ukbench and five digits, as ukbench00000.jpg"):
        objects.setdefault(int(stem.removeprefix("ukbench")) // 4, set()).add(place)
    for number, places in objects.items():
        if len(places) < 4:
            reading.problems.add(
                Source(reading.path),
                f"of ukbench{4 * number:05} to {4 * number + 3:05} there are only {len(places)}",
            )
    return _truth(
        reading,
        "ukbench",
        [
            TruthQuery(Path(place).stem, place, relevant, place)
            for relevant in map(frozenset, objects.values())
            for place in sorted(relevant)
        ],
    )


def read_copydays(reading: Reading) -> Truth:
    """INRIA Copydays: copies in `strong`, `crops/N` and `jpegqual/N` ask for their `original`.

    The first four digits of a name are those of its original, as `strong/200001.jpg` is of
    `original/200000.jpg`. The folder is the group. The originals are the collection, perhaps among
    others; copies that were indexed as well are ignored. Douze et al., "Evaluation of GIST
    descriptors for web-scale image search", CIVR 2009; github.com/facebookresearch/dino,
    eval_copy_detection.py.
    """
    originals: dict[str, set[str]] = {}
    copies: list[tuple[str, str, str]] = []
    for stem, place in _named(reading, _COPYDAYS, "six digits from 200000", repeated=True):
        group = str(disk_path(place).parent.relative_to(reading.path))
        if group == "original":
            originals.setdefault(stem[:4], set()).add(place)
        elif group.partition("/")[0] in _EDITS:
            copies.append((group, stem, place))
        else:
            reading.problems.add(_where(place), f"not in original, {', '.join(_EDITS)}")
    for _, stem, place in copies:
        if stem[:4] not in originals:
            reading.problems.add(_where(place), f"there is no original/{stem[:4]}00.jpg of it")
    relevant = {block: frozenset(places) for block, places in originals.items()}
    return _truth(
        reading,
        "copydays",
        [
            TruthQuery(f"{group}/{stem}", place, relevant[stem[:4]], place, group=group)
            for group, stem, place in copies
            if stem[:4] in relevant
        ],
        expected=frozenset().union(*relevant.values()),
        ignored=frozenset(place for _, _, place in copies),
    )


def _truth(
    reading: Reading,
    layout: Layout,
    queries: list[TruthQuery],
    expected: frozenset[str] = frozenset(),
    ignored: frozenset[str] = frozenset(),
) -> Truth:
    if not queries and not reading.problems.count:
        reading.problems.add(Source(reading.path), "there is no picture in it to ask with")
    return Truth(reading.path, layout, tuple(queries), (reading.path,), expected, ignored)


def _by_class(reading: Reading, folder: Path, places: Iterable[str]) -> dict[str, list[str]]:
    classes: dict[str, list[str]] = {}
    for place in places:
        name, *below = disk_path(place).relative_to(folder).parts
        if below:
            classes.setdefault(plain_text(name), []).append(place)
        else:
            reading.problems.add(_where(place), "a picture in no class folder")
    return classes


def _named(
    reading: Reading, pattern: re.Pattern[str], wanted: str, *, repeated: bool = False
) -> Iterator[tuple[str, str]]:
    """The stem and the place of every picture; another name is a problem, or one there twice."""
    seen: dict[str, str] = {}
    for place in pictures_below(reading.path):
        stem = plain_text(disk_path(place).stem)
        if not pattern.fullmatch(stem):
            reading.problems.add(_where(place), f"not named {wanted}")
        elif stem in seen and not repeated:
            reading.problems.add(_where(place), f"the same name as {seen[stem]}")
        else:
            seen[stem] = place
            yield stem, place


def _where(place: str) -> Source:
    return Source(Path(place))
