from __future__ import annotations

import os
import socket
import subprocess
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from samples import encoded, write

from lookalike import sources
from lookalike.errors import BadSource, PictureError
from lookalike.sources import Item


def names(items: object) -> list[str]:
    assert hasattr(items, "__iter__")
    return [Path(item.place.path).name for item in items]


def refusal(item: Item) -> PictureError:
    with pytest.raises(PictureError) as caught:
        item.encoded()
    return caught.value


class TestFolders:
    def test_everything_below_comes_in_the_order_of_names(self, tmp_path: Path) -> None:
        for name in ("b/2.png", "b/10.png", "a.png", "c/d/e.png", "B.png"):
            write(tmp_path / name, 1)
        assert names(sources.find(tmp_path)) == ["B.png", "a.png", "10.png", "2.png", "e.png"]

    def test_the_folder_that_a_picture_lies_in_is_its_label(self, tmp_path: Path) -> None:
        write(tmp_path / "animals" / "cat" / "1.png", 1)
        write(tmp_path / "animals" / "2.png", 2)
        labels = [item.place.label for item in sources.find(tmp_path)]
        assert labels == ["animals", "cat"]

    def test_size_and_time_are_those_of_the_file(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.png", 1)
        os.utime(path, ns=(0, 1_234_567_890_123_456_789))
        (item,) = sources.find(tmp_path)
        assert item.place.size == path.stat().st_size
        assert item.place.modified_ns == 1_234_567_890_123_456_789

    def test_a_time_beyond_64_bits_is_cut_to_what_a_store_can_hold(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.png", 1)
        os.utime(path, (13_569_465_600, 13_569_465_600))  # the year 2400
        (item,) = sources.find(tmp_path)
        assert item.place.modified_ns <= 2**63 - 1

    def test_hidden_files_and_litter_are_left_out(self, tmp_path: Path) -> None:
        for name in (".hidden.png", ".git/a.png", "Thumbs.db", "__MACOSX/b.png", "c.png"):
            write(tmp_path / name, 1)
        assert names(sources.find(tmp_path)) == ["c.png"]

    def test_a_collection_inside_is_not_walked_into(self, tmp_path: Path) -> None:
        write(tmp_path / "c.lookalike" / "uploads" / "a.png", 1)
        (tmp_path / "c.lookalike" / sources.CATALOGUE).write_bytes(b"")
        write(tmp_path / "b.png", 2)
        assert names(sources.find(tmp_path)) == ["b.png"]
        assert names(sources.find(f"{tmp_path}/**")) == ["b.png"]
        assert names(sources.find(f"{tmp_path}/**/*.png")) == ["b.png"]

    def test_a_collection_itself_is_no_source(self, tmp_path: Path) -> None:
        (tmp_path / sources.CATALOGUE).write_bytes(b"")
        with pytest.raises(BadSource, match="is a collection"):
            sources.find(tmp_path)

    def test_a_folder_deeper_than_pythons_stack_is_walked(self, tmp_path: Path) -> None:
        depth, here = 1200, os.open(tmp_path, os.O_RDONLY)
        for _ in range(depth):
            os.mkdir("d", dir_fd=here)
            here, above = os.open("d", os.O_RDONLY, dir_fd=here), here
            os.close(above)
        os.close(os.open("a.png", os.O_CREAT, dir_fd=here))
        os.close(here)
        (item,) = sources.find(tmp_path)
        assert item.place.path == f"{tmp_path}/{'d/' * depth}a.png"
        subprocess.run(["rm", "-r", tmp_path / "d"], check=True)  # too deep for pytest as well

    def test_a_folder_of_ten_thousand_is_listed_whole(self, tmp_path: Path) -> None:
        for number in range(10_000):
            (tmp_path / f"{number}.png").touch()
        assert sources.count([str(tmp_path)]) == 10_000

    def test_a_link_to_a_file_is_followed_and_one_to_a_folder_refused(self, tmp_path: Path) -> None:
        write(tmp_path / "real" / "a.png", 1)
        folder = tmp_path / "folder"
        folder.mkdir()
        (folder / "file.png").symlink_to(tmp_path / "real" / "a.png")
        (folder / "linked").symlink_to(tmp_path / "real")
        file, linked = sources.find(folder)
        assert file.encoded().path == folder / "file.png"
        assert "a folder behind a link" in refusal(linked).reason

    def test_loops_of_links_end(self, tmp_path: Path) -> None:
        (tmp_path / "up").symlink_to(tmp_path)
        (tmp_path / "self.png").symlink_to(tmp_path / "self.png")
        loop, up = sources.find(tmp_path)
        assert "Too many levels of symbolic links" in refusal(loop).reason
        assert "not followed" in refusal(up).reason

    def test_pipes_sockets_and_devices_are_refused_unopened(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        os.mkfifo(tmp_path / "pipe.png")
        monkeypatch.chdir(tmp_path)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("socket.png")
            reasons = [refusal(item).reason for item in sources.find(tmp_path)]
        assert reasons == ["not a file but a pipe, a socket or a device"] * 2
        (device,) = sources.find("/dev/zero")
        assert device.explicit
        assert "a device" in refusal(device).reason

    def test_names_of_any_bytes_lead_back_to_their_file(self, tmp_path: Path) -> None:
        plain = ["line\nbreak.png", "quote'\".png", "\u202ertl.png", "a!/b.png", "100%.png"]
        raw = [os.fsdecode(b"caf\xe9.png"), os.fsdecode(b"\xff\xfe/\x80.png")]
        for number, name in enumerate([*plain, *raw]):
            write(tmp_path / name, number)
        places = [item.place.path for item in sources.find(tmp_path)]
        for place in places:
            place.encode("utf-8")
        found = {sources.encoded_at(place).path for place in places}
        assert found == {tmp_path / name for name in [*plain, *raw]}
        assert all(map(sources.exists, places))


class TestOneFile:
    def test_a_file_that_was_named_is_explicit(self, tmp_path: Path) -> None:
        (item,) = sources.find(write(tmp_path / "notes.txt", 1))
        assert item.explicit

    @pytest.mark.parametrize("given", ["nope.png", "nope/deeper.png", "~nobody_of_that_name/a.png"])
    def test_what_is_not_there_is_refused_at_once(
        self, given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(BadSource, match="does not exist"):
            sources.find(given)

    def test_an_empty_name_does_not_mean_the_working_folder(self) -> None:
        with pytest.raises(BadSource, match="empty name"):
            sources.find("")

    @pytest.mark.parametrize("given", ["a" * 300, "a\0b"])
    def test_a_name_that_no_file_can_have_is_refused(self, given: str) -> None:
        with pytest.raises(BadSource, match=r"cannot be read|does not exist"):
            sources.find(given)

    def test_a_picture_is_told_by_its_bytes_whatever_it_is_called(self, tmp_path: Path) -> None:
        for name in ("a.csv", "a.zip", "a.tar.gz", "a.jsonl"):
            (item,) = sources.find(write(tmp_path / name, 1))
            assert item.encoded().path == tmp_path / name

    def test_a_uri_as_a_hit_shows_it_is_a_source(self, tmp_path: Path) -> None:
        path = write(tmp_path / os.fsdecode(b"caf\xe9.png"), 1)
        (found,) = sources.find(tmp_path)
        assert found.place.path.startswith("file://")
        (item,) = sources.find(found.place.path)
        assert (item.place, item.encoded().path, item.explicit) == (found.place, path, True)
        assert found.place.path in sources.roots(found.place.path)
        (plain,) = sources.find(write(tmp_path / "ä.png", 2).as_uri())
        assert plain.place.path == str(tmp_path / "ä.png")


class TestPatterns:
    def test_each_match_comes_once(self, tmp_path: Path) -> None:
        for name in ("a.png", "b/c.png", "b/d/e.png"):
            write(tmp_path / name, 1)
        assert names(sources.find(f"{tmp_path}/**")) == ["a.png", "c.png", "e.png"]
        assert names(sources.find(f"{tmp_path}/*")) == ["a.png", "c.png", "e.png"]
        assert names(sources.find(f"{tmp_path}/?.png")) == ["a.png"]

    def test_what_a_pattern_matches_was_not_named(self, tmp_path: Path) -> None:
        write(tmp_path / "notes.txt", 1)
        (item,) = sources.find(f"{tmp_path}/*")
        assert not item.explicit

    def test_brackets_in_the_working_folder_are_no_pattern(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(tmp_path / "[2020]" / "a.png", 1)
        monkeypatch.chdir(tmp_path / "[2020]")
        assert names(sources.find("*.png")) == ["a.png"]
        assert names(sources.find(f"{tmp_path}/[2020]/a.png")) == ["a.png"]

    def test_brackets_in_the_name_of_a_folder_that_is_there_are_no_pattern(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(tmp_path / "br[a]" / "[b]" / "c.png", 1)
        write(tmp_path / "bra" / "b" / "d.png", 2)
        monkeypatch.chdir(tmp_path)
        assert names(sources.find("br[a]/*/*.png")) == ["c.png"]
        assert names(sources.find(f"{tmp_path}/br[a]/[b]/*.png")) == ["c.png"]
        assert str(tmp_path / "br[a]") in sources.roots("br[a]/*/*.png")

    def test_a_pattern_without_a_match_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(BadSource, match="nothing matches"):
            sources.find(f"{tmp_path}/*.jpg")


def nested(depth: int, key: str) -> bytes:
    """A row with a value so deep."""
    return f'{{"path": "a.png", "{key}": {"[" * depth}{"]" * depth}}}\n'.encode()


class TestLists:
    def test_a_csv_gives_label_and_metadata(self, tmp_path: Path) -> None:
        write(tmp_path / "animals" / "1.png", 1)
        table = tmp_path / "list.csv"
        table.write_text(
            "path,label,year,note,empty,zip,ratio\r\n"
            'animals/1.png,cat,2024,"two\nlines, and a comma",,01234,0.5\r\n'
            f"{tmp_path}/animals/1.png,,-3,nan,,1_000,1e3\r\n",
            "utf-8-sig",
        )
        first, second = sources.find(table)
        assert first.place.path == second.place.path == str(tmp_path / "animals" / "1.png")
        assert first.place.label == "cat"
        assert first.place.metadata == {
            "year": 2024,
            "note": "two\nlines, and a comma",
            "zip": "01234",  # a number would lose its zero
            "ratio": 0.5,
        }
        assert second.place.label == "animals"
        assert second.place.metadata == {"year": -3, "note": "nan", "zip": "1_000", "ratio": 1000.0}
        assert first.described
        assert first.explicit

    def test_a_jsonl_gives_any_json_values(self, tmp_path: Path) -> None:
        write(tmp_path / "1.png", 1)
        lines = tmp_path / "list.jsonl"
        lines.write_text('\n{"path": "1.png", "label": 7, "tags": ["a", null], "deep": {"x": 1}}\n')
        (item,) = sources.find(lines)
        assert item.place.label == "7"
        assert item.place.metadata == {"tags": ["a", None], "deep": {"x": 1}}

    @pytest.mark.parametrize(
        ("name", "content", "problem"),
        [
            ("l.csv", b"file,label\na.png,cat\n", "line 1: the first line must name the columns"),
            ("l.csv", b"", "line 1"),
            ("l.csv", b"path,label\na.png,cat\n,dog\n", "line 3: it has no path"),
            ("l.csv", b"path,label\na.png,cat,7\n", "line 2: more values than columns"),
            ("l.csv", "path,label\na.png,Käse\n".encode("cp1252"), "not UTF-8 text"),
            ("l.csv", "path\na.png\n".encode("utf-16"), "not UTF-8 text"),
            ("l.csv", b"path\n" + b"a" * 200_000, "cannot be read: field larger"),
            ("l.jsonl", b'{"path": "a.png"}\n{"path": 7}\n', "line 2: it has no path"),
            ("l.jsonl", b'{"path": "a.png"}\nnonsense\n', "line 2: not JSON"),
            ("l.jsonl", b'{"path": "a.png", "x": NaN}\n', "line 1: not JSON"),
            ("l.jsonl", b'["a.png"]\n', "line 1: expected an object"),
            ("l.jsonl", b"[" * 100_000, "line 1: not JSON"),
            ("l.jsonl", b'{"path": "a.png"}\n' + nested(200, "x"), "line 2: .* nested over 100"),
            ("l.jsonl", nested(200, "label"), "line 1: .* nested over 100"),
        ],
    )
    def test_a_bad_row_is_named_before_anything_is_read(
        self, name: str, content: bytes, problem: str, tmp_path: Path
    ) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadSource, match=problem):
            sources.find(tmp_path / name)

    def test_a_row_may_name_any_source_but_a_list(self, tmp_path: Path) -> None:
        write(tmp_path / "folder" / "cat" / "a.png", 1)
        write(tmp_path / "folder" / "dog" / "b.png", 2)
        with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
            for name in ("x/c.png", "y/d.png"):
                archive.writestr(name, encoded(3))
        (tmp_path / "l.jsonl").write_text(
            '{"path": "folder", "year": 1}\n{"path": "c.zip", "label": "zipped"}\n'
            '{"path": "folder/*/b.png", "year": 2}\n{"path": "c.zip!/y/d.png", "year": 3}\n'
            f'{{"path": "{(tmp_path / "folder/cat/a.png").as_uri()}"}}\n{{"path": "l.jsonl"}}\n'
        )
        *found, itself = sources.find(tmp_path / "l.jsonl")
        assert [
            (item.place.path.removeprefix(f"{tmp_path}/"), item.place.label, item.place.metadata)
            for item in found
        ] == [
            ("folder/cat/a.png", "cat", {"year": 1}),
            ("folder/dog/b.png", "dog", {"year": 1}),
            ("c.zip!/x/c.png", "zipped", {}),
            ("c.zip!/y/d.png", "zipped", {}),
            ("folder/dog/b.png", "dog", {"year": 2}),
            ("c.zip!/y/d.png", "y", {"year": 3}),
            ("folder/cat/a.png", "cat", {}),
        ]
        assert all(item.described for item in found)
        assert refusal(itself).reason == "a list in a list: name it itself"

    def test_nothing_outside_is_told_of_by_a_list(self, tmp_path: Path) -> None:
        inside = tmp_path / "inside"
        write(inside / "good.png", 1)
        write(tmp_path / "secret" / "name.png", 2)
        with zipfile.ZipFile(tmp_path / "secret.zip", "w") as archive:
            archive.writestr("member.png", encoded(3))
        (inside / "link").symlink_to(tmp_path / "secret")
        rows = ("../secret", "link", "../secret.zip", "link/*", "../secr*/*.png", "s3://b/x.png")
        (inside / "l.csv").write_text("\n".join(("path", *rows, "good.png")))
        *bad, good = sources.find(inside / "l.csv", [inside])
        assert good.encoded().path == inside / "good.png"
        assert len(bad) == len(rows)
        for item in bad:
            refusal(item)
            assert not item.place.path.endswith(("name.png", "member.png"))

    def test_a_row_without_a_file_is_that_rows_failure(self, tmp_path: Path) -> None:
        write(tmp_path / "a.png", 1)
        (tmp_path / "l.jsonl").write_text(
            '{"path": "nope.png"}\n{"path": "a\\u0000.png"}\n{"path": "no*.png"}\n'
            '{"path": "~nobody_x.png"}\n{"path": "\\ud800.png"}\n{"path": "a.png"}\n'
        )
        *bad, good = sources.find(tmp_path / "l.jsonl")
        assert len([refusal(item) for item in bad]) == 5
        assert good.encoded().path == tmp_path / "a.png"


class TestRoots:
    def test_a_folder_speaks_of_what_lies_below_it(self, tmp_path: Path) -> None:
        assert str(tmp_path) in sources.roots(tmp_path)

    def test_a_pattern_speaks_of_the_folder_before_its_magic(self, tmp_path: Path) -> None:
        assert str(tmp_path / "a") in sources.roots(f"{tmp_path}/a/*/b?.png")

    def test_a_list_speaks_of_what_it_lists(self, tmp_path: Path) -> None:
        write(tmp_path / "b.png", 1)
        (tmp_path / "folder").mkdir()
        (tmp_path / "l.csv").write_text("path\nb.png\ngone.png\nfolder\n")
        told = set(sources.roots(tmp_path / "l.csv"))
        assert {str(tmp_path / name) for name in ("b.png", "gone.png", "folder")} <= told
        assert all(Path(urlsplit(each).path).is_relative_to(tmp_path) for each in told)
        assert str(tmp_path) not in told
