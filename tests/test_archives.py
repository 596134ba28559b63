from __future__ import annotations

import io
import struct
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from samples import encoded

from lookalike import sources
from lookalike.archives import _MEMBER_BYTES
from lookalike.errors import PictureError
from lookalike.sources import Item

TARS = {".tar": "w", ".tar.gz": "w:gz", ".tgz": "w:gz", ".tar.bz2": "w:bz2", ".tar.xz": "w:xz"}


def make_zip(path: Path, contents: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


def make_tar(path: Path, contents: Mapping[str, bytes], **header: object) -> Path:
    mode = next((mode for ending, mode in TARS.items() if path.name.endswith(ending)), "w")
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in header.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(content))
    return path


def make(path: Path, contents: Mapping[str, bytes]) -> Path:
    return (make_zip if path.suffix == ".zip" else make_tar)(path, contents)


def read(item: Item) -> bytes | PictureError:
    try:
        content = item.encoded().data
    except PictureError as error:
        return error
    assert content is not None
    return content


def read_all(path: Path) -> dict[str, bytes | PictureError]:
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
        with pytest.raises(PictureError, match="it cannot be unpacked"):
            sources.encoded_at(f"{path}!/cat/2.png")

    def test_folders_and_litter_are_left_out(self, ending: str, tmp_path: Path) -> None:
        contents = {"__MACOSX/._1.png": b"", ".hidden/2.png": b"", "./cat/3.png": encoded(3)}
        path = make(tmp_path / f"photos{ending}", contents)
        assert [item.place.path for item in sources.find(path)] == [f"{path}!/./cat/3.png"]

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
        assert "encrypted" in secret.reason
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

    def test_links_and_devices_are_left_out(self, tmp_path: Path) -> None:
        with tarfile.open(tmp_path / "a.tar", "w") as archive:
            for name, type in (("l", tarfile.SYMTYPE), ("d", tarfile.CHRTYPE)):
                info = tarfile.TarInfo(name)
                info.type, info.linkname = type, "/etc/passwd"
                archive.addfile(info)
        assert list(sources.find(tmp_path / "a.tar")) == []

    def test_one_without_an_ending_is_told_by_its_bytes(self, tmp_path: Path) -> None:
        path = make_tar(tmp_path / "backup", {"1.png": encoded(1)})
        assert read_all(path) == {f"{path}!/1.png": encoded(1)}
