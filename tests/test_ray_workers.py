"""What needs no cluster; `slow/test_ray.py` has one."""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from samples import encoded, lookalike, write

import lookalike as api
from lookalike import ray_workers
from lookalike.decoding import Encoded
from lookalike.errors import (
    BadQuantity,
    BadQuery,
    PictureError,
    PictureTooSlow,
    WorkersUnusable,
)
from lookalike.features import Features
from lookalike.ray_workers import Workers, _check_answers, _Describer, _number, _Task


def test_there_are_as_many_workers_as_cores_and_gpus_allow() -> None:
    there = {"CPU": 16.0, "GPU": 2.0}
    assert _number(there, Workers()) == 16
    assert _number(there, Workers(gpus=0.25)) == 8
    assert _number(there, Workers(gpus=1 / 3)) == 6
    assert _number(there, Workers(gpus=2)) == 1
    assert _number({"CPU": 4.0, "GPU": 8.0}, Workers(gpus=0.5)) == 4


def test_a_cluster_with_too_little_is_told_what_is_missing() -> None:
    with pytest.raises(WorkersUnusable, match=r"0\.25 of a GPU, and .* 4 cores and 0 GPUs"):
        _number({"CPU": 4.0}, Workers(gpus=0.25))
    with pytest.raises(WorkersUnusable, match="takes a core"):
        _number({}, Workers())


@pytest.mark.parametrize("gpus", [-0.5, 1.5])
def test_a_share_that_no_worker_can_have_is_refused(gpus: float) -> None:
    with pytest.raises(BadQuantity, match="--ray-gpus"):
        Workers(gpus=gpus)


@pytest.mark.parametrize("address", ["", "local", "nonsense", "ray://head:10001", "head:", "h/a:1"])
def test_an_address_that_can_be_no_cluster_is_refused(address: str) -> None:
    with pytest.raises(BadQuery, match="auto, or HOST:PORT"):
        Workers(address)


@pytest.mark.parametrize("address", ["auto", "head:6379", "[fd00::2]:6379"])
def test_an_address_of_a_cluster_is_taken(address: str) -> None:
    assert Workers(address).address == address


@contextlib.contextmanager
def listening(answer: bytes) -> Iterator[str]:
    """The address of somebody who answers so."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answering() -> None:
            with contextlib.suppress(OSError):
                connection, _ = server.accept()
                with connection:
                    connection.recv(100)
                    connection.sendall(answer)
                    connection.recv(1)  # until the other one has heard enough

        threading.Thread(target=answering, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n", b"-ERR unknown command\r\n"])
def test_what_is_no_ray_is_told_at_once(answer: bytes) -> None:
    with listening(answer) as address, pytest.raises(ConnectionError, match="something else"):
        _check_answers(address)


def test_what_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_workers, "_ANSWERS_WITHIN", 0.2)
    with listening(b"") as address, pytest.raises(TimeoutError):
        _check_answers(address)


def test_what_speaks_as_ray_does_is_left_to_its_own_client() -> None:
    # RFC 9113, 6.5: length 6, kind 4, no flags, stream 0; at most 100 streams.
    settings = bytes.fromhex("000006 04 00 00000000 0003 00000064")
    with listening(settings) as address:
        _check_answers(address)


def test_a_worker_describes_as_this_machine_does(tmp_path: Path) -> None:
    with api.open(tmp_path / "c") as collection:
        task = pickle.loads(pickle.dumps(_Task.of(collection.engine)))
        file = Encoded("1.png", path=write(tmp_path / "1.png", 1))
        unread = PictureError("2.png", "it is gone", retry=True)
        batch: list[Encoded | PictureError] = [file, unread, Encoded("3.png", data=encoded(3)[:60])]
        theirs = pickle.loads(pickle.dumps(_Describer(task).describe(batch)))
        ours = collection.engine.pipeline.of_batch(batch)
    assert isinstance(theirs[0], Features)
    assert isinstance(ours[0], Features)
    assert theirs[0].sha256 == ours[0].sha256
    assert theirs[0].vectors["default"].tobytes() == ours[0].vectors["default"].tobytes()
    assert [str(each) for each in theirs[1:]] == [str(each) for each in ours[1:]]


def test_a_machine_with_another_model_is_refused(tmp_path: Path) -> None:
    with api.open(tmp_path / "c") as collection:
        task = replace(_Task.of(collection.engine), fingerprints={"default": "another"})
    with pytest.raises(WorkersUnusable, match="another model for default"):
        _Describer(task).start()


def test_a_gpu_that_a_worker_has_no_use_of_is_refused(tmp_path: Path) -> None:
    with api.open(tmp_path / "c") as collection:
        task = _Task.of(collection.engine, gpus=0.25)
    with pytest.raises(WorkersUnusable, match=r"made for CPUs.*default-fp16"):
        _Describer(task).start()


@pytest.mark.parametrize("kind", [PictureError, PictureTooSlow])
def test_why_a_picture_failed_travels_whole(kind: type[PictureError]) -> None:
    error = kind("a.png", "it is too far away", retry=True, recognised=False)
    other = pickle.loads(pickle.dumps(error))
    assert type(other) is kind
    assert (str(other), other.source, other.reason) == (str(error), "a.png", error.reason)
    assert (other.retry, other.recognised) == (True, False)


def test_a_missing_ray_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "ray.py").write_text("raise ImportError")
    write(tmp_path / "photos" / "1.png", 1)
    path = os.pathsep.join([str(tmp_path), str(Path(api.__file__).parents[1])])
    asked = ("index", tmp_path / "photos", "-c", tmp_path / "c", "--ray", "auto")
    done = lookalike(*asked, env={"PYTHONPATH": path})
    assert done.returncode == 2
    assert "pip install 'lookalike[ray]'" in done.stderr
    assert not (tmp_path / "c").exists()


def test_gpus_without_a_cluster_are_a_mistake(tmp_path: Path) -> None:
    write(tmp_path / "photos" / "1.png", 1)
    done = lookalike("index", tmp_path / "photos", "-c", tmp_path / "c", "--ray-gpus", "0.5")
    assert done.returncode == 2
    assert "--ray-gpus goes with --ray" in done.stderr
