"""`make run`, with a stand-in for the installed program that says how it was called."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from samples import PHOTOGRAPHS, lookalike

MAKEFILE = Path(__file__).parents[1] / "Makefile"

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with our Makefile, set up already."""
    checkout = tmp_path / "checkout"
    programs = checkout / ".venv" / "bin"
    programs.mkdir(parents=True)
    shutil.copy(MAKEFILE, checkout)
    (checkout / "pyproject.toml").touch()
    (programs / "python").symlink_to(sys.executable)
    program = programs / "lookalike"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)
    (checkout / ".venv" / "ready").touch()
    return checkout


def make(checkout: Path, *given: str) -> subprocess.CompletedProcess[str]:
    """Run `make run` there, with a home of its own, and nothing of a make that runs the tests."""
    ours = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES", "IMAGES", "COLLECTION")
    without = {name: value for name, value in os.environ.items() if name not in ours}
    return subprocess.run(
        ["make", "run", *given],
        cwd=checkout,
        env=without | {"HOME": str(checkout.parent)},
        capture_output=True,
        text=True,
        check=False,
    )


def served(checkout: Path, *given: str) -> tuple[str, str]:
    """The pictures and the collection that the program was called with."""
    done = make(checkout, *given)
    assert done.returncode == 0, done.stderr
    command, *options = done.stdout.splitlines()
    assert command == "serve"
    named = dict(zip(options[::2], options[1::2], strict=True))
    return named["--data"], named["-c"]


def test_a_folder_has_one_collection_however_it_is_written(checkout: Path) -> None:
    folder = checkout.parent / "Pictures"
    folder.mkdir()
    (checkout / "link").symlink_to(folder)
    spellings = ("../Pictures", "../Pictures/", str(folder), f"{folder}//", "~/Pictures", "link")
    called = {served(checkout, f"IMAGES={each}") for each in spellings}
    assert len(called) == 1
    data, collection = called.pop()
    assert data == str(folder.resolve())
    assert Path(collection).parts[0] == ".collections"
    assert Path(collection).name == "Pictures"


def test_folders_of_one_name_have_a_collection_each(checkout: Path) -> None:
    assert served(checkout, "IMAGES=/a/same")[1] != served(checkout, "IMAGES=/b/same")[1]


@pytest.mark.parametrize("name", ["it's mine", "a  b", 'say "x"', "$HOME", "$(x)", "a;b", "ä*"])
def test_a_folder_may_have_any_name(checkout: Path, name: str) -> None:
    data, collection = served(checkout, f"IMAGES=/pictures/{name}")
    assert data == f"/pictures/{name}"
    assert Path(collection).name == name


def test_the_sample_is_called_so_and_none_of_it_fails(checkout: Path) -> None:
    photographs = checkout / ".venv/lib/python3.99/site-packages/skimage/data"
    photographs.parent.mkdir(parents=True)
    photographs.symlink_to(PHOTOGRAPHS)
    data, collection = served(checkout)
    assert collection == ".collections/sample"
    done = lookalike("index", data, "-c", checkout / "c", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["failed"], report["ignored"]) == (0, 0, 0)
    assert report["stored"] >= 25


def test_the_collection_may_be_chosen(checkout: Path) -> None:
    chosen = served(checkout, "IMAGES=/pictures", "COLLECTION=/my own")
    assert chosen == ("/pictures", "/my own")


def test_no_folder_at_all_is_refused(checkout: Path) -> None:
    done = make(checkout, "IMAGES=")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "IMAGES is empty" in done.stderr
