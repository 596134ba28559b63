"""The Python client, against a real service, and against what is none."""

from __future__ import annotations

import io
import re
import shutil
import socket
import textwrap
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import skimage
from PIL import Image

import lookalike
from lookalike import client as api
from lookalike.client import Client
from lookalike.errors import ServiceRefused, ServiceUnreachable
from lookalike.serve.server import Server

SAMPLES = Path(skimage.__file__).parent / "data"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[lookalike.Collection]:
    with lookalike.open(tmp_path_factory.mktemp("collections") / "photos") as collection:
        collection.add(*(SAMPLES / f"{name}.png" for name in ("astronaut", "chelsea", "coffee")))
        yield collection


@pytest.fixture(scope="module")
def url(served: lookalike.Collection) -> Iterator[str]:
    server = Server({"photos": served, "é %?": served}, port=0)
    thread = threading.Thread(target=server.answer)
    thread.start()
    yield server.url
    server.stop()
    thread.join()


@pytest.fixture
def photos(url: str) -> Iterator[api.Collection]:
    with Client(url) as client:
        yield client.collection("photos")


def test_lists_the_collections(url: str, served: lookalike.Collection) -> None:
    with Client(url) as client:
        first, second = client.collections()
        assert (first.name, first.pictures, first.recipe) == ("photos", len(served), "default")
        assert first.reads_text
        assert "sift" in first.comparators
        assert client.collection(second.name).stats()["recipe"] == "default"


def test_finds_what_the_collection_itself_finds(
    photos: api.Collection, served: lookalike.Collection
) -> None:
    query = SAMPLES / "chelsea.png"
    expected = served.search(query, k=2)
    for given in (query, str(query), query.read_bytes()):
        hits = photos.search(given, k=2)
        assert [(hit.id, hit.path) for hit in hits] == [(hit.id, hit.path) for hit in expected]
        assert [hit.score for hit in hits] == pytest.approx(
            [hit.score for hit in expected], abs=1e-5
        )
    assert (hits[0].width, hits[0].height, hits[0].label) == (451, 300, expected[0].label)


def test_passes_on_what_is_asked_besides(
    photos: api.Collection, served: lookalike.Collection
) -> None:
    astronaut, coffee = SAMPLES / "astronaut.png", SAMPLES / "coffee.png"
    hits = photos.search(astronaut, compare=["phash", "sift"], where="width >= 500", k=5)
    assert all(set(hit.scores) == {"phash", "sift"} for hit in hits)
    assert {hit.width for hit in hits} == {512, 600}
    both = photos.search(astronaut, coffee, k=2, collapse=False, threshold=None)
    assert {Path(hit.path).stem for hit in both} == {"astronaut", "coffee"}
    away = photos.search(astronaut, unlike=[coffee], k=3)
    expected = served.search(astronaut, unlike=[coffee], k=3)
    assert [hit.id for hit in away] == [hit.id for hit in expected]
    cropped = photos.search(astronaut, crop=(0, 0, 300, 300), k=1)
    assert Path(cropped[0].path).stem == "astronaut"


def test_searches_by_words_and_by_a_stored_picture(
    photos: api.Collection, served: lookalike.Collection
) -> None:
    words = photos.search(text="tabby cat", k=2, compare=[])
    assert Path(words[0].path).stem == "chelsea"
    id = words[0].id
    similar = [hit.id for hit in photos.more_like(id, k=5)]
    assert similar == [hit.id for hit in served.more_like(id, k=5)]


def test_keeps_tells_and_forgets_pictures(photos: api.Collection, tmp_path: Path) -> None:
    odd = tmp_path / 'ro"w\ns é.png'
    Image.new("RGB", (64, 48), "teal").save(odd)
    (tmp_path / "none.png").write_text("no picture")
    added, refused = photos.add(odd, tmp_path / "none.png", label="flat", metadata={"n": [1, "é"]})
    assert (added.outcome, added.problem) == ("stored", None)
    assert (refused.id, refused.name) == (None, "none.png")
    assert refused.problem
    assert added.id is not None
    kept = photos.picture(added.id)
    assert (kept.label, kept.metadata) == ("flat", {"n": [1, "é"]})
    assert (kept.width, kept.height, kept.size) == (64, 48, odd.stat().st_size)
    assert photos.pictures(limit=1) == [kept]
    with Image.open(io.BytesIO(photos.thumbnail(kept.id, 64))) as thumbnail:
        assert (thumbnail.format, max(thumbnail.size)) == ("JPEG", 64)
    (again,) = photos.add(odd.read_bytes())
    assert again.outcome == "copy"
    photos.remove(kept.id)
    with pytest.raises(ServiceRefused, match="no stored picture has the id") as caught:
        photos.picture(kept.id)
    assert (caught.value.status, caught.value.type) == (404, "tag:lookalike,2026:unknown-picture")


