"""Duplicates over HTTP: found, waited for, known until something changes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import samples
from PIL import Image
from serving import assert_problem, service, upload

from lookalike import Collection
from lookalike import duplicates as looking
from lookalike.duplicates import Duplicates

V1 = "/v1/collections/c"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for number, name in enumerate(("chelsea.png", "coffee.png", "rocket.jpg")):
        data = (samples.PHOTOGRAPHS / name).read_bytes()
        (root / "a").mkdir(parents=True, exist_ok=True)
        (root / "a" / name).write_bytes(data)
        if number == 0:
            (root / "again.png").write_bytes(data)
    with Image.open(root / "a" / "coffee.png") as image:
        image.save(root / "copy.jpg", quality=80)
    return root


@pytest.fixture
def client(tmp_path: Path, root: Path) -> Iterator[httpx.Client]:
    with service(tmp_path / "collections", root=(root,)) as (client, _):
        client.post("/v1/collections", json={"name": "c"})
        client.post(f"{V1}/pictures", json={"path": str(root)})
        yield client


def found(client: httpx.Client, **wanted: Any) -> dict[str, Any]:
    """Asked until they are current; without their age."""
    for _ in range(100):
        answer = client.get(f"{V1}/duplicates", params=wanted)
        said: dict[str, Any] = answer.json()
        if answer.status_code == 200 and said["current"]:
            assert said.pop("age") >= 0
            return said
        if answer.status_code != 200:
            assert answer.status_code == 202
            assert answer.headers["location"].startswith(f"{V1}/jobs/")
        time.sleep(0.05)
    raise AssertionError(answer.text)


def test_groups_have_the_same_picture_and_its_copies(client: httpx.Client, root: Path) -> None:
    answer = found(client)
    groups = {group["kind"]: group for group in answer["groups"]}
    exact = [groups["exact"]["keep"], *groups["exact"]["others"]]
    assert {each["path"] for each in exact} == {
        str(root / "a" / "chelsea.png"),
        str(root / "again.png"),
    }
    copies = [groups["copy"]["keep"], *groups["copy"]["others"]]
    assert {Path(each["path"]).name for each in copies} == {"coffee.png", "copy.jpg"}
    assert (answer["total"], answer["others"], answer["pictures"]) == (2, 2, 4)
    assert answer["bytes"] == sum(each["bytes"] for g in answer["groups"] for each in g["others"])
    assert exact[0]["why"]


def test_are_told_at_once_while_nothing_changes_and_looked_for_anew_after(
    client: httpx.Client,
) -> None:
    first = found(client)
    jobs = len(client.get(f"{V1}/jobs").json()["jobs"])
    assert found(client, wait=0) == first
    assert len(client.get(f"{V1}/jobs").json()["jobs"]) == jobs
    doomed = first["groups"][0]["others"][0]["id"]
    client.delete(f"{V1}/pictures/{doomed}")
    assert found(client)["total"] == first["total"] - 1


def test_are_known_also_where_no_local_features_had_to_be_made(
    tmp_path: Path, client: httpx.Client
) -> None:
    first = found(client)
    with service(tmp_path / "collections") as (after_a_restart, _):
        again = found(after_a_restart)
        assert again["groups"] == first["groups"]
        jobs = after_a_restart.get(f"{V1}/jobs").json()["jobs"]
        assert found(after_a_restart, wait=0) == again
        assert after_a_restart.get(f"{V1}/jobs").json()["jobs"] == jobs


def test_those_found_last_are_told_with_their_age_while_pictures_are_added_all_the_time(
    client: httpx.Client,
) -> None:
    first = found(client)
    for number in range(3):
        upload(client, "c", samples.encoded(number))
        answer = client.get(f"{V1}/duplicates", params={"wait": 0})
        assert answer.status_code == 200
        said = answer.json()
        assert not said["current"]
        assert 0 <= said["age"] < 600
        assert said["job"] is None or said["job"]["kind"] == "duplicates"
        assert said["groups"] == first["groups"]
    assert found(client)["pictures"] == first["pictures"] + 3


def test_those_found_while_a_picture_came_do_not_pass_for_current(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = looking.find

    def find_while_one_comes(collection: Collection, *args: Any, **more: Any) -> Duplicates:
        answer = find(collection, *args, **more)
        collection.add_bytes(samples.encoded(7), "late.png")
        return answer

    monkeypatch.setattr(looking, "find", find_while_one_comes)
    answer = client.get(f"{V1}/duplicates", params={"wait": 30}).json()
    assert (answer["pictures"], answer["current"]) == (4, False)
    monkeypatch.undo()
    assert found(client)["pictures"] == 5


def test_who_does_not_wait_is_given_the_job(client: httpx.Client) -> None:
    answer = client.get(f"{V1}/duplicates", params={"wait": 0})
    assert (answer.status_code, answer.json()["kind"]) == (202, "duplicates")
    assert answer.headers["retry-after"]
    again = client.get(f"{V1}/duplicates", params={"wait": 0})
    assert again.status_code == 200 or again.json()["id"] == answer.json()["id"]


def test_kinds_and_pages(client: httpx.Client) -> None:
    both = found(client, kinds="copy, exact")
    assert both["kinds"] == ["exact", "copy"]
    pages = [found(client, kinds="exact,copy", limit=1, offset=n)["groups"] for n in (0, 1, 2)]
    assert [group for page in pages for group in page] == both["groups"]
    assert {group["kind"] for group in found(client, kinds="exact")["groups"]} == {"exact"}


def test_other_kinds_are_refused(client: httpx.Client) -> None:
    for kinds in ("", "other", "exact,other", ",", "exact,,copy"):
        answer = client.get(f"{V1}/duplicates", params={"kinds": kinds})
        assert_problem(answer, 400, ":bad-query")


def test_none_are_found_where_there_are_none(tmp_path: Path) -> None:
    with service(tmp_path / "others") as (client, _):
        client.post("/v1/collections", json={"name": "c"})
        assert found(client)["groups"] == []
