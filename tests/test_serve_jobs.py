"""Jobs over HTTP: started, watched, cancelled, resumed after a restart; and failures."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import pytest
import samples
from serving import assert_problem, service

from lookalike import sources
from lookalike.serve.ending import Ending
from lookalike.serve.jobs import Jobs
from lookalike.serve.problems import Refused
from lookalike.serve.shelf import Shelf

V1 = "/v1/collections/c"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    samples.write_classes(tmp_path / "root" / "classes", each=4)
    (tmp_path / "root" / "bad.jpg").write_bytes(samples.encoded(1, "JPEG")[:300])
    return tmp_path / "root"


@pytest.fixture
def client(root: Path, tmp_path: Path) -> Iterator[httpx.Client]:
    with service(tmp_path / "collections", root=(root,)) as (client, _):
        client.post("/v1/collections", json={"name": "c"})
        yield client


def events(client: httpx.Client, address: str) -> list[tuple[str, dict[str, Any]]]:
    """What is told until the end."""
    told = []
    with client.stream("GET", address) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        kind = ""
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if name == "event":
                kind = value
            elif name == "data":
                told.append((kind, json.loads(value)))
    return told


def test_a_folder_is_taken_in_and_its_progress_is_told_to_the_end(
    client: httpx.Client, root: Path
) -> None:
    started = client.post(f"{V1}/jobs", json={"path": str(root)})
    assert started.status_code == 202
    address = started.headers["location"]
    told = events(client, f"{address}/events")
    assert [kind for kind, _ in told[:-1]] == ["progress"] * (len(told) - 1)
    kind, job = told[-1]
    assert (kind, job["state"]) == ("end", "done")
    assert (job["progress"]["stored"], job["progress"]["failed"]) == (12, 1)
    assert job["progress"]["total"] == job["progress"]["seen"] == 13
    assert client.get(address).json() == job
    assert client.get(f"{V1}/jobs").json()["jobs"] == [job]
    assert client.get(f"{V1}/stats").json()["pictures"] == 12
    assert events(client, f"{address}/events") == [("end", job)]


def test_failures_are_listed_with_their_reasons(client: httpx.Client, root: Path) -> None:
    (root / "broken.png").write_bytes(samples.encoded(2)[:60])
    started = client.post(f"{V1}/jobs", json={"path": str(root)})
    events(client, f"{started.headers['location']}/events")
    every = client.get(f"{V1}/failures").json()
    assert {Path(each["path"]).name for each in every["failures"]} == {"bad.jpg", "broken.png"}
    assert all(each["reason"] for each in every["failures"])
    first = client.get(f"{V1}/failures", params={"limit": 1}).json()
    second = client.get(f"{V1}/failures", params={"limit": 1, "offset": 1}).json()
    assert (first["more"], second["more"]) == (True, False)
    assert first["failures"] + second["failures"] == every["failures"]
    one = client.get(f"{V1}/failures", params={"path": str(root / "bad.jpg")}).json()
    assert [each["path"] for each in one["failures"]] == [str(root / "bad.jpg")]
    assert client.get(f"{V1}/failures", params={"path": str(root / "ba")}).json()["failures"] == []


@pytest.mark.parametrize("path", ["..", "classes/../..", "none", "list.csv"])
def test_what_is_outside_the_roots_or_no_picture_is_refused(
    client: httpx.Client, root: Path, path: str
) -> None:
    (root / "list.csv").write_text("path\n/etc/hostname\n")
    answer = client.post(f"{V1}/jobs", json={"path": f"{root}/{path}"})
    assert_problem(answer, 403 if ".." in path else 400)
    assert client.get(f"{V1}/jobs").json() == {"jobs": []}


def test_an_unknown_job_is_a_problem(client: httpx.Client) -> None:
    for method, what in (("GET", ""), ("GET", "/events"), ("POST", "/cancel"), ("POST", "/resume")):
        assert_problem(client.request(method, f"{V1}/jobs/none{what}"), 404, ":unknown-job")


def test_one_that_is_done_is_not_resumed(client: httpx.Client, root: Path) -> None:
    address = client.post(f"{V1}/jobs", json={"path": str(root)}).headers["location"]
    events(client, f"{address}/events")
    assert_problem(client.post(f"{address}/resume"), 409, ":not-resumable")
    assert client.post(f"{address}/cancel").json()["state"] == "done"


def test_what_a_killed_service_was_at_is_resumed_and_not_done_twice(
    tmp_path: Path, root: Path
) -> None:
    folder = tmp_path / "collections"
    with service(folder, root=(root,)) as (client, _):
        client.post("/v1/collections", json={"name": "c"})
        address = client.post(f"{V1}/jobs", json={"path": str(root)}).headers["location"]
        job = events(client, f"{address}/events")[-1][1]
    kept = folder / "c" / "jobs" / f"{job['id']}.json"
    said = json.loads(kept.read_text())
    kept.write_text(json.dumps({**said, "state": "running", "ended": None}))
    (folder / "c" / "jobs" / "0.json").write_text('{"id": "0"}')
    samples.write(root / "late.png", 99)
    with service(folder, root=(root,)) as (client, _):
        (found,) = client.get(f"{V1}/jobs").json()["jobs"]
        assert (found["id"], found["state"]) == (job["id"], "interrupted")
        assert client.post(f"{address}/resume").status_code == 202
        done = events(client, f"{address}/events")[-1][1]
        assert (done["progress"]["stored"], done["progress"]["unchanged"]) == (1, 12)
    with service(folder) as (client, _):  # the root is none any more
        kept.write_text(json.dumps({**said, "state": "interrupted"}))
    with service(folder) as (client, _):
        assert_problem(client.post(f"{address}/resume"), 403, ":forbidden-path")


def test_deleting_a_collection_stops_its_jobs(client: httpx.Client, root: Path) -> None:
    samples.write_classes(root / "more", each=60)
    address = client.post(f"{V1}/jobs", json={"path": str(root)}).headers["location"]
    assert client.delete(V1, params={"confirm": "c"}).status_code == 204
    assert_problem(client.get(address), 404, ":unknown-collection")


@pytest.mark.parametrize("recipe", ["default", "orb-bovw"])
def test_one_is_cancelled_while_it_still_walks_through_its_folder(
    client: httpx.Client, root: Path, monkeypatch: pytest.MonkeyPatch, recipe: str
) -> None:
    """While it counts, and while it chooses what to learn from."""
    client.post("/v1/collections", json={"name": "d", "recipe": recipe})
    found, walks = list(sources.find(root)), iter(range(99))

    def endless(*_: object) -> Iterator[sources.Item]:
        return iter(found) if recipe != "default" and next(walks) == 0 else cycle(found)

    monkeypatch.setattr(sources, "find", endless)
    address = client.post("/v1/collections/d/jobs", json={"path": str(root)}).headers["location"]
    doing = "counting" if recipe == "default" else "learning default"
    _until(lambda: client.get(address).json()["progress"].get("doing") == doing)
    client.post(f"{address}/cancel")
    _until(lambda: client.get(address).json()["state"] == "cancelled")


class Watched:
    """Work that goes on until it is told to stop, or let go."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.go = threading.Event()
        self.runs = 0

    def __call__(self, _shelved: object, _asked: object, tell: Any) -> dict[str, int]:
        self.runs += 1
        self.began.set()
        while not self.go.wait(0.01):
            tell({"doing": "waiting"})
        return {"runs": self.runs}


