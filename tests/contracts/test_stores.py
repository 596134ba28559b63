"""What every store promises; that of a cluster where LOOKALIKE_TEST_ELASTIC names one."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import DIM, arrival, plan, put, random_vectors, sha

from lookalike import filters
from lookalike.errors import BadQuery, CollectionClosed, UnknownPicture
from lookalike.store import Arrival, Look, Refusal, Store, home_of
from lookalike.types import Place

STORES = ["folder", *(["elastic"] if "LOOKALIKE_TEST_ELASTIC" in os.environ else [])]


@pytest.fixture(params=STORES)
def reopen(request: pytest.FixtureRequest, folder: Path) -> Callable[[], Store]:
    if request.param == "folder":
        home = home_of(folder)
    else:
        home = home_of(request.getfixturevalue("elastic_address"))

    def opened() -> Store:
        if not home.exists():
            home.create("", [plan()])
        return home.open([plan()])

    return opened


@pytest.fixture
def store(reopen: Callable[[], Store]) -> Any:
    opened = reopen()
    yield opened
    opened.close()


def paths_of(store: Store, content: object) -> list[str]:
    record = store.get(sha(content).hex())
    return [] if record is None else [place.path for place in record.places]


def found(store: Store, vector: Any, k: int = 5, where: str | None = None) -> list[str]:
    condition = None if where is None else filters.parse(where)
    (hits,) = store.nearest("v", np.atleast_2d(vector).astype(np.float32), k, Look(condition))
    return [record.id for record, _ in hits]


def test_what_is_put_is_had_and_found_at_once_and_after_reopening(
    store: Store, reopen: Callable[[], Store]
) -> None:
    place = Place("/a/b.png", "cat", {"n": 1, "größe": "½", "list": [1, None]}, 55, 7_000)
    vectors = random_vectors(1)
    outcomes = store.put([Arrival(sha(1), "PNG", 4, 3, 55, place)], {"v": vectors})
    assert outcomes == ["stored"]
    for each in (store, reopen()):
        record = each.get(sha(1).hex())
        assert record is not None
        assert record.places == (place,)
        assert (record.format, record.width, record.height, record.size) == ("PNG", 4, 3, 55)
        assert found(each, vectors[0]) == [record.id]
        assert len(each) == 1
        np.testing.assert_array_equal(each.vectors("v", record.id), vectors)
        assert each.get(record.id[:8]) == record
        if each is not store:
            each.close()


def test_neighbours_are_those_of_brute_force(store: Store) -> None:
    vectors = random_vectors(500)
    put(store, range(500), vectors)
    queries = random_vectors(20, seed=1)
    unit = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in (queries, vectors)]
    scores = unit[0].astype(float) @ unit[1].astype(float).T
    for hits, own in zip(store.nearest("v", queries, 10), scores, strict=True):
        best = np.argsort(-own)[:10]
        assert [record.id for record, _ in hits] == [sha(int(i)).hex() for i in best]
        np.testing.assert_allclose([score for _, score in hits], own[best], atol=1e-5)
    (everything,) = store.nearest("v", queries[:1], 1000)
    assert len(everything) == 500


def test_the_same_content_elsewhere_is_a_copy_and_one_hit(store: Store, tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.touch()
    second.touch()
    vectors = random_vectors(1)
    assert store.put([arrival(1, str(first))], {"v": vectors}) == ["stored"]
    assert store.put([arrival(1, str(second))], {"v": vectors}) == ["copy"]
    assert store.put([arrival(1, str(first))], {"v": vectors}) == ["unchanged"]
    assert len(store) == 1
    assert paths_of(store, 1) == [str(first), str(second)]
    assert found(store, vectors) == [sha(1).hex()]
    entry = store.ledger([str(second)])[str(second)]
    assert (entry.verdict, entry.copy_of, entry.id) == ("copy", str(first), sha(1).hex())
    assert store.forget([str(first)]) == 0
    assert paths_of(store, 1) == [str(second)]
    assert store.ledger([str(second)])[str(second)].verdict == "stored"
    assert store.forget([str(second)]) == 1
    assert store.get(sha(1).hex()) is None


def test_a_moved_picture_leaves_its_old_place(store: Store, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.touch()
    store.put([arrival(1, str(old))], {"v": random_vectors(1)})
    old.rename(new)
    assert store.put([arrival(1, str(new))], {"v": random_vectors(1)}) == ["copy"]
    assert paths_of(store, 1) == [str(new)]
    assert store.ledger([str(old)]) == {}


def test_a_place_that_is_not_here_moves_nothing(store: Store) -> None:
    vectors = random_vectors(1)
    store.put([arrival(1, "/not/here/a")], {"v": vectors})
    assert store.put([arrival(1, "/not/here/b")], {"v": vectors}) == ["copy"]
    assert paths_of(store, 1) == ["/not/here/a", "/not/here/b"]


def test_a_picture_may_come_with_all_its_places(store: Store) -> None:
    vectors = random_vectors(1)
    every = replace(arrival(1, "/a"), others=(Place("/b", "cat", {"n": 1}), Place("x:/c")))
    assert store.put([every], {"v": vectors}) == ["stored"]
    record = store.get(sha(1).hex())
    assert record is not None
    assert record.places == (every.place, *every.others)
    assert store.put([every], {"v": vectors}) == ["unchanged"]
    assert store.put([replace(every, others=(Place("/d"),))], {"v": vectors}) == ["copy"]
    assert store.put([replace(arrival(2, "/e"), others=(Place("/d"),))], {"v": vectors}) == [
        "replaced"
    ]
    assert paths_of(store, 1) == ["/a", "/b", "x:/c"]


def test_blocks_give_every_record_with_its_vectors(store: Store) -> None:
    matrix = random_vectors(10)
    put(store, range(10), matrix)
    store.forget(["http://pictures/3"])
    for size in (1, 4, 9, 100):
        blocks = list(store.blocks(["v"], size))
        assert {len(records) for records, _ in blocks[:-1]} <= {size}
        ids = [record.id for records, _ in blocks for record in records]
        assert ids == [sha(n).hex() for n in range(10) if n != 3]
        vectors = np.concatenate([each["v"] for _, each in blocks])
        assert (vectors == np.delete(matrix, 3, axis=0)).all()
    reading = store.blocks(["v"], 4)
    next(reading)
    store.forget([f"http://pictures/{n}" for n in range(10)])
    assert list(reading) == []


def test_changed_content_at_a_path_replaces_what_was_there(store: Store) -> None:
    a, b = random_vectors(2)
    store.put([arrival(1, "/p")], {"v": a[None]})
    assert store.put([arrival(2, "/p")], {"v": b[None]}) == ["replaced"]
    assert len(store) == 1
    assert store.get(sha(1).hex()) is None
    assert found(store, a) == [sha(2).hex()]


def test_one_batch_may_hold_copies_and_replacements(store: Store) -> None:
    every = [arrival(1, "x:/a"), arrival(1, "x:/b"), arrival(2, "x:/a"), arrival(1, "x:/b")]
    outcomes = store.put(every, {"v": random_vectors(4)})
    assert outcomes == ["stored", "copy", "replaced", "unchanged"]
    assert (paths_of(store, 1), paths_of(store, 2)) == (["x:/b"], ["x:/a"])


def test_a_removed_picture_never_shows_again(store: Store) -> None:
    vectors = random_vectors(100)
    put(store, range(100), vectors)
    assert len(found(store, vectors[0], 100)) == 100
    assert store.forget([f"http://pictures/{i}" for i in range(50)]) == 50
    assert set(found(store, vectors[0], 100)) == {sha(i).hex() for i in range(50, 100)}
    put(store, [0], vectors[:1])
    assert found(store, vectors[0], 1) == [sha(0).hex()]
    assert store.forget(["/never/seen"]) == 0


def test_a_refused_path_is_in_the_ledger_with_its_reason(store: Store) -> None:
    store.refuse([Refusal(Place("/bad"), "not a picture", retry=False, recognised=False)])
    store.refuse([Refusal(Place("/busy"), "could not be read", retry=True, recognised=True)])
    entries = store.ledger(["/bad", "/busy", "/unknown"])
    assert {path: entry.verdict for path, entry in entries.items()} == {
        "/bad": "skipped",
        "/busy": "retry",
    }
    assert entries["/bad"].reason == "not a picture"
    assert not entries["/bad"].recognised
    assert [entry.path for entry in store.refused()] == ["/bad", "/busy"]
    assert len(store) == 0


def test_a_refusal_drops_what_was_there_unless_it_may_be_tried_again(store: Store) -> None:
    known = arrival(2, "/b", label="cat", metadata={"year": 1999})
    store.put([arrival(1, "/a"), known], {"v": random_vectors(2)})
    store.refuse([Refusal(Place("/a"), "broken now", retry=False, recognised=True)])
    store.refuse([Refusal(Place("/b", "b"), "too busy", retry=True, recognised=True)])
    assert store.get(sha(1).hex()) is None
    assert paths_of(store, 2) == ["/b"]
    assert found(store, random_vectors(1), where="label = cat and year = 1999") == [sha(2).hex()]
    assert store.ledger(["/b"])["/b"].verdict == "retry"
    store.put([arrival(2, "/b")], {"v": random_vectors(1)})
    assert store.ledger(["/b"])["/b"].verdict == "stored"
    assert [entry.path for entry in store.refused()] == ["/a"]


def test_places_are_described_anew_and_found_by_it(store: Store) -> None:
    store.put([arrival(1, "/a", label="cat")], {"v": random_vectors(1)})
    assert found(store, random_vectors(1), where="label=cat") == [sha(1).hex()]
    store.describe([Place("/a", "dog", {"n": 2}), Place("/unknown", "x")])
    assert found(store, random_vectors(1), where="label=cat") == []
    assert found(store, random_vectors(1), where="label=dog and n=2") == [sha(1).hex()]
    assert store.ledger(["/unknown"]) == {}


def test_paths_below_a_folder_are_those_in_it_and_in_its_archives(store: Store) -> None:
    inside = ["/a/b", "/a/b/c", "/a/b/ü", "/a/b!/d", "/a/b!/e/f"]
    outside = ["/a/b0", "/a/b c", "/a/bc", "/a", "/a/b!x", "/a/B/c", "/a/b.zip!/d", "/A/b/c"]
    store.put([arrival(path, path) for path in inside + outside], {"v": random_vectors(13)})
    assert sorted(store.paths_below("/a/b")) == sorted(inside)
    assert sorted(store.paths_below("/a/b/")) == sorted(path for path in inside if path != "/a/b")
    assert set(store.paths_below("/")) == set(inside + outside)


def test_an_id_is_found_by_its_beginning_if_that_is_plain(store: Store) -> None:
    twins = [bytes.fromhex("ab" * 31 + ending) for ending in ("00", "01")]
    store.put(
        [Arrival(twin, "PNG", 1, 1, 1, Place(f"/{i}")) for i, twin in enumerate(twins)],
        {"v": random_vectors(2)},
    )
    assert store.get("ab" * 31) is None
    assert store.get(twins[0].hex()) is not None
    for wrong in ("", "ab", "AB" * 32, "ab" * 33, "'; DROP TABLE pictures", "zz" * 32, "é" * 64):
        assert store.get(wrong) is None
    with pytest.raises(UnknownPicture):
        store.vectors("v", "00" * 32)


def test_the_newest_come_first(store: Store) -> None:
    for i in range(5):
        put(store, [i], random_vectors(1, seed=i))
    assert [record.id for record in store.scan(1, 3)] == [sha(i).hex() for i in (3, 2, 1)]
    assert store.scan(5, 3) == []


@pytest.mark.parametrize(
    ("vectors", "said"),
    [
        ({"v": np.zeros((2, DIM), np.float32)}, "of shape"),
        ({"v": np.zeros((1, DIM + 1), np.float32)}, "of shape"),
        ({"v": np.full((1, DIM), np.nan, np.float32)}, "NaN, infinity"),
        ({"v": np.full((1, DIM), 1e300)}, "NaN, infinity"),
        ({}, "expected v"),
        ({"w": np.zeros((1, DIM), np.float32)}, "expected v"),
    ],
)
def test_vectors_that_could_not_be_searched_are_refused_whole(
    store: Store, vectors: Any, said: str
) -> None:
    with pytest.raises(BadQuery, match=said):
        store.put([arrival(1)], vectors)
    assert len(store) == 0


def test_metadata_that_is_no_json_is_refused_and_nan_becomes_null(store: Store) -> None:
    """One NaN in the catalogue would make every later filter fail."""
    store.put(
        [arrival(1, "/a", metadata={"n": float("nan"), "m": [float("inf")], "x": 1})],
        {"v": random_vectors(1)},
    )
    record = store.get(sha(1).hex())
    assert record is not None
    assert record.metadata == {"n": None, "m": [None], "x": 1}
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    for metadata in ({"x": object()}, {"x": {1, 2}}, {"x": deep}):
        with pytest.raises(BadQuery, match="metadata of /b"):
            store.put([arrival(2, "/b", metadata=metadata)], {"v": random_vectors(1)})
    store.put([arrival(3, "/c", metadata={"x\ud800": "\udc80"})], {"v": random_vectors(1)})
    assert found(store, random_vectors(1), where="x=1 or y=2") == [sha(1).hex()]


def test_a_closed_store_says_so_and_may_be_closed_twice(store: Store) -> None:
    put(store, [1], random_vectors(1))
    store.close()
    store.close()
    for use in (
        lambda: store.get(sha(1).hex()),
        lambda: len(store),
        lambda: put(store, [2], random_vectors(1)),
        lambda: found(store, random_vectors(1)),
        lambda: list(store.refused()),
        store.stats,
        store.check,
        lambda: store.forget(["/a"]),
    ):
        with pytest.raises(CollectionClosed):
            use()


# A filter loses nothing: random filters against their meaning, evaluated here.

KEYS = [
    "n",
    "größe",
    'a"b',
    "a\\b",
    "",
    "x.y",
    "[0]",
    "$",
    "a b",
    "'",
    "and",
    "label",
    "日本",
    "e\u0301",
]
TEXTS = [
    "cat",
    "dog",
    "Cat",
    "ünï",
    "7",
    "true",
    "'; DROP TABLE places; --",
    'say "x"',
    "%",
    "\\",
    " ",
]
NUMBERS = ["7", "-1", "0", "1", "2.5", "1e3", "9007199254740993"]
FORMATS = ["PNG", "JPEG", "WEBP"]
Test = Callable[[Arrival], bool]


@dataclass(frozen=True)
class Written:
    """A filter as text, and what it means."""

    text: str
    holds: Test


def column_of(name: str) -> Callable[[Arrival], Any]:
    columns: dict[str, Callable[[Arrival], Any]] = {
        "label": lambda a: a.place.label,
        "path": lambda a: a.place.path,
        "format": lambda a: a.format,
        "width": lambda a: a.width,
        "size": lambda a: a.size,
        "modified": lambda a: a.place.modified_ns / 1e9,
    }
    return columns[name]


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def a_comparison(rng: random.Random) -> Written:
    kind = rng.choice(["text", "number", "metadata", "metadata", "metadata"])
    if kind == "text":
        name = rng.choice(["label", "path", "format"])
        get = column_of(name)
    elif kind == "number":
        name = rng.choice(["width", "size"])
        get = column_of(name)
    else:
        key = rng.choice(KEYS)
        name, get = quoted(key), lambda a: a.place.metadata.get(key)

    def plain(a: Arrival) -> Any:
        value = get(a)
        if isinstance(value, list | dict):
            return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        return int(value) if isinstance(value, bool) else value

    def a_value() -> tuple[str, str | None, float | None]:
        """As written, the text that equals it, the number that does."""
        choice = "number" if kind == "number" else rng.choice(["number", "text", "truth"])
        if choice == "number":
            text = rng.choice(NUMBERS)
            number = float(text) if "." in text or "e" in text else int(text)
            return text, text, number
        if choice == "truth" and kind == "metadata":
            text = rng.choice(["true", "false"])
            return text, text, int(text == "true")
        text = rng.choice(FORMATS if name == "format" else TEXTS)
        return quoted(text), text, None

    def equals(value: Any, text: str | None, number: float | None) -> bool:
        if isinstance(value, str):
            return value == text
        return value is not None and number is not None and kind != "text" and value == number

    def ordered(left: Any, operator: str, text: str, number: float | None, truth: bool) -> bool:
        as_text = kind == "text" or number is None or truth
        right: Any = text if as_text else number
        if not isinstance(left, str if as_text else int | float):
            return False
        less, same = bool(left < right), bool(left == right)
        return {"<": less, "<=": less or same, ">": not less and not same, ">=": not less}[operator]

    way = rng.choice(["=", "=", "!=", "<", "<=", ">", ">=", "in", "exists"])
    if way == "exists":
        return Written(f"{name} exists", lambda a: plain(a) is not None)
    if way == "in":
        values = [a_value() for _ in range(rng.randint(1, 4))]
        return Written(
            f"{name} in ({', '.join(written for written, _, _ in values)})",
            lambda a: any(equals(plain(a), text, number) for _, text, number in values),
        )
    written, text, number = a_value()
    assert text is not None
    test: Test = lambda a: ordered(plain(a), way, text, number, written in ("true", "false"))  # noqa: E731
    if way == "=":
        test = lambda a: equals(plain(a), text, number)  # noqa: E731
    if way == "!=":
        test = lambda a: not equals(plain(a), text, number)  # noqa: E731
    return Written(f"{name}{rng.choice(['', ' '])}{way} {written}", test)


def a_filter(rng: random.Random, depth: int) -> Written:
    if depth == 0 or rng.random() < 0.3:
        return a_comparison(rng)
    parts = [a_filter(rng, depth - 1) for _ in range(rng.randint(2, 3))]
    word, holds = rng.choice([("and", all), ("or", any)])
    text = f" {word} ".join(f"({part.text})" for part in parts)
    return Written(text, lambda a: holds(part.holds(a) for part in parts))


def random_metadata(rng: random.Random) -> dict[str, Any]:
    values: list[Any] = [
        *TEXTS,
        7,
        -1,
        0,
        1,
        2.5,
        1000,
        9007199254740993,
        9007199254740992,
        True,
        False,
        None,
        [1, "é"],
        {"n": 7},
        [],
    ]
    return {key: rng.choice(values) for key in KEYS if rng.random() < 0.5}


def test_a_filter_finds_exactly_what_it_means(store: Store) -> None:
    rng = random.Random(5)
    every: list[Arrival] = []
    for i in range(300):
        place = Place(
            f"x:/{rng.choice(TEXTS)}/{i}",
            rng.choice([None, *TEXTS]),
            random_metadata(rng),
            modified_ns=rng.randrange(10**18),
        )
        # A third are further places of another picture, of which one place must pass alone.
        content = rng.randrange(i) if i and rng.random() < 0.3 else i
        known = next((each for each in every if each.sha256 == sha(content)), None)
        format, width = (
            (known.format, known.width) if known else (rng.choice(FORMATS), rng.randrange(10))
        )
        every.append(Arrival(sha(content), format, width, 5, 1000, place))
    store.put(every, {"v": random_vectors(len(every))})
    passed = 0
    for _ in range(400):
        written = a_filter(rng, rng.randint(0, 3))
        expected = {each.sha256.hex() for each in every if written.holds(each)}
        assert set(found(store, random_vectors(1), 1000, written.text)) == expected, written.text
        passed += 0 < len(expected) < 200
    assert passed > 130


def test_a_filter_heeds_the_places_of_now(store: Store) -> None:
    def passing(where: str) -> bool:
        return found(store, random_vectors(1), 9, where) == [sha(1).hex()]

    def comes(path: str, label: str) -> None:
        store.put([arrival(1, f"x:/{path}", label=label)], {"v": random_vectors(1)})

    comes("a", "cat")
    assert passing("label = cat and path = 'x:/a'")
    comes("b", "dog")
    assert passing("label = cat")
    assert passing("label != cat")
    assert not passing("label = cat and path = 'x:/b'")
    store.forget(["x:/a"])
    assert passing("label = dog and label != cat and path = 'x:/b'")
    assert not passing("label = cat")
    assert not passing("path = 'x:/a'")
    comes("c", "cow")
    assert passing("label = cow and path = 'x:/c'")


def test_times_and_formats_are_compared_as_people_write_them(store: Store) -> None:
    at = int(1.7e9)  # 2023-11-14T22:13:20Z
    store.put(
        [
            Arrival(sha(1), "JPEG", 1, 1, 1, Place("x:/1", modified_ns=at * 10**9)),
            Arrival(sha(2), "HEIF", 1, 1, 1, Place("x:/2", modified_ns=(at + 90_000) * 10**9)),
        ],
        {"v": random_vectors(2)},
    )
    one, two = sha(1).hex(), sha(2).hex()
    for where, expected in {
        "modified < 2023-11-15": {one},
        "modified >= 2023-11-15": {two},
        "modified = 2023-11-14T22:13:20": {one},
        "modified > '2023-11-14T23:13:20+01:00'": {two},
        "added > 2020-01-01": {one, two},
        "format = jpg": {one},
        "format in (jpeg, heic)": {one, two},
        "format != JPG": {two},
        "modified exists and not_there != 3": {one, two},
    }.items():
        assert set(found(store, random_vectors(1), 9, where)) == expected, where


def test_the_largest_filters_that_are_read_are_answered(store: Store) -> None:
    store.put([arrival(1, "/a", metadata={"n": 3})], {"v": random_vectors(1)})
    deep = "n=3"
    for i in range(10):
        deep = f"({deep} {'and' if i % 2 else 'or'} m=1 or n>=3)"
    for where in (
        " and ".join(["n=3"] * 500),
        " or ".join(["n=4"] * 499 + ["n=3"]),
        f"n in ({', '.join(map(str, range(40_000)))})",
        deep,
    ):
        assert found(store, random_vectors(1), 9, where) == [sha(1).hex()]


def test_vectors_of_many_are_those_that_came_and_of_the_unknown_none(store: Store) -> None:
    vectors = random_vectors(700)
    put(store, range(700), vectors)
    wanted = [sha(i).hex() for i in (3, 699, 5)]
    found = store.vectors_of("v", [*wanted, sha("never").hex()])
    assert set(found) == set(wanted)
    np.testing.assert_array_equal(found[wanted[1]], vectors[699:])
    assert store.vectors_of("v", []) == {}
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(store.compared("v", vectors), unit, atol=1e-6)


def test_pages_neither_repeat_nor_leave_out_a_record_whatever_changes(
    store: Store, reopen: Callable[[], Store]
) -> None:
    put(store, range(10), random_vectors(10))
    found, after = [], None
    for turn in range(20):
        records, after = store.page(after, 3)
        found += [record.id for record in records]
        store.forget([record.path for record in records])  # as who clears away what is listed
        put(store, [100 + turn], random_vectors(1, seed=turn))
        if after is None:
            break
    assert found == [sha(i).hex() for i in reversed(range(10))]
    other = reopen()
    assert other.page(None, 1)[1] == store.page(None, 1)[1]
    other.close()
    for wrong in ("x", "-1", "1.0", "", "9" * 40):
        with pytest.raises(BadQuery, match="not where a page"):
            store.page(wrong, 3)
