from __future__ import annotations

import io
import os
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest
from samples import encoded

from lookalike import sources
from lookalike.archives import _MEMBER_BYTES
from lookalike.errors import BadSource, PictureError
from lookalike.places import place_of
from lookalike.sources import Item

TARS = {".tar": "w", ".tar.gz": "w:gz", ".tgz": "w:gz", ".tar.bz2": "w:bz2", ".tar.xz": "w:xz"}


Contents = Mapping[str, bytes] | Iterable[tuple[str, bytes]]


def pairs(contents: Contents) -> Iterable[tuple[str, bytes]]:
    return contents.items() if isinstance(contents, Mapping) else contents


def make_zip(path: Path, contents: Contents) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in pairs(contents):
            archive.writestr(name, content)
    return path


def make_tar(path: Path, contents: Contents, **header: object) -> Path:
    mode = next((mode for ending, mode in TARS.items() if path.name.endswith(ending)), "w")
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in pairs(contents):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in header.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(content))
    return path


def make(path: Path, contents: Contents) -> Path:
    return (make_zip if path.suffix == ".zip" else make_tar)(path, contents)


def add_links(path: Path, *links: tuple[str, str, bytes]) -> None:
    """Name, what it leads to, and the kind of each."""
    with tarfile.open(path, "a") as archive:
        for name, target, kind in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            archive.addfile(info)


def read(item: Item) -> bytes | PictureError:
    try:
        content = item.encoded().data
    except PictureError as error:
        return error
    assert content is not None
    return content


def read_all(path: str | Path) -> dict[str, bytes | PictureError]:
    """Each member as it comes, since a stream cannot go back."""
    return {item.place.path: read(item) for item in sources.find(path)}


