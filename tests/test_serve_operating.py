"""The log, the metrics and the health of the service, asked over a real socket."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from samples import encoded, write_classes
from serving import service

import lookalike
from lookalike import Collection
from lookalike.errors import NotTrained, WeightsMissing
from lookalike.serve import health, logs
from lookalike.serve.ending import Ending
from lookalike.serve.health import Readiness
from lookalike.serve.server import Server
from lookalike.serve.shelf import Shelf

V1 = "/v1/collections/samples"


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    folder = tmp_path_factory.mktemp("operating")
    with lookalike.open(folder / "samples") as collection:
        collection.add(write_classes(folder / "pictures", 2))
        yield collection


@pytest.fixture
def server(collection: Collection) -> Iterator[Server]:
    server = Server({"samples": collection}, port=0)
    thread = threading.Thread(target=server.answer)
    thread.start()
    server.warm()
    yield server
    server.stop()
    thread.join()


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What the service logs, as JSON lines; the loggers are as before afterwards."""
    names = (None, "lookalike", "python_multipart", "uvicorn.error")
    loggers = [logging.getLogger(name) for name in names]
    before = [(each.level, list(each.handlers)) for each in loggers]
    stream = io.StringIO()
    logs.configure("json", stream)
    yield stream
    for each, (level, handlers) in zip(loggers, before, strict=True):
        each.setLevel(level)
        each.handlers[:] = handlers


def lines(stream: io.StringIO, count: int) -> list[dict[str, Any]]:
    """So many, which may be written just after the client has its answer."""
    give_up = time.monotonic() + 10
    while stream.getvalue().count("\n") < count and time.monotonic() < give_up:
        time.sleep(0.01)
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(found) == count
    return found


def broken_in(folder: Path) -> Path:
    """The catalogue of a collection in `folder` that cannot be opened."""
    catalogue = folder / "broken" / "catalogue.sqlite"
    catalogue.parent.mkdir()
    catalogue.write_bytes(b"no database" * 1000)
    return catalogue


