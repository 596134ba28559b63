"""The buildings of Oxford and Paris: lists, and pickles that may be hostile."""

from __future__ import annotations

import hashlib
import os
import pickle
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from samples import write

from lookalike.errors import BadTruth
from lookalike.evaluate import truth as truths
from lookalike.evaluate.metrics import average_precision, trapezoid_average_precision
from lookalike.types import Box, Place, Record


def id_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def records(folder: Path, *left_out: str) -> list[Record]:
    found = []
    for path in sorted(folder.glob("*.png")):
        if path.stem not in left_out:
            with Image.open(path) as image:
                size = image.size
            found.append(Record(id_of(path), "PNG", *size, 0, 0.0, (Place(str(path)),)))
    return found


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(BadTruth) as caught:
        truths.read(path, **options)
    return str(caught.value)


# Lists


@pytest.fixture
def jpg(tmp_path: Path) -> Path:
    """Pictures of 96 x 72 pixels."""
    for number in range(8):
        write(tmp_path / "jpg" / f"all_souls_00000{number}.png", number)
    return tmp_path / "jpg"


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    folder = tmp_path / "gt"
    folder.mkdir()
    for name, text in (
        ("query", "oxc1_all_souls_000001 6.5 4.1 48.5 65.7\n"),
        ("good", "all_souls_000001\nall_souls_000002\n"),
        ("ok", "all_souls_000003\n"),
        ("junk", "all_souls_000004\n"),
    ):
        (folder / f"all_souls_1_{name}.txt").write_text(text)
    return folder


def test_good_and_ok_are_relevant_junk_takes_no_rank_and_the_query_counts(
    lists: Path, jpg: Path
) -> None:
    found = truths.against(truths.read(lists), records(jpg))
    assert found.truth.layout == "oxford"
    assert found.truth.protocol.trapezoid
    (one,) = found.queries
    assert (one.name, one.group) == ("all_souls_1", "all_souls")
    assert one.place == str(jpg / "all_souls_000001.png")
    assert one.box is not None
    np.testing.assert_allclose(
        (one.box.x, one.box.y, one.box.width, one.box.height), (6.5, 4.1, 42.0, 61.6)
    )
    # By hand: the query itself, junk, a wrong one, ok. Good number 2 was not found.
    ids = [id_of(jpg / f"all_souls_00000{number}.png") for number in (1, 4, 5, 3)]
    answer = one.judge(ids, [4, 3, 2, 1])
    assert answer.relevant.tolist() == [True, False, True]
    assert answer.total == 3
    assert trapezoid_average_precision(answer) == pytest.approx((1 + (1 / 2 + 2 / 3) / 2) / 3)


def test_a_paris_query_has_no_prefix_and_may_lie_in_a_folder_of_queries(
    lists: Path, jpg: Path, tmp_path: Path
) -> None:
    (lists / "all_souls_1_query.txt").write_text("paris_defense_000605 0 0 9 9")
    asked = write(tmp_path / "asked/paris_defense_000605.png", 50)
    truth = truths.read(lists, queries=tmp_path / "asked")
    (one,) = truths.against(truth, records(jpg)).queries
    assert (one.place, one.record) == (str(asked), None)


def test_what_is_listed_twice_counts_once_as_in_the_first_program_and_is_noted(
    lists: Path, jpg: Path
) -> None:
    (lists / "all_souls_1_ok.txt").write_text("all_souls_000003\nall_souls_000001\n")
    found = truths.against(truths.read(lists), records(jpg))
    assert found.queries[0].judge([], []).total == 3
    assert found.notes == (
        f"{lists}/all_souls_1_ok.txt, line 2: `all_souls_000001` again, as in "
        f"{lists}/all_souls_1_good.txt, line 1: counted once",
    )