def test_cancelled_ones_stop_and_go_on_when_they_are_resumed(tmp_path: Path) -> None:
    shelf, work = Shelf({}, tmp_path), Watched()
    shelf.create("c", "default")
    jobs = Jobs(shelf, {"ingest": work}, Ending())
    with shelf.lent("c") as shelved:
        job = jobs.start(shelved, "ingest", {"path": "a"})
        assert jobs.start(shelved, "ingest", {"path": "a"}) is job
        work.began.wait(5)
        jobs.cancel(job)
        _until_ended(job)
        assert job.state == "cancelled"
        work.go.set()
        jobs.resume(job)
        _until_ended(job)
        assert (job.state, job.progress) == ("done", {"runs": 2})
    jobs.close()
    shelf.close()


def test_they_stop_when_the_service_ends_and_say_that_they_were_interrupted(tmp_path: Path) -> None:
    shelf, work, ending = Shelf({}, tmp_path), Watched(), Ending()
    shelf.create("c", "default")
    jobs = Jobs(shelf, {"ingest": work}, ending)
    with shelf.lent("c") as shelved:
        job = jobs.start(shelved, "ingest", {"path": "a"})
        work.began.wait(5)
    ending.set()
    jobs.close()
    assert job.state == "interrupted"
    shelf.close()
    kept = json.loads((tmp_path / "c" / "jobs" / f"{job.id}.json").read_text())
    assert kept["state"] == "interrupted"


