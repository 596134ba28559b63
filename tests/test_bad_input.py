"""What bad input gets: one clear line and a fitting exit code, never a traceback."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import socket
import sqlite3
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from samples import DATA, called, command, environment, needs_data, write

import lookalike as package

Done = subprocess.CompletedProcess[str]


def assert_refused(done: Done, *words: str, code: int = 2) -> None:
    """One line on standard error that says these words."""
    assert done.returncode == code, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("lookalike: ")
    for word in words:
        assert word in line


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in range(4):
        write(tmp_path / "photos" / f"{number}.png", number)
    return tmp_path / "photos"


@pytest.fixture
def made(photos: Path, tmp_path: Path) -> Path:
    with package.open(tmp_path / "c") as collection:
        collection.add(photos)
    return tmp_path / "c"


def unprivileged(*arguments: str | Path) -> Done:
    """The command line for somebody whom permissions hold back, which they don't with root."""
    prefix: list[str] = []
    if os.geteuid() == 0:
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            pytest.skip("root without setpriv: permissions hold nobody back")
        prefix = [setpriv, "--bounding-set=-dac_override,-dac_read_search"]
    return subprocess.run(
        [*prefix, *command(*arguments)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    path = tmp_path / "small"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(path)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk needs root, and the right to mount")
    yield path
    subprocess.run(["umount", "--lazy", path], check=True)


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Done, str]:
    """All of them in one go, by a process that tells how it went; and how to know its own."""
    script = textwrap.dedent("""
        import json, pathlib, re, sys
        import lookalike

        folder, path = sys.argv[1:]
        with lookalike.open(path) as collection:
            report = collection.add(folder)
            files = [each for each in pathlib.Path(folder).rglob("*") if each.is_file()]
            entries = {str(each): collection.ledger(each) for each in files}
        # Not getrusage's, which keeps what the process had before it became this program.
        status = pathlib.Path("/proc/self/status")
        peak = re.search("VmHWM: *\t *([0-9]+)", status.read_text()) if status.exists() else None
        print(json.dumps({
            "report": report.to_json(),
            "megabytes": int(peak[1]) / 1000 if peak else None,
            "entries": {path: entry and entry.to_json() for path, entry in entries.items()},
        }))
    """)
    mark = uuid.uuid4().hex
    done = subprocess.run(
        [sys.executable, "-c", script, DATA / "badimages", tmp_path_factory.mktemp("b") / "c"],
        env=environment(LOOKALIKE_TEST=mark),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done, mark


@needs_data
class TestHostilePictures:
    def test_every_path_has_a_verdict_and_every_refusal_a_reason(
        self, indexed: tuple[Done, str]
    ) -> None:
        said = json.loads(indexed[0].stdout)
        entries = said["entries"]
        assert len(entries) >= 900
        assert None not in entries.values()
        for entry in entries.values():
            assert (entry["id"] is None) == bool(entry["reason"])
        report = said["report"]
        kept = report["stored"] + report["copies"] + report["unchanged"]
        assert kept == sum(entry["id"] is not None for entry in entries.values())
        assert report["failed"] + report["ignored"] == len(entries) - kept

    def test_none_takes_too_long_or_kills_its_decoder(self, indexed: tuple[Done, str]) -> None:
        entries = json.loads(indexed[0].stdout)["entries"]
        assert [path for path, entry in entries.items() if entry["verdict"] == "retry"] == []

    def test_nothing_reaches_the_screen(self, indexed: tuple[Done, str]) -> None:
        done, _ = indexed
        assert (done.returncode, done.stderr, len(done.stdout.splitlines())) == (0, "", 1)

    def test_no_process_is_left(self, indexed: tuple[Done, str]) -> None:
        mark = f"LOOKALIKE_TEST={indexed[1]}".encode()
        left = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                left += [path] if mark in path.read_bytes() else []
            except OSError:  # it has ended, or is another user's
                continue
        assert left == []

    def test_memory_stays_bounded(self, indexed: tuple[Done, str]) -> None:
        megabytes = json.loads(indexed[0].stdout)["megabytes"]
        if megabytes is None:
            pytest.skip("the peak of a process is read from /proc, which is not here")
        assert megabytes < 500


class TestCollections:
    def test_what_is_no_collection(self, photos: Path, tmp_path: Path) -> None:
        file = tmp_path / "file"
        file.write_text("no collection")
        for path in (photos, file, tmp_path / "nope", tmp_path / ("x" * 300), file / "below"):
            assert_refused(called("stats", "-c", path), str(path), "is not a collection")
        assert_refused(called("index", photos, "-c", photos), "is not a collection")
        assert_refused(called("index", photos, "-c", file / "below"), "is not a collection")

    def test_a_catalogue_that_is_none_of_ours(self, tmp_path: Path) -> None:
        for name, content in (("text", b"not SQLite" * 100), ("empty", b"")):
            (tmp_path / name).mkdir()
            (tmp_path / name / "catalogue.sqlite").write_bytes(content)
            assert_refused(called("stats", "-c", tmp_path / name), str(tmp_path / name))

    def test_one_of_a_newer_version(self, made: Path) -> None:
        with sqlite3.connect(made / "catalogue.sqlite") as connection:
            connection.execute("PRAGMA user_version=99")
        connection.close()
        assert_refused(called("stats", "-c", made), "newer lookalike", "Upgrade")

    def test_one_that_was_made_with_another_model(self, made: Path, photos: Path) -> None:
        done = called("index", photos, "-c", made, "--recipe", "default-fp16")
        assert_refused(done, "has not the recipe default-fp16 but default")
        with sqlite3.connect(made / "catalogue.sqlite") as connection:
            connection.execute("UPDATE embeddings SET fingerprint = 'another'")
        connection.close()
        assert_refused(called("search", photos, "-c", made), "made with another model")

    def test_a_damaged_catalogue(self, made: Path) -> None:
        path = made / "catalogue.sqlite"
        content = bytearray(path.read_bytes())
        content[5000:] = random.Random(0).randbytes(len(content) - 5000)
        path.write_bytes(content)
        assert_refused(called("stats", "-c", made), "is damaged")

    def test_text_that_is_none_is_told_of_in_one_line(self, made: Path) -> None:
        with sqlite3.connect(made / "catalogue.sqlite") as damaged:
            damaged.execute("UPDATE about SET value = CAST(x'0a801b' AS TEXT)")
        damaged.close()
        assert_refused(called("stats", "-c", made), "is damaged")

    def test_a_recipe_that_is_none(self, photos: Path, tmp_path: Path) -> None:
        done = called("index", photos, "-c", tmp_path / "c", "--recipe", "defualt")
        assert_refused(done, "no recipe named 'defualt'", "Did you mean default")
        done = called("index", photos, "-c", tmp_path / "c", "--recipe", "./bogus.toml")
        assert_refused(done, "cannot read the recipe bogus.toml: No such file or directory")
        assert not (tmp_path / "c").exists()


class TestDisks:
    def test_a_full_one_keeps_what_was_stored_and_goes_on_with_room(
        self, small_disk: Path, tmp_path: Path
    ) -> None:
        for number in range(400):
            write(tmp_path / "photos" / f"{number}.png", number)
        path = small_disk / "c"
        (small_disk / "ballast").write_bytes(bytes(2_200_000))
        done = called("index", tmp_path / "photos", "-c", path)
        assert_refused(done, "the disk is full", "What was reported as stored is safe")
        assert done.stdout == ""
        (small_disk / "ballast").unlink()
        done = called("index", tmp_path / "photos", "-c", path, "--json")
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        assert report["stored"] + report["unchanged"] == 400
        assert report["unchanged"] > 0

    def test_one_without_room_for_a_collection(self, small_disk: Path, photos: Path) -> None:
        with contextlib.suppress(OSError):
            (small_disk / "ballast").write_bytes(bytes(4_000_000))
        done = called("index", photos, "-c", small_disk / "c")
        assert_refused(done, "cannot write to")

    def test_a_read_only_collection_can_be_searched_and_not_written(
        self, made: Path, photos: Path
    ) -> None:
        write(photos / "new.png", 9)
        for path in (*made.rglob("*"), made):
            path.chmod(0o555 if path.is_dir() else 0o444)
        done = unprivileged("search", photos / "0.png", "-c", made, "--json")
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout)["hits"][0]["path"] == str(photos / "0.png")
        done = unprivileged("search", photos / "0.png", "-c", made, "--html", photos / "out.html")
        assert done.returncode == 0, done.stderr
        assert_refused(unprivileged("index", photos, "-c", made), "cannot write to", "read-only")

    def test_a_folder_that_refuses_a_collection(self, photos: Path, tmp_path: Path) -> None:
        (tmp_path / "locked").mkdir(mode=0o555)
        done = unprivileged("index", photos, "-c", tmp_path / "locked" / "c")
        assert_refused(done, "cannot write to", "Permission denied")

    def test_a_collection_that_may_not_be_read(self, made: Path) -> None:
        made.chmod(0)
        done = unprivileged("stats", "-c", made)
        made.chmod(0o755)
        assert_refused(done, "is not a collection", "permission denied")

    def test_a_page_that_cannot_be_written(self, made: Path, photos: Path) -> None:
        done = called("search", photos, "-c", made, "--html", made / "no" / "out.html")
        assert_refused(done, "cannot write the page")


class TestPictures:
    def test_what_may_not_be_read_fails_alone_and_is_tried_again(
        self, photos: Path, tmp_path: Path
    ) -> None:
        (photos / "0.png").chmod(0)
        write(photos / "locked" / "5.png", 5)
        (photos / "locked").chmod(0)
        done = unprivileged("index", photos, "-c", tmp_path / "c", "--json")
        (photos / "locked").chmod(0o755)
        assert done.returncode == 1
        report = json.loads(done.stdout)
        assert (report["stored"], report["failed"]) == (3, 2)
        listed = called("failures", "-c", tmp_path / "c").stdout
        assert listed.count("to be tried again: it cannot be read: Permission denied") == 2
        (photos / "0.png").chmod(0o644)
        done = unprivileged("index", photos, "-c", tmp_path / "c", "--json", "--prune")
        assert json.loads(done.stdout)["stored"] == 2
        assert called("failures", "-c", tmp_path / "c").stdout == ""

    def test_a_source_that_may_not_be_read(self, photos: Path, tmp_path: Path) -> None:
        photos.chmod(0)
        done = unprivileged("index", photos, "-c", tmp_path / "c")
        inside = unprivileged("index", photos / "0.png", "-c", tmp_path / "c")
        photos.chmod(0o755)
        assert_refused(done, str(photos), "Permission denied")
        assert_refused(inside, str(photos), "Permission denied")

    def test_an_empty_folder(self, made: Path, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        assert_refused(called("index", tmp_path / "empty", "-c", made), "no picture in")
        assert_refused(called("search", tmp_path / "empty", "-c", made), "no picture in")

    def test_queries_that_make_no_sense(self, made: Path, photos: Path, tmp_path: Path) -> None:
        path = photos / "0.png"
        text = tmp_path / "text.txt"
        text.write_text("not a picture")
        assert_refused(called("search", path, "-c", made, "-k", "0"), "k must be 1 or more")
        assert_refused(called("search", "-c", made), "give one picture or more")
        assert_refused(called("search", path, "--id", "0" * 64, "-c", made), "give one picture")
        assert_refused(called("search", "", "-c", made), "an empty name")
        assert_refused(called("search", tmp_path / "nope.png", "-c", made), "does not exist")
        assert_refused(called("search", text, "-c", made), str(text), "not a picture")
        assert_refused(called("search", "--id", "0" * 64, "-c", made), "no stored picture")
        done = called("search", path, "-c", made, "--where", "label = ")
        assert done.returncode == 2
        assert "cannot read the filter at character" in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_windows_table_is_told_how_to_save_it(self, made: Path, photos: Path) -> None:
        table = photos / "list.csv"
        table.write_bytes("path,label\n0.png,Käse\n".encode("cp1252"))
        assert_refused(called("index", table, "-c", made), str(table), "save it as UTF-8")

    def test_what_is_not_a_file_is_passed_over(
        self, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        os.mkfifo(photos / "pipe")
        (photos / "up").symlink_to(photos)
        (photos / "zero").symlink_to("/dev/zero")
        monkeypatch.chdir(photos)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("socket")
            done = called("index", photos, "-c", tmp_path / "c", "--json")
        assert done.returncode == 0
        report = json.loads(done.stdout)
        assert (report["stored"], report["ignored"], report["failed"]) == (4, 4, 0)
        done = called("index", photos / "pipe", "-c", tmp_path / "c")
        assert done.returncode == 2
        assert_refused(called("search", "/dev/zero", "-c", tmp_path / "c"), "a device")

    def test_any_name_is_indexed_found_and_told(self, photos: Path, tmp_path: Path) -> None:
        names = [
            b"line\nbreak.png",
            b"quote'\"$(touch x).png",
            "\u202egnp.rtl.png".encode(),
            b"\xff\xfe latin \xe9.png",
            b"-c.png",
            b"\x1b[31m.png",
        ]
        for number, name in enumerate(names, 10):
            write(photos / os.fsdecode(name), number)
        done = called("index", photos, "-c", tmp_path / "c", "--json")
        assert json.loads(done.stdout)["stored"] == 4 + len(names)
        odd = [photos / os.fsdecode(name) for name in names]
        done = called("search", *odd, "-c", tmp_path / "c", "-k", "1", "--json")
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(answers) == len(names)
        for answer in answers:
            assert answer["hits"][0]["path"] == answer["query"]
        plain = called("search", photos, "-c", tmp_path / "c", "-k", "1")
        assert len(plain.stdout.splitlines()) == 4 + len(names)
        assert "\x1b" not in plain.stdout

    def test_a_broken_archive(self, made: Path, tmp_path: Path) -> None:
        path = tmp_path / "broken.tar.gz"
        path.write_bytes(b"\x1f\x8b\x08 and no more")
        assert called("index", path, "-c", made).returncode == 2
        assert "as an archive" in called("failures", "-c", made).stdout
        done = called("search", path, "-c", made)
        assert_refused(done, str(path), "as an archive")