@pytest.mark.parametrize(
    ("file", "text", "problem"),
    [
        ("query", "oxc1_all_souls_000001 6 4 48", "x1 y1 x2 y2: 3 numbers, where a box has 4"),
        ("query", "", "x1 y1 x2 y2: 0 numbers"),
        ("query", "oxc1_all_souls_000001 6 4 x 9", "could not convert string to float"),
        ("query", "oxc1_all_souls_000001 6 4 6 9", "the box 6 4 6 9 has no area"),
        ("query", "oxc1_all_souls_000001 6 4 1 9", "the box 6 4 1 9 has no area"),
        ("query", "oxc1_all_souls_000001 6 4 nan 9", "the box 6 4 nan 9 has no area"),
        ("query", "oxc1_all_souls_000001 6 4 inf 9", "the box 6 4 inf 9 has no area"),
        ("junk", "all_souls_000002", "`all_souls_000002` is junk to `all_souls_1`, but relevant"),
    ],
)
def test_wrong_lists_are_told_with_file_and_line(
    lists: Path, file: str, text: str, problem: str
) -> None:
    (lists / f"all_souls_1_{file}.txt").write_text(text)
    said = refusal(lists)
    assert problem in said
    assert f"{lists}/all_souls_1_{file}.txt, line 1: " in said


def test_lists_that_are_missing_or_empty_are_told(lists: Path, tmp_path: Path) -> None:
    (lists / "all_souls_1_junk.txt").unlink()
    for name in ("good", "ok"):
        (lists / f"all_souls_1_{name}.txt").write_text("")
    said = refusal(lists)
    assert "all_souls_1_junk.txt: this list is missing" in said
    assert "all_souls_1_query.txt: nothing is good or ok for `all_souls_1`" in said
    (tmp_path / "none").mkdir()
    assert "there is no *_query.txt in it" in refusal(tmp_path / "none", layout="oxford")


def test_unknown_names_of_lists_are_told_with_file_and_line(lists: Path, jpg: Path) -> None:
    truth = truths.read(lists)
    stored = records(jpg, "all_souls_000001", "all_souls_000003")
    with pytest.raises(BadTruth) as caught:
        truths.against(truth, stored)
    assert sorted(caught.value.problems) == [
        f"{lists}/all_souls_1_{place}: `{name}` is no picture of the collection"
        for place, name in (
            ("ok.txt, line 1", "all_souls_000003"),
            ("query.txt, line 1", "all_souls_000001"),
        )
    ]


@pytest.mark.parametrize("stored", [True, False])
def test_a_box_outside_its_picture_is_told_and_one_that_sticks_out_is_noted(
    lists: Path, jpg: Path, stored: bool
) -> None:
    """Of a stored picture by its record, of another one by looking at it."""
    (lists / "all_souls_1_good.txt").write_text("all_souls_000002\n")
    collection = records(jpg, *([] if stored else ["all_souls_000001"]))
    file = lists / "all_souls_1_query.txt"

    def against(box: str) -> tuple[str, ...]:
        file.write_text(f"oxc1_all_souls_000001 {box}")
        return truths.against(truths.read(lists, queries=jpg), collection).notes

    assert against("0 0 96.9 72.9") == ()
    assert against("10 10 300 20") == (
        f"{file}, line 1: the box of `all_souls_1` is cut to its picture of 96 x 72 pixels",
    )
    for box in ("96 0 120 50", "0 72 50 80", "-50 -50 0 30"):
        with pytest.raises(BadTruth, match=r"the box of `all_souls_1` lies outside its picture"):
            against(box)