def test_has_a_folder_taken_in_and_watches(served: lookalike.Collection, tmp_path: Path) -> None:
    for number in range(3):
        Image.new("RGB", (40 + number, 30), "olive").save(tmp_path / f"{number}.png")
    server = Server({"photos": served}, port=0, roots=[tmp_path])
    thread = threading.Thread(target=server.answer)
    thread.start()
    try:
        with Client(server.url) as client:
            photos = client.collection("photos")
            job = photos.ingest(str(tmp_path))
            while not job.has_ended:
                job = photos.job(job.id)
            assert (job.state, job.problem, job.progress["stored"]) == ("done", None, 3)
            assert photos.jobs()[0] == job
            assert photos.cancel(job.id) == job
            with pytest.raises(ServiceRefused, match="--root"):
                photos.ingest("/etc")
            with pytest.raises(ServiceRefused, match="no job"):
                photos.job("absent")
            for kept in photos.pictures(limit=3):
                photos.remove(kept.id)
    finally:
        server.stop()
        thread.join()


def test_an_error_carries_what_the_service_says(photos: api.Collection, url: str) -> None:
    client = Client(url)
    refused: list[tuple[Callable[[], object], int, str]] = [
        (lambda: photos.search(SAMPLES / "page.png", k=0), 422, "k: "),
        (lambda: photos.search(SAMPLES / "page.png", nonsense=1), 422, "nonsense"),
        (lambda: photos.search(b"no picture"), 415, "not a picture"),
        (lambda: photos.search(), 422, "image"),
        (lambda: photos.search(SAMPLES / "page.png", where="label="), 400, "character"),
        (lambda: photos.picture("../../stats"), 404, "nothing at this address"),
        (lambda: client.collection("absent").stats(), 404, "absent"),
        (lambda: client.get("/nothing"), 404, "nothing at this address"),
        (lambda: photos.add(b"x" * 25_000_000), 413, "20 MB"),
    ]
    with client:
        for ask, status, said in refused:
            with pytest.raises(ServiceRefused, match=said) as caught:
                ask()
            assert caught.value.status == status


def test_a_picture_that_is_not_there_is_said_here(photos: api.Collection, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        photos.search(tmp_path / "absent.png")


def test_many_threads_share_a_client(photos: api.Collection) -> None:
    query = (SAMPLES / "coffee.png").read_bytes()
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: photos.search(query, k=1)[0].path, range(24)))
    assert {Path(path).stem for path in found} == {"coffee"}


def test_asks_again_where_an_idle_connection_has_ended(served: lookalike.Collection) -> None:
    first = Server({"photos": served}, port=0)
    with Client(first.url) as client:
        for server in (first, None):
            each = server or Server({"photos": served}, port=int(first.url.rpartition(":")[2]))
            thread = threading.Thread(target=each.answer)
            thread.start()
            assert client.collections()[0].name == "photos"
            each.stop()
            thread.join()
        with pytest.raises(ServiceUnreachable):
            client.collections()


@pytest.mark.parametrize(
    "address",
    ["", "nonsense", "127.0.0.1:8000", "ftp://127.0.0.1", "http://", "http://a:b", "http://a/?q=1"],
)
def test_an_address_that_is_none_is_refused_at_once(address: str) -> None:
    with pytest.raises(ServiceUnreachable, match=r"http://127\.0\.0\.1:8000|Port"):
        Client(address)


@pytest.mark.parametrize("key", ["a\r\nHost: b", "schlüssel", "\0"])
def test_a_key_that_cannot_be_sent_is_refused_at_once(key: str) -> None:
    with pytest.raises(ValueError, match="characters"):
        Client("http://127.0.0.1:1", key=key)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<htm",
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
    ],
)
def test_what_is_no_service_of_ours_is_told_as_such(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def respond() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=respond)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with (
            Client(url, timeout=20) as client,
            pytest.raises(ServiceUnreachable, match="no answer from http://127"),
        ):
            client.collections()
        thread.join()


def test_a_service_that_never_answers_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(ServiceUnreachable, match="timed out"):
            Client(url, timeout=0.2).collections()


def test_a_redirection_is_not_followed_so_that_no_key_goes_elsewhere() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        sent = []

        def respond() -> None:
            connection, _ = listening.accept()
            with connection:
                sent.append(connection.recv(65536).decode())
                elsewhere = b"Location: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
                connection.sendall(b"HTTP/1.1 302 Found\r\n" + elsewhere)

        thread = threading.Thread(target=respond)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/base/"
        with Client(url, key="a-key") as client, pytest.raises(ServiceRefused, match="302"):
            client.collections()
        thread.join()
    assert sent[0].startswith("GET /base/v1/collections HTTP/1.1\r\n")
    assert "Authorization: Bearer a-key\r\n" in sent[0]


def _in_the_docs() -> list[str]:
    text = (Path(__file__).parents[1] / "docs" / "moving-over.md").read_text("utf-8")
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


@pytest.mark.parametrize("example", [(api.__doc__ or "").partition("\n\n")[2], *_in_the_docs()])
def test_the_examples_run(
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    example: str,
) -> None:
    shutil.copy(SAMPLES / "coins.png", tmp_path / "holiday.jpg")
    shutil.copy(SAMPLES / "coins.png", tmp_path / "query.jpg")
    monkeypatch.chdir(tmp_path)
    exec(textwrap.dedent(example).replace("http://127.0.0.1:8000", url), {})
    assert "holiday.jpg" in capsys.readouterr().out.splitlines()[0]
