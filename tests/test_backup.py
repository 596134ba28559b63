"""A backup is of one moment, read again, and proved when it is restored; whatever is in the way."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import sqlite3
import subprocess
import tarfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from samples import called, command, encoded, environment, lookalike, write, write_classes

import lookalike as api
from lookalike import Collection
from lookalike.backup import Restored, back_up, restore
from lookalike.errors import BadBackup, CannotWrite, NotACollection
from lookalike.types import Place


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of folders and uploads, one file that is broken, a judgement, and local features."""
    folder = tmp_path_factory.mktemp("backup")
    pictures = write_classes(folder / "pictures", 5)
    (pictures / "broken.png").write_bytes(encoded(1)[:60])
    with api.open(folder / "c", recipe="copies") as collection:
        collection.add(pictures)
        for number in (100, 101, 102):
            collection.add_bytes(
                encoded(number), f"{number}.png", label="mine", metadata={"n": number}
            )
        records = collection.newest(limit=2)
        collection.judge(records[0].id, records[1].id, True, by="me")
        collection.store.keep_calibration('{"kept": "text"}')
    return folder / "c"


@pytest.fixture(scope="module")
def good(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of it."""
    file = tmp_path_factory.mktemp("good") / "c.tar"
    back_up(made, file)
    return file


def answers(collection: Collection) -> dict[str, list[tuple[str, float]]]:
    """The first ten of every stored picture, as a user gets them."""
    return {
        record.id: [(hit.id, hit.score) for hit in collection.more_like(record.id, k=10)]
        for record in collection
    }


def members(file: Path) -> dict[str, bytes]:
    """Read by Python's own tarfile."""
    with tarfile.open(file) as archive:
        return {each.name: archive.extractfile(each).read() for each in archive}  # type: ignore[union-attr]


def packed(path: Path, contents: dict[str, bytes], *others: tarfile.TarInfo) -> Path:
    """An archive of these, the manifest's sums made to fit, which a forger can do."""
    manifest = json.loads(contents["manifest.json"])
    for part in manifest["parts"]:
        content = contents.get(part["name"], b"")
        part |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    contents = {**contents, "manifest.json": json.dumps(manifest).encode()}
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        for other in others:
            archive.addfile(other, io.BytesIO(bytes(other.size)) if other.isreg() else None)
        for name, content in contents.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    return path


def assert_refused(file: Path, folder: Path, *words: str) -> None:
    """In one line, with nothing left."""
    before = sorted(folder.parent.iterdir())
    with pytest.raises(BadBackup) as refused:
        restore(file, folder)
    text = str(refused.value)
    assert "\n" not in text
    assert text.startswith(str(file))
    for word in words:
        assert word in text
    assert sorted(folder.parent.iterdir()) == before


class TestRoundTrip:
    def test_everything_comes_back(self, made: Path, good: Path, tmp_path: Path) -> None:
        report = restore(good, tmp_path / "again")
        assert (report.pictures, report.uploads, report.lacking) == (18, 3, [])
        assert report.proved >= 8
        with api.open(made) as one, api.open(tmp_path / "again", create=False) as two:
            assert list(one) == list(two)
            assert answers(one) == answers(two)
            assert list(one.failures()) == list(two.failures())
            assert one.judgements() == two.judgements() != []
            assert two.store.calibration() == '{"kept": "text"}'
            ids = [record.id for record in one]
            features, again = one.store.local_features(ids), two.store.local_features(ids)
            assert features.keys() == again.keys() != set()
            for id, each in features.items():
                np.testing.assert_array_equal(each.descriptors, again[id].descriptors)
            for id in ids:
                np.testing.assert_array_equal(one.vector(id), two.vector(id))
            found = [
                [(hit.id, hit.score, hit.scores) for hit in each.search(encoded(3), k=10)]
                for each in (one, two)
            ]
            assert found[0] == found[1] != []
            mine = [record for record in two if record.label == "mine"]
            assert {two.original(r.id).path.read_bytes() for r in mine} == {  # type: ignore[union-attr]
                encoded(number) for number in (100, 101, 102)
            }
            assert all(finding.sound for finding in two.check())

    def test_a_restored_collection_is_backed_up_to_the_same(
        self, good: Path, tmp_path: Path
    ) -> None:
        restore(good, tmp_path / "again")
        back_up(tmp_path / "again", tmp_path / "second.tar")
        first, second = members(good), members(tmp_path / "second.tar")
        assert first["probes.json"] == second["probes.json"]
        uploads = {name for name in first if name.startswith("uploads/")}
        assert len(uploads) == 3
        assert uploads <= set(second)

    @pytest.mark.slow
    def test_the_same_index_comes_back_where_answers_hang_on_its_building(
        self, tmp_path: Path
    ) -> None:
        recipe = tmp_path / "graph.toml"
        text = (Path(api.__file__).parent / "recipes" / "default.toml").read_text()
        assert 'name = "auto"' in text
        recipe.write_text(text.replace('name = "auto"', 'name = "hnsw"'))
        vectors = np.random.default_rng(1).normal(size=(6000, 384)).astype(np.float32)
        with api.open(tmp_path / "c", recipe=str(recipe)) as collection:
            digests = [hashlib.sha256(bytes([n % 256, n // 256])).digest() for n in range(6000)]
            collection.add_vectors(vectors, digests, [Place(f"http://p/{n}") for n in range(6000)])
            collection.settle()
        back_up(tmp_path / "c", tmp_path / "c.tar")
        assert any(name.startswith("index/") for name in members(tmp_path / "c.tar"))
        restore(tmp_path / "c.tar", tmp_path / "again")
        with api.open(tmp_path / "c") as one, api.open(tmp_path / "again") as two:
            kinds = [each.stats()["embeddings"]["default"]["structure"] for each in (one, two)]
            assert kinds == ["hnsw", "hnsw"]
            for query in np.random.default_rng(2).normal(size=(50, 384)).astype(np.float32):
                assert one.search(query, k=10) == two.search(query, k=10)

    def test_an_empty_collection_comes_back(self, tmp_path: Path) -> None:
        api.open(tmp_path / "c").close()
        back_up(tmp_path / "c", tmp_path / "c.tar")
        assert restore(tmp_path / "c.tar", tmp_path / "again").pictures == 0

    def test_into_a_folder_that_is_empty(self, good: Path, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        assert restore(good, tmp_path / "empty").pictures == 18
        assert [each.name for each in tmp_path.iterdir()] == ["empty"]

    def test_needs_no_model(self, tmp_path: Path) -> None:
        """Neither to back up nor to prove: the weights may be on another machine."""
        with api.open(tmp_path / "c") as collection:
            collection.add(write(tmp_path / "one.png", 1))
        with closing(sqlite3.connect(tmp_path / "c" / "catalogue.sqlite")) as catalogue, catalogue:
            catalogue.execute("UPDATE embeddings SET fingerprint = 'of a model that is gone'")
        back_up(tmp_path / "c", tmp_path / "c.tar")
        assert restore(tmp_path / "c.tar", tmp_path / "again").proved == 1


class TestWhileItIsUsed:
    @pytest.mark.slow
    def test_is_of_one_moment_while_another_process_adds(self, tmp_path: Path) -> None:
        pictures = write_classes(tmp_path / "pictures", 150)
        first = [str(each) for each in sorted((pictures / "ants").iterdir())[:20]]
        with api.open(tmp_path / "c") as collection:
            collection.add(*first)
        adding = subprocess.Popen(
            command("index", pictures, "-c", tmp_path / "c"),
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        counts: list[Restored] = []
        while adding.poll() is None:
            back_up(tmp_path / "c", tmp_path / f"{len(counts)}.tar")
            counts.append(restore(tmp_path / f"{len(counts)}.tar", tmp_path / f"r{len(counts)}"))
        assert adding.returncode == 0
        numbers = [each.pictures for each in counts]
        assert numbers == sorted(numbers)
        assert 20 <= numbers[0] < 450
        for number, each in enumerate(counts):
            with api.open(tmp_path / f"r{number}", create=False) as again:
                assert len(list(again)) == each.pictures
                assert all(finding.sound for finding in again.check())
                known = {record.path for record in again}
                assert set(first) <= known

    def test_an_upload_that_is_removed_meanwhile_is_not_in_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from lookalike.store import snapshot

        with api.open(tmp_path / "c") as collection:
            ids = [collection.add_bytes(encoded(n), f"{n}.png")[0].id for n in range(4)]
            take = snapshot.take

            def take_and_remove(folder: Path, into: Path) -> None:
                take(folder, into)
                collection.remove(ids[1])

            monkeypatch.setattr(snapshot, "take", take_and_remove)
            assert back_up(tmp_path / "c", tmp_path / "c.tar").lacking == []
        assert restore(tmp_path / "c.tar", tmp_path / "again").pictures == 3
        with api.open(tmp_path / "again") as again:
            assert {record.id for record in again} == {*ids} - {ids[1]}

    @pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(b"rotten")])
    def test_an_upload_whose_bytes_are_lost_is_told_of(
        self, tmp_path: Path, spoil: Callable[[Path], Any]
    ) -> None:
        with api.open(tmp_path / "c") as collection:
            ids = [collection.add_bytes(encoded(n), f"{n}.png")[0].id for n in range(3)]
        spoil(tmp_path / "c" / "uploads" / ids[0][:2] / ids[0])
        done = called("backup", tmp_path / "c", "-o", tmp_path / "c.tar")
        assert done.returncode == 1
        assert ids[0] in done.stderr
        done = called("restore", tmp_path / "c.tar", tmp_path / "again", "--json")
        assert done.returncode == 1
        assert json.loads(done.stdout)["lacking"] == [ids[0]]
        assert json.loads(done.stdout)["pictures"] == 3


class TestKilled:
    def test_a_backup_that_is_killed_leaves_no_file_and_is_in_nobodys_way(
        self, made: Path, tmp_path: Path
    ) -> None:
        file, staged = tmp_path / "c.tar", tmp_path / ".c.tar.backup"
        killed = self._killed(command("backup", made, "-o", file), staged, file)
        assert killed > 0
        assert lookalike("backup", made, "-o", file).returncode == 0
        assert list(tmp_path.iterdir()) == [file]
        assert restore(file, tmp_path / "again").pictures == 18

    def test_a_restore_that_is_killed_leaves_no_collection(
        self, good: Path, tmp_path: Path
    ) -> None:
        folder, staged = tmp_path / "again", tmp_path / ".again.restored"
        killed = self._killed(command("restore", good, folder), staged, folder)
        assert killed > 0
        assert lookalike("restore", good, folder).returncode == 0
        assert list(tmp_path.iterdir()) == [folder]
        with api.open(folder, create=False) as collection:
            assert len(collection) == 18

    def _killed(self, arguments: list[str], staged: Path, target: Path) -> int:
        """How often it was killed at work, each time a little later."""
        killed = 0
        for delay in np.linspace(0, 0.12, 7):
            process = subprocess.Popen(
                arguments,
                env=environment(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            while not staged.exists() and process.poll() is None:
                time.sleep(0.001)
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
            if process.wait() == -signal.SIGKILL:
                assert not target.exists()
                killed += 1
            else:
                target.unlink() if target.is_file() else os.system(f"rm -r {target}")
        return killed

    def test_two_at_once_do_not_mix(self, made: Path, tmp_path: Path) -> None:
        from lookalike.backup.staging import staging

        with staging(tmp_path / "c.tar", "backup"), pytest.raises(BadBackup, match="another"):
            back_up(made, tmp_path / "c.tar")
        assert back_up(made, tmp_path / "c.tar").pictures == 18


class TestRefused:
    def test_what_is_cut_short_anywhere(self, good: Path, tmp_path: Path) -> None:
        whole = good.read_bytes()
        end = max(i for i in range(0, len(whole), 512) if whole[i : i + 512].strip(b"\0")) + 512
        for length in [0, 1, 511, 512, 513, end - 1, end, *range(2000, end, end // 12)]:
            cut = tmp_path / "cut.tar"
            cut.write_bytes(whole[:length])
            assert_refused(cut, tmp_path / "again")

    def test_a_bit_that_has_flipped(self, good: Path, tmp_path: Path) -> None:
        whole = good.read_bytes()
        spoilt = tmp_path / "spoilt.tar"
        places = np.random.default_rng(0).choice(len(whole), 60, replace=False)
        for place in places.tolist():
            spoilt.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
            try:
                restore(spoilt, tmp_path / "again")
            except BadBackup:
                assert not (tmp_path / "again").exists()
            else:  # in what fills a block up
                assert whole[place] == 0
                os.system(f"rm -r {tmp_path / 'again'}")

    @pytest.mark.parametrize(
        "name",
        [
            "../evil",
            "/tmp/evil",
            "index/../../evil",
            "index/../evil",
            "uploads/../../evil",
            "index/a/../../evil",
            "index/a/.hidden",
            "index/a/b\\..\\c",
            "index/a",
            "catalogue.sqlite-wal",
            "catalogue.sqlite/x",
            "recipe.toml",
            "uploads/aa/" + "A" * 64,
            "",
        ],
    )
    def test_names_that_lead_elsewhere(self, good: Path, tmp_path: Path, name: str) -> None:
        file = packed(tmp_path / "evil.tar", members(good), tarfile.TarInfo(name))
        assert_refused(file, tmp_path / "again", "belongs to no backup")

    @pytest.mark.parametrize(
        "type",
        [
            tarfile.SYMTYPE,
            tarfile.LNKTYPE,
            tarfile.DIRTYPE,
            tarfile.FIFOTYPE,
            tarfile.CHRTYPE,
            tarfile.GNUTYPE_SPARSE,
            tarfile.GNUTYPE_LONGNAME,
            tarfile.XHDTYPE,
        ],
    )
    def test_what_is_no_plain_file(self, good: Path, tmp_path: Path, type: bytes) -> None:
        header = tarfile.TarInfo("index/a/b")
        header.type, header.linkname = type, "/etc/passwd"
        block = header.tobuf(tarfile.GNU_FORMAT)
        file = tmp_path / "evil.tar"
        file.write_bytes(block + good.read_bytes())
        assert_refused(file, tmp_path / "again", "no plain file")

    def test_a_header_that_promises_more_than_there_is(self, good: Path, tmp_path: Path) -> None:
        header = tarfile.TarInfo("index/a/b")
        header.size = 1 << 60
        file = tmp_path / "bomb.tar"
        file.write_bytes(header.tobuf(tarfile.GNU_FORMAT) + good.read_bytes())
        assert_refused(file, tmp_path / "again", "cut short")

    def test_the_same_part_twice_and_what_comes_after_the_end(
        self, good: Path, tmp_path: Path
    ) -> None:
        contents = members(good)
        twice = packed(tmp_path / "twice.tar", contents, tarfile.TarInfo("catalogue.sqlite"))
        assert_refused(twice, tmp_path / "again", "catalogue.sqlite")
        late = {"manifest.json": contents["manifest.json"], **contents}
        assert_refused(packed(tmp_path / "late.tar", late), tmp_path / "again")

    @pytest.mark.parametrize("name", ["catalogue.sqlite", "probes.json", "manifest.json"])
    def test_a_part_that_is_missing(self, good: Path, tmp_path: Path, name: str) -> None:
        contents = members(good)
        manifest = json.loads(contents["manifest.json"])
        manifest["parts"] = [each for each in manifest["parts"] if each["name"] != name]
        contents["manifest.json"] = json.dumps(manifest).encode()
        if name == "manifest.json":
            with tarfile.open(tmp_path / "no.tar", "w") as archive:
                archive.addfile(tarfile.TarInfo("probes.json"))
            assert_refused(tmp_path / "no.tar", tmp_path / "again", "no end")
            return
        del contents[name]
        file = packed(tmp_path / "no.tar", contents)
        assert_refused(file, tmp_path / "again", f"its {name} is missing")

    def test_an_upload_that_is_missing_or_another(self, good: Path, tmp_path: Path) -> None:
        contents = members(good)
        (name, *_) = [each for each in contents if each.startswith("uploads/")]
        other = packed(tmp_path / "other.tar", {**contents, name: b"another picture"})
        assert_refused(other, tmp_path / "again", "damaged")
        size = len(contents.pop(name))
        assert_refused(packed(tmp_path / "less.tar", contents), tmp_path / "again", "uploads")
        manifest = json.loads(contents["manifest.json"])
        manifest["uploads"]["count"] -= 1
        manifest["uploads"]["bytes"] -= size
        contents["manifest.json"] = json.dumps(manifest).encode()
        forged = packed(tmp_path / "forged.tar", contents)
        assert_refused(forged, tmp_path / "again", "is missing in it")

    @pytest.mark.parametrize(
        ("manifest", "words"),
        [
            (b"{}", "not a backup"),
            (b"[]", "cannot be read"),
            (b"[" * 100_000, "cannot be read"),
            (b'{"format": "lookalike-backup", "version": 2}', "upgrade"),
            (b'{"format": "lookalike-backup", "version": 1}', "cannot be read"),
            (b'{"format": "lookalike-backup", "version": 1, "parts": 3}', "cannot be read"),
        ],
    )
    def test_a_manifest_of_another_kind(
        self, good: Path, tmp_path: Path, manifest: bytes, words: str
    ) -> None:
        contents = {**members(good), "manifest.json": manifest}
        file = tmp_path / "other.tar"
        with tarfile.open(file, "w") as archive:
            for name, content in contents.items():
                header = tarfile.TarInfo(name)
                header.size = len(content)
                archive.addfile(header, io.BytesIO(content))
        assert_refused(file, tmp_path / "again", words)

    def test_what_is_no_backup_at_all(self, made: Path, tmp_path: Path) -> None:
        for content in (b"", encoded(1), os.urandom(4096), b"PK\3\4" + bytes(2000)):
            (tmp_path / "no.tar").write_bytes(content)
            assert_refused(tmp_path / "no.tar", tmp_path / "again")
        assert_refused(tmp_path / "nowhere.tar", tmp_path / "again", "no such file")
        assert_refused(made, tmp_path / "again", "no such file")

    @pytest.mark.parametrize(
        ("statement", "words"),
        [
            ("CREATE TRIGGER t AFTER INSERT ON pictures BEGIN DELETE FROM places; END", "trigger"),
            ("CREATE VIEW v AS SELECT * FROM about", "view"),
            ("PRAGMA user_version = 99", "newer"),
            ("PRAGMA application_id = 1", "cannot be used"),
            ("DROP TABLE places", "cannot be used"),
            ("DELETE FROM about", "cannot be used"),
            ("UPDATE about SET value = 'nonsense' WHERE name = 'recipe'", "cannot be used"),
        ],
    )
    def test_a_catalogue_that_is_not_of_ours(
        self, good: Path, tmp_path: Path, statement: str, words: str
    ) -> None:
        contents = members(good)
        path = tmp_path / "other.sqlite"
        path.write_bytes(contents["catalogue.sqlite"])
        with closing(sqlite3.connect(path)) as catalogue, catalogue:
            catalogue.execute(statement)
        contents["catalogue.sqlite"] = path.read_bytes()
        for left in tmp_path.glob("other.sqlite*"):
            left.unlink()
        file = packed(tmp_path / "other.tar", contents)
        assert_refused(file, tmp_path / "again", words)

    def test_a_collection_that_would_answer_otherwise(self, good: Path, tmp_path: Path) -> None:
        contents = members(good)
        path = tmp_path / "other.sqlite"
        path.write_bytes(contents["catalogue.sqlite"])
        with closing(sqlite3.connect(path)) as catalogue, catalogue:
            ((first, one), (second, other)) = catalogue.execute(
                "SELECT row, vector FROM vectors_1 ORDER BY row LIMIT 2"
            ).fetchall()
            catalogue.execute("UPDATE vectors_1 SET vector = ? WHERE row = ?", (other, first))
            catalogue.execute("UPDATE vectors_1 SET vector = ? WHERE row = ?", (one, second))
        contents["catalogue.sqlite"] = path.read_bytes()
        for left in tmp_path.glob("other.sqlite*"):
            left.unlink()
        file = packed(tmp_path / "other.tar", contents)
        assert_refused(file, tmp_path / "again", "does not answer as before")

    def test_a_recipe_of_a_strangers_writes_no_file_elsewhere(self, tmp_path: Path) -> None:
        """`store_file` of an LSH index is a path that is written when the index is opened."""
        victim = tmp_path / "victim"
        recipe = tmp_path / "lsh.toml"
        text = (Path(api.__file__).parent / "recipes" / "default.toml").read_text()
        index = f'name = "lsh"\nstore_file = "{victim}"'
        recipe.write_text(text.replace('name = "auto"', index))
        with api.open(tmp_path / "c", recipe=str(recipe)) as collection:
            collection.add(write_classes(tmp_path / "pictures", 1))
        back_up(tmp_path / "c", tmp_path / "c.tar")
        victim.unlink(missing_ok=True)
        report = restore(tmp_path / "c.tar", tmp_path / "again")
        assert not victim.exists()
        assert (report.proved, report.outside) == (0, str(victim))


class TestRefusals:
    def test_a_file_that_is_there_is_kept_unless_said(self, made: Path, tmp_path: Path) -> None:
        (tmp_path / "c.tar").write_text("mine")
        done = called("backup", made, "-o", tmp_path / "c.tar")
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
        assert (tmp_path / "c.tar").read_text() == "mine"
        done = called("backup", made, "-o", tmp_path / "c.tar", "--overwrite", "--json")
        assert json.loads(done.stdout)["pictures"] == 18

    def test_a_collection_is_never_restored_over(self, made: Path, good: Path) -> None:
        done = called("restore", good, made)
        assert done.returncode == 2
        assert "is there already" in done.stderr
        with api.open(made) as collection:
            assert len(collection) == 18

    def test_what_is_no_collection_is_not_backed_up(self, tmp_path: Path) -> None:
        with pytest.raises(NotACollection):
            back_up(tmp_path, tmp_path / "c.tar")
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_that_cannot_be_written_is_told(self, made: Path, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("no folder")
        with pytest.raises(CannotWrite):
            back_up(made, tmp_path / "file" / "c.tar")

    def test_too_little_room_is_told_before_anything_is_written(
        self, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import shutil

        usage = shutil.disk_usage(tmp_path)._replace(free=1000)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
        with pytest.raises(CannotWrite, match="MB are needed"):
            restore(good, tmp_path / "again")
        assert list(tmp_path.iterdir()) == []