def test_a_query_picture_that_cannot_be_decoded_is_told(
    lists: Path, jpg: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "asked/all_souls_000001.png"
    broken.parent.mkdir()
    broken.write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    truth = truths.read(lists, queries=broken.parent)
    with pytest.raises(BadTruth, match=r"query.txt, line 1: .*asked/all_souls_000001.png: "):
        truths.against(truth, records(jpg))


# Pickles


def contents() -> dict[str, Any]:
    """As the authors' files are: two queries, that are not in the list of pictures."""
    return {
        "imlist": [f"all_souls_00000{number}" for number in range(6)],
        "qimlist": ["all_souls_000006", "all_souls_000007"],
        "gnd": [
            {"bbx": [6.5, 4.0, 48.5, 66.0], "easy": [0, 1], "hard": [2], "junk": [3]},
            {"bbx": [0.0, 0.0, 96.0, 72.0], "easy": [], "hard": [4], "junk": []},
        ],
    }


def dumped(path: Path, value: Any, protocol: int = 2) -> Path:
    path.write_bytes(pickle.dumps(value, protocol))
    return path


@pytest.fixture
def gnd(tmp_path: Path) -> Path:
    return dumped(tmp_path / "gnd_roxford5k.pkl", contents())


def test_easy_medium_and_hard_have_their_own_junk(gnd: Path, jpg: Path) -> None:
    stored = records(jpg, "all_souls_000006", "all_souls_000007")
    found = truths.against(truths.read(gnd), stored)
    assert found.truth.layout == "roxford"
    assert found.truth.protocol.setups == ("easy", "medium", "hard")
    one, other = found.queries
    assert one.place == str(jpg / "all_souls_000006.png")
    assert one.box == Box(6.5, 4, 42, 62)
    # Ranked: hard, wrong, easy, junk, easy.
    ids = [id_of(jpg / f"all_souls_00000{number}.png") for number in (2, 4, 0, 3, 1)]
    judged = {setup: one.judge(ids, [5, 4, 3, 2, 1], setup) for setup in ("easy", "medium", "hard")}
    assert {setup: (each.relevant.tolist(), each.total) for setup, each in judged.items()} == {
        "easy": ([False, True, True], 2),
        "medium": ([True, False, True, True], 3),
        "hard": ([True, False], 1),
    }
    assert np.isnan(average_precision(other.judge(ids, [5, 4, 3, 2, 1], "easy")))


def test_the_revisited_numbers_are_those_of_the_authors_program(gnd: Path, jpg: Path) -> None:
    """`compute_map` of revisitop/python/evaluate.py, written down anew from its description."""
    stored = records(jpg, "all_souls_000006", "all_souls_000007")
    found = truths.against(truths.read(gnd), stored)
    entry = contents()["gnd"][0]
    rng = np.random.default_rng(0)
    for _ in range(20):
        ranking = rng.permutation(6)
        ids = [id_of(jpg / f"all_souls_00000{number}.png") for number in ranking]
        for setup, right, junk in (
            ("easy", entry["easy"], entry["junk"] + entry["hard"]),
            ("medium", entry["easy"] + entry["hard"], entry["junk"]),
            ("hard", entry["hard"], entry["junk"] + entry["easy"]),
        ):
            kept = [number for number in ranking if number not in junk]
            expected = 0.0
            for found_before, rank in enumerate(
                rank for rank, number in enumerate(kept) if number in right
            ):
                before = found_before / rank if rank else 1.0
                expected += (before + (found_before + 1) / (rank + 1)) / 2 / len(right)
            answer = found.queries[0].judge(ids, np.arange(6, 0, -1).tolist(), setup)  # type: ignore[arg-type]
            assert trapezoid_average_precision(answer) == pytest.approx(expected)


def test_query_pictures_that_were_indexed_with_the_others_are_ignored(gnd: Path, jpg: Path) -> None:
    one = truths.against(truths.read(gnd), records(jpg)).queries[0]
    ids = [id_of(jpg / f"all_souls_00000{number}.png") for number in (6, 7, 0)]
    assert one.judge(ids, [3, 2, 1], "easy").relevant.tolist() == [True]


def test_every_picture_of_the_list_is_expected_in_the_collection(gnd: Path, jpg: Path) -> None:
    with pytest.raises(BadTruth, match=r"`all_souls_000005` is no picture of the collection"):
        truths.against(truths.read(gnd), records(jpg, "all_souls_000005"))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "kind", [np.int64, np.int32, np.uint8, np.dtype(">i4"), np.dtype(">u2")], ids=str
)
def test_lists_may_be_arrays_of_numpy_in_any_protocol(
    tmp_path: Path, protocol: int, kind: Any
) -> None:
    as_lists, as_arrays = contents(), contents()
    for entry in as_arrays["gnd"]:
        for key in ("easy", "hard", "junk"):
            entry[key] = np.array(entry[key], kind)
        entry["bbx"] = np.array(entry["bbx"], np.float64)
    as_arrays["gnd"][0]["bbx"] = [np.float32(each) for each in contents()["gnd"][0]["bbx"]]
    plain = dumped(tmp_path / "plain.pkl", as_lists)
    given = dumped(tmp_path / "arrays.pkl", as_arrays, protocol)
    assert truths.read(given).queries == truths.read(plain).queries


