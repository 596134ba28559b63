"""Real worker processes, real files; hangs and crashes are made with signals."""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookalike.decoding import DecodePool, Encoded
from lookalike.errors import CollectionClosed, PictureError
from lookalike.picture import decode
from lookalike.types import Limits, Picture

DATA = Path(__file__).parents[2] / "shared" / "data"
linux_only = pytest.mark.skipif(
    sys.platform != "linux", reason="looks at processes through /proc, or needs RLIMIT_AS"
)


@pytest.fixture
def pool() -> Iterator[DecodePool]:
    with DecodePool(2) as pool:
        yield pool


def jpeg(seed: int = 0, width: int = 320, height: int = 240) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    made = BytesIO()
    Image.fromarray(pixels).resize((width, height)).save(made, "JPEG")
    return made.getvalue()


def slow_png() -> bytes:
    """Takes a second or so to decode: 48 megapixels."""
    made = BytesIO()
    Image.new("RGB", (8000, 6000)).save(made, "PNG", compress_level=1)
    return made.getvalue()


def given(data: bytes, name: str = "given") -> Encoded:
    return Encoded(name, data=data)


def refusal(result: Picture | PictureError) -> PictureError:
    assert isinstance(result, PictureError)
    return result


def pictures(results: Sequence[Picture | PictureError]) -> list[Picture]:
    for result in results:
        assert isinstance(result, Picture), result
    return [result for result in results if isinstance(result, Picture)]


BEFORE: set[int] = set()
"""What other files' tests have left to the garbage collector."""


@pytest.fixture(scope="module", autouse=True)
def _nobody_elses() -> None:
    gc.collect()
    BEFORE.update(workers())


def workers(parent: int | None = None) -> set[int]:
    """The worker processes of this process, or of `parent`, dead ones that wait included."""
    found = set()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            command = (folder / "cmdline").read_bytes()
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        if int(fields[1]) == (parent or os.getpid()) and (
            b"lookalike.decode_worker" in command or fields[0] == "Z"
        ):
            found.add(int(folder.name))
    return found - BEFORE


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def wait_until(what: str, seconds: float, true: Callable[[], object]) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"waited in vain until {what}"
        time.sleep(0.01)


# ---- What comes back ----


def test_a_file_and_its_bytes_give_what_decoding_here_gives(
    pool: DecodePool, tmp_path: Path
) -> None:
    data = jpeg(width=1200, height=900)
    path = tmp_path / "a picture.png"  # the ending lies
    path.write_bytes(data)
    here = decode(data, source="", shortest_side=200, limits=Limits())
    for encoded in (Encoded("a", path=path), given(data)):
        there = pool.decode(encoded, 200)
        assert np.array_equal(there.pixels, here.pixels)
        assert there.sha256 == here.sha256
        assert there.format == "JPEG"
        assert there.original_size == (1200, 900)
        assert there.byte_size == len(data)
        assert not there.pixels.flags.writeable


def test_a_batch_comes_back_in_order_with_a_refusal_where_one_belongs(pool: DecodePool) -> None:
    datas = [jpeg(seed) for seed in range(40)]
    datas[3] = datas[3][:500]
    datas[17] = b""
    datas[39] = b"just a text, nothing to be seen in it"
    results = pool.decode_batch([given(data, str(i)) for i, data in enumerate(datas)], 100)
    assert len(results) == 40
    for place, (data, result) in enumerate(zip(datas, results, strict=True)):
        if place in (3, 17, 39):
            assert refusal(result).source == str(place)
        else:
            assert isinstance(result, Picture)
            here = decode(data, source="", shortest_side=100, limits=Limits())
            assert np.array_equal(result.pixels, here.pixels)
    assert refusal(results[3]).reason == "the file ends too early (truncated)"
    assert refusal(results[3]).recognised
    assert refusal(results[17]).reason == "an empty file"
    assert not refusal(results[39]).recognised


def test_an_empty_batch_is_an_empty_list(pool: DecodePool) -> None:
    assert pool.decode_batch([], 100) == []