def test_one_that_is_cancelled_while_it_waits_is_remembered_so(tmp_path: Path) -> None:
    shelf, work = Shelf({}, tmp_path), Watched()
    shelf.create("c", "default")
    jobs = Jobs(shelf, {"ingest": work}, Ending())
    with shelf.lent("c") as shelved:
        every = [jobs.start(shelved, "ingest", {"path": name}) for name in "abc"]
    waiting = every[-1]
    jobs.cancel(waiting)
    again = Jobs(shelf, {}, Ending())
    assert again.get("c", waiting.id).state == "cancelled"
    work.go.set()
    jobs.close()
    assert [job.state for job in every] == ["done", "done", "cancelled"]
    shelf.close()


def test_one_that_is_in_line_twice_runs_once(tmp_path: Path) -> None:
    shelf, work = Shelf({}, tmp_path), Watched()
    shelf.create("c", "default")
    jobs = Jobs(shelf, {"ingest": work}, Ending())
    with shelf.lent("c") as shelved:
        every = [jobs.start(shelved, "ingest", {"path": name}) for name in "abc"]
    for _ in range(5):
        jobs.cancel(every[-1])
        jobs.resume(every[-1])
    work.go.set()
    jobs.close()
    assert ([job.state for job in every], work.runs) == (["done"] * 3, 3)
    shelf.close()


def test_one_that_finds_no_room_in_line_leaves_nothing_and_can_be_resumed_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf, work = Shelf({}, tmp_path), Watched()
    shelf.create("c", "default")
    jobs = Jobs(shelf, {"ingest": work}, Ending())
    with shelf.lent("c") as shelved:
        first = jobs.start(shelved, "ingest", {"path": "a"})
        work.began.wait(5)
        jobs.cancel(first)
        _until_ended(first)
        monkeypatch.setattr("lookalike.serve.jobs._MOST_QUEUED", 0)
        with pytest.raises(Refused, match="ask later"):
            jobs.start(shelved, "ingest", {"path": "b"})
        with pytest.raises(Refused, match="ask later"):
            jobs.resume(first)
        assert first.state == "cancelled"
        _until(lambda: len(list((tmp_path / "c" / "jobs").iterdir())) == 1)  # once it is written
        assert len(jobs.of("c")) == 1
        monkeypatch.undo()
        work.go.set()
        _until_ended(jobs.resume(first))
        assert jobs.get("c", first.id).state == "done"
    jobs.close()
    shelf.close()


def test_one_that_breaks_fails_alone_and_hides_what_broke(tmp_path: Path) -> None:
    def broken(*_: object) -> dict[str, int]:
        raise RuntimeError("a secret")

    shelf = Shelf({}, tmp_path)
    shelf.create("c", "default")
    jobs = Jobs(shelf, {"ingest": broken, "duplicates": lambda *_: {}}, Ending())
    with shelf.lent("c") as shelved:
        job = jobs.start(shelved, "ingest", {})
        _until_ended(job)
        other = jobs.start(shelved, "duplicates", {})
        _until_ended(other)
    assert (job.state, other.state) == ("failed", "done")
    assert job.problem is not None
    assert "secret" not in json.dumps(job.problem)
    jobs.close()
    shelf.close()


def _until_ended(job: Any) -> None:
    _until(lambda: job.ended is not None and job.state not in ("queued", "running"))


def _until(is_so: Callable[[], bool]) -> None:
    for _ in range(1000):
        if is_so():
            return
        threading.Event().wait(0.01)
    raise AssertionError
