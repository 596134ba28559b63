"""Sets of edited copies: what is in them, that they can be made again, and what goes wrong."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from samples import DATA, called, command, environment, lookalike, needs_data, pixels, write
from test_cli import on_a_terminal

import lookalike as api
from lookalike.copies import Made, Wish, casting, making
from lookalike.copies.casting import Cast, Known
from lookalike.edits import EDITS
from lookalike.errors import BadQuantity, BadSource, CannotMakeCopies, UnknownName
from lookalike.evaluate import truth as truths
from lookalike.picture import decode
from lookalike.types import Limits

COUNT = 16
FEW = ("crop-25", "flip", "picture-in-picture", "jpeg-10")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 different pictures in two folders, as JPEG, PNG, WebP, BMP and TIFF; and a text."""
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(COUNT):
        kind = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")[number % 5]
        write(folder / f"{number % 2}" / f"{number}.{kind.lower()}", number, kind)
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def made(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A set of them in every edit, only to be read."""
    return making.make_copies(pictures, tmp_path_factory.mktemp("made") / "set")


def make(pictures: Path, out: Path, **wish: Any) -> Made:
    return making.make_copies(pictures, out, Wish(**{"edits": FEW, **wish}))


def truth(folder: Path) -> list[dict[str, str]]:
    with (folder / "truth.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def files(folder: Path) -> list[Path]:
    """Its pictures, wherever in it."""
    every = sorted(folder.rglob("*"))
    return [path for path in every if path.is_file() and path.suffix != ".txt"]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file by its path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def digests(paths: list[Path]) -> set[str]:
    return {hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
    return image


class TestSet:
    def test_the_truth_names_every_query_once_and_pictures_that_are_there(self, made: Made) -> None:
        rows = truth(made.path)
        assert list(rows[0]) == ["query_id", "reference_id", "group"]
        queries = [row["query_id"] for row in rows]
        assert queries == sorted(set(queries))
        there = {f"queries/{path.name}" for path in (made.path / "queries").iterdir()}
        assert set(queries) == there
        for row in rows:
            assert row["query_id"].endswith(f"-{row['group']}.jpg")
            assert not row["reference_id"] or (made.path / row["reference_id"]).is_file()

    def test_originals_and_those_kept_out_get_every_edit(self, made: Made) -> None:
        by_picture: dict[str, set[str]] = {}
        for row in truth(made.path):
            sha256 = row["query_id"].removeprefix("queries/")[:16]
            by_picture.setdefault(f"{sha256} {bool(row['reference_id'])}", set()).add(row["group"])
            if row["reference_id"]:  # nobody else's copy
                assert Path(row["reference_id"]).name.startswith(sha256)
        assert all(each == set(EDITS) for each in by_picture.values())
        kinds = Counter(key.split()[1] for key in by_picture)
        assert kinds == {"True": 13, "False": 3}
        assert (made.originals, made.kept_out) == (13, 3)
        assert (made.with_copy, made.without_copy) == (13 * len(EDITS), 3 * len(EDITS))

    def test_the_collection_has_the_files_as_they_were_without_those_kept_out(
        self, made: Made, pictures: Path
    ) -> None:
        every = digests(files(pictures))
        collection = list((made.path / "collection").iterdir())
        inside = digests(collection)
        assert inside < every
        assert len(inside) == len(collection) == made.collection == 13
        for path in collection:
            assert path.stem == hashlib.sha256(path.read_bytes()).hexdigest()[:16]
            expected = {"JPEG": "jpg", "TIFF": "tif"}.get(str(opened(path).format))
            assert path.suffix == f".{expected or str(opened(path).format).lower()}"
        out = {row["query_id"][8:24] for row in truth(made.path) if not row["reference_id"]}
        assert out == {each[:16] for each in every - inside}

    def test_queries_are_jpegs_of_quality_90_or_10_without_exif(self, made: Made) -> None:
        for row in truth(made.path):
            image: Any = opened(made.path / row["query_id"])
            assert image.format == "JPEG"
            assert "exif" not in image.info
            assert not image.getexif()
            wanted = 80 if row["group"] == "jpeg-10" else 3  # 16 in the standard's table, scaled
            assert image.quantization[0][0] == wanted

    def test_an_edit_is_of_the_picture_that_it_names(self, made: Made) -> None:
        for row in truth(made.path):
            if row["reference_id"] and row["group"] == "flip":
                original = np.asarray(opened(made.path / row["reference_id"]).convert("RGB"))
                query = np.asarray(opened(made.path / row["query_id"]))
                assert np.abs(query.astype(int) - np.fliplr(original)).mean() < 6

    def test_about_tells_how_to_make_it_again(self, made: Made) -> None:
        about = json.loads((made.path / "about.json").read_text("utf-8"))
        assert about["seed"] == 0
        assert about["options"] == {
            "originals": 100,
            "without_copy": None,
            "edits": list(EDITS),
        }
        assert about["counts"]["pictures"] == COUNT
        assert about["counts"]["ignored"] == 1
        assert about["edits"]["crop-10"]["parameters"]["area"] == 0.1
        assert about["edits"]["jpeg-10"]["jpeg_quality"] == 10
        assert set(about["libraries"]) == {"numpy", "opencv", "pillow"}
        assert about["version"]

    def test_nothing_else_is_left_there(self, made: Made) -> None:
        names = {path.name for path in made.path.iterdir()}
        assert names == {"collection", "queries", "truth.csv", "about.json"}

    def test_what_lies_below_a_picture_is_not_in_the_collection(self, tmp_path: Path) -> None:
        """Pictures of one grey each: which lies below, its grey tells."""
        for grey in range(0, 250, 12):
            path = tmp_path / "greys" / f"{grey}.png"
            path.parent.mkdir(exist_ok=True)
            Image.new("RGB", (100, 80), (grey, grey, grey)).save(path)
        below = set()
        for seed in range(5):
            made = make(
                tmp_path / "greys",
                tmp_path / f"{seed}",
                seed=seed,
                edits=("picture-in-picture",),
                without_copy=0.1,
            )
            collection = (made.path / "collection").iterdir()
            inside = {opened(path).getpixel((5, 5)) for path in collection}
            for row in truth(made.path):
                query = np.asarray(opened(made.path / row["query_id"]))[..., 0]
                greys, counts = np.unique(12 * np.rint(query / 12).astype(int), return_counts=True)
                grey = int(greys[counts.argmax()])
                assert (grey, grey, grey) not in inside
                assert (counts > 500).sum() == 2, "not over itself"
                below.add(grey)
        assert len(below) > 2

    def test_a_picture_that_lies_on_its_side_is_asked_with_upright(
        self, pictures: Path, tmp_path: Path
    ) -> None:
        folder = tmp_path / "turned"
        shutil.copytree(pictures, folder)
        for path in folder.rglob("*.jpeg"):
            path.unlink()
        for number in range(30, 36):
            exif = Image.Exif()
            exif[0x0112] = 6  # to be turned by 90 degrees
            exif[0x010E] = "where I live"
            image = Image.fromarray(pixels(number, 90, 40))
            image.save(folder / f"{number}.jpg", quality=95, exif=exif)
        made = make(folder, tmp_path / "set", edits=("unedited",))
        turned = 0
        for row in truth(made.path):
            image = opened(made.path / row["query_id"])
            turned += image.size == (40, 90)
            assert image.size != (90, 40)
        assert turned == 6
        assert not any(b"where I live" in data for data in contents(made.path / "queries").values())

    def test_fewer_originals_leave_others_to_be_told_from(
        self, pictures: Path, tmp_path: Path
    ) -> None:
        made = make(pictures, tmp_path / "set", originals=4, without_copy=0.25)
        assert (made.originals, made.kept_out, made.collection) == (4, 4, 12)
        asked = {row["reference_id"] for row in truth(made.path)} - {""}
        assert len(asked) == 4
        assert len(list((made.path / "collection").iterdir())) == 12

    def test_only_the_edits_that_are_named_are_made(self, pictures: Path, tmp_path: Path) -> None:
        made = make(pictures, tmp_path / "set", edits=("grey", "flip", "grey"))
        assert {row["group"] for row in truth(made.path)} == {"flip", "grey"}
        assert made.with_copy == 2 * made.originals


class TestAgain:
    def test_names_order_and_cores_play_no_part(
        self, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = make(pictures, tmp_path / "first")
        other = tmp_path / "renamed"
        other.mkdir()
        (other / "notes.txt").write_text("no picture")
        for number, path in enumerate(reversed(files(pictures))):
            shutil.copy(path, other / f"{number:02}.picture")
        for cores in (1, 7):
            monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
            again = make(other, tmp_path / f"{cores}")
            assert contents(again.path) == contents(first.path)

    def test_another_process_makes_the_same(
        self, made: Made, pictures: Path, tmp_path: Path
    ) -> None:
        done = lookalike("make-copies", pictures, tmp_path / "set", env={"PYTHONHASHSEED": "1"})
        assert done.returncode == 0
        assert contents(tmp_path / "set") == contents(made.path)

    def test_another_seed_makes_another(self, pictures: Path, tmp_path: Path) -> None:
        one, other = (
            make(pictures, tmp_path / f"{seed}", seed=seed, originals=3) for seed in (0, 1)
        )
        shared = contents(one.path / "queries").items() & contents(other.path / "queries").items()
        assert {name.split("-", 1)[1] for name, _ in shared} <= {"flip.jpg", "jpeg-10.jpg"}
        assert {row["reference_id"] for row in truth(one.path)} != {
            row["reference_id"] for row in truth(other.path)
        }

    def test_an_edit_does_not_hang_on_which_others_are_made(
        self, made: Made, pictures: Path, tmp_path: Path
    ) -> None:
        some = contents(make(pictures, tmp_path / "set").path / "queries")
        every = contents(made.path / "queries")
        assert some.items() <= every.items()

    def test_one_picture_more_leaves_the_edits_of_the_others(
        self, made: Made, pictures: Path, tmp_path: Path
    ) -> None:
        shutil.copytree(pictures, tmp_path / "more")
        write(tmp_path / "more" / "new.png", 99)
        more = contents(make(tmp_path / "more", tmp_path / "set", edits=("crop-10",)).path)
        before = contents(made.path)
        both = {name for name in more if name in before and name.startswith("queries/")}
        assert len(both) == COUNT
        assert all(more[name] == before[name] for name in both)


class TestFolder:
    def test_content_that_lies_there_twice_counts_once(
        self, made: Made, pictures: Path, tmp_path: Path
    ) -> None:
        folder = tmp_path / "twice"
        shutil.copytree(pictures, folder)
        for number, path in enumerate(sorted(pictures.rglob("*.*"))[:5]):
            shutil.copy(path, folder / f"again{number}{path.suffix}")
        again = making.make_copies(folder, tmp_path / "set")
        assert (again.pictures, again.identical) == (COUNT, 5)
        mine, before = contents(again.path), contents(made.path)
        del mine["about.json"], before["about.json"]
        assert mine == before

    def test_a_picture_saved_otherwise_is_left_out_as_it_would_be_found_in_place_of_another(
        self, tmp_path: Path
    ) -> None:
        folder = tmp_path / "photos"
        folder.mkdir()
        for number in range(10):
            image = Image.fromarray(pixels(number, 320, 240))
            image.save(folder / f"{number}.png")
            image.save(folder / f"{number}-again.jpg", quality=70)
            image.resize((200, 150)).save(folder / f"{number}-small.webp", quality=80)
        made = make(folder, tmp_path / "set", edits=("unedited",))
        assert (made.pictures, made.twins) == (30, 20)
        assert made.originals + made.kept_out == 10
        assert made.collection == made.originals
        shown = {
            hashlib.sha256(path.read_bytes()).hexdigest()[:16]: path.name[0]
            for path in folder.iterdir()
        }
        asked = [shown[row["query_id"][8:24]] for row in truth(made.path)]
        assert sorted(asked) == [str(number) for number in range(10)]

    @pytest.mark.parametrize("grey", [1, 128, 255])
    def test_pictures_of_one_colour_are_twins(self, grey: int) -> None:
        noise = np.random.default_rng(0).integers(0, 2, (5, 16, 16), np.uint8)
        every = [known(number, abs(grey - small)) for number, small in enumerate(noise)]
        with pytest.raises(CannotMakeCopies, match="there are 1 pictures that show different"):
            casting.cast(every, 0, 10, None)

    @needs_data
    def test_two_shots_of_one_scene_are_no_twins_and_one_shot_in_two_files_is(
        self, tmp_path: Path
    ) -> None:
        """Looked at: the metronome's hand is elsewhere; both llamas are one photograph."""
        for name in ("metronome/image_0003", "metronome/image_0004", "metronome/image_0002"):
            shutil.copy(DATA / "caltech60" / f"{name}.jpg", tmp_path / f"{Path(name).name}-m.jpg")
        assert cast_of(tmp_path).twins == 0
        for name in ("llama/image_0001", "llama/image_0010"):
            shutil.copy(DATA / "caltech60" / f"{name}.jpg", tmp_path / f"{Path(name).name}-l.jpg")
        assert cast_of(tmp_path).twins == 1

    def test_broken_pictures_are_told_of_and_the_rest_is_made(
        self, pictures: Path, tmp_path: Path
    ) -> None:
        folder = tmp_path / "broken"
        shutil.copytree(pictures, folder)
        whole = (folder / "0" / "0.jpeg").read_bytes()
        (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
        (folder / "empty.png").write_bytes(b"")
        made = make(folder, tmp_path / "set")
        assert [Path(each.source).name for each in made.failures] == ["cut.jpg", "empty.png"]
        assert made.pictures == COUNT
        assert json.loads((made.path / "about.json").read_text())["counts"]["failed"] == 2
        names = {path.name for path in (made.path / "collection").iterdir()}
        assert f"{hashlib.sha256(whole).hexdigest()[:16]}.jpg" in names | {
            f"{row['query_id'][8:24]}.jpg" for row in truth(made.path)
        }

    def test_tiny_and_odd_pictures_get_every_edit(self, tmp_path: Path) -> None:
        folder = tmp_path / "tiny"
        folder.mkdir()
        sizes = [(1, 1), (8, 8), (1, 60), (60, 1), (2, 3), (700, 2), (96, 10), (95, 20), (2000, 1)]
        for number, size in enumerate(sizes):
            noise = np.random.default_rng(number).integers(0, 256, (*size[::-1], 3), np.uint8)
            Image.fromarray(noise).save(folder / f"{number}.png")
        made = making.make_copies(folder, tmp_path / "set")
        assert not made.failures
        assert made.with_copy + made.without_copy == len(EDITS) * (made.originals + made.kept_out)
        for row in truth(made.path):
            assert min(opened(made.path / row["query_id"]).size) >= 1
            if row["group"] == "width-96" and row["reference_id"]:
                width = opened(made.path / row["reference_id"]).width
                assert opened(made.path / row["query_id"]).width == min(width, 96)

    def test_large_pictures_are_asked_with_as_messengers_pass_them_on(self, tmp_path: Path) -> None:
        folder = tmp_path / "large"
        folder.mkdir()
        for number in range(3):
            Image.fromarray(pixels(number, 2400, 1800)).save(folder / f"{number}.jpg")
        made = make(folder, tmp_path / "set", edits=("unedited", "width-96"))
        for row in truth(made.path):
            size = opened(made.path / row["query_id"]).size
            assert size == ((1600, 1200) if row["group"] == "unedited" else (96, 72))
            if row["reference_id"]:
                assert opened(made.path / row["reference_id"]).size == (2400, 1800)

    def test_links_and_hostile_names_are_followed_and_never_copied(
        self, pictures: Path, tmp_path: Path
    ) -> None:
        folder = tmp_path / "names"
        folder.mkdir()
        for number, name in enumerate(('=cmd,"x"\n.png', "a b.jpg", "\x1b[31m.png", "ü.png")):
            write(folder / name, number)
        (folder / os.fsdecode(b"\xff.png")).write_bytes((pictures / "0" / "4.tiff").read_bytes())
        (folder / "link.png").symlink_to(pictures / "0" / "6.png")
        made = make(folder, tmp_path / "set")
        assert made.pictures == 6
        for name in contents(made.path):
            assert name.replace("/", "").replace("-", "").replace(".", "").isalnum()

    @needs_data
    def test_a_folder_of_hostile_files_gives_a_set_of_what_can_be_read(
        self, tmp_path: Path
    ) -> None:
        folder = DATA / "badimages" / "python-pillow__Pillow"
        made = make(folder, tmp_path / "set", originals=10)
        assert made.failures
        rows = truth(made.path)
        assert len(rows) == made.with_copy + made.without_copy > 0
        assert all(opened(made.path / row["query_id"]) for row in rows)


def known(number: int, small: Any) -> Known:
    sha256 = hashlib.sha256(str(number).encode()).digest()
    return Known(f"/{number}", sha256, "PNG", (16, 16), 100, small)


def looked_at(data: bytes) -> Known:
    """What is known of a picture once it has been read."""
    return casting.known("", decode(data, source="", shortest_side=64, limits=Limits()))


def cast_of(folder: Path) -> Cast:
    """Who plays what among all pictures of a folder, all of which are chosen."""
    every = [looked_at(path.read_bytes()) for path in sorted(folder.iterdir())]
    return casting.cast(every, 0, 100, None)


class TestRefusals:
    def refused(self, pictures: Path, out: Path, match: str, **wish: Any) -> None:
        before = out.exists()
        with pytest.raises(CannotMakeCopies, match=match):
            make(pictures, out, **wish)
        assert out.exists() == before

    @pytest.mark.parametrize("count", [0, 1, 2])
    def test_too_few_pictures(self, count: int, tmp_path: Path) -> None:
        (tmp_path / "few").mkdir()
        for number in range(count):
            write(tmp_path / "few" / f"{number}.png", number)
        self.refused(tmp_path / "few", tmp_path / "set", f"there are {count} pictures .* 3 is the")

    def test_three_are_enough(self, tmp_path: Path) -> None:
        for number in range(3):
            write(tmp_path / "few" / f"{number}.png", number)
        made = make(tmp_path / "few", tmp_path / "set")
        assert (made.originals, made.kept_out) == (1, 2)

    def test_a_share_that_leaves_nothing_to_find(self, pictures: Path, tmp_path: Path) -> None:
        self.refused(pictures, tmp_path / "set", "leaves none to be found", without_copy=0.99)

    @pytest.mark.parametrize("share", [0, 1, -0.5, 1.5, float("nan"), float("inf")])
    def test_shares_that_are_none(self, share: float, pictures: Path, tmp_path: Path) -> None:
        with pytest.raises(BadQuantity, match="--without-copy must be above 0 and below 1"):
            make(pictures, tmp_path / "set", without_copy=share)

    @pytest.mark.parametrize("originals", [0, -3])
    def test_there_must_be_something_to_find(
        self, originals: int, pictures: Path, tmp_path: Path
    ) -> None:
        with pytest.raises(BadQuantity, match="--originals must be 1 or more"):
            make(pictures, tmp_path / "set", originals=originals)

    def test_edits_that_are_none(self, pictures: Path, tmp_path: Path) -> None:
        with pytest.raises(UnknownName, match=r"'gray'\. Did you mean grey"):
            make(pictures, tmp_path / "set", edits=("flip", "gray"))
        with pytest.raises(BadQuantity, match="--edits"):
            make(pictures, tmp_path / "set", edits=())
        assert not (tmp_path / "set").exists()

    def test_a_folder_that_is_not_empty_keeps_what_is_in_it(
        self, pictures: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "set").mkdir()
        (tmp_path / "set" / "mine").write_text("keep")
        self.refused(pictures, tmp_path / "set", "is not empty")
        assert contents(tmp_path / "set") == {"mine": b"keep"}

    def test_an_empty_folder_is_filled(self, pictures: Path, tmp_path: Path) -> None:
        (tmp_path / "set").mkdir()
        assert make(pictures, tmp_path / "set").path == tmp_path / "set"

    def test_a_file_in_its_place(self, pictures: Path, tmp_path: Path) -> None:
        (tmp_path / "set").write_text("keep")
        self.refused(pictures, tmp_path / "set", "is a file")
        self.refused(pictures, tmp_path / "set" / "below", "cannot write to .*/below: Not a dir")
        assert (tmp_path / "set").read_text() == "keep"

    def test_a_folder_inside_the_pictures_however_it_is_reached(
        self, pictures: Path, tmp_path: Path
    ) -> None:
        shutil.copytree(pictures, tmp_path / "photos")
        (tmp_path / "link").symlink_to(tmp_path / "photos" / "0")
        for out in ("photos/set", "photos", "link/set", "elsewhere/../photos/set"):
            self.refused(tmp_path / "photos", tmp_path / out, "inside the pictures")

    @pytest.mark.parametrize(
        ("name", "what"), [("missing", "does not exist"), ("one.png", "is not a folder")]
    )
    def test_pictures_that_are_no_folder(self, name: str, what: str, tmp_path: Path) -> None:
        write(tmp_path / "one.png", 1)
        with pytest.raises(BadSource, match=what):
            make(tmp_path / name, tmp_path / "set")
        assert not (tmp_path / "set").exists()

    def test_a_disk_that_is_too_small_is_told_of_before_anything_is_copied(
        self, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
        self.refused(pictures, tmp_path / "set", r"the collection takes .* kB.* only 1\.0 kB are")

    def test_a_disk_that_fills_up_leaves_nothing_behind(self, tmp_path: Path) -> None:
        """A limit on the size of a file stands for the disk."""
        for number in range(6):
            path = tmp_path / "photos" / f"{number}.bmp"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(pixels(number, 400, 300)).save(path)
        done = subprocess.run(
            command("make-copies", tmp_path / "photos", tmp_path / "set"),
            env=environment(),
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout) == (2, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith(
            f"lookalike: cannot write to {tmp_path}/set: File too large. Nothing"
        )
        assert not (tmp_path / "set").exists()

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
    def test_a_folder_that_may_not_be_written_to(self, pictures: Path, tmp_path: Path) -> None:
        (tmp_path / "set").mkdir(mode=0o500)
        self.refused(pictures, tmp_path / "set", "Permission denied")

    def test_what_interrupts_leaves_nothing_behind(self, pictures: Path, tmp_path: Path) -> None:
        for when in ("reading", "editing"):

            def stop(doing: str, done: int, total: int, when: str = when) -> None:
                assert 0 < done <= total
                if doing == when:
                    raise KeyboardInterrupt

            with pytest.raises(KeyboardInterrupt):
                making.make_copies(pictures, tmp_path / "set", on_progress=stop)
            assert not (tmp_path / "set").exists()

    def test_pictures_that_change_meanwhile_are_told_of_and_the_truth_stays_true(
        self, pictures: Path, tmp_path: Path
    ) -> None:
        folder = tmp_path / "photos"
        shutil.copytree(pictures, folder)

        before = truth(make(folder, tmp_path / "before", edits=("flip",)).path)
        asked = [
            next(row for row in before if bool(row["reference_id"]) == has) for has in (True, False)
        ]
        paths = {hashlib.sha256(path.read_bytes()).hexdigest()[:16]: path for path in files(folder)}
        original, kept_out = (paths[row["query_id"][8:24]] for row in asked)
        gone = next(path for path in files(folder) if path not in (original, kept_out))

        def change(doing: str, done: int, total: int) -> None:
            if doing == "reading" and done == total:
                write(original, 77)
                write(kept_out, 78)
                gone.unlink()

        wish = Wish(edits=("flip", "grey"))
        made = making.make_copies(folder, tmp_path / "set", wish, on_progress=change)
        failed = sorted(each.source for each in made.failures)
        assert failed == sorted(map(str, (original, kept_out, gone)))
        rows = truth(made.path)
        assert len(rows) == 2 * (COUNT - 3)
        assert all(
            not row["reference_id"] or (made.path / row["reference_id"]).is_file() for row in rows
        )
        for path in (made.path / "collection").iterdir():
            assert path.stem == hashlib.sha256(path.read_bytes()).hexdigest()[:16]


class TestCommand:
    def test_prints_pairs_where_there_is_no_terminal(self, pictures: Path, tmp_path: Path) -> None:
        done = called("make-copies", pictures, tmp_path / "set", "--edits", "flip, grey")
        assert done.returncode == 0
        rows = dict(line.split("  ", 1) for line in done.stdout.splitlines())
        assert [name.strip() for name in rows] == [
            *("set", "pictures", "collection", "with a copy", "without one", "written", "edits")
        ]
        assert "16 different; 1 not pictures" in done.stdout
        assert "26 queries" in done.stdout
        index = done.stderr.split("`")[1].split()
        assert index[:3] == ["lookalike", "index", str(tmp_path / "set" / "collection")]

    def test_json_is_one_object(self, pictures: Path, tmp_path: Path) -> None:
        folder = tmp_path / "photos"
        shutil.copytree(pictures, folder)
        (folder / "bad.png").write_bytes(b"")
        out = tmp_path / "set"
        options = ("--seed", "7", "--originals", "2", "--without-copy", "0.5", "--edits", "flip")
        done = called("make-copies", folder, out, *options, "--json")
        assert done.returncode == 1
        said = json.loads(done.stdout)
        assert said.pop("seconds") > 0
        written = {name: len(data) for name, data in contents(out).items() if "/" in name}
        assert said.pop("bytes") == sum(written.values())
        assert said == {
            "path": str(out),
            "seed": 7,
            "pictures": 16,
            "identical": 0,
            "twins": 0,
            "failed": 1,
            "ignored": 1,
            "collection": 8,
            "originals": 2,
            "kept_out": 8,
            "with_copy": 2,
            "without_copy": 8,
            "edits": ["flip"],
            "failures": [{"path": str(folder / "bad.png"), "reason": "an empty file"}],
        }

    def test_shows_a_table_on_a_terminal(self, pictures: Path, tmp_path: Path) -> None:
        code, shown = on_a_terminal("make-copies", pictures, tmp_path / "set")
        assert code == 0
        assert "╭" in shown
        for edit in EDITS.values():
            assert edit.name in shown
            assert edit.what in shown

    def test_many_failures_are_told_of_in_ten_lines_and_a_number(
        self, pictures: Path, tmp_path: Path
    ) -> None:
        folder = tmp_path / "photos"
        shutil.copytree(pictures, folder)
        for number in range(25):
            (folder / f"bad{number:02}.png").write_bytes(b"")
        done = called("make-copies", folder, tmp_path / "set", "--edits", "flip")
        assert done.returncode == 1
        lines = done.stderr.splitlines()
        assert len([line for line in lines if "an empty file" in line]) == 10
        assert "lookalike: and 15 more; --json has them all" in lines

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (["--edits", "crop25"], "there is no edit named 'crop25'. Did you mean crop-25"),
            (["--edits", ""], "there is no edit named ''. Known: "),
            (["--without-copy", "1"], "--without-copy must be above 0 and below 1"),
            (["--originals", "0"], "--originals must be 1 or more, not '0'"),
        ],
    )
    def test_a_mistake_is_one_line_and_makes_nothing(
        self, options: list[str], said: str, pictures: Path, tmp_path: Path
    ) -> None:
        done = called("make-copies", pictures, tmp_path / "set", *options)
        assert (done.returncode, done.stdout) == (2, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"lookalike: {said}")
        assert not (tmp_path / "set").exists()

    def test_ctrl_c_ends_it_and_nothing_is_kept(self, tmp_path: Path) -> None:
        for number in range(12):
            path = tmp_path / "photos" / f"{number}.jpg"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(pixels(number, 1600, 1200)).save(path)
        process = subprocess.Popen(
            command("make-copies", tmp_path / "photos", tmp_path / "set"),
            env=environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("set/.making-*/queries/*")) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert (process.returncode, said) == (130, "stopped; nothing was kept\n")
        assert not (tmp_path / "set").exists()

    def test_a_picture_over_the_limit_is_refused(self, pictures: Path, tmp_path: Path) -> None:
        folder = tmp_path / "photos"
        shutil.copytree(pictures, folder)
        Image.new("RGB", (1200, 1000)).save(folder / "large.png")
        done = called("make-copies", folder, tmp_path / "set", "--max-megapixels", "1")
        assert done.returncode == 1
        assert "1.2 megapixels, over the limit of 1" in done.stderr

    def test_the_set_can_be_indexed_and_its_truth_is_read(self, made: Made, tmp_path: Path) -> None:
        done = called("index", made.path / "collection", "-c", tmp_path / "c", "--json")
        assert done.returncode == 0
        assert json.loads(done.stdout)["stored"] == made.collection
        read = truths.read(made.path / "truth.csv")
        with api.open(tmp_path / "c") as collection:
            resolved = truths.against(read, collection.newest(limit=COUNT))
        assert len(resolved.queries) == made.with_copy + made.without_copy
        for query in resolved.queries:
            (row,) = [row for row in truth(made.path) if row["query_id"] == query.name]
            assert query.place == str(made.path / row["query_id"])
            assert query.group == row["group"]
            found = {id[:16] for id in query.relevant}
            assert found == ({Path(row["reference_id"]).stem} if row["reference_id"] else set())


def test_roles_are_drawn_and_the_same_whatever_else_is_asked() -> None:
    """Who is kept out stays so when there are more originals; nobody plays two parts."""
    noise = np.random.default_rng(0).integers(0, 256, (200, 16, 16), np.uint8)
    every = [known(number, small) for number, small in enumerate(noise)]
    one = casting.cast(every, 3, 20, 0.1)
    more = casting.cast(every[::-1], 3, 60, 0.1)
    assert [each.place for each in one.kept_out] == [each.place for each in more.kept_out]
    assert [each.place for each in one.originals] == [each.place for each in more.originals][:20]
    parts = [each.place for part in (one.kept_out, one.originals, one.others) for each in part]
    assert len(parts) == len(set(parts)) == 200
    usual = casting.cast(every, 3, 100, None)
    assert (len(usual.kept_out), len(usual.originals), len(usual.others)) == (40, 100, 60)
    few = casting.cast(every, 3, 10, None)
    assert (len(few.kept_out), len(few.originals)) == (10, 10)


def test_the_small_picture_says_the_same_of_other_sizes_and_formats() -> None:
    image = Image.fromarray(pixels(5, 640, 480))
    small = []
    for size, format in (((640, 480), "PNG"), ((320, 240), "JPEG"), ((100, 75), "WEBP")):
        stream = io.BytesIO()
        image.resize(size, Image.Resampling.LANCZOS).save(stream, format)
        small.append(looked_at(stream.getvalue()).small.astype(int))
    assert max(np.abs(each - small[0]).mean() for each in small[1:]) < 0.06 * small[0].std()
