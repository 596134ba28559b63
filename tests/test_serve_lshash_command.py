"""The command line of the service of SIFT, k-means and lshash, as its users type it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from samples import called, command, environment

from lookalike import recipe as recipes
from lookalike.commands.lshash import folder_of, recipe_of
from lookalike.serve.settings import Settings


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures with something to see in them."""
    folder = tmp_path_factory.mktemp("my pictures")
    for number in range(6):
        small = np.random.default_rng(number).integers(0, 256, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(small).resize((192, 144), Image.Resampling.BICUBIC).save(
            folder / f"{number}.png"
        )
    return folder


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of its own, without a `.env`, and a home for collections."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    return tmp_path


@contextmanager
def serving(*options: str | Path) -> Iterator[tuple[str, list[str]]]:
    """The address, and what was said before it."""
    process = subprocess.Popen(
        command("serve", *options),
        env=environment(PYTHONUNBUFFERED="1"),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said: list[str] = []
    try:
        for line in process.stderr:
            said.append(line.rstrip())
            if "://" in line:
                break
        url = json.loads(said[-1])["url"]
        assert httpx.get(f"{url}/healthz", timeout=60, trust_env=False).status_code == 200
        yield url, said
    finally:
        process.send_signal(signal.SIGINT)
        process.stderr.close()
        assert process.wait(timeout=30) == 0, said


def ask(url: str, picture: Path, **fields: object) -> Any:
    answer = httpx.post(
        f"{url}/search", data={"image": str(picture), **fields}, timeout=60, trust_env=False
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_indexes_the_folder_makes_it_a_root_and_answers(data: Path, elsewhere: Path) -> None:
    options: list[str | Path] = ["--host", "localhost", "-p", "0", "--data", data, "--k", "20"]
    options += ["--hash_size", "5", "--num_hashtables", "3", "--store_file", "planes.npz"]
    with serving(*options, "--overwrite", "true") as (url, said):
        assert "6 stored" in said[0]
        names = ask(url, data / "3.png")
        assert names[0] == str(data / "3.png")
        assert len(ask(url, data / "3.png", n=2)) == 2
        (collection,) = httpx.get(f"{url}/v1/collections", trust_env=False).json()["collections"]
        assert (collection["recipe"], collection["pictures"]) == ("sift-bovw-lsh", 6)
    with np.load(elsewhere / "planes.npz") as planes:
        assert [planes[name].shape for name in planes.files] == [(5, 20)] * 3


@pytest.mark.slow
def test_the_same_again_takes_up_what_is_there_also_with_other_tables(data: Path) -> None:
    with serving("-p0", "-d", data, "-k", "20", "-s", "planes.npz", "-o", "true") as (_, said):
        assert "6 stored" in said[0]
    with serving("-p0", "-d", data, "-k", "20", "--num_hashtables", "2") as (url, said):
        assert "6 stored" not in said[0]
        assert ask(url, data / "0.png", n=1) == [str(data / "0.png")]


def test_it_can_stand_in_the_environment(
    data: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (elsewhere / ".env").write_text("LOOKALIKE_K=20\nLOOKALIKE_HASH_SIZE=6\nLOOKALIKE_PORT=0\n")
    monkeypatch.setenv("LOOKALIKE_DATA", str(data))
    with serving() as (url, _):
        assert ask(url, data / "1.png", n=1) == [str(data / "1.png")]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("-k", "20"), "k goes with data"),
        (("--hash_size", "5"), "hash_size goes with k"),
        (("-d", ".", "-o", "true"), "overwrite goes with k"),
        (("-d", ".", "-k", "1"), "--k"),
        (("-d", ".", "-k", "many"), "--k"),
        (("-d", ".", "-k", "20", "--hash_size", "63"), "--hash-size"),
        (("-d", ".", "-k", "20", "--num_hashtables", "0"), "--num-hashtables"),
        (("-d", ".", "-k", "20", "-o", "perhaps"), "--overwrite"),
        (("-d", "absent", "-k", "20"), "absent does not exist"),
    ],
)
def test_what_makes_no_sense_is_said_and_nothing_is_made(
    elsewhere: Path, options: tuple[str, ...], said: str
) -> None:
    done = called("serve", "-p0", *options)
    assert done.returncode == 2
    assert said in done.stderr
    assert not (elsewhere / "home").exists()


def test_a_store_file_that_cannot_be_written_is_said(data: Path, elsewhere: Path) -> None:
    done = called("serve", "-p0", "-d", data, "-k", "20", "-s", elsewhere / "no" / "planes.npz")
    assert done.returncode == 2
    assert "planes.npz" in done.stderr


def test_the_recipe_has_the_numbers_that_are_given_and_else_the_ready_ones(
    elsewhere: Path,
) -> None:
    ready = recipes.load("sift-bovw-lsh").embeddings[0]
    few = recipe_of(Settings.read(data=".", k=100)).embeddings[0]
    assert few.extractor.options.k == 100
    assert few.index.options == ready.index.options
    odd = 'a "b" é.npz'
    every = {"hash_size": 11, "num_hashtables": 3, "store_file": odd, "overwrite": "false"}
    all_given = recipe_of(Settings.read(data=".", k=100, **every)).embeddings[0].index.options
    assert (all_given.hash_size, all_given.num_hashtables) == (11, 3)
    assert all_given.store_file == str(elsewhere / odd)
    assert not all_given.overwrite
    assert all_given.probes == ready.index.options.probes


def test_each_folder_and_each_number_of_words_has_its_own_collection(elsewhere: Path) -> None:
    kept = {
        folder_of(folder, k, elsewhere) for folder in ("a/pictures", "b/pictures") for k in (2, 3)
    }
    assert len(kept) == 4
    assert folder_of("a/../b/pictures", 2, elsewhere) in kept
    assert all(each.name.startswith("pictures-") for each in kept)
    odd = os.fsdecode(b"caf\xe9")
    assert json.dumps(folder_of(odd, 2, elsewhere).name)
