"""Collections made and deleted over HTTP, while others work with them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import samples
from serving import assert_problem, service, upload

import lookalike
from lookalike.serve.problems import Refused
from lookalike.serve.shelf import Shelf


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("collections")


@pytest.fixture(scope="module")
def client(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    given = tmp_path_factory.mktemp("given") / "given"
    with lookalike.open(given) as collection, service(folder, {"given": collection}) as (client, _):
        yield client


def make(client: httpx.Client, name: str, recipe: str = "default") -> httpx.Response:
    return client.post("/v1/collections", json={"name": name, "recipe": recipe})


def delete(client: httpx.Client, name: str) -> httpx.Response:
    return client.delete(f"/v1/collections/{name}", params={"confirm": name})


def names(client: httpx.Client) -> list[str]:
    return [each["name"] for each in client.get("/v1/collections").json()["collections"]]


def test_one_that_is_made_takes_pictures_at_once_and_is_gone_when_deleted(
    client: httpx.Client, folder: Path
) -> None:
    answer = make(client, "fresh")
    assert (answer.status_code, answer.headers["location"]) == (201, "/v1/collections/fresh")
    (id,) = upload(client, "fresh", samples.encoded(1))
    assert client.get(f"/v1/collections/fresh/pictures/{id}").status_code == 200
    assert client.get("/v1/collections/fresh").json()["pictures"] == 1
    assert delete(client, "fresh").status_code == 204
    assert_problem(client.get("/v1/collections/fresh"), 404, ":unknown-collection")
    assert [path.name for path in folder.iterdir() if "fresh" in path.name] == []
    assert make(client, "fresh").status_code == 201
    assert client.get("/v1/collections/fresh").json()["pictures"] == 0
    delete(client, "fresh")


@pytest.mark.parametrize(
    "name",
    ["", "..", ".", "a/b", "/etc", "A", "a b", "-a", "_a", "a.b", "é", "a\0", "x" * 64, "a\n", "~"],
)
def test_only_a_plain_name_is_taken(client: httpx.Client, folder: Path, name: str) -> None:
    before = sorted(folder.iterdir())
    assert_problem(make(client, name), 422, ":invalid", "name")
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("recipe", ["/etc/passwd", "x.toml", "../x.toml", "onnx:/x.onnx", "", "no"])
def test_only_ready_recipes_are_taken(client: httpx.Client, folder: Path, recipe: str) -> None:
    assert_problem(make(client, "other", recipe), 400, ":unknown-name")
    assert not (folder / "other").exists()


def test_a_name_is_given_once(client: httpx.Client) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: make(client, "twice"), range(4)))
    assert sorted(each.status_code for each in answers) == [201, 409, 409, 409]
    assert_problem(make(client, "given"), 409, ":exists")
    delete(client, "twice")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"name": 1}', b'{"name": "a", "rezipe": "default"}', b"\xff"]
)
def test_a_body_that_is_wrong_makes_nothing(client: httpx.Client, body: bytes) -> None:
    before = names(client)
    answer = client.post(
        "/v1/collections", content=body, headers={"Content-Type": "application/json"}
    )
    assert_problem(answer, 422, ":invalid")
    assert_problem(client.post("/v1/collections", content=b"name=a"), 415, ":not-json")
    assert names(client) == before


def test_deleting_takes_the_name_once_more(client: httpx.Client) -> None:
    make(client, "kept")
    assert_problem(client.delete("/v1/collections/kept"), 422)
    wrong = client.delete("/v1/collections/kept", params={"confirm": "keppt"})
    assert_problem(wrong, 400, ":not-confirmed")
    assert "kept" in names(client)
    delete(client, "kept")


def test_one_that_lies_elsewhere_is_not_deleted(client: httpx.Client) -> None:
    assert_problem(delete(client, "given"), 403, ":not-ours")
    assert "given" in names(client)


def test_without_a_folder_nothing_is_made() -> None:
    with service() as (client, _):
        assert_problem(make(client, "any"), 403, ":no-folder", "--collections")


def test_they_are_there_again_after_a_restart_and_half_deleted_ones_are_swept(
    tmp_path: Path,
) -> None:
    with service(tmp_path) as (client, _):
        make(client, "stays")
        upload(client, "stays", samples.encoded(2))
    (tmp_path / ".deleted-12345678-gone").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "catalogue.sqlite").write_bytes(b"no database" * 1000)
    with service(tmp_path) as (client, _):
        assert names(client) == ["stays"]
        assert client.get("/v1/collections/stays").json()["pictures"] == 1
        assert_problem(client.get("/v1/collections/broken/stats"), 503, ":cannot-open")
        assert_problem(make(client, "broken"), 409, ":exists")
    assert not (tmp_path / ".deleted-12345678-gone").exists()


def test_deleting_waits_for_who_works_with_it_and_gives_up_where_that_takes_too_long(
    tmp_path: Path,
) -> None:
    shelf = Shelf({}, tmp_path)
    shelf.create("used", "default")
    with shelf.lent("used") as borrowed:
        with pytest.raises(Refused, match="still worked with"):
            shelf.delete("used", patience=0.05)
        with shelf.lent("used") as again:
            assert again is borrowed  # it is not going any more
        waiting = threading.Thread(target=shelf.delete, args=("used",))
        waiting.start()
        while not borrowed.is_going:
            pass
        with pytest.raises(Refused, match="being deleted"), shelf.lent("used"):
            pass
        assert len(borrowed.collection) == 0  # it is still open for who has it
    waiting.join()
    assert not (tmp_path / "used").exists()
    shelf.close()


def test_made_deleted_and_used_at_once_every_answer_is_one_of_those_described(
    client: httpx.Client,
) -> None:
    described = client.get("/openapi.json").json()["paths"]
    search = "/v1/collections/busy/search"
    picture = samples.encoded(3)
    seen: list[tuple[str, httpx.Response]] = []

    def work(number: int) -> None:
        for _ in range(6):
            if number == 0:
                seen.append(("post /v1/collections", make(client, "busy")))
                seen.append(("delete /v1/collections/{name}", delete(client, "busy")))
            elif number == 1:
                files = {"images": picture}
                answer = client.post("/v1/collections/busy/pictures", files=files)
                seen.append(("post /v1/collections/{name}/pictures", answer))
            else:
                answer = client.post(search, files={"image": picture})
                seen.append(("post /v1/collections/{name}/search", answer))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    for call, answer in seen:
        method, path = call.split()
        assert str(answer.status_code) in described[path][method]["responses"], answer.text
        assert answer.status_code not in (500, 503, 507), (call, answer.text)