def waited(until: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 30
    while not until():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def search(client: httpx.Client, **more: Any) -> httpx.Response:
    return client.post(f"{V1}/search", files={"image": encoded(1)}, **more)


def samples_of(client: httpx.Client) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every number of /metrics, read by prometheus_client's own parser."""
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


class TestRequestId:
    def test_one_of_the_clients_own_is_answered_and_logged(
        self, client: httpx.Client, written: io.StringIO
    ) -> None:
        response = client.get("/healthz", headers={"X-Request-Id": "abc-1.2:3/x"})
        assert response.headers["X-Request-Id"] == "abc-1.2:3/x"
        assert [line["request_id"] for line in lines(written, 1)] == ["abc-1.2:3/x"]

    def test_one_that_is_not_sane_is_replaced(self, client: httpx.Client) -> None:
        for given in ("", "a b", 'x"y', "x" * 129, "a\tb", "ä"):
            response = client.get("/healthz", headers={b"X-Request-Id": given.encode()})
            assert response.status_code == 200
            assert len(response.headers["X-Request-Id"]) == 32, given
            assert response.headers["X-Request-Id"].isalnum()

    def test_each_request_gets_another_one(self, client: httpx.Client) -> None:
        ids = {client.get("/healthz").headers["X-Request-Id"] for _ in range(5)}
        assert len(ids) == 5

    def test_refusals_and_failures_have_one_as_well(
        self, client: httpx.Client, collection: Collection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert client.get("/", headers={"Host": "evil.example"}).headers["X-Request-Id"]

        def broken() -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(collection, "stats", broken)
        failed = client.get(f"{V1}/stats", headers={"X-Request-Id": "it-failed"})
        assert (failed.status_code, failed.headers["X-Request-Id"]) == (500, "it-failed")


class TestLog:
    def test_one_line_a_request_says_what_became_of_it(
        self, client: httpx.Client, written: io.StringIO
    ) -> None:
        answer = search(client)
        (line,) = lines(written, 1)
        assert line["method"] == "POST"
        assert line["route"] == "/v1/collections/{name}/search"
        assert line["status"] == 200
        assert line["bytes"] == len(answer.content)
        assert line["ms"] > 0
        assert line["level"] == "info"
        assert line["client"] == "127.0.0.1"

    def test_holds_nothing_that_was_asked(self, client: httpx.Client, written: io.StringIO) -> None:
        headers = {"Authorization": "Bearer sesame-open", "Cookie": "c=sesame-open"}
        search(client, data={"where": "label=sesame-open"}, headers=headers)
        client.get("/nowhere/sesame-open?key=sesame-open")
        client.get(f"{V1}/pictures/sesame-open")
        assert len(lines(written, 3)) == 3
        assert [line["status"] for line in lines(written, 3)] == [200, 404, 404]
        assert "sesame" not in written.getvalue()

    def test_an_error_of_ours_is_logged_with_its_traceback_and_request(
        self,
        client: httpx.Client,
        collection: Collection,
        written: io.StringIO,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def broken() -> None:
            raise ZeroDivisionError("a defect")

        monkeypatch.setattr(collection, "stats", broken)
        client.get(f"{V1}/stats", headers={"X-Request-Id": "it-failed"})
        both = lines(written, 2)
        error = next(line for line in both if line["level"] == "error")
        assert "ZeroDivisionError: a defect" in error["traceback"]
        assert error["request_id"] == "it-failed"
        access = next(line for line in both if line["message"] == "request")
        assert access["status"] == 500

    def test_a_line_stays_one_whatever_it_says(self) -> None:
        record = logging.makeLogRecord({"msg": "a\nb\x1b[31m", "levelno": logging.WARNING})
        assert "\n" not in logs.JsonLines().format(record)
        assert not set(logs.PlainLines().format(record)) & {"\n", "\x1b"}

    def test_a_terminal_gets_plain_lines(self, written: io.StringIO) -> None:
        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        terminal = Terminal()
        logs.configure("auto", terminal)
        logs.say("shutting down", running=2)
        assert terminal.getvalue().endswith(" shutting down running=2\n")
        assert written.getvalue() == ""


class TestMetrics:
    def test_requests_are_counted_by_their_declared_route(self, client: httpx.Client) -> None:
        search(client)
        client.get(f"{V1}/pictures/{'0' * 64}")
        client.request("BREW", "/healthz")
        client.get("/nowhere/at/all")
        found = samples_of(client)

        def count(method: str, route: str, status: str) -> float | None:
            labels = {"method": method, "route": route, "status": status}
            return found.get(("lookalike_requests_total", frozenset(labels.items())))

        assert count("POST", "/v1/collections/{name}/search", "200") == 1
        assert count("GET", "/v1/collections/{name}/pictures/{id}", "404") == 1
        assert count("GET", "files", "404") == 1
        assert {dict(labels).get("method") for _, labels in found} <= {None, "GET", "POST", "other"}
        took = ("lookalike_request_seconds_count", frozenset([("route", "files")]))
        assert found[took] >= 1

    def test_stages_are_timed(self, client: httpx.Client) -> None:
        def counts() -> dict[str, float]:
            return {
                dict(labels)["stage"]: value
                for (name, labels), value in samples_of(client).items()
                if name == "lookalike_stage_seconds_count"
            }

        assert set(counts()) == {"queue", "decode", "extract", "search", "compare"}
        before = counts()
        search(client, data={"compare": "phash"})
        after = counts()
        assert all(after[stage] > before[stage] for stage in after)

    def test_tells_the_size_of_each_collection(
        self, client: httpx.Client, collection: Collection
    ) -> None:
        found = samples_of(client)
        labels = frozenset([("collection", "samples")])
        assert found["lookalike_pictures", labels] == len(collection)
        size = (collection.path / "catalogue.sqlite").stat().st_size
        assert found["lookalike_collection_bytes", labels] >= size

    def test_the_documents_name_every_metric(self, client: httpx.Client) -> None:
        text = (Path(__file__).parents[1] / "docs" / "operating.md").read_text("utf-8")
        named = set(re.findall(r"^\| `(lookalike_\w+)` \|", text, re.M))
        client.get("/healthz")
        typed = re.findall(r"^# TYPE (lookalike_\w+) ", client.get("/metrics").text, re.M)
        assert named == set(typed)
        sample = re.findall(r"^(lookalike_\w+?)(?:_count|_sum)?\{", text, re.M)
        assert sample
        assert set(sample) <= named

    def test_a_gauge_is_asked_whenever_somebody_reads(
        self, server: Server, client: httpx.Client
    ) -> None:
        waiting = iter([3, 5])
        server.application.state.metrics.gauge("waiting", "How many.", lambda: next(waiting))
        assert [samples_of(client)["waiting", frozenset()] for _ in range(2)] == [3, 5]


class TestHealth:
    def test_is_ready_once_the_models_are_loaded(self, collection: Collection) -> None:
        readiness = Readiness(Shelf({"samples": collection}), Ending())
        assert readiness.state() == (False, ["samples: its model is being loaded"])
        readiness.warm()
        assert readiness.state() == (True, [])

    def test_is_not_ready_with_a_model_that_cannot_be_had(
        self, collection: Collection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def missing() -> None:
            raise WeightsMissing("the weights of /home/me/model are not there")

        monkeypatch.setattr(collection, "warm", missing)
        readiness = Readiness(Shelf({"samples": collection}), Ending())
        readiness.warm()
        assert readiness.state() == (False, ["samples: its model cannot be used, the log says why"])

    def test_a_model_that_cannot_be_had_is_no_reason_once_its_collection_is_deleted(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def missing() -> None:
            raise WeightsMissing("the weights are not there")

        shelf = Shelf({}, tmp_path)
        shelf.create("c", "default")
        with shelf.lent("c") as shelved:
            monkeypatch.setattr(shelved.collection, "warm", missing)
        readiness = Readiness(shelf, Ending())
        readiness.warm()
        assert readiness.state().reasons
        shelf.delete("c")
        assert readiness.state().reasons == []

    def test_is_ready_for_pictures_where_the_model_has_yet_to_learn(
        self, collection: Collection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def untrained() -> None:
            raise NotTrained("the vocabulary")

        monkeypatch.setattr(collection, "warm", untrained)
        readiness = Readiness(Shelf({"samples": collection}), Ending())
        readiness.warm()
        assert readiness.state().reasons == []

    def test_says_over_http_why_it_is_not_ready(
        self, server: Server, client: httpx.Client, collection: Collection, tmp_path: Path
    ) -> None:
        assert client.get("/readyz").json() == {"status": "ready", "reasons": []}
        where = collection.path
        collection.path = tmp_path / "gone"
        try:
            response = client.get("/readyz")
        finally:
            collection.path = where
        assert response.status_code == 503
        assert response.headers["content-type"] == "application/problem+json"
        (reason,) = response.json()["reasons"]
        assert reason == f"samples: its folder cannot be written: {os.strerror(2).lower()}"
        assert client.get("/readyz").status_code == 200
        server.stop()

    def test_a_collection_that_cannot_be_read_is_a_reason_without_its_path(
        self, tmp_path: Path
    ) -> None:
        collection = lookalike.open(tmp_path / "c")
        collection.close()
        readiness = Readiness(Shelf({"c": collection}), Ending())
        assert "c: it cannot be read (CollectionClosed)" in readiness.state().reasons
        assert str(tmp_path) not in " ".join(readiness.state().reasons)

    def test_one_that_is_not_well_is_a_reason_and_leaves_the_service_ready_for_the_others(
        self, collection: Collection, tmp_path: Path
    ) -> None:
        broken_in(tmp_path)
        readiness = Readiness(Shelf({"samples": collection}, tmp_path), Ending())
        readiness.warm()
        assert readiness.state() == (True, ["broken: it cannot be opened (CollectionDamaged)"])
        alone = Readiness(Shelf({}, tmp_path), Ending())
        alone.warm()
        assert not alone.state().is_ready

    def test_a_broken_collection_is_told_of_over_http(
        self, collection: Collection, tmp_path: Path
    ) -> None:
        broken_in(tmp_path)
        with service(tmp_path, {"samples": collection}) as (client, server):
            server.warm()
            ready = client.get("/readyz")
            assert ready.status_code == 200
            assert ready.json()["reasons"] == ["broken: it cannot be opened (CollectionDamaged)"]
            said = client.get("/v1/collections").json()
            assert [each["name"] for each in said["collections"]] == ["samples"]
            (broken,) = said["broken"]
            assert broken["name"] == "broken"
            assert broken["problem"]["type"].endswith(":collection-damaged")
            assert str(tmp_path / "broken") in broken["problem"]["detail"]

    def test_what_could_not_be_had_is_tried_again_until_it_can(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A collection that was damaged, and a model that was not there, both come back."""
        monkeypatch.setattr(health, "_FIRST_PAUSE_SECONDS", 0.01)
        monkeypatch.setattr(health, "_LONGEST_PAUSE_SECONDS", 0.02)
        catalogue = broken_in(tmp_path)
        with lookalike.open(tmp_path / "whole"):
            pass
        ending = Ending()
        shelf = Shelf({}, tmp_path)
        tries = []

        def missing_at_first() -> None:
            tries.append(1)
            if len(tries) < 3:
                raise WeightsMissing("the weights are not there")

        with shelf.lent("whole") as shelved:
            monkeypatch.setattr(shelved.collection, "warm", missing_at_first)
        readiness = Readiness(shelf, ending)
        trying = threading.Thread(target=readiness.keep_warm)
        trying.start()
        try:
            waited(lambda: readiness.state().is_ready)
            assert readiness.state().reasons == ["broken: it cannot be opened (CollectionDamaged)"]
            catalogue.unlink()
            catalogue.write_bytes((tmp_path / "whole" / "catalogue.sqlite").read_bytes())
            waited(lambda: readiness.state() == (True, []))
            with shelf.lent("broken") as mended:
                assert len(mended.collection) == 0
            trying.join(10)  # nothing is left to be tried
            assert not trying.is_alive()
        finally:
            ending.set()
            trying.join()
            shelf.close()

    def test_one_that_is_made_anew_has_nothing_of_the_one_of_this_name_before_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def missing() -> None:
            raise WeightsMissing("the weights are not there")

        broken_in(tmp_path)
        shelf = Shelf({}, tmp_path)
        shelf.create("c", "default")
        with shelf.lent("c") as shelved:
            monkeypatch.setattr(shelved.collection, "warm", missing)
        readiness = Readiness(shelf, Ending())
        readiness.warm()
        shelf.delete("c")
        shelf.create("c", "default")
        shutil.rmtree(tmp_path / "broken")
        shelf.create("broken", "default")
        assert readiness.state() == (True, [])
        shelf.close()
