"""The command line as scripts rely on it.

Every command runs in a process of its own here, as a user runs it; what more there is to say of its
options and its messages is asked for in this process (`called`).
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pty
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from samples import PHOTOGRAPHS, called, command, encoded, environment, lookalike, write
from typer.main import get_command

import lookalike as api
from lookalike import cli
from lookalike.cli import app
from lookalike.commands.opened import served_name

COUNT = 12

HIT_KEYS = {
    *("id", "path", "places", "score", "distance", "scores", "unavailable", "label", "metadata"),
    *("kinship", "probability", "evidence", "alike"),
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """cat/0.png … cat/5.png, dog/6.png … dog/11.png and notes.txt."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(COUNT):
        write(folder / ("cat" if number < 6 else "dog") / f"{number}.png", number)
    (folder / "notes.txt").write_text("no picture, and nobody says so")
    return folder


@pytest.fixture(scope="module")
def made(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection of them, only to be read."""
    path = tmp_path_factory.mktemp("made") / "c.lookalike"
    assert called("index", photos, "-c", path).returncode == 0
    return path


def objects(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def on_a_terminal(*arguments: str | Path, env: dict[str, str] | None = None) -> tuple[int, str]:
    """Run the command line on a terminal of its own: the exit code and all that it showed."""
    terminal, other_end = pty.openpty()
    process = subprocess.Popen(
        command(*arguments),
        env=environment(**{"COLUMNS": "120", **(env or {})}),
        stdin=other_end,
        stdout=other_end,
        stderr=other_end,
    )
    os.close(other_end)
    shown = b""
    with contextlib.suppress(OSError):  # the other end has closed
        while piece := os.read(terminal, 1 << 16):
            shown += piece
    os.close(terminal)
    return process.wait(timeout=60), shown.decode()


class TestIndex:
    def test_json_ends_with_one_object_of_counts(self, photos: Path, tmp_path: Path) -> None:
        done = called("index", photos, "-c", tmp_path / "c", "--json")
        assert (done.returncode, done.stderr) == (0, "")
        (report,) = objects(done.stdout)
        assert report.pop("seconds") > 0
        assert report.pop("pictures_per_second") > 0
        assert report == {
            "stored": COUNT,
            "copies": 0,
            "unchanged": 0,
            "replaced": 0,
            "removed": 0,
            "failed": 0,
            "ignored": 1,
        }

    def test_it_says_what_it_did_when_no_json_is_asked(self, photos: Path, tmp_path: Path) -> None:
        done = called("index", photos, "-c", tmp_path / "c")
        first, second = done.stdout.splitlines()
        assert first.startswith("12 stored, 1 not pictures in ")
        assert second == f"12 pictures in {tmp_path / 'c'}"
        assert done.stderr == ""

    def test_some_failures_are_exit_code_1_and_can_be_asked_for(self, tmp_path: Path) -> None:
        write(tmp_path / "photos" / "good.png", 1)
        (tmp_path / "photos" / "bad.png").write_bytes(encoded(1)[:100])
        done = called("index", tmp_path / "photos", "-c", tmp_path / "c", "--json")
        assert done.returncode == 1
        assert objects(done.stdout)[0]["failed"] == 1
        done = called("failures", "-c", tmp_path / "c")
        reason = "the file ends too early (truncated)"
        assert done.stdout == f"{tmp_path}/photos/bad.png\t{reason}\n"
        (entry,) = objects(called("failures", "-c", tmp_path / "c", "--json").stdout)
        assert entry == {
            "path": f"{tmp_path}/photos/bad.png",
            "verdict": "skipped",
            "id": None,
            "copy_of": None,
            "reason": reason,
        }

    def test_the_hint_after_failures_is_a_command_that_works(self, tmp_path: Path) -> None:
        write(tmp_path / "photos" / "good.png", 1)
        (tmp_path / "photos" / "bad.png").write_bytes(encoded(1)[:100])
        done = lookalike("index", tmp_path / "photos", "-c", tmp_path / "it's mine")
        hint = done.stderr.split("`")[1]
        program, *arguments = shlex.split(hint)
        assert program == "lookalike"
        assert "bad.png" in called(*arguments).stdout

    def test_the_hint_names_the_program_as_it_was_called(self, tmp_path: Path) -> None:
        (tmp_path / "bad.png").write_bytes(encoded(1)[:100])
        program = tmp_path / "bin" / "lookalike"
        program.parent.mkdir()
        program.write_text(
            f"#!{sys.executable}\nfrom lookalike.cli import main\n\nmain()\n", "utf-8"
        )
        program.chmod(0o755)
        done = subprocess.run(
            ["bin/lookalike", "index", "bad.png", "-c", "c"],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert "`bin/lookalike failures -c c`" in done.stderr

    def test_a_mistyped_source_leaves_no_collection(self, tmp_path: Path) -> None:
        for options in (["index"], ["serve", "-p0", "-d"]):
            done = called(*options, tmp_path / "no", "-c", tmp_path / "c")
            assert done.returncode == 2
            assert "no does not exist" in done.stderr
            assert not (tmp_path / "c").exists()

    def test_failures_alone_are_exit_code_2(self, tmp_path: Path) -> None:
        (tmp_path / "bad.png").write_bytes(encoded(1)[:100])
        assert called("index", tmp_path / "bad.png", "-c", tmp_path / "c").returncode == 2

    def test_prune_forgets_what_is_gone(self, photos: Path, tmp_path: Path) -> None:
        shutil.copytree(photos, tmp_path / "photos")
        assert called("index", tmp_path / "photos", "-c", tmp_path / "c").returncode == 0
        shutil.rmtree(tmp_path / "photos" / "cat")
        done = called("index", tmp_path / "photos", "-c", tmp_path / "c", "--prune", "--json")
        (report,) = objects(done.stdout)
        assert (report["removed"], report["unchanged"]) == (6, 6)
        shutil.rmtree(tmp_path / "photos" / "dog")
        done = called("index", tmp_path / "photos", "-c", tmp_path / "c", "--prune")
        assert done.returncode == 0

    def test_a_terminal_sees_a_bar_while_it_runs(self, photos: Path, tmp_path: Path) -> None:
        code, shown = on_a_terminal("index", photos, "-c", tmp_path / "c")
        assert code == 0
        assert "indexing" in shown
        assert "13/13" in shown
        assert "12 stored" in shown


class TestSearch:
    def test_json_has_one_object_a_line_for_each_query(self, made: Path, photos: Path) -> None:
        done = called("search", photos / "dog", "-c", made, "-k", "3", "--json")
        assert (done.returncode, done.stderr) == (0, "")
        answers = objects(done.stdout)
        assert [answer["query"] for answer in answers] == sorted(
            str(path) for path in (photos / "dog").iterdir()
        )
        for answer in answers:
            assert answer.keys() == {"query", "hits"}
            assert [hit.keys() for hit in answer["hits"]] == [HIT_KEYS] * 3
            first = answer["hits"][0]
            assert first["path"] == answer["query"]
            assert first["places"] == [answer["query"]]
            assert first["score"] == pytest.approx(1, abs=1e-5)
            assert first["label"] == "dog"
            assert (first["metadata"], first["scores"]) == ({}, {})
            scores = [hit["score"] for hit in answer["hits"]]
            assert scores == sorted(scores, reverse=True)
            for hit in answer["hits"]:
                assert hit["distance"] == pytest.approx(1 - hit["score"], abs=2e-6)

    def test_ten_hits_are_the_default(self, made: Path, photos: Path) -> None:
        (answer,) = objects(called("search", photos / "cat" / "0.png", "-c", made, "--json").stdout)
        assert len(answer["hits"]) == 10

    def test_a_query_that_fails_has_its_line_too(
        self, made: Path, photos: Path, tmp_path: Path
    ) -> None:
        bad = tmp_path / "bad.png"
        bad.write_bytes(encoded(1)[:100])
        done = called("search", bad, photos / "cat" / "0.png", "-c", made, "--json")
        assert done.returncode == 1
        failed, answered = objects(done.stdout)
        reason = "the file ends too early (truncated)"
        assert failed == {"query": str(bad), "hits": [], "error": reason}
        assert len(answered["hits"]) == 10
        assert done.stderr == f"lookalike: {bad}: {reason}\n"
        assert called("search", bad, "-c", made).returncode == 2

    def test_a_pipe_gets_plain_lines(self, made: Path, photos: Path) -> None:
        path = photos / "cat" / "0.png"
        done = lookalike("search", path, "-c", made, "-k", "2")
        first, _ = done.stdout.splitlines()
        assert first.split("\t") == [str(path), "1.0000", "cat", str(path)]

    def test_a_pipe_gets_what_was_compared_behind_each_path(self, made: Path, photos: Path) -> None:
        path = photos / "cat" / "0.png"
        compare = ("--compare", "sift", "--compare", "phash")
        rows = called("search", path, "-c", made, *compare).stdout.splitlines()
        for row in rows:
            _, _, _, where, *scores = row.split("\t")
            assert Path(where).exists()
            assert [each.partition("=")[0] for each in scores] == ["sift", "phash"]
        assert len(rows) == 10
        assert rows[0].endswith("\tphash=0")

    def test_a_terminal_gets_a_table(self, made: Path, photos: Path) -> None:
        code, shown = on_a_terminal("search", photos / "cat" / "0.png", "-c", made, "-k", "2")
        assert code == 0
        assert "score" in shown
        assert "1.000" in shown
        assert "\t" not in shown

    @pytest.mark.parametrize("name", ["[/b].png", "[red]x[/red].png", "a\nb\x1b[2Jc.png"])
    def test_a_name_is_shown_not_obeyed(self, name: str, made: Path, tmp_path: Path) -> None:
        path = write(tmp_path / name, 1)
        code, shown = on_a_terminal("search", path, "-c", made, "-k", "1", env={"COLUMNS": "300"})
        assert code == 0
        assert name.replace("\n", "\\n").replace("\x1b", "\\x1b") in shown

    def test_options_narrow_the_hits(self, made: Path, photos: Path) -> None:
        path = photos / "cat" / "0.png"

        def ids(*options: str) -> list[str]:
            done = called("search", path, "-c", made, "--json", *options)
            assert done.returncode == 0
            return [hit["id"] for hit in objects(done.stdout)[0]["hits"]]

        every = ids("-k", "12")
        assert len(every) == 12
        assert ids("-k", "3", "--offset", "4") == every[4:7]
        dogs = ids("-k", "12", "--where", "label=dog")
        assert dogs == [id for id in every if id in dogs]
        assert len(dogs) == 6
        assert ids("--threshold", "0.9999") == every[:1]

    def test_an_id_is_a_query(self, made: Path, photos: Path) -> None:
        done = called("search", photos / "cat" / "0.png", "-c", made, "--json")
        (answer,) = objects(done.stdout)
        id = answer["hits"][0]["id"]
        (similar,) = objects(called("search", "--id", id, "-c", made, "-k", "9", "--json").stdout)
        assert similar["query"] == id
        assert similar["hits"] == answer["hits"][1:]

    def test_pictures_together_are_one_query(self, made: Path, photos: Path) -> None:
        several = called("search", "--together", photos / "cat", "-c", made, "--json")
        (answer,) = objects(several.stdout)
        assert answer["query"] == [str(photos / "cat" / f"{n}.png") for n in range(6)]
        assert len(answer["hits"]) == 10

    def test_the_page_shows_queries_and_hits(
        self, made: Path, photos: Path, tmp_path: Path
    ) -> None:
        with zipfile.ZipFile(tmp_path / "<b>.zip", "w") as archive:
            archive.writestr("in a zip.png", encoded(3))
        bad = tmp_path / "bad.png"
        bad.write_bytes(b"")
        page = tmp_path / "out.html"
        queries = [photos / "cat" / "0.png", tmp_path / "<b>.zip", bad]
        done = called("search", *queries, "-c", made, "-k", "4", "--html", page)
        assert done.returncode == 1
        assert f"wrote {page}" in done.stderr
        content = page.read_text()
        assert content.count("data:image/jpeg;base64,") == 2 + 2 * 4
        assert content.count("<strong>Query</strong>") == 3
        assert "an empty file" in content
        assert "<b>.zip" not in content
        assert "http" not in content  # it needs no other file

    def test_a_page_for_an_id_and_for_several_together(
        self, made: Path, photos: Path, tmp_path: Path
    ) -> None:
        page = tmp_path / "out.html"
        (answer,) = objects(called("search", photos / "cat" / "0.png", "-c", made, "--json").stdout)
        called("search", "--id", answer["hits"][0]["id"], "-c", made, "-k", "4", "--html", page)
        assert page.read_text().count("data:image/jpeg;base64,") == 1 + 4
        called("search", "--together", photos / "cat", "-c", made, "-k", "4", "--html", page)
        assert page.read_text().count("data:image/jpeg;base64,") == 6 + 4

    @pytest.mark.parametrize("name", ["page.html", "page.HTM"])
    def test_a_page_may_be_written_again(
        self, name: str, made: Path, photos: Path, tmp_path: Path
    ) -> None:
        for _ in range(2):
            path = tmp_path / name
            done = called("search", photos / "cat" / "0.png", "-c", made, "--html", path)
            assert done.returncode == 0

    @pytest.mark.parametrize(
        ("name", "why"),
        [
            ("victim.jpg", "its name does not end in .html"),
            ("victim.html", "there is a picture (PNG) under this name"),
            ("nodir/page.html", "No such file or directory"),
        ],
    )
    def test_a_page_goes_where_nothing_is_lost(
        self, name: str, why: str, made: Path, photos: Path, tmp_path: Path
    ) -> None:
        for victim in ("victim.jpg", "victim.html"):
            write(tmp_path / victim, 1)
        path = tmp_path / name
        done = called("search", photos / "cat" / "0.png", "-c", made, "--html", path)
        assert done.returncode == 2
        told = f"lookalike: cannot write the page {path}: {why}. Give `--html` another name"
        assert done.stderr.startswith(told)
        for victim in ("victim.jpg", "victim.html"):
            assert (tmp_path / victim).read_bytes() == encoded(1)

    def test_an_empty_collection_is_said_to_be_empty(self, photos: Path, tmp_path: Path) -> None:
        api.open(tmp_path / "c").close()
        done = called("search", photos / "cat" / "0.png", "-c", tmp_path / "c")
        assert (done.returncode, done.stdout) == (0, "")
        hint = f"`lookalike index DIR -c {tmp_path / 'c'}`"
        assert done.stderr == f"lookalike: {tmp_path / 'c'} is empty: fill it with {hint}\n"


class TestLimits:
    @pytest.mark.parametrize(
        ("options", "env"),
        [(["--max-megapixels", "1"], {}), ([], {"LOOKALIKE_MAX_MEGAPIXELS": "1"})],
    )
    def test_a_picture_over_the_limit_is_refused_until_it_is_raised(
        self, options: list[str], env: dict[str, str], made: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / "large.png"
        Image.new("RGB", (1100, 1000)).save(path)
        c = tmp_path / "c"
        reason = "1.1 megapixels, over the limit of 1"
        assert called("index", path, "-c", c, *options, env=env).returncode == 2
        assert called("failures", "-c", c).stdout == f"{path}\t{reason}\n"
        assert reason in called("search", path, "-c", made, *options, env=env).stderr
        assert called("search", path, "-c", made).returncode == 0
        assert called("index", path, "-c", c, "--retry").returncode == 0

    def test_the_service_takes_no_larger_upload(self, made: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        process = subprocess.Popen(
            command("serve", "-c", made, "-p", str(port), "--max-upload-mb", "1"),
            env=environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        assert f":{port}" in process.stderr.readline()
        url = f"http://127.0.0.1:{port}/v1/collections/{made.stem}/search"
        answers = [
            httpx.post(url, files={"image": content}, timeout=60)
            for content in (bytes(1_000_001), encoded(1))
        ]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert [answer.status_code for answer in answers] == [413, 200]
        assert "1 MB" in answers[0].json()["detail"]

    @pytest.mark.parametrize(
        ("command", "option", "value"),
        [
            ("index", "--max-megapixels", "0"),
            ("search", "--max-upload-mb", "many"),
            ("serve", "--max-megapixels", "100000"),
        ],
    )
    def test_they_must_make_sense(
        self, command: str, option: str, value: str, made: Path, photos: Path
    ) -> None:
        given = [] if command == "serve" else [photos]
        done = called(command, *given, "-c", made, option, value)
        assert done.returncode == 2
        assert option in done.stderr


class TestLedger:
    def test_it_tells_every_verdict(self, photos: Path, tmp_path: Path) -> None:
        folder = tmp_path / "photos"
        shutil.copytree(photos, folder)
        write(folder / "copy.png", 0)
        (folder / "bad.png").write_bytes(b"")
        (folder / "later.png").symlink_to(folder / "missing")
        called("index", folder, "-c", tmp_path / "c")
        names = ("cat/0.png", "copy.png", "bad.png", "later.png", "never.png")
        paths = [folder / name for name in names]
        done = called("ledger", *paths, "-c", tmp_path / "c", "--json")
        assert done.returncode == 1
        entries = objects(done.stdout)
        assert [entry["path"] for entry in entries] == [str(path) for path in paths]
        verdicts = [entry["verdict"] for entry in entries]
        assert verdicts == ["stored", "copy", "skipped", "retry", None]
        assert entries[1]["copy_of"] == str(paths[0])
        plain = called("ledger", *paths, "-c", tmp_path / "c").stdout.splitlines()
        assert [line.split("\t")[1].split(":")[0].rsplit(" ", 1)[0] for line in plain] == [
            "stored as",
            "another place of",
            "skipped"[:7],
            ["to be tried", "again"][0],
            "never",
        ]

    def test_failures_statistics_and_ledger_agree(self, photos: Path, tmp_path: Path) -> None:
        shutil.copytree(photos, tmp_path / "photos")
        (tmp_path / "photos" / "bad.png").write_bytes(b"")
        report = called("index", tmp_path / "photos", "-c", tmp_path / "c", "--json").stdout
        counted = objects(report)[0]
        assert (counted["failed"], counted["ignored"]) == (1, 1)
        stats = json.loads(called("stats", "-c", tmp_path / "c", "--json").stdout)
        assert (stats["failed"], stats["ignored"]) == (1, 1)

        def names(*options: str) -> list[str]:
            listed = called("failures", *options, "-c", tmp_path / "c", "--json").stdout
            assert {each["verdict"] for each in objects(listed)} == {"skipped"}
            return [Path(each["path"]).name for each in objects(listed)]

        assert names() == ["bad.png"]
        assert names("--all") == ["bad.png", "notes.txt"]


class TestServe:
    def test_is_named_after_its_folder(self, made: Path) -> None:
        assert served_name(made) == "c"
        assert served_name(Path("2024.05 Rome")) == "2024.05 Rome"
        assert served_name(made / "x" / "..") == "c"
        assert served_name(Path(".lookalike")) == ".lookalike"

    @pytest.mark.parametrize("wrong", [["-p", "PORT"], ["-p", "70000"], ["--host", "0.0.0.0"]])
    def test_an_address_that_cannot_be_had_is_told_before_the_work(
        self, photos: Path, tmp_path: Path, wrong: list[str]
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            options = [port if each == "PORT" else each for each in wrong]
            done = lookalike("serve", *options, "-d", photos, "-c", tmp_path / "c")
        assert (done.returncode, done.stdout) == (2, "")
        assert not (tmp_path / "c").exists()
        (line,) = done.stderr.splitlines()
        assert ("loopback" if "--host" in wrong else "--port") in line
        if "PORT" in wrong:
            assert line == (
                f"lookalike: cannot listen on 127.0.0.1, port {port}: address already in use. "
                "Choose another with --port (PORT= for make)."
            )

    def test_a_root_that_is_no_folder_is_refused(self, made: Path, tmp_path: Path) -> None:
        done = called("serve", "-p0", "--root", tmp_path / "no", "-c", made)
        assert done.returncode == 2
        assert "'--root'" in done.stderr

    def test_is_quiet_about_what_clients_send_wrong(self, made: Path) -> None:
        process = subprocess.Popen(
            command("serve", "-p0", "-c", made),
            env=environment(PYTHONUNBUFFERED="1"),
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        url = json.loads(process.stderr.readline())["url"]
        head = {"Content-Type": "multipart/form-data; boundary=b"}
        form = b'--b\r\nContent-Disposition: form-data; name="k"\r\n\r\n1\r\n--b--\r\nrubbish'
        address = f"{url}/v1/collections/c/search"
        answered = []
        for body in (form, b"rubbish"):
            answer = httpx.post(address, content=body, headers=head, trust_env=False)
            assert answer.status_code in (400, 422)
            answered.append(answer)
        process.send_signal(signal.SIGINT)
        said = [json.loads(line) for line in process.stderr]
        assert {line["level"] for line in said} == {"info"}
        assert [line["status"] for line in said if line["message"] == "request"] == [
            answer.status_code for answer in answered
        ]
        process.stderr.close()
        assert process.wait(timeout=30) == 0


def test_the_reference_names_every_command_and_option() -> None:
    docs = Path(__file__).parents[1] / "docs"
    reference = "".join((docs / name).read_text("utf-8") for name in ("reference.md", "serving.md"))
    program: Any = get_command(app)
    for name, each in program.commands.items():
        assert f"`lookalike {name}" in reference
        for option in (option for parameter in each.params for option in parameter.opts):
            assert not option.startswith("-") or re.search(f"`{option}[` ]", reference), option


class TestOthers:
    def test_the_version_can_be_asked_for(self) -> None:
        done = lookalike("--version")
        assert (done.returncode, done.stdout) == (0, f"lookalike {api.__version__}\n")

    def test_recipes_are_one_json_value(self) -> None:
        done = lookalike("recipes", "--json")
        recipes = json.loads(done.stdout)
        assert recipes[0]["name"] == "default"
        assert recipes[0]["embeddings"]["default"]["distance"] == "cosine"
        assert "default" in called("recipes").stdout

    def test_stats_are_one_json_object(self, made: Path) -> None:
        stats = json.loads(called("stats", "-c", made, "--json").stdout)
        assert (stats["pictures"], stats["places"], stats["ignored"]) == (COUNT, COUNT, 1)
        assert stats["path"] == str(made)
        assert "12 in 12 places" in called("stats", "-c", made).stdout

    def test_remove_forgets_by_id(self, photos: Path, tmp_path: Path) -> None:
        called("index", photos, "-c", tmp_path / "c")
        hits = called("search", photos / "cat" / "0.png", "-c", tmp_path / "c", "--json").stdout
        id = objects(hits)[0]["hits"][0]["id"]
        done = called("remove", id, "0" * 64, "-c", tmp_path / "c")
        assert done.returncode == 1
        assert "0" * 64 in done.stderr
        assert called("remove", id, "-c", tmp_path / "c").returncode == 2
        stats = json.loads(called("stats", "-c", tmp_path / "c", "--json").stdout)
        assert stats["pictures"] == COUNT - 1

    def test_the_collection_may_come_from_the_environment(self, made: Path) -> None:
        done = called("stats", "--json", env={"LOOKALIKE_COLLECTION": str(made)})
        assert json.loads(done.stdout)["path"] == str(made)

    @pytest.mark.skipif(os.uname().sysname != "Linux", reason="the place of Linux")
    def test_the_default_collection_lies_in_the_users_data_folder(
        self, photos: Path, tmp_path: Path
    ) -> None:
        env = {"HOME": str(tmp_path), "XDG_DATA_HOME": "", "LOOKALIKE_COLLECTION": ""}
        assert called("index", photos / "cat", env=env).returncode == 0
        assert (tmp_path / ".local/share/lookalike/default/catalogue.sqlite").is_file()
        env["XDG_DATA_HOME"] = str(tmp_path / "xdg")
        assert called("index", photos / "cat", env=env).returncode == 0
        assert (tmp_path / "xdg/lookalike/default/catalogue.sqlite").is_file()

    def test_the_sample_photographs_can_be_indexed(self, tmp_path: Path) -> None:
        done = called("index", PHOTOGRAPHS, "-c", tmp_path / "c", "--json")
        (report,) = objects(done.stdout)
        assert report["stored"] + report["copies"] >= 25
        picture = PHOTOGRAPHS / "astronaut.png"
        done = called("search", picture, "-c", tmp_path / "c", "--json")
        assert objects(done.stdout)[0]["hits"][0]["path"] == str(picture)


class TestEndings:
    @pytest.mark.parametrize(
        "arguments",
        [
            ["search", "a.png", "-k", "many"],
            ["search", "a.png", "--frobnicate"],
            ["frobnicate"],
            ["ledger"],
            [],
        ],
    )
    def test_a_wrong_command_is_exit_code_2_without_a_traceback(self, arguments: list[str]) -> None:
        done = called(*arguments)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        assert done.stderr or "Usage" in done.stdout

    def test_help_is_no_mistake(self) -> None:
        assert lookalike("--help").returncode == 0
        assert called("search", "--help").returncode == 0

    def test_a_reader_that_goes_away_is_no_error(self, made: Path, photos: Path) -> None:
        queries = [photos] * 60  # more than a pipe holds
        process = subprocess.Popen(
            command("search", *queries, "-c", made, "--json"),
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b'{"query"')
        process.stdout.close()
        assert process.stderr.read() == b""
        process.stderr.close()
        assert process.wait(timeout=60) == 0

    def test_output_that_cannot_be_written_is_one_line(self, made: Path) -> None:
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                command("stats", "-c", made),
                env=environment(),
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        assert (done.returncode, done.stderr) == (2, "lookalike: No space left on device\n")

    def test_what_the_system_refuses_is_told_with_its_file(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def refuse(_: object) -> int:
            raise PermissionError(errno.EACCES, "Permission denied", b"/root/caf\xe9")

        monkeypatch.setattr(cli, "_run", refuse)
        monkeypatch.setattr(cli, "_say_no_more", lambda: None)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 2
        assert capsys.readouterr().err == "lookalike: /root/caf\\udce9: Permission denied\n"

    @pytest.mark.slow
    def test_names_beyond_the_terminals_alphabet_do_not_end_a_listing(self, tmp_path: Path) -> None:
        path = write(tmp_path / "photos" / "größe-日本.png", 1)
        called("index", tmp_path / "photos", "-c", tmp_path / "c")
        env = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
        done = lookalike("search", path, "-c", tmp_path / "c", env=env)
        assert done.returncode == 0
        done = lookalike("search", path, "-c", tmp_path / "c", "--json", env=env)
        assert objects(done.stdout)[0]["hits"][0]["path"] == str(path)

    @pytest.mark.skipif(os.uname().sysname != "Linux", reason="reads /proc")
    def test_ctrl_c_while_it_starts_is_one_line(self, made: Path) -> None:
        process = subprocess.Popen(
            command("stats", "-c", made),
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        maps = Path(f"/proc/{process.pid}/maps")
        while "_multiarray_umath" not in maps.read_text() and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=30)
        assert (out, error.count("\n")) == ("", 1)
        assert error.startswith("stopped")
        assert process.returncode == 130

    def test_ctrl_c_ends_it_with_130_and_leaves_no_process(self, tmp_path: Path) -> None:
        for number in range(400):
            write(tmp_path / "photos" / f"{number}.png", number)
        process = subprocess.Popen(
            command("index", tmp_path / "photos", "-c", tmp_path / "c"),
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        workers: set[int] = set()
        while not (workers and _size_of_log(tmp_path / "c")):
            workers |= set(children(process.pid))
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=30)
        assert process.returncode == 130
        assert error == "stopped; what was stored is kept, running the same again goes on\n"
        assert out == ""
        assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
        done = lookalike("index", tmp_path / "photos", "-c", tmp_path / "c", "--json")
        (report,) = objects(done.stdout)
        assert report["stored"] + report["unchanged"] == 400
        assert report["unchanged"] > 0


def children(process_id: int) -> Iterator[int]:
    """The processes that this one has started and that still run."""
    for task in Path(f"/proc/{process_id}/task").glob("*/children"):
        yield from map(int, task.read_text().split())


def _size_of_log(collection: Path) -> bool:
    """Whether more has been committed than what makes a collection."""
    log = collection / "catalogue.sqlite-wal"
    return log.exists() and log.stat().st_size > 100_000
