"""The address of a collection in Elasticsearch, read without one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lookalike.errors import BadAddress
from lookalike.store import home_of
from lookalike.store.elastic import address


def read(options: str) -> address.Address:
    return address.read(f"es+http://127.0.0.1:9200/photos{options}")


@pytest.mark.parametrize(
    "url",
    ["s3://bucket/files", "s3://bucket/files/", "s3:/bucket/files"],  # as a `Path` has it
)
def test_files_may_be_in_an_object_store(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    found = read(f"?replicas=0&files={url}&timeout=5")
    assert found.files == "s3://bucket/files/photos"
    assert found.folder.is_relative_to(tmp_path)  # what can be made anew stays on this machine
    assert (found.options.replicas, found.options.timeout) == (0, 5)


def test_files_may_be_a_folder(tmp_path: Path) -> None:
    found = read(f"?files={tmp_path}")
    assert found.files == found.folder == tmp_path / "photos"


def test_files_are_in_the_users_own_folder_unless_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    found = read("")
    assert found.files == found.folder
    assert found.folder.is_relative_to(tmp_path)


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ("ftp://host/files", "begins with one of s3://"),
        ("http://host/files", "begins with one of s3://"),
        ("s3://", "names no bucket"),
        ("s3:///", "names no bucket"),
    ],
)
def test_a_store_that_there_is_not_is_said(files: str, problem: str) -> None:
    with pytest.raises(BadAddress, match=problem) as told:
        read(f"?files={files}")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("options", ["?files={}", "?shards=x&files={}", "?nonsense=1&files={}"])
@pytest.mark.parametrize("secret", ["AKIA:very/secret@bucket/x", "very-secret@bucket"])
def test_a_secret_in_it_is_refused_and_not_repeated(secret: str, options: str) -> None:
    with pytest.raises(BadAddress) as told:
        read(options.format(f"s3://{secret}"))
    assert "secret@" not in str(told.value)
    assert "AKIA" not in str(told.value)


def test_a_password_may_have_any_letter() -> None:
    found = address.read("es+https://me:a?b/c@d@host/photos?replicas=0")
    assert found.login == ("me", "a?b/c@d")
    assert (found.hosts, found.name) == (("https://host:9200",), "photos")
    assert "a?b" not in str(found)


@pytest.mark.parametrize(
    "mistyped",
    [
        "es+htps://host/photos",
        "es+https//host/photos",
        "es://host/photos",
        "http://host:9200/photos",
        "https:/host/photos",
        "s3://bucket/photos",
        "ES+http://host/photos",
    ],
)
def test_a_mistyped_one_is_not_taken_for_a_folder(mistyped: str) -> None:
    for text in (mistyped, mistyped.replace("host", "me:secret@host")):
        with pytest.raises(BadAddress, match="neither es\\+https:// nor") as told:
            home_of(text)
        assert "secret" not in str(told.value)


@pytest.mark.parametrize("name", ["./es+x", "a:b", "/tmp/http:/x", "~/es+photos"])
def test_a_folder_may_have_such_a_name(name: str) -> None:
    assert "Folder" in type(home_of(name)).__name__


@pytest.mark.parametrize(
    ("bare", "problem"),
    [
        ("es+http://host/..%2fother", "may have only small letters"),
        ("es+http://host/_all", "may have only small letters"),
        ("es+http://host/a,b", "may have only small letters"),
        ("es+http://host/*", "may have only small letters"),
        ("es+http://host/a\nb", "lacks a host or a name"),
        ("es+http://host:99999/a", "is no host"),
        ("es+http://ho st/a", "is no host"),
        ("es+http://host,host:9200/a", "names a host twice"),
        ("es+http:///a", "lacks a host or a name"),
    ],
)
def test_what_cannot_be_one_is_said_in_one_line(bare: str, problem: str) -> None:
    with pytest.raises(BadAddress, match=problem) as told:
        address.read(bare)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("key", ["a key", "ключ", "one\ntwo", "a\x00b"])
def test_what_cannot_be_a_key_is_said_and_not_repeated(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", {"LOOKALIKE_ES_API_KEY": key})
    with pytest.raises(BadAddress, match="LOOKALIKE_ES_API_KEY") as told:
        read("")
    assert key not in str(told.value)
    monkeypatch.setattr(os, "environ", {"LOOKALIKE_ES_API_KEY": "aWQ6a2V5==\n"})
    assert read("").api_key == "aWQ6a2V5=="
