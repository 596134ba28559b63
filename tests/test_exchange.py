"""Features to a file and from one: nothing is lost, and no wrong file stores a part of itself."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np
import pytest
from samples import called, encoded, lookalike, write

import lookalike as package
from lookalike import Collection, PictureError, Place, registry
from lookalike.errors import (
    BadFeatures,
    LookalikeError,
    MissingPackage,
    NotACollection,
    OtherRecipe,
    RecipeError,
    UnknownName,
)
from lookalike.exchange import export_features, import_features, rows
from lookalike.extract import Descriptors
from lookalike.types import Picture, Vectors

COUNT = 10
DIM = 4
FINGERPRINT = f"vectors:test:{DIM}"
FORMATS = ("npy", "npz", "hdf5", "h5")

READY = """
name = "ready"
[embeddings.v]
extractor = { name = "vectors", dim = 4, made_by = "test" }
index = { name = "flat" }
"""
SECOND = """
[embeddings.w]
extractor = { name = "vectors", dim = 2, made_by = "other" }
index = { name = "flat" }
"""
LEARNING = """
[embeddings.words]
extractor = { name = "learning" }
index = { name = "flat" }
"""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """cat/0.png … cat/4.png, dog/5.png … dog/9.png, and a list that says more of two."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(COUNT):
        write(folder / ("cat" if number < 5 else "dog") / f"{number}.png", number)
    write(folder / "copy é\n.png", 3)
    lines = [{"path": "cat/1.png", "label": "tom", "year": 2024, "größe": ["½", None]}]
    (folder / "list.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder


@pytest.fixture(scope="module")
def made(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    """A collection of them and of an upload, only to be read."""
    with package.open(tmp_path_factory.mktemp("made") / "c.lookalike") as opened:
        opened.add(photos)
        opened.add(photos / "list.jsonl")
        opened.add_bytes(encoded(20), "upload.png", label="mine", metadata={"n": 1.5})
        yield opened


@pytest.fixture(scope="module")
def written(made: Collection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """features.npy, .npz, .hdf5 and .h5 of that collection."""
    folder = tmp_path_factory.mktemp("written")
    for ending in FORMATS:
        export_features(made, folder / f"features.{ending}")
    return folder


@pytest.fixture
def ready(tmp_path: Path) -> Iterator[Collection]:
    """An empty collection of vectors that are made elsewhere."""
    with opened(tmp_path / "ready", READY) as collection:
        yield collection


def opened(folder: Path, recipe: str) -> Collection:
    file = folder.with_suffix(".toml")
    file.write_text(recipe)
    return package.open(folder, recipe=str(file))


def vectors(count: int, dim: int = DIM, seed: int = 0) -> Vectors:
    return np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)


def ids(count: int, start: int = 0) -> list[str]:
    numbers = range(start, start + count)
    return [hashlib.sha256(str(number).encode()).hexdigest() for number in numbers]


def by_hand(**other: Any) -> dict[str, Any]:
    """What a notebook would save: three pictures; None leaves a part away."""
    parts = {
        "vectors": vectors(3),
        "ids": np.array(ids(3)),
        "paths": np.array(["/a/0.png", "/a/1.png", "/a/2.png"]),
        "fingerprint": FINGERPRINT,
        **other,
    }
    return {name: value for name, value in parts.items() if value is not None}


def answers(collection: Collection) -> list[list[Any]]:
    queries = [collection.search(encoded(number), k=20) for number in (0, 7, 20, 31)]
    return [[(hit.score, hit.record.id, hit.places) for hit in hits] for hits in queries]


def counted(collection: Collection) -> dict[str, Any]:
    stats = collection.stats()
    for here_only in ("path", "newest", "catalogue_bytes", "failed", "ignored"):
        del stats[here_only]
    return stats


class TestRoundTrip:
    @pytest.mark.parametrize("ending", FORMATS)
    def test_a_new_collection_of_it_answers_the_same(
        self, ending: str, made: Collection, written: Path, tmp_path: Path
    ) -> None:
        report = import_features(tmp_path / "new", written / f"features.{ending}")
        assert (report.stored, report.kept, report.failed) == (COUNT + 1, COUNT + 1, 0)
        with package.open(tmp_path / "new") as new:
            assert answers(new) == answers(made)
            assert counted(new) == counted(made)
            assert [each.id for each in new] == [each.id for each in made]
            for record in made:
                assert (new.vector(record.id) == made.vector(record.id)).all()
            assert new.recipe.text == made.recipe.text

    @pytest.mark.parametrize("ending", FORMATS)
    def test_once_more_changes_nothing(self, ending: str, written: Path, tmp_path: Path) -> None:
        import_features(tmp_path / "new", written / f"features.{ending}")
        report = import_features(tmp_path / "new", written / f"features.{ending}")
        assert (report.unchanged, report.kept, report.failed) == (COUNT + 1, COUNT + 1, 0)

    def test_into_the_very_collection_it_changes_nothing(
        self, made: Collection, written: Path, photos: Path
    ) -> None:
        before = list(made)
        report = import_features(made, written / "features.npz")
        assert (report.unchanged, report.kept) == (COUNT + 1, COUNT + 1)
        assert list(made) == before
        assert made.add(photos).unchanged == COUNT + 1

    def test_places_that_are_not_on_this_machine_stay_all(
        self, ready: Collection, tmp_path: Path
    ) -> None:
        places = [{"path": f"/not/here/{name}.png", "label": name} for name in "abc"]
        records = [json.dumps({"format": "PNG", "width": 3, "height": 2, "places": places})]
        parts = by_hand(vectors=vectors(1), ids=ids(1), paths=None)
        parts["records"] = np.frombuffer("\n".join(records).encode(), np.uint8)
        np.savez(tmp_path / "f.npz", **parts)
        for word in ("stored", "unchanged"):
            assert getattr(import_features(ready, tmp_path / "f.npz"), word) == 1
            (record,) = ready
            assert [each.label for each in record.places] == ["a", "b", "c"]
            assert (record.width, record.height, record.format) == (3, 2, "PNG")

    def test_blocks_are_committed_one_by_one_and_running_again_goes_on(
        self, made: Collection, written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rows, "_AT_ONCE", 4)

        def interrupt(done: int, total: int) -> None:
            assert total == COUNT + 1
            if done == 8:
                raise KeyboardInterrupt

        for ending in FORMATS:
            folder, file = tmp_path / ending, written / f"features.{ending}"
            with pytest.raises(KeyboardInterrupt):
                import_features(folder, file, on_progress=interrupt)
            report = import_features(folder, file)
            assert (report.unchanged, report.stored) == (8, COUNT - 7)
            with package.open(folder) as collection:
                assert answers(collection) == answers(made)

    def test_an_empty_collection_makes_a_template(self, ready: Collection, tmp_path: Path) -> None:
        for ending in FORMATS:
            assert export_features(ready, tmp_path / f"f.{ending}").pictures == 0
            assert import_features(tmp_path / ending, tmp_path / f"f.{ending}").kept == 0
            with package.open(tmp_path / ending) as new:
                assert (len(new), new.recipe.name) == (0, "ready")


class TestFile:
    """Read with numpy, h5py and json alone."""

    @staticmethod
    def check(made: Collection, read: dict[str, Any], records: Sequence[Any]) -> None:
        kept = list(made)[::-1]
        assert read["ids"] == [each.id for each in kept]
        assert read["paths"] == [each.path for each in kept]
        assert (read["embedding"], read["recipe"]) == ("default", made.recipe.text)
        embedding = made.stats()["embeddings"]["default"]
        assert read["fingerprint"] == embedding["fingerprint"]
        assert read["vectors"].dtype == np.float32
        assert (read["vectors"] == np.concatenate([made.vector(each.id) for each in kept])).all()
        for record, each in zip(records, kept, strict=True):
            assert record["format"] == each.format
            assert (record["width"], record["height"]) == (each.width, each.height)
            assert record["size"] == each.size
            assert [Place(**place) for place in record["places"]] == list(each.places)

    def test_npz(self, made: Collection, written: Path) -> None:
        with np.load(written / "features.npz", allow_pickle=False) as file:
            read = {name: file[name] for name in file.files}
        records = read.pop("records").tobytes().decode().splitlines()
        plain = {name: each if each.ndim == 2 else each.tolist() for name, each in read.items()}
        self.check(made, plain, [json.loads(each) for each in records])

    def test_npy(self, made: Collection, written: Path) -> None:
        keys = json.loads((written / "features.json").read_text("utf-8"))
        keys["vectors"] = np.load(written / "features.npy", allow_pickle=False)
        self.check(made, keys, keys["records"])

    def test_hdf5(self, made: Collection, written: Path) -> None:
        with h5py.File(written / "features.hdf5") as file:
            read = {name: file[name].asstr()[()] for name in file if name != "vectors"}
            plain = {
                n: each if isinstance(each, str) else each.tolist() for n, each in read.items()
            }
            plain["vectors"] = file["vectors"][:]
        self.check(made, plain, [json.loads(each) for each in plain["records"]])

    @pytest.mark.parametrize("ending", FORMATS)
    def test_one_that_is_there_is_left_unless_it_is_said(
        self, ending: str, ready: Collection, tmp_path: Path
    ) -> None:
        file = tmp_path / f"f.{ending}"
        file.write_text("mine")
        with pytest.raises(BadFeatures, match="it is there already"):
            export_features(ready, file)
        assert file.read_text() == "mine"
        export_features(ready, file, overwrite=True)
        assert import_features(ready, file).kept == 0

    def test_somebody_elses_json_beside_it_is_left_too(
        self, ready: Collection, tmp_path: Path
    ) -> None:
        (tmp_path / "f.json").write_text("mine")
        with pytest.raises(BadFeatures, match=r"f\.json: it is there already"):
            export_features(ready, tmp_path / "f.npy")
        assert (tmp_path / "f.json").read_text() == "mine"

    def test_what_cannot_be_written_leaves_nothing(
        self, made: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(BadFeatures, match="cannot be written: No such file"):
            export_features(made, tmp_path / "missing" / "f.npz")
        with pytest.raises(BadFeatures, match="the ending says the format"):
            export_features(made, tmp_path / "f.csv")
        with pytest.raises(UnknownName):
            export_features(made, tmp_path / "f.npz", embedding="defualt")

        def full(*_: Any, **__: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(shutil, "copyfileobj", full)
        with pytest.raises(BadFeatures, match="No space left"):
            export_features(made, tmp_path / "f.npz")
        assert list(tmp_path.iterdir()) == []

    def test_without_h5py_the_extra_is_named(
        self, ready: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        export_features(ready, tmp_path / "f.h5")
        monkeypatch.setitem(sys.modules, "h5py", None)
        with pytest.raises(MissingPackage, match=r"pip install 'lookalike\[hdf5\]'"):
            export_features(ready, tmp_path / "g.h5")
        with pytest.raises(MissingPackage, match=r"lookalike\[hdf5\]"):
            import_features(ready, tmp_path / "f.h5")


class TestByHand:
    """Files made with numpy alone, in a notebook."""

    def test_ids_and_paths_are_enough(self, ready: Collection, tmp_path: Path) -> None:
        np.savez(tmp_path / "f.npz", **by_hand())
        assert import_features(ready, tmp_path / "f.npz").stored == 3
        assert [each.id for each in ready] == ids(3)[::-1]
        assert ready.search(vectors(3)[1])[0].path == "/a/1.png"
        (record, *_) = ready
        assert (record.format, record.width) == ("UNKNOWN", 0)

    @pytest.mark.parametrize("ending", FORMATS)
    def test_paths_alone_speak_of_files_on_this_disk(
        self, ending: str, photos: Path, ready: Collection, tmp_path: Path
    ) -> None:
        names = ["cat/0.png", "missing.png", "dog/7.png", "list.jsonl", "copy é\n.png", "cat/3.png"]
        paths = [str(photos / name) for name in names]
        file = tmp_path / f"f.{ending}"
        if ending == "npz":
            np.savez_compressed(file, vectors=vectors(6), paths=paths, fingerprint=FINGERPRINT)
        elif ending == "npy":
            np.save(file, np.asfortranarray(vectors(6).astype(np.float64)))
            keys = {"paths": paths, "fingerprint": FINGERPRINT}
            file.with_suffix(".json").write_text(json.dumps(keys))
        else:
            with h5py.File(file, "w") as made:
                made["vectors"], made["paths"] = vectors(6), paths
                made["fingerprint"] = FINGERPRINT
        report = import_features(ready, file)
        assert (report.stored, report.copies, report.failed) == (3, 1, 2)
        reasons = {Path(each.path).name: each.reason for each in ready.failures()}
        assert reasons["missing.png"] == "it cannot be read: No such file or directory"
        assert "not a picture" in str(reasons["list.jsonl"])
        hit = ready.search(vectors(6)[2])[0]
        assert hit.id == hashlib.sha256(encoded(7)).hexdigest()
        assert (hit.path, hit.label) == (paths[2], "dog")
        assert (hit.record.format, hit.record.width, hit.record.height) == ("PNG", 96, 72)
        assert ready.add(photos / "dog" / "7.png").unchanged == 1
        report = import_features(ready, file)
        assert (report.unchanged, report.failed) == (4, 2)

    def test_relative_paths_start_where_we_are(
        self, photos: Path, ready: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(photos)
        parts = by_hand(ids=None, vectors=vectors(1), paths=["cat/0.png"])
        np.savez(tmp_path / "f.npz", **parts)
        assert import_features(ready, tmp_path / "f.npz").stored == 1
        assert next(iter(ready)).path == str(photos / "cat" / "0.png")

    @pytest.mark.parametrize("kind", ["<f2", ">f4", "<f8"])
    def test_any_floating_point_will_do(self, kind: str, ready: Collection, tmp_path: Path) -> None:
        np.savez(
            tmp_path / "f.npz",
            **by_hand(vectors=vectors(3).astype(kind), ids=np.array(ids(3), "S")),
        )
        import_features(ready, tmp_path / "f.npz")
        np.testing.assert_allclose(ready.vector(ids(3)[0])[0], vectors(3)[0], atol=1e-3)

    def test_a_new_collection_needs_a_recipe_then(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "f.npz", **by_hand())
        with pytest.raises(BadFeatures, match=r"carries no recipe .* --recipe"):
            import_features(tmp_path / "new", tmp_path / "f.npz")
        assert not (tmp_path / "new").exists()
        (tmp_path / "r.toml").write_text(READY)
        report = import_features(
            tmp_path / "new", tmp_path / "f.npz", recipe=str(tmp_path / "r.toml")
        )
        assert report.stored == 3


class TestModel:
    def test_another_model_is_refused_with_both_fingerprints(
        self, ready: Collection, tmp_path: Path
    ) -> None:
        np.savez(tmp_path / "f.npz", **by_hand(fingerprint="vectors:mine:4"))
        with pytest.raises(BadFeatures, match=f"'vectors:mine:4', .* '{FINGERPRINT}'"):
            import_features(ready, tmp_path / "f.npz")
        assert len(ready) == 0

    def test_a_recipe_of_another_model_makes_no_collection(
        self, written: Path, tmp_path: Path
    ) -> None:
        with pytest.raises(BadFeatures, match=r"made by another model.*default-fp16"):
            import_features(tmp_path / "new", written / "features.npz", recipe="default-fp16")
        assert not (tmp_path / "new").exists()

    def test_a_collection_keeps_its_recipe(self, ready: Collection, tmp_path: Path) -> None:
        np.savez(tmp_path / "f.npz", **by_hand())
        import_features(ready, tmp_path / "f.npz")
        with pytest.raises(OtherRecipe):
            import_features(ready.path, tmp_path / "f.npz", recipe="default")

    def test_a_folder_of_other_things_is_no_place_for_a_collection(
        self, written: Path, photos: Path
    ) -> None:
        with pytest.raises(NotACollection):
            import_features(photos, written / "features.npz")

    def test_several_embeddings_travel_together_or_not_at_all(self, tmp_path: Path) -> None:
        with opened(tmp_path / "both", READY + SECOND) as both:
            given = {"v": vectors(5), "w": vectors(5, 2)}
            both.add_vectors(
                given, list(map(bytes.fromhex, ids(5))), [Place(f"/{n}") for n in range(5)]
            )
            export_features(both, tmp_path / "f.npz")
            export_features(both, tmp_path / "f.h5")
            export_features(both, tmp_path / "w.npy", embedding="w")
            with pytest.raises(BadFeatures, match="one kind of vectors: name one of v, w"):
                export_features(both, tmp_path / "f.npy")
            for ending in ("npz", "h5"):
                import_features(tmp_path / ending, tmp_path / f"f.{ending}")
                with package.open(tmp_path / ending) as new:
                    for id in ids(5):
                        for name in ("v", "w"):
                            assert (new.vector(id, name) == both.vector(id, name)).all()
            with pytest.raises(BadFeatures, match=r"brings `w` vectors, but the recipe .* `v`"):
                import_features(both, tmp_path / "w.npy")
            with pytest.raises(BadFeatures, match="brings `w` vectors"):
                import_features(tmp_path / "new", tmp_path / "w.npy")
            assert not (tmp_path / "new").exists()
        (tmp_path / "one.toml").write_text(SECOND)
        import_features(tmp_path / "w", tmp_path / "w.npy", recipe=str(tmp_path / "one.toml"))
        with package.open(tmp_path / "w") as one:
            assert (one.vector(ids(5)[3]) == given["w"][3]).all()


@dataclass
class NoOptions:
    pass


class Learning:
    """An extractor that has to learn: the mean colour, less what it learned."""

    Options: ClassVar = NoOptions
    dim = 3
    shortest_side = 8
    wanted_pictures = 4

    def __init__(self, _options: NoOptions, _device: str) -> None:
        self.mean: np.ndarray[Any, Any] | None = None

    @property
    def fingerprint(self) -> str:
        return f"learning:{None if self.mean is None else self.mean.tolist()}"

    def extract(self, pictures: Sequence[Picture]) -> Vectors:
        assert self.mean is not None
        return np.array([each.pixels.mean((0, 1)) - self.mean for each in pictures], np.float32)

    def sample(self, pictures: Sequence[Picture]) -> list[Descriptors]:
        return [each.pixels.mean((0, 1), keepdims=True)[0] for each in pictures]

    def learn(self, samples: Sequence[Descriptors], on_progress: Callable[[float], None]) -> bytes:
        self.mean = np.concatenate(samples).mean(0)
        on_progress(1.0)
        return self.mean.tobytes()

    def restore(self, learned: bytes) -> None:
        if len(learned) != 24:
            raise RecipeError("24 bytes were expected")
        self.mean = np.frombuffer(learned)


class TestLearned:
    @pytest.fixture(autouse=True)
    def known(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        place = f"{Learning.__module__}:Learning"
        monkeypatch.setitem(registry._TABLE["extractor"], "learning", place)
        yield
        registry.load.cache_clear()

    @pytest.mark.parametrize("ending", FORMATS)
    def test_what_an_extractor_learned_travels_too(
        self, ending: str, photos: Path, tmp_path: Path
    ) -> None:
        file = tmp_path / f"f.{ending}"
        with opened(tmp_path / "a", LEARNING) as first:
            first.add(photos)
            export_features(first, file)
            want = answers(first)
        import_features(tmp_path / "new", file)
        with package.open(tmp_path / "new") as new:
            assert answers(new) == want
            assert import_features(new, file).unchanged == COUNT
        with opened(tmp_path / "untrained", LEARNING) as empty:
            assert import_features(empty, file).stored == COUNT
            assert answers(empty) == want
        with opened(tmp_path / "other", LEARNING) as other:
            other.add(photos / "cat")
            with pytest.raises(BadFeatures, match="made by another model"):
                import_features(other, file)

    def test_what_does_not_fit_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "r.toml").write_text(LEARNING)
        parts = by_hand(vectors=vectors(3, 3), fingerprint="x", embedding="words")
        for learned in (np.zeros(5, np.uint8), np.array("text"), np.zeros(3)):
            np.savez(tmp_path / "f.npz", **parts, learned=learned)
            with pytest.raises(BadFeatures, match="`learned`"):
                import_features(
                    tmp_path / "new", tmp_path / "f.npz", recipe=str(tmp_path / "r.toml")
                )
            assert not (tmp_path / "new").exists()


def record(**other: Any) -> dict[str, Any]:
    return {"places": [{"path": "/x.png"}], **other}


def lines(*records: Any) -> Any:
    return np.frombuffer("\n".join(map(json.dumps, records)).encode(), np.uint8)


def bad_vectors() -> Iterator[tuple[str, Any]]:
    yield r"shape is \[3, 5\], expected \[n, 4\]", np.zeros((3, 5), np.float32)
    yield r"shape is \[12\]", np.zeros(12, np.float32)
    yield r"shape is \[\]", np.zeros(())
    yield "it is int64, expected float32", np.zeros((3, 4), np.int64)
    yield "it is <U1, expected float32", np.full((3, 4), "1")
    yield "it is complex128", np.zeros((3, 4), complex)
    yield "row 2 holds NaN", np.where(np.arange(3)[:, None] == 1, np.nan, np.ones((3, 4)))
    yield "row 1 holds NaN, infinity", np.full((3, 4), 1e300)
    yield "pickled Python objects", np.full((3, 4), None)
    yield "`vectors` has 2 rows, `ids` has more", vectors(2)
    yield "`ids` has 3 rows, `vectors` has more", vectors(5)
    yield "`ids` has 0 rows, `vectors` has more|3 rows", vectors(2000)


BAD_KEYS: list[tuple[str, dict[str, Any]]] = [
    ("it has no `vectors`", {"vectors": None}),
    ("it has no `fingerprint`", {"fingerprint": None}),
    ("`fingerprint` cannot be read: expected one text", {"fingerprint": np.array(["a", "b"])}),
    ("`fingerprint` cannot be read: expected one text", {"fingerprint": 7}),
    ("it has no `paths`", {"paths": None}),
    ("it has no `paths`", {"paths": None, "ids": None}),
    ("not the `ids`", {"ids": None, "records": lines(record())}),
    ("rows 1 and 3 have the same id", {"ids": [*ids(2), *ids(1)]}),
    ("rows 2 and 3 have the same path", {"paths": ["/a", "/b", "/c/../b"]}),
    ("row 2: 'zz' is not the hexadecimal sha256", {"ids": [ids(1)[0], "zz", ids(1, 5)[0]]}),
    ("row 1: .* is not the hexadecimal", {"ids": [each.upper() for each in ids(3)]}),
    ("`ids` cannot be read: expected text", {"ids": np.arange(3)}),
    ("pickled Python objects", {"ids": np.array([*ids(2), None], object)}),
    ("`paths` has 2 rows, `vectors` has more", {"paths": ["/a", "/b"]}),
    ("row 1: a path with a NUL", {"paths": ["/a\0b", "/b", "/c"]}),
    ("row 2: an empty path", {"paths": ["/a", "", "/c"]}),
    ("`paths` cannot be read: .*surrogate|row 1: .*surrogate", {"paths": ["/\ud800", "/b", "/c"]}),
    ("`paths` cannot be read: .*utf-8", {"paths": [b"/\xff", b"/b", b"/c"]}),
    ("brings `mine` vectors, but", {"embedding": "mine"}),
]

BAD_RECORDS: list[tuple[str, Any]] = [
    ("row 3: Expecting value", np.frombuffer(b'{"places":[{"path":"/1"}]}\n' * 2 + b"x", np.uint8)),
    ("`records` has 2 rows", lines(record(), record(places=[{"path": "/y"}]))),
    ("row 1: its record is not a JSON object", lines(1, 2, 3)),
    ("row 1: its record has no `places`", lines({}, {}, {})),
    ("row 1: its record has no `places`", lines(record(places=[]), {}, {})),
    ("row 1: one of its places is not", lines(record(places=["/x"]), {}, {})),
    ("row 1: a path is not text", lines(record(places=[{}]), {}, {})),
    ("row 1: a path with a NUL", lines(record(places=[{"path": "/\0"}]), {}, {})),
    ("row 1: .*surrogates", lines(record(places=[{"path": "/\ud800"}]), {}, {})),
    ("row 1: a label is not text", lines(record(places=[{"path": "/", "label": 1}]), {}, {})),
    ("row 1: `width` must be", lines(record(width=-1), {}, {})),
    ("row 1: `width` must be", lines(record(width=2**70), {}, {})),
    ("row 1: `height` must be", lines(record(height=True), {}, {})),
    ("row 1: `size` must be", lines(record(size="1"), {}, {})),
    ("row 1: the format is not text", lines(record(format=None), {}, {})),
    ("row 1: the metadata", lines(record(places=[{"path": "/", "metadata": []}]), {}, {})),
    ("row 1: ", np.frombuffer(b"[" * 100_000 + b"\n1\n2", np.uint8)),
    ("rows 1 and 2 have the same path", lines(record(), record(), record())),
    ("`records` cannot be read: .*utf-8", np.frombuffer(b"\xff\n1\n2", np.uint8)),
]


class TestBadInput:
    """One clear line, and nothing is stored."""

    @staticmethod
    def refused(collection: Collection, file: Path, why: str) -> None:
        with pytest.raises(BadFeatures, match=why) as caught:
            import_features(collection, file)
        assert "\n" not in str(caught.value)
        assert str(file.with_suffix("")) in str(caught.value)
        assert len(collection) == 0
        with pytest.raises(LookalikeError):
            import_features(file.parent / "new", file, recipe=f"{collection.path}.toml")
        assert not (file.parent / "new").exists()

    @pytest.mark.parametrize(("why", "given"), list(bad_vectors()))
    def test_vectors(self, why: str, given: Any, ready: Collection, tmp_path: Path) -> None:
        np.savez(tmp_path / "f.npz", **by_hand(vectors=given))
        self.refused(ready, tmp_path / "f.npz", why)

    @pytest.mark.parametrize(("why", "given"), BAD_KEYS)
    def test_keys(self, why: str, given: dict[str, Any], ready: Collection, tmp_path: Path) -> None:
        np.savez(tmp_path / "f.npz", **by_hand(**given))
        self.refused(ready, tmp_path / "f.npz", why)

    @pytest.mark.parametrize(("why", "given"), BAD_RECORDS)
    def test_records(self, why: str, given: Any, ready: Collection, tmp_path: Path) -> None:
        np.savez(tmp_path / "f.npz", **by_hand(records=given))
        self.refused(ready, tmp_path / "f.npz", why)

    def test_metadata_that_no_store_keeps(self, ready: Collection, tmp_path: Path) -> None:
        deep: Any = 1
        for _ in range(150):
            deep = [deep]
        records = lines(record(places=[{"path": "/", "metadata": {"a": deep}}]), {}, {})
        np.savez(tmp_path / "f.npz", **by_hand(records=records))
        self.refused(ready, tmp_path / "f.npz", "row 1: .*over 100 levels deep")

    def test_a_wrong_row_after_many_right_ones(self, ready: Collection, tmp_path: Path) -> None:
        matrix = vectors(3000)
        matrix[2999, 3] = np.inf
        paths = [f"/{number}" for number in range(3000)]
        np.savez(tmp_path / "f.npz", **by_hand(vectors=matrix, ids=ids(3000), paths=paths))
        self.refused(ready, tmp_path / "f.npz", "row 3000 holds NaN, infinity")

    @pytest.mark.parametrize("ending", FORMATS)
    @pytest.mark.parametrize("kept", [0, 1, 7, 60, 0.3, 0.6, 0.99, -1])
    def test_truncated(self, ending: str, kept: float, written: Path, tmp_path: Path) -> None:
        content = (written / f"features.{ending}").read_bytes()
        length = int(kept * len(content)) if isinstance(kept, float) else int(kept) % len(content)
        (tmp_path / f"f.{ending}").write_bytes(content[:length])
        shutil.copy(written / "features.json", tmp_path / "f.json")
        with pytest.raises(BadFeatures, match="cannot be read") as caught:
            import_features(tmp_path / "new", tmp_path / f"f.{ending}")
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "new").exists()

    @pytest.mark.parametrize("ending", FORMATS)
    def test_any_byte_may_be_wrong(self, ending: str, written: Path, tmp_path: Path) -> None:
        """Refused in one line, or what no format can see; never anything else."""
        content = (written / f"features.{ending}").read_bytes()
        generator = np.random.default_rng(3)
        shutil.copy(written / "features.json", tmp_path / "f.json")
        for number in range(60):
            damaged = bytearray(content)
            for place in generator.integers(0, len(content) if number % 2 else 400, 3):
                damaged[place] ^= int(generator.integers(1, 256))
            (tmp_path / f"f.{ending}").write_bytes(damaged)
            try:
                import_features(tmp_path / f"c{number}", tmp_path / f"f.{ending}")
            except LookalikeError as error:
                said = str(error)
                assert not (tmp_path / f"c{number}").exists()
                assert "\n" not in said

    def test_not_what_the_ending_says(
        self, written: Path, ready: Collection, tmp_path: Path
    ) -> None:
        for ending in ("npz", "hdf5"):
            shutil.copy(written / "features.npy", tmp_path / f"f.{ending}")
            self.refused(ready, tmp_path / f"f.{ending}", "cannot be read")
        shutil.copy(written / "features.npz", tmp_path / "f.npy")
        self.refused(ready, tmp_path / "f.npy", "cannot be read")
        shutil.copy(written / "features.npz", tmp_path / "f.csv")
        self.refused(ready, tmp_path / "f.csv", "the ending says the format")
        self.refused(ready, tmp_path / "missing.npz", "No such file")
        self.refused(ready, tmp_path / "missing.h5", "No such file")
        (tmp_path / "folder.npz").mkdir()
        self.refused(ready, tmp_path / "folder.npz", "Is a directory")

    def test_a_pickle_is_never_loaded(self, ready: Collection, tmp_path: Path) -> None:
        class Trap:
            def __reduce__(self) -> Any:
                return (Path.touch, (tmp_path / "sprung",))

        trap = np.array([[Trap()] * 4] * 3, object)
        np.savez(tmp_path / "f.npz", allow_pickle=True, **by_hand(vectors=trap))
        self.refused(ready, tmp_path / "f.npz", "pickled Python objects, which are never loaded")
        np.save(tmp_path / "f.npy", trap, allow_pickle=True)
        (tmp_path / "f.json").write_text(json.dumps({"fingerprint": FINGERPRINT, "paths": []}))
        self.refused(ready, tmp_path / "f.npy", "pickled Python objects")
        trap.dump(tmp_path / "bare.npy")
        self.refused(ready, tmp_path / "bare.npy", "cannot be read")
        assert not (tmp_path / "sprung").exists()

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("", "cannot be read: Expecting value"),
            ('{"paths": [', "cannot be read: Expecting value"),
            ("[" * 100_000, "cannot be read"),
            ("[1, 2]", "expected an object"),
            ('{"fingerprint": 3, "paths": []}', "expected text, it is int"),
            ('{"fingerprint": "vectors:test:4", "paths": "x"}', "expected a list, it is str"),
            ('{"fingerprint": "vectors:test:4", "paths": ["/a", 2]}', "`paths` has 2 rows"),
            ('{"fingerprint": "vectors:test:4", "learned": "?", "paths": []}', "`learned`"),
            (
                '{"fingerprint": "vectors:test:4", "paths": ["/a", "/b", "/c\\u0000"]}',
                "row 3: .*NUL",
            ),
        ],
    )
    def test_the_keys_beside_a_npy(
        self, text: str, why: str, ready: Collection, tmp_path: Path
    ) -> None:
        np.save(tmp_path / "f.npy", vectors(3))
        (tmp_path / "f.json").write_text(text)
        self.refused(ready, tmp_path / "f.npy", why)

    def test_a_npy_without_its_keys(self, ready: Collection, tmp_path: Path) -> None:
        np.save(tmp_path / "f.npy", vectors(3))
        self.refused(ready, tmp_path / "f.npy", r"f\.json, which says its keys .* is missing")
        (tmp_path / "f.json").write_bytes(b"\xff")
        self.refused(ready, tmp_path / "f.npy", "utf-8")

    def test_hdf5_of_other_kinds(self, ready: Collection, tmp_path: Path) -> None:
        def made(**parts: Any) -> Path:
            with h5py.File(tmp_path / "f.h5", "w") as file:
                for name, value in by_hand(
                    **{"ids": None, "paths": ["/a", "/b", "/c"], **parts}
                ).items():
                    file[name] = value
            return tmp_path / "f.h5"

        self.refused(ready, made(paths=[1, 2, 3]), "`paths` cannot be read: expected text")
        self.refused(ready, made(fingerprint=["a", "b"]), "`fingerprint` .* expected one text")
        self.refused(ready, made(vectors=["a", "b", "c"]), "`vectors` cannot be read")
        self.refused(ready, made(vectors=h5py.SoftLink("/nowhere")), "it has no `vectors`")
        np.save(tmp_path / "elsewhere.npy", vectors(3))
        with h5py.File(tmp_path / "other.h5", "w") as file:
            file["vectors"] = vectors(3)
        link = h5py.ExternalLink(str(tmp_path / "other.h5"), "/vectors")
        self.refused(ready, made(vectors=link), "it has no `vectors`")
        with h5py.File(made(vectors=None), "a") as file:
            outside = [(str(tmp_path / "elsewhere.npy"), 0, 48)]
            file.create_dataset("vectors", (3, 4), "<f4", external=outside)
        self.refused(ready, tmp_path / "f.h5", "`vectors` lies in another file")

    def test_an_archive_of_other_things(self, ready: Collection, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "f.npz", "w") as archive:
            archive.writestr("notes.txt", "hello")
        self.refused(ready, tmp_path / "f.npz", "it has no `vectors`")
        with zipfile.ZipFile(tmp_path / "f.npz", "w") as archive:
            for name in by_hand():
                archive.writestr(f"{name}.npy", "hello")
        self.refused(ready, tmp_path / "f.npz", "cannot be read")

    def test_shapes_that_would_fill_the_memory(self, ready: Collection, tmp_path: Path) -> None:
        header = {"descr": "<f4", "fortran_order": False, "shape": (10**15, DIM)}
        with (tmp_path / "f.npy").open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            file.write(vectors(3).tobytes())
        keys = {"fingerprint": FINGERPRINT, "paths": ["/a"]}
        (tmp_path / "f.json").write_text(json.dumps(keys))
        self.refused(ready, tmp_path / "f.npy", "it ends too early")
        header["fortran_order"] = True
        with (tmp_path / "f.npy").open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
        self.refused(ready, tmp_path / "f.npy", "cannot be read")


class TestCommands:
    def test_there_and_back(self, made: Collection, photos: Path, tmp_path: Path) -> None:
        file = tmp_path / "f.npz"
        done = called("export", file, "-c", made.path, "--json")
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout) == {
            "file": str(file),
            "pictures": COUNT + 1,
            "embeddings": ["default"],
            "bytes": file.stat().st_size,
        }
        done = called("import", file, "-c", tmp_path / "new", "--json")
        assert (done.returncode, done.stderr) == (0, "")
        report = json.loads(done.stdout)
        assert (report["stored"], report["failed"]) == (COUNT + 1, 0)
        queries = [
            called("search", photos / "dog", "-c", folder, "--json").stdout
            for folder in (made.path, tmp_path / "new")
        ]
        assert queries[0] == queries[1] != ""
        done = called("import", file, "-c", tmp_path / "new")
        assert done.stdout.startswith("11 unchanged in ")

    def test_a_mistake_is_one_line_and_exit_code_2(self, made: Collection, tmp_path: Path) -> None:
        (tmp_path / "f.npz").write_text("mine")
        done = called("export", tmp_path / "f.npz", "-c", made.path)
        assert done.returncode == 2
        message = "it is there already: name another, or say --overwrite"
        assert done.stderr == f"lookalike: {tmp_path}/f.npz: {message}\n"
        assert called("export", tmp_path / "f.npz", "-c", made.path, "--overwrite").stdout
        done = called("import", tmp_path / "g.npz", "-c", tmp_path / "new")
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert not (tmp_path / "new").exists()

    def test_rows_that_were_refused_are_exit_code_1(self, photos: Path, tmp_path: Path) -> None:
        (tmp_path / "r.toml").write_text(READY)
        paths = [str(photos / "cat" / "0.png"), "/missing.png"]
        np.savez(tmp_path / "f.npz", vectors=vectors(2), paths=paths, fingerprint=FINGERPRINT)
        arguments = ("import", tmp_path / "f.npz", "-c", tmp_path / "c")
        done = called(*arguments, "--recipe", tmp_path / "r.toml")
        assert done.returncode == 1
        assert done.stdout.startswith("1 stored, 1 failed in ")
        done = called("failures", "-c", tmp_path / "c")
        reason = "it cannot be read: No such file or directory"
        assert done.stdout == f"/missing.png\tto be tried again: {reason}\n"
        np.savez(tmp_path / "f.npz", vectors=vectors(1), paths=paths[1:], fingerprint=FINGERPRINT)
        assert called(*arguments).returncode == 2


def test_the_notebook_of_the_how_to_works(photos: Path, tmp_path: Path) -> None:
    text = (Path(__file__).parents[1] / "docs" / "sharing-features.md").read_text("utf-8")
    codes = [each.split("\n```")[0] for each in text.split("```python\n")[1:]]
    (recipe,) = (each.split("\n```")[0] for each in text.split("```toml\n")[1:])
    shutil.copytree(photos, tmp_path / "pictures")
    (tmp_path / "colours.toml").write_text(recipe)
    arguments = [sys.executable, "-c", codes[1]]
    subprocess.run(arguments, cwd=tmp_path, check=True)
    commands = [each for each in text.splitlines() if each.startswith("lookalike import")]
    done = lookalike(*commands[1].split()[1:], cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{COUNT} stored, 1 copies in ")
    id = hashlib.sha256(encoded(1)).hexdigest()
    found = lookalike("search", "--id", id, "-c", "colours.lookalike", "--json", cwd=tmp_path)
    assert len(json.loads(found.stdout)["hits"]) == COUNT - 1
    lookalike("export", "back.npz", "-c", "colours.lookalike", cwd=tmp_path)
    reading = codes[2].replace("features", "back")
    check = f"import json\nimport numpy as np\n{reading}\nassert len(records) == {COUNT}"
    subprocess.run([sys.executable, "-c", check], cwd=tmp_path, check=True)


def test_an_upload_is_known_though_its_bytes_did_not_travel(written: Path, tmp_path: Path) -> None:
    import_features(tmp_path / "new", written / "features.npz")
    with package.open(tmp_path / "new") as new:
        id = hashlib.sha256(encoded(20)).hexdigest()
        assert new[id].metadata == {"n": 1.5}
        with pytest.raises(PictureError):
            new.thumbnail(id)
