"""What needs no cluster; `slow/test_ray.py` has one."""

from __future__ import annotations

import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
from samples import encoded, lookalike, write

import lookalike as api
from lookalike.decoding import Encoded
from lookalike.errors import BadQuantity, PictureError, PictureTooSlow, WorkersUnusable
from lookalike.features import Features
from lookalike.ray_workers import Workers, _Describer, _number, _Task


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


def test_gpus_without_a_cluster_are_a_mistake(tmp_path: Path) -> None:
    write(tmp_path / "photos" / "1.png", 1)
    done = lookalike("index", tmp_path / "photos", "-c", tmp_path / "c", "--ray-gpus", "0.5")
    assert done.returncode == 2
    assert "--ray-gpus goes with --ray" in done.stderr