def test_a_pickle_of_python_2_is_read(tmp_path: Path) -> None:
    """Its texts are bytes, and it names NumPy's modules as they were."""
    two = (
        b"(dp0\nS'imlist'\np1\n(lp2\nS'a'\naS'b'\nasS'qimlist'\n(lp3\nS'q'\nasS'gnd'\n(lp4\n"
        b"(dp5\nS'easy'\ncnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
        b"(I1\n(I1\ntcnumpy\ndtype\n(S'i4'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\n"
        b"S'\\x01\\x00\\x00\\x00'\ntbsS'hard'\n(lsS'junk'\n(lsas."
    )
    (one,) = truths.read(_written(tmp_path, two)).queries
    assert one.relevant == {"b"}


def _written(folder: Path, data: bytes) -> Path:
    path = folder / "given.pkl"
    path.write_bytes(data)
    return path


class Runs:
    """Runs a command when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_pickle_that_would_run_a_command_is_refused_and_runs_nothing(
    tmp_path: Path, protocol: int
) -> None:
    sign = tmp_path / "it ran"
    for call in (
        Runs(os.system, f"touch '{sign}'"),
        Runs(eval, f"open({str(sign)!r}, 'w')"),
        Runs(getattr, os, "system"),
        Runs(np.load, str(sign)),
        Runs(np.memmap, str(sign), "u1", "w+", 0, 4),
        Runs(bytearray, 10**15),
    ):
        value = contents()
        value["gnd"][0]["easy"] = call
        try:
            path = dumped(tmp_path / "hostile.pkl", value, protocol)
        except (TypeError, pickle.PicklingError):  # `os` itself cannot be pickled
            continue
        assert "which data has no need of" in refusal(path)
        assert not sign.exists()


def test_the_refusal_names_what_the_pickle_wanted(tmp_path: Path) -> None:
    path = _written(tmp_path, b"cos\nsystem\n(S'true'\ntR.")
    assert refusal(path) == (
        f"cannot use the ground truth {path}: it wants to call `os.system`, "
        "which data has no need of"
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x02",
        b"\x80\x63.",
        b"not a pickle at all",
        b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"x.",  # bytes of a claimed length
        b"\x80\x02\x8a\xff" + b"\xff" * 255 + b".",
        b"\x80\x05\x97.",  # a buffer from elsewhere
        b"\x80\x02P0\n.",
        b"Pname\n.",  # an object from elsewhere
        b"\x82\x01.",  # the extension registry
        b"(lp0\ng0\na" * 50_000 + b".",
        b"]" + b"(" * 1_000_000 + b".",
        b"(" * 100_000 + b"t" * 100_000 + b".",
        b"cnumpy\nndarray\n(tR(I1\n(I1\nttb.",
        b"cnumpy\ndtype\n(S'O8'\ntR.",
        b"cnumpy\ndtype\n(S'i4'\ntR(I3\nS'<'\ntb.",
        b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(S'i4'\ntRI9999999999\ntR.",
        b"cnumpy.core.multiarray\nscalar\n(I1\nI1\ntR.",
        b"c_codecs\nencode\n(S'x'\nS'rot13'\ntR.",
        b"c_codecs\nencode\n(I1\nS'latin1'\ntR.",
        # Attributes set on what it may call.
        b"cnumpy\ndtype\n}S'_function'\nI1\nsb.",
        b"cnumpy\ndtype\n(N}S'_function'\nI1\nstb(S'i4'\ntR.",
        b"N.",
        b"I1\n.",
        b"].",
        b"}.",
    ],
    ids=lambda data: repr(data[:24]),
)
def test_bytes_that_are_no_ground_truth_are_refused(tmp_path: Path, data: bytes) -> None:
    assert "cannot use the ground truth" in refusal(_written(tmp_path, data))


def test_what_a_pickle_changes_of_what_it_may_call_is_gone_with_it(
    tmp_path: Path, gnd: Path
) -> None:
    before = truths.read(gnd)
    for name in ("ndarray", "dtype"):
        refusal(_written(tmp_path, f"cnumpy\n{name}\n(N}}S'_function'\nI1\nstb.".encode()))
    assert truths.read(gnd) == before


def test_a_pickle_that_ends_early_or_has_a_bit_turned_is_read_or_refused(
    tmp_path: Path,
) -> None:
    value = contents()
    value["gnd"][0]["easy"] = np.array([0, 1])
    whole = pickle.dumps(value, 2)
    for end in range(0, len(whole) - 1, 3):
        refusal(_written(tmp_path, whole[:end]))
    rng = np.random.default_rng(0)
    for _ in range(400):
        changed = bytearray(whole)
        changed[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        try:
            truths.read(_written(tmp_path, bytes(changed)))
        except BadTruth:
            continue


def test_a_pickle_far_too_large_is_not_read(monkeypatch: pytest.MonkeyPatch, gnd: Path) -> None:
    monkeypatch.setattr(sys.modules["lookalike.evaluate.truth.pickled"], "_LARGEST", 100)
    assert "larger than" in refusal(gnd)


def _of(change: Callable[[dict[str, Any]], Any]) -> Any:
    value = contents()
    changed = change(value)
    return value if changed is None else changed


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda it: [it], "expected a dictionary with `imlist`, a list of texts"),
        (lambda it: it.pop("qimlist") and None, "expected a dictionary with `qimlist`"),
        (lambda it: it.update(imlist=["a", 1]), "`imlist`, a list of texts"),
        (lambda it: it.update(gnd=[1, 2]), "`gnd`, a list of dictionaries"),
        (lambda it: it["gnd"].pop() and None, "`qimlist` has 2 queries, `gnd` has 1"),
        (lambda it: it.update(qimlist=[], gnd=[]), "it has no queries"),
        (lambda it: it["gnd"][0].update(easy=[6]), "`easy` has the position 6, `imlist` has 6"),
        (lambda it: it["gnd"][0].update(junk=[-1]), "`junk` has the position -1"),
        (lambda it: it["gnd"][0].update(junk=[True]), "`junk` must be a list of whole numbers"),
        (lambda it: it["gnd"][0].update(junk="ab"), "`junk` must be a list of whole numbers"),
        (lambda it: it["gnd"][0].pop("hard") and None, "`hard` must be a list of whole numbers"),
        (lambda it: it["gnd"][0].update(junk=[0]), "`all_souls_000000` is 2 times in easy, hard"),
        (lambda it: it["gnd"][1].update(hard=[]), "nothing is easy or hard"),
        (lambda it: it["gnd"][1].update(bbx=[1, 2]), "2 numbers, where a box has 4"),
        (lambda it: it["gnd"][1].update(bbx=[1, 2, 1, 5]), "the box 1 2 1 5 has no area"),
        (lambda it: it["gnd"][1].update(bbx=5), "query 2 (`all_souls_000007`): "),
        (lambda it: it["gnd"][1].update(bbx=[10**400, 0, 1, 1]), "query 2 (`all_souls_000007`): "),
        (lambda it: it["imlist"].append("all_souls_000000"), "`all_souls_000000` is 2 times in `i"),
        (lambda it: it.update(qimlist=["a\ud800", "a\ud800"]), "`a?` is 2 times in `qimlist`"),
    ],
)
def test_contents_that_make_no_sense_are_told(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any], problem: str
) -> None:
    assert problem in refusal(dumped(tmp_path / "gnd.pkl", _of(change), 4))


def test_all_that_is_wrong_in_a_pickle_is_told_at_once(tmp_path: Path) -> None:
    value = contents()
    for entry in value["gnd"]:
        entry["easy"] = entry["hard"] = []
    said = refusal(dumped(tmp_path / "gnd.pkl", value))
    assert "2 problems" in said
    assert "query 1 (`all_souls_000006`): nothing is easy or hard" in said
    assert "query 2 (`all_souls_000007`): nothing is easy or hard" in said