@pytest.mark.parametrize("ending", [".zip", *TARS])
class TestEveryKind:
    def test_members_come_with_their_bytes_and_their_folder_as_label(
        self, ending: str, tmp_path: Path
    ) -> None:
        contents = {"cat/1.png": encoded(1), "2.png": encoded(2), "a/b/c.png": encoded(3)}
        path = make(tmp_path / f"photos{ending}", contents)
        assert read_all(path) == {f"{path}!/{name}": data for name, data in contents.items()}
        labels = [item.place.label for item in sources.find(path)]
        assert labels == ["cat", "photos", "b"]

    def test_a_member_can_be_read_again_by_its_place(self, ending: str, tmp_path: Path) -> None:
        path = make(tmp_path / f"photos{ending}", {"cat/1.png": encoded(1)})
        place = f"{path}!/cat/1.png"
        assert sources.exists(place)
        assert sources.encoded_at(place).data == encoded(1)
        assert not sources.exists(f"{path}!/cat/2.png")
        with pytest.raises(PictureError, match="it is not in its archive any more"):
            sources.encoded_at(f"{path}!/cat/2.png")

    def test_folders_and_litter_are_left_out(self, ending: str, tmp_path: Path) -> None:
        contents = {"__MACOSX/._1.png": b"", ".hidden/2.png": b"", "./cat/3.png": encoded(3)}
        path = make(tmp_path / f"photos{ending}", contents)
        assert [item.place.path for item in sources.find(path)] == [f"{path}!/./cat/3.png"]

    def test_of_several_with_one_name_the_last_is_taken(self, ending: str, tmp_path: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # zipfile's own about the name
            twice = [("a.png", encoded(1)), ("a.png", encoded(2))]
            path = make(tmp_path / f"photos{ending}", twice)
        assert read_all(path) == {f"{path}!/a.png": encoded(2)}
        assert sources.encoded_at(f"{path}!/a.png").data == encoded(2)

    @pytest.mark.parametrize("name", ["./1.png", "/abs/1.png", "../1.png", "a//b/1.png", "1" * 300])
    def test_a_place_as_it_was_told_is_a_source(
        self, ending: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = make(tmp_path / f"photos{ending}", {"0.png": encoded(0), name: encoded(1)})
        monkeypatch.chdir(tmp_path)
        for text in (f"{path}!/{name}", f"photos{ending}!/{name}"):
            assert place_of(text) == f"{path}!/{name}"
            (item,) = sources.find(text)
            assert item.place.path == f"{path}!/{name}"
            assert item.place.size == len(encoded(1))
            assert item.explicit
            assert read_all(text) == {f"{path}!/{name}": encoded(1)}
            assert list(sources.roots(text)) == [f"{path}!/{name}"]
        with pytest.raises(BadSource, match="does not exist"):
            sources.find(f"{path}!/gone.png")

    def test_hostile_names_are_only_names(self, ending: str, tmp_path: Path) -> None:
        contents = {"../../up.png": encoded(1), "/etc/root.png": encoded(2), "a\nb.png": encoded(3)}
        folder = tmp_path / "inner"
        folder.mkdir()
        path = make(folder / f"photos{ending}", contents)
        assert list(read_all(path).values()) == list(contents.values())
        assert [each.name for each in tmp_path.rglob("*.png")] == []

    def test_damage_anywhere_is_told_and_raises_nothing_else(
        self, ending: str, tmp_path: Path
    ) -> None:
        contents = {f"{n}.png": encoded(n) for n in range(4)}
        whole = make(tmp_path / f"whole{ending}", contents).read_bytes()
        random = np.random.default_rng(0)
        path = tmp_path / f"broken{ending}"
        for _ in range(40):
            broken = np.frombuffer(whole, np.uint8).copy()
            places = random.integers(0, len(broken), random.integers(1, 200))
            broken[places] = random.integers(0, 256, len(places))
            path.write_bytes(broken.tobytes())
            read_all(path)

    def test_one_that_was_cut_off_gives_what_is_whole_and_a_failure(
        self, ending: str, tmp_path: Path
    ) -> None:
        contents = {f"{n}.png": encoded(n) * 20 for n in range(4)}
        path = make(tmp_path / f"photos{ending}", contents)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        got = read_all(path)
        assert all(got[f"{path}!/{n}.png"] == data for n, data in _whole(got, path).items())
        failures = [each for each in got.values() if isinstance(each, PictureError)]
        assert failures
        assert all(error.recognised for error in failures)


def _whole(got: Mapping[str, bytes | PictureError], path: Path) -> dict[int, bytes]:
    return {n: encoded(n) * 20 for n in range(4) if isinstance(got.get(f"{path}!/{n}.png"), bytes)}


class TestZip:
    def test_an_encrypted_member_is_refused_and_the_next_one_read(self, tmp_path: Path) -> None:
        path = make_zip(tmp_path / "a.zip", {"secret.png": encoded(1), "open.png": encoded(2)})
        content = bytearray(path.read_bytes())
        central = content.index(b"PK\1\2")
        struct.pack_into("<H", content, 6, 1)
        struct.pack_into("<H", content, central + 8, 1)
        path.write_bytes(content)
        secret, opened = read_all(path).values()
        assert isinstance(secret, PictureError)
        assert secret.reason == "it is encrypted: unpack it yourself"
        assert opened == encoded(2)

    def test_a_bomb_is_refused_before_it_is_unpacked_whole(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            with archive.open("bomb.png", "w") as member:
                for _ in range(_MEMBER_BYTES // 1_000_000 + 2):
                    member.write(bytes(1_000_000))
            archive.writestr("b.png", encoded(1))
        bomb, after = read_all(tmp_path / "a.zip").values()
        assert isinstance(bomb, PictureError)
        assert "100 MB" in bomb.reason
        assert after == encoded(1)

    def test_a_size_that_is_a_lie_is_no_harm(self, tmp_path: Path) -> None:
        path = make_zip(tmp_path / "a.zip", {"a.png": encoded(1)})
        content = bytearray(path.read_bytes())
        struct.pack_into("<I", content, content.index(b"PK\1\2") + 24, 0xFFFFFFFE)
        path.write_bytes(content)
        (item,) = sources.find(path)
        assert item.place.size == 0xFFFFFFFE
        read(item)

    def test_it_is_told_by_its_bytes(self, tmp_path: Path) -> None:
        path = make_zip(tmp_path / "comic.cbz", {"1.png": encoded(1)})
        assert read_all(path) == {f"{path}!/1.png": encoded(1)}

    @pytest.mark.parametrize("content", [b"", b"not a zip at all", b"PK\3\4", b"PK\5\6" + bytes(3)])
    def test_what_is_no_zip_is_one_failure(self, content: bytes, tmp_path: Path) -> None:
        path = tmp_path / "a.zip"
        path.write_bytes(content)
        ((place, error),) = read_all(path).items()
        assert place == str(path)
        assert isinstance(error, PictureError)
        assert error.reason.startswith("it cannot be read as an archive")

    def test_a_folder_whose_name_ends_like_one_is_a_folder(self, tmp_path: Path) -> None:
        (tmp_path / "photos.zip").mkdir()
        (tmp_path / "photos.zip" / "a.png").write_bytes(encoded(1))
        (item,) = sources.find(tmp_path / "photos.zip")
        assert item.encoded().path == tmp_path / "photos.zip" / "a.png"

    def test_one_in_a_folder_named_with_a_mark_is_found_again(self, tmp_path: Path) -> None:
        (tmp_path / "wow!").mkdir()
        path = make_zip(tmp_path / "wow!" / "a.zip", {"b!/1.png": encoded(1)})
        assert sources.encoded_at(f"{path}!/b!/1.png").data == encoded(1)
        assert sources.exists(f"{path}!/b!/1.png")
        assert not sources.exists(f"{tmp_path}/wow!/gone.png")


class TestTar:
    @pytest.mark.parametrize("time", ["nan", "inf", "-inf", "1e300", "-1e300"])
    def test_a_time_that_no_clock_shows_is_no_harm(self, time: str, tmp_path: Path) -> None:
        path = make_tar(tmp_path / "a.tar", {"a.png": encoded(1)}, pax_headers={"mtime": time})
        for item in sources.find(path):
            assert abs(item.place.modified_ns) < 2**63

    def test_links_and_devices_are_refused(self, tmp_path: Path) -> None:
        path = make_tar(tmp_path / "a.tar", {"cat.png": encoded(1)})
        add_links(path, ("l.png", "cat.png", tarfile.SYMTYPE), ("d", "", tarfile.CHRTYPE))
        picture, link, device = read_all(path).values()
        assert picture == encoded(1)
        assert isinstance(link, PictureError)
        assert link.reason == "a link inside an archive, which is not followed"
        assert isinstance(device, PictureError)
        assert device.reason == "not a file but a pipe or a device"
        assert sources.exists(f"{path}!/l.png")

    def test_a_hard_link_is_the_picture_that_it_stands_for(self, tmp_path: Path) -> None:
        path = make_tar(tmp_path / "a.tar", {"0.png": encoded(0), "1.png": encoded(1)})
        hard = tarfile.LNKTYPE
        add_links(path, ("a.png", "0.png", hard), ("b.png", "a.png", hard), ("c", "gone", hard))
        got = read_all(path)
        lost = got.pop(f"{path}!/c")
        assert isinstance(lost, PictureError)
        names = {"0.png": 0, "a.png": 0, "b.png": 0, "1.png": 1}
        assert got == {f"{path}!/{name}": encoded(number) for name, number in names.items()}
        assert sources.encoded_at(f"{path}!/b.png").data == encoded(0)

    def test_a_name_that_is_not_utf8_leads_back_to_its_member(self, tmp_path: Path) -> None:
        name = os.fsdecode(b"caf\xe9.png")
        path = make_tar(tmp_path / "a.tar", {name: encoded(1), "b.png": encoded(2)})
        place = f"{path}!/caf\\xe9.png"
        assert read_all(path) == {place: encoded(1), f"{path}!/b.png": encoded(2)}
        assert sources.exists(place)
        assert sources.encoded_at(place).data == encoded(1)
        assert place_of(f"{path}!/{name}") == place_of(place) == place

    def test_one_without_an_ending_is_told_by_its_bytes(self, tmp_path: Path) -> None:
        path = make_tar(tmp_path / "backup", {"1.png": encoded(1)})
        assert read_all(path) == {f"{path}!/1.png": encoded(1)}
