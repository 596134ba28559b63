"""Searching over HTTP by all that can be asked with, page by page and many at once."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import samples
from PIL import Image
from serving import NOWHERE, assert_problem, service, upload

import lookalike
from lookalike import Collection
from lookalike.errors import RemoteRefused
from lookalike.types import Box

V1 = "/v1/collections/c"
URL = "https://example.org/a.png"
COUNT = 12
RECIPES = Path(lookalike.__file__).parent / "recipes"


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    with lookalike.open(tmp_path_factory.mktemp("collections") / "c") as collection:
        for number in range(COUNT):
            collection.add_bytes(samples.encoded(number), f"{number}.png")
        yield collection


@pytest.fixture(scope="module")
def client(collection: Collection) -> Iterator[httpx.Client]:
    def fetch(url: str) -> bytes:
        if url != URL:
            raise RemoteRefused(f"{url} is not of a public host")
        return samples.encoded(3)

    with service(given={"c": collection}) as (client, server):
        app: Any = server.config.app
        served = app.state.served
        app.state.served = type(served)(
            served.shelf, served.jobs, served.roots, fetch, served.is_ending
        )
        yield client


@pytest.fixture(scope="module")
def ids(collection: Collection) -> list[str]:
    """By number."""
    by_name = {record.path.rpartition("/")[2]: record.id for record in collection}
    return [by_name[f"{number}.png"] for number in range(COUNT)]


def asked(client: httpx.Client, **body: Any) -> list[str]:
    answer = client.post(f"{V1}/search", json=body)
    assert answer.status_code == 200, answer.text
    return [hit["id"] for hit in answer.json()["hits"]]


def nearest(collection: Collection, vector: Any, but: tuple[str, ...] = ()) -> list[str]:
    """By brute force, from the stored vectors."""
    stored = {record.id: collection.vector(record.id)[0] for record in collection}
    scores = {id: float(_unit(each) @ _unit(vector)) for id, each in stored.items()}
    return sorted((id for id in scores if id not in but), key=scores.__getitem__, reverse=True)


def _unit(vector: Any) -> Any:
    return vector / np.linalg.norm(vector)


class TestExamples:
    def test_a_stored_picture_is_not_among_its_own_hits(
        self, client: httpx.Client, collection: Collection, ids: list[str]
    ) -> None:
        hits = asked(client, like=[{"id": ids[4]}], n=COUNT)
        assert hits == nearest(collection, collection.vector(ids[4])[0], (ids[4],))

    def test_an_address_asks_with_what_lies_there(
        self, client: httpx.Client, ids: list[str]
    ) -> None:
        assert asked(client, like=[{"url": URL}], n=1) == [ids[3]]

    def test_a_vector_asks_with_itself(
        self, client: httpx.Client, collection: Collection, ids: list[str]
    ) -> None:
        vector = collection.vector(ids[5])[0]
        hits = asked(client, like=[{"vector": vector.tolist()}], limit=COUNT)
        assert hits == nearest(collection, vector)
        assert hits[0] == ids[5]

    @pytest.mark.parametrize(("first", "second"), [(1.0, 1.0), (5.0, 1.0), (0.25, 1.0)])
    def test_several_are_one_query_by_their_weights(
        self,
        client: httpx.Client,
        collection: Collection,
        ids: list[str],
        first: float,
        second: float,
    ) -> None:
        a, b = (_unit(collection.vector(ids[number])[0]) for number in (0, 1))
        like = [{"id": ids[0], "weight": first}, {"id": ids[1], "weight": second}]
        expected = nearest(collection, first * a + second * b, (ids[0], ids[1]))
        assert asked(client, like=like, n=COUNT) == expected

    def test_uploads_have_weights_beside_what_is_named(
        self, client: httpx.Client, collection: Collection, ids: list[str]
    ) -> None:
        a, b = (_unit(collection.vector(ids[number])[0]) for number in (0, 1))
        form = {"like": json.dumps([{"id": ids[1]}]), "weights": "3", "k": COUNT}
        answer = client.post(f"{V1}/search", files={"image": samples.encoded(0)}, data=form)
        hits = [hit["id"] for hit in answer.json()["hits"]]
        assert hits == nearest(collection, 3 * a + b, (ids[1],))

    def test_what_hits_are_not_to_be_like_counts_against_them(
        self, client: httpx.Client, collection: Collection, ids: list[str]
    ) -> None:
        a, b = (_unit(collection.vector(ids[number])[0]) for number in (0, 1))
        hits = asked(client, like=[{"id": ids[0]}], unlike=[{"id": ids[1]}], k=COUNT)
        assert hits == nearest(collection, a - 0.5 * b, (ids[0],))

    def test_a_part_of_a_stored_picture_asks_too(
        self, client: httpx.Client, collection: Collection, ids: list[str]
    ) -> None:
        hits = asked(client, like=[{"id": ids[0]}], crop=[0, 0, 40, 40], n=3)
        found = collection.search(samples.encoded(0), crop=Box(0, 0, 40, 40), k=3)
        assert hits == [hit.id for hit in found]

    @pytest.mark.parametrize(
        ("like", "status", "kind"),
        [
            ([{"id": NOWHERE}], 404, ":unknown-picture"),
            ([{"vector": [1.0, 2.0]}], 400, ":bad-query"),
            ([{"vector": []}], 422, ":invalid"),
            ([{"vector": [1e39] * 384}], 422, ":invalid"),
            ([{"vector": [0.0] * 70_000}], 422, ":invalid"),
            ([{"url": "http://127.0.0.1/"}], 422, ":remote-refused"),
            ([{"url": URL}] * 5, 422, ":invalid"),
            ([{"id": NOWHERE}] * 17, 422, ":invalid"),
            ([{}], 422, ":invalid"),
            ([{"id": NOWHERE, "url": URL}], 422, ":invalid"),
            ([{"id": NOWHERE, "weight": 0}], 422, ":invalid"),
            ([{"id": NOWHERE, "weight": -1}], 422, ":invalid"),
            ([1], 422, ":invalid"),
            ("x", 422, ":invalid"),
        ],
    )
    def test_one_that_is_wrong_is_a_problem(
        self, client: httpx.Client, like: Any, status: int, kind: str
    ) -> None:
        assert_problem(client.post(f"{V1}/search", json={"like": like}), status, kind)

    def test_a_vector_of_zeros_is_answered_or_refused(self, client: httpx.Client) -> None:
        answer = client.post(f"{V1}/search", json={"like": [{"vector": [0.0] * 384}]})
        assert answer.status_code in (200, 400)

    @pytest.mark.parametrize("like", ["{", "[" * 100_000, '[{"id": NaN}]', '"x"', "null"])
    def test_in_a_form_they_are_json(self, client: httpx.Client, like: str) -> None:
        files = {"image": samples.encoded(1)}
        answer = client.post(f"{V1}/search", files=files, data={"like": like})
        assert_problem(answer, 422, ":invalid", "like")

    def test_addresses_are_fetched_only_where_that_is_switched_on(
        self, collection: Collection
    ) -> None:
        with service(given={"c": collection}) as (client, _):
            answer = client.post(f"{V1}/search", json={"like": [{"url": URL}]})
            assert_problem(answer, 403, ":no-urls", "--fetch-urls")
            assert_problem(client.post(f"{V1}/pictures", json={"urls": [URL]}), 403, ":no-urls")


class TestPages:
    def pages(self, client: httpx.Client, change: Any = None, **body: Any) -> list[str]:
        """All hits by pages of 3; `change` is called after the first."""
        found: list[str] = []
        cursor = None
        while True:
            answer = client.post(f"{V1}/search", json={**body, "limit": 3, "cursor": cursor})
            assert answer.status_code == 200, answer.text
            found += [hit["id"] for hit in answer.json()["hits"]]
            cursor = answer.json()["next"]
            if cursor is None:
                return found
            if change is not None and len(found) == 3:
                change()

    def test_follow_each_other_without_gap_or_overlap(
        self, client: httpx.Client, ids: list[str]
    ) -> None:
        like = [{"id": ids[2]}]
        assert self.pages(client, like=like) == asked(client, like=like, k=COUNT)

    def test_neither_repeat_nor_leave_out_a_hit_when_better_ones_come(
        self, client: httpx.Client, ids: list[str]
    ) -> None:
        like = [{"id": ids[2]}]
        before = asked(client, like=like, k=COUNT)
        image = samples.pixels(2)
        added: list[str] = []

        def add() -> None:
            for shade in (1, 2, 3):
                near = np.clip(image.astype(np.int16) + shade, 0, 255).astype(np.uint8)
                added.extend(upload(client, "c", _png(near)))

        found = self.pages(client, add, like=like)
        assert [id for id in found if id not in added] == before
        for id in added:
            client.delete(f"{V1}/pictures/{id}")

    def test_of_words_beside_a_picture_are_those_of_the_whole_answer(
        self, client: httpx.Client, ids: list[str]
    ) -> None:
        wish = {"like": [{"id": ids[2]}], "text": "a red car", "text_weight": 0.4}
        assert self.pages(client, **wish) == asked(client, **wish, k=COUNT)

    def test_go_on_behind_their_place_when_the_last_hit_is_gone(
        self, client: httpx.Client, ids: list[str]
    ) -> None:
        like = [{"id": ids[2]}]
        added = upload(client, "c", *(samples.encoded(700 + number) for number in range(8)))
        before = asked(client, like=like, k=COUNT + 8)
        place = next(at for at, id in enumerate(before) if id in added)
        first = client.post(f"{V1}/search", json={"like": like, "limit": place + 1}).json()
        client.delete(f"{V1}/pictures/{before[place]}")
        body = {"like": like, "limit": 2, "cursor": first["next"]}
        hits = client.post(f"{V1}/search", json=body).json()["hits"]
        assert [hit["id"] for hit in hits] == before[place + 1 : place + 3]
        for id in added:
            client.delete(f"{V1}/pictures/{id}")

    def test_of_an_upload_take_the_same_upload(self, client: httpx.Client) -> None:
        def page(number: int, **fields: Any) -> httpx.Response:
            files = {"image": samples.encoded(number)}
            return client.post(f"{V1}/search", files=files, data={"limit": 4, **fields})

        first = page(1).json()
        second = page(1, cursor=first["next"]).json()
        assert not {hit["id"] for hit in first["hits"]} & {hit["id"] for hit in second["hits"]}
        assert_problem(page(2, cursor=first["next"]), 400, ":bad-cursor", "another question")
        again = page(1, cursor=first["next"], threshold=0.1)
        assert_problem(again, 400, ":bad-cursor", "another question")

    def test_of_similar_pictures_are_pages_too(self, client: httpx.Client, ids: list[str]) -> None:
        address = f"{V1}/pictures/{ids[2]}/similar"
        whole = client.get(address, params={"k": 8}).json()["hits"]
        first = client.get(address, params={"n": 4}).json()
        second = client.get(address, params={"n": 4, "cursor": first["next"]}).json()
        assert [hit["id"] for hit in first["hits"] + second["hits"]] == [h["id"] for h in whole]

    @pytest.mark.parametrize(
        "cursor",
        ["x", "", "é", "W10", "bnVsbA", "W1sxXSwyLDMsNF0", "W1sxXSwyLDMsNCw1XQ", "=" * 400],
    )
    def test_take_no_cursor_that_is_none(self, client: httpx.Client, cursor: str) -> None:
        answer = client.post(f"{V1}/search", json={"text": "a car", "cursor": cursor})
        assert_problem(answer, 400, ":bad-cursor")

    @pytest.mark.parametrize("wish", [{"offset": 3}, {"k": "all"}])
    def test_go_without_offset_and_with_a_number(
        self, client: httpx.Client, wish: dict[str, Any]
    ) -> None:
        body = {"text": "a car", "cursor": "x", **wish}
        assert_problem(client.post(f"{V1}/search", json=body), 422, ":invalid", "cursor")

    def test_have_one_length(self, client: httpx.Client) -> None:
        assert len(asked(client, text="a car", n=2)) == 2
        assert len(asked(client, text="a car", limit=3)) == 3
        answer = client.post(f"{V1}/search", json={"text": "a car", "n": 2, "k": 2})
        assert_problem(answer, 422, ":invalid", "the same")


CANDIDATES = 10
"""Of a recipe that fuses several; there are more pictures."""


@pytest.fixture(scope="module")
def fused(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, list[str]]]:
    folder = tmp_path_factory.mktemp("fused")
    text = (RECIPES / "copies.toml").read_text("utf-8")
    few = f"{text}\n[fusion]\ncandidates = {CANDIDATES}\n"
    (folder / "few.toml").write_text(few.replace("candidates = 24", "candidates = 3"))
    with lookalike.open(folder / "c", recipe=str(folder / "few.toml")) as collection:
        noise = np.random.default_rng(0)
        for number in range(40):
            image = samples.pixels(number % 8).astype(np.int16)
            image += noise.integers(-30, 31, image.shape, np.int16)
            data = _png(np.clip(image, 0, 255).astype(np.uint8))
            collection.add_bytes(data, f"{number}.png")
        with service(given={"c": collection}) as (client, _):
            yield client, [record.id for record in collection]


class TestFusedPages:
    @pytest.mark.parametrize("limit", [3, 4, 10, 15])
    @pytest.mark.parametrize("by", ["upload", "id", "similar"])
    def test_have_every_hit_once_in_the_order_of_the_whole_answer(
        self, fused: tuple[httpx.Client, list[str]], by: str, limit: int
    ) -> None:
        client, ids = fused

        def ask(**wish: Any) -> dict[str, Any]:
            if by == "upload":
                files = {"image": samples.encoded(2)}
                answer = client.post(f"{V1}/search", files=files, data=wish)
            elif by == "id":
                answer = client.post(f"{V1}/search", json={"like": [{"id": ids[5]}], **wish})
            else:
                answer = client.get(f"{V1}/pictures/{ids[5]}/similar", params=wish)
            assert answer.status_code == 200, answer.text
            found: dict[str, Any] = answer.json()
            return found

        page = ask(limit=limit)
        hits = [hit["id"] for hit in page["hits"]]
        while page["next"] is not None:
            page = ask(limit=limit, cursor=page["next"])
            hits += [hit["id"] for hit in page["hits"]]
        assert len(set(hits)) == len(hits) >= CANDIDATES
        whole = [hit["id"] for hit in ask(limit=max(limit, CANDIDATES))["hits"]]
        assert hits[: len(whole)] == whole
        by_offset = [
            hit["id"]
            for start in range(0, len(hits) + limit, limit)
            for hit in ask(limit=limit, offset=start)["hits"]
        ]
        assert hits == by_offset

    def test_agree_though_they_are_of_different_lengths(
        self, fused: tuple[httpx.Client, list[str]]
    ) -> None:
        client, ids = fused
        body: dict[str, Any] = {"like": [{"id": ids[5]}]}
        page = client.post(f"{V1}/search", json={**body, "limit": 2}).json()
        hits = [hit["id"] for hit in page["hits"]]
        rest = {**body, "limit": 100, "cursor": page["next"]}
        hits += [hit["id"] for hit in client.post(f"{V1}/search", json=rest).json()["hits"]]
        assert len(set(hits)) == len(hits)
        assert hits[:CANDIDATES] == asked(client, **body, k=CANDIDATES)


def _png(pixels: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


class TestBatch:
    def test_answers_each_query_as_if_it_were_alone(
        self, client: httpx.Client, ids: list[str]
    ) -> None:
        queries = [{"like": [{"id": ids[0]}], "n": 3}, {"text": "a red car", "n": 2}]
        results = client.post(f"{V1}/search/batch", json={"queries": queries}).json()["results"]
        for query, result in zip(queries, results, strict=True):
            assert [hit["id"] for hit in result["hits"]] == asked(client, **query)
            assert result["problem"] is None

    def test_takes_every_upload_as_a_query(self, client: httpx.Client, ids: list[str]) -> None:
        files = [("image", (f"{n}.png", samples.encoded(n))) for n in range(COUNT)]
        answer = client.post(f"{V1}/search/batch", files=files, data={"n": 1})
        assert [each["hits"][0]["id"] for each in answer.json()["results"]] == ids

    def test_tells_the_problem_of_one_and_answers_the_others(
        self, client: httpx.Client, ids: list[str]
    ) -> None:
        files = [("image", ("a", b"no picture")), ("image", ("b", samples.encoded(1)))]
        bad, good = client.post(f"{V1}/search/batch", files=files).json()["results"]
        assert (bad["hits"], bad["problem"]["status"]) == (None, 415)
        assert good["hits"][0]["id"] == ids[1]
        queries = [{"like": [{"id": NOWHERE}]}, {"text": "x", "where": "("}]
        results = client.post(f"{V1}/search/batch", json={"queries": queries}).json()["results"]
        assert [each["problem"]["status"] for each in results] == [404, 400]

    @pytest.mark.parametrize(
        "queries",
        [
            [],
            [{}],
            [{"text": "a"}] * 65,
            [{"text": "a", "k": "all"}],
            [{"text": "a", "k": 1000}] * 11,
            [{"tekst": "a"}],
            "a",
        ],
    )
    def test_is_bounded_and_read_strictly(self, client: httpx.Client, queries: Any) -> None:
        answer = client.post(f"{V1}/search/batch", json={"queries": queries})
        assert_problem(answer, 422, ":invalid")

    @pytest.mark.parametrize(
        ("wrong", "told"),
        [
            ({"text": "a", "k": 0}, "queries[1].k: "),
            ({"text": "a", "tekst": "b"}, "queries[1].tekst: "),
            ({"text": "a", "k": 2, "n": 3}, "queries[1]: k, limit and n are the same"),
            ({"like": [{"vector": [1, "x"]}]}, "queries[1].like[0].vector[1]: "),
            ({"like": [{"weight": 2}]}, "queries[1].like[0]: give one of id, url and vector"),
            ({"crop": [1, 2, "x", 4], "text": "a"}, "queries[1].crop[2]: "),
            ({}, "queries[1]: a query needs like, or text"),
            ({"text": "a", "k": "all"}, "queries[1]: k: "),
            (7, "queries[1]: "),
        ],
    )
    def test_tells_which_query_is_wrong_and_what_of_it(
        self, client: httpx.Client, wrong: Any, told: str
    ) -> None:
        queries = [{"text": "a", "k": 1}, wrong, {"text": "a"}]
        answer = client.post(f"{V1}/search/batch", json={"queries": queries})
        assert_problem(answer, 422, ":invalid", told)
        assert "queries[0]" not in answer.text
        assert "queries[2]" not in answer.text

    def test_tells_which_upload_is_wrong(self, client: httpx.Client) -> None:
        limit = client.get(V1).json()["upload_bytes"]
        files = [("image", ("a", samples.encoded(1))), ("image", ("b", bytes(limit + 1)))]
        answer = client.post(f"{V1}/search/batch", files=files)
        assert_problem(answer, 413, ":too-large", "image[1]")

    def test_as_a_form_is_bounded_too(self, client: httpx.Client) -> None:
        files = [("image", ("a.png", samples.encoded(1)))] * 65
        assert_problem(client.post(f"{V1}/search/batch", files=files), 422, ":invalid", "64")
        few = files[:11]
        answer = client.post(f"{V1}/search/batch", files=few, data={"k": 1000})
        assert_problem(answer, 422, ":invalid", "10,000")
        assert_problem(client.post(f"{V1}/search/batch", files={"other": b"x"}), 422)


def test_pictures_at_addresses_are_kept_and_those_refused_are_told(client: httpx.Client) -> None:
    body = {"urls": [URL, "http://127.0.0.1/x"], "label": "cup", "metadata": {"year": 1969}}
    good, bad = client.post(f"{V1}/pictures", json=body).json()["results"]
    assert (good["name"], good["problem"]) == (URL, None)
    assert "public host" in bad["problem"]
    shown = client.get(f"{V1}/pictures/{good['id']}").json()
    assert shown["label"] in ("cup", None)  # it lies at another place as well
    assert any(place.endswith("/a.png") for place in shown["places"])