def test_bytes_and_pixels_larger_than_any_pipe_pass_through(pool: DecodePool) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (1200, 1600, 3), np.uint8)
    made = BytesIO()
    Image.fromarray(pixels).save(made, "BMP")
    for picture in pictures(pool.decode_batch([given(made.getvalue())] * 4, 0)):
        assert np.array_equal(picture.pixels, pixels)


def test_many_threads_share_few_workers(pool: DecodePool) -> None:
    datas = [jpeg(seed) for seed in range(8)]
    here = [decode(data, source="", shortest_side=0, limits=Limits()) for data in datas]
    wrong: list[int] = []

    def use(seed: int) -> None:
        for _ in range(5):
            batch = [given(datas[seed]), given(datas[(seed + 1) % 8])]
            results = pictures(pool.decode_batch(batch, 0))
            expected = (here[seed], here[(seed + 1) % 8])
            if not all(
                np.array_equal(a.pixels, b.pixels) for a, b in zip(results, expected, strict=True)
            ):
                wrong.append(seed)

    threads = [threading.Thread(target=use, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    if sys.platform == "linux":
        assert len(workers()) == 2


def test_a_path_data_or_a_url_and_only_one_of_them() -> None:
    for path, data, url in (
        (None, None, None),
        (Path("a"), b"a", None),
        (None, b"a", "memory://a"),
    ):
        with pytest.raises(ValueError, match="one of the three"):
            Encoded("a", path=path, data=data, url=url)


# ---- Files ----


def test_a_file_that_is_not_there_may_be_tried_again(pool: DecodePool, tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="it cannot be read: No such file") as caught:
        pool.decode(Encoded("gone.jpg", path=tmp_path / "gone.jpg"), 0)
    assert caught.value.retry


def test_a_relative_path_is_relative_to_where_we_are(
    pool: DecodePool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool.decode(given(jpeg()), 0)
    (tmp_path / "a.jpg").write_bytes(jpeg(5))
    monkeypatch.chdir(tmp_path)
    assert pool.decode(Encoded("a.jpg", path=Path("a.jpg")), 0).byte_size == len(jpeg(5))


def test_a_name_that_is_no_path_is_refused(pool: DecodePool) -> None:
    with pytest.raises(PictureError, match="cannot be read"):
        pool.decode(Encoded("odd", path=Path("a\0b")), 0)


def test_a_name_that_is_not_unicode_is_read(pool: DecodePool, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9 \xf0\x9f.jpg")
    try:
        path.write_bytes(jpeg())
    except OSError:
        pytest.skip("this file system takes only names in Unicode")
    assert pool.decode(Encoded("a", path=path), 0).format == "JPEG"


def test_only_regular_files_are_read(pool: DecodePool, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(tmp_path / "socket.jpg"))
        paths = [tmp_path, tmp_path / "pipe.jpg", tmp_path / "socket.jpg", Path("/dev/zero")]
        results = pool.decode_batch([Encoded(str(path), path=path) for path in paths], 0)
    assert [refusal(results[place]).reason for place in (0, 1, 3)] == ["not a file"] * 3
    assert "cannot be read" in refusal(results[2]).reason


def test_of_a_file_that_is_no_picture_only_the_beginning_is_read(
    pool: DecodePool, tmp_path: Path
) -> None:
    path = tmp_path / "film.mkv"
    with path.open("wb") as file:
        file.write(b"\x1a\x45\xdf\xa3" + bytes(100))
        file.truncate(1 << 40)  # a hole: takes no space, but hours to read
    error = refusal(pool.decode_batch([Encoded("film.mkv", path=path)], 0)[0])
    assert not error.recognised


def test_a_file_over_the_limit_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "long.jpg"
    path.write_bytes(jpeg())
    with path.open("r+b") as file:
        file.truncate(1 << 40)
    with DecodePool(1, Limits(file_bytes=20_000)) as pool:
        results = pool.decode_batch(
            [Encoded("long", path=path), given(bytes(30_000)), given(jpeg(width=80, height=80))], 0
        )
    assert "over the limit of 0.02" in refusal(results[0]).reason
    assert "over the limit of 0.02" in refusal(results[1]).reason
    assert isinstance(results[2], Picture)


# ---- What goes wrong ----


@linux_only
def test_a_hanging_decode_is_killed_and_the_rest_of_the_batch_survives() -> None:
    with DecodePool(1, Limits(seconds=0.5)) as pool:
        pool.decode(given(jpeg()), 0)
        (worker,) = workers()
        os.kill(worker, signal.SIGSTOP)
        results = pool.decode_batch([given(jpeg(seed)) for seed in range(5)], 0)
        assert refusal(results[0]).reason == "it took longer than 0.5 s to decode"
        assert refusal(results[0]).retry
        assert len(pictures(results[1:])) == 4
        assert len(workers()) == 1
        assert worker not in workers()


def test_a_slow_picture_costs_only_itself() -> None:
    with DecodePool(1, Limits(seconds=0.15)) as pool:
        results = pool.decode_batch([given(jpeg(1)), given(slow_png()), given(jpeg(2))], 0)
    assert isinstance(results[0], Picture)
    assert "longer than 0.15 s" in refusal(results[1]).reason
    assert isinstance(results[2], Picture)


def strike(process: int, blow: signal.Signals) -> None:
    os.kill(process, blow)
    os.kill(process, signal.SIGCONT)


@linux_only
@pytest.mark.parametrize(
    ("blow", "words", "retry"),
    [
        (signal.SIGSEGV, "the decoder crashed on it", False),
        (signal.SIGABRT, "the decoder crashed on it", False),
        (signal.SIGKILL, "stopped from outside", True),
    ],
)
def test_a_crash_costs_only_its_picture(blow: signal.Signals, words: str, retry: bool) -> None:
    with DecodePool(1) as pool:
        pool.decode(given(jpeg()), 0)
        (worker,) = workers()
        os.kill(worker, signal.SIGSTOP)  # so that the blow falls while it has work
        after = threading.Timer(0.3, strike, (worker, blow))
        after.start()
        results = pool.decode_batch([given(jpeg(seed)) for seed in range(3)], 0)
        after.join()
    assert words in refusal(results[0]).reason
    assert refusal(results[0]).retry is retry
    assert len(pictures(results[1:])) == 2


@linux_only
def test_a_worker_that_died_while_idle_is_blamed_on_no_picture() -> None:
    with DecodePool(1) as pool:
        pool.decode(given(jpeg()), 0)
        (worker,) = workers()
        os.kill(worker, signal.SIGKILL)
        wait_until("it is dead", 5, lambda: is_dead(worker))
        assert pool.decode(given(jpeg()), 0).format == "JPEG"


def is_dead(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


@linux_only
def test_what_needs_too_much_memory_is_refused_and_the_rest_survives() -> None:
    with DecodePool(1, Limits(memory_bytes=100_000_000)) as pool:
        batch = [given(jpeg(1)), given(slow_png()), given(jpeg(2))]
        results = pool.decode_batch(batch, 0)
    assert refusal(results[1]).reason == "decoding needed more than 0.1 GB"
    assert isinstance(results[0], Picture)
    assert isinstance(results[2], Picture)


@linux_only
def test_the_largest_picture_allowed_fits_into_the_memory_allowed() -> None:
    with DecodePool(1) as pool:
        picture = pool.decode(given(slow_png()), 0)
    assert picture.pixels.shape == (6000, 8000, 3)


def test_every_bad_image_is_decoded_or_refused_with_a_reason(
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = DATA / "badimages"
    if not folder.is_dir():
        pytest.skip(f"no hostile pictures in {folder}")
    batch = [Encoded(str(p), path=p) for p in sorted(folder.rglob("*")) if p.is_file()]
    with DecodePool(2) as pool:
        halves: dict[int, list[Picture | PictureError]] = {}

        def use(half: int) -> None:
            halves[half] = pool.decode_batch(batch[half::2], 224)

        threads = [threading.Thread(target=use, args=(half,)) for half in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    results = halves[0] + halves[1]
    assert len(results) == len(batch)
    for result in results:
        if isinstance(result, PictureError):
            assert 5 < len(result.reason) < 120
            assert not any(word in result.reason for word in ("Error", "0x", "None", "<", "__"))
        else:
            assert result.pixels.size > 0
    assert any(isinstance(result, Picture) for result in results)
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")


# ---- Nothing is left behind ----


@linux_only
def test_a_pool_starts_nothing_until_it_is_needed() -> None:
    with DecodePool(4) as pool:
        assert not workers()
        pool.warm()
        wait_until("one has started", 5, lambda: len(workers()) == 1)
        pool.decode(given(jpeg()), 0)
        assert len(workers()) == 1


@linux_only
def test_closing_leaves_no_process_and_no_descriptor() -> None:
    before = descriptors()
    for _ in range(3):
        with DecodePool(2) as pool:
            pool.warm()
            pool.decode(given(jpeg()), 0)
    assert not workers()
    assert descriptors() == before


@linux_only
def test_replaced_workers_leave_no_process_and_no_descriptor() -> None:
    before = descriptors()
    with DecodePool(1, Limits(memory_bytes=100_000_000)) as pool:
        png = slow_png()
        for _ in range(3):
            pool.decode_batch([given(png), given(jpeg())], 0)
        assert len(workers()) == 1
    assert descriptors() == before


@linux_only
def test_a_forgotten_pool_leaves_no_process() -> None:
    pool = DecodePool(1)
    pool.decode(given(jpeg()), 0)
    assert workers()
    del pool
    gc.collect()
    assert not workers()


def test_a_closed_pool_says_so() -> None:
    pool = DecodePool(1)
    pool.close()
    pool.close()
    with pytest.raises(CollectionClosed, match="closed"):
        pool.decode(given(jpeg()), 0)


@linux_only
def test_closing_does_not_wait_for_a_hanging_decode() -> None:
    pool = DecodePool(1)
    pool.decode(given(jpeg()), 0)
    os.kill(next(iter(workers())), signal.SIGSTOP)
    results: list[Picture | PictureError] = []
    batch = [given(jpeg()), given(jpeg())]
    thread = threading.Thread(target=lambda: results.extend(pool.decode_batch(batch, 0)))
    thread.start()
    wait_until("it is under way", 5, lambda: pool._crew._busy)
    pool.close()
    thread.join(5)
    assert not thread.is_alive()
    assert [refusal(result).retry for result in results] == [True, True]
    assert not workers()


PARENT = """
import sys, time
from pathlib import Path
from lookalike.decoding import DecodePool, Encoded
pool = DecodePool(1)
pool.decode(Encoded("a", path=Path(sys.argv[1])), 0)
print("decoded", flush=True)
time.sleep(60)
"""


@linux_only
@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_parent_that_is_killed_leaves_no_worker(tmp_path: Path, blow: signal.Signals) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg())
    command = [sys.executable, "-c", PARENT, str(tmp_path / "a.jpg")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=with_import_path()
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"decoded\n"
        orphans = workers(parent.pid)
        assert len(orphans) == 1
        parent.send_signal(blow)
    wait_until("the worker has ended", 10, lambda: all(map(is_dead, orphans)))


def test_a_script_without_a_guard_for_its_main_part_can_decode(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg())
    (tmp_path / "select.py").write_text("raise SystemExit('a file of the user was imported')")
    script = tmp_path / "script.py"
    script.write_text(PARENT.replace("time.sleep(60)", "print('done')"))
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    script = script.rename(folder / "script.py")
    done = subprocess.run(
        [sys.executable, script, tmp_path / "a.jpg"],
        cwd=tmp_path,
        env=with_import_path(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "decoded\ndone\n"
    assert done.stderr == ""


def with_import_path() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
