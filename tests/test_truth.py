from __future__ import annotations

import hashlib
import os
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from samples import DATA, needs_data, write

import lookalike
from lookalike.errors import BadTruth, LookalikeError, UnknownName
from lookalike.evaluate import truth as truths
from lookalike.evaluate.metrics import average_precision, mean, per_query, precision_at
from lookalike.evaluate.truth import Box, Resolved, ResolvedQuery, Truth
from lookalike.types import Place, Record


def records(*folders: Path) -> list[Record]:
    """What a collection of these folders holds: one record a content."""
    places: dict[str, list[Path]] = {}
    for folder in folders:
        for path in sorted(path for path in folder.rglob("*") if path.suffix in (".png", ".jpg")):
            places.setdefault(hashlib.sha256(path.read_bytes()).hexdigest(), []).append(path)
    found = []
    for id, paths in places.items():
        with Image.open(paths[0]) as image:
            size = image.size
        found.append(Record(id, "PNG", *size, 0, 0.0, tuple(Place(str(path)) for path in paths)))
    return found


def id_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pictures(folder: Path, *names: str, start: int = 0) -> Path:
    """Small real pictures of different content under these names."""
    for number, name in enumerate(names, start):
        write(folder / name, number)
    return folder


def resolved(path: Path, *collection: Path, queries: Path | None = None) -> Resolved:
    return truths.against(truths.read(path, queries=queries), records(*collection))


def query(resolved: Resolved, name: str) -> ResolvedQuery:
    """The query whose name ends so."""
    (found,) = [query for query in resolved.queries if query.name.endswith(name)]
    return found


def names_of(ids: Iterable[str], *folders: Path) -> list[str]:
    """The file names of these pictures."""
    return sorted(
        Path(place.path).name
        for record in records(*folders)
        if record.id in set(ids)
        for place in record.places
    )


def refusal(path: Path, **options: object) -> BadTruth:
    with pytest.raises(BadTruth) as caught:
        truths.read(path, **options)  # type: ignore[arg-type]
    return caught.value


def table(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(rows) + "\n", "utf-8")
    return path


# Class folders


CLASSES = ("ant/1.png", "ant/2.png", "cup/1.png", "cup/2.png", "cup/x/3.png")


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    return pictures(tmp_path / "set", *CLASSES)


def test_pictures_of_the_same_class_are_relevant_and_the_query_is_left_out(classes: Path) -> None:
    found = resolved(classes, classes)
    assert found.truth.layout == "class-folders"
    assert len(found.queries) == 5
    one = query(found, "cup/1.png")
    assert one.group == "cup"
    assert one.place == str(classes / "cup/1.png")
    ids = {
        name: id_of(classes / name)
        for name in ("cup/1.png", "ant/1.png", "cup/2.png", "cup/x/3.png")
    }
    answer = one.judge(list(ids.values()), [0.9, 0.8, 0.7, 0.6])
    assert answer.relevant.tolist() == [False, True, True]
    assert answer.total == 2
    np.testing.assert_allclose(answer.scores, [0.8, 0.7, 0.6])


def test_queries_of_a_class_share_the_names_that_are_relevant(classes: Path) -> None:
    truth = truths.read(classes)
    assert len({id(query.relevant) for query in truth.queries}) == 2
    found = truths.against(truth, records(classes))
    assert len({id(query.relevant) for query in found.queries}) == 2


def test_what_is_no_picture_plays_no_part_and_a_broken_picture_is_told(classes: Path) -> None:
    (classes / "cup/README.txt").write_text("cups")
    (classes / "cup/.hidden.png").write_bytes(b"")
    assert len(truths.read(classes).queries) == 5
    (classes / "cup/broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    truth = truths.read(classes)
    with pytest.raises(BadTruth, match=r"`.*cup/broken.png` is no picture of the collection"):
        truths.against(truth, records_of_whole(classes))


def records_of_whole(folder: Path) -> list[Record]:
    """Those that decode, as a collection has them."""
    return [
        Record(id_of(path), "PNG", 96, 72, 0, 0.0, (Place(str(path)),))
        for path in sorted(folder.rglob("*.png"))
        if path.name != "broken.png" and not path.name.startswith(".")
    ]


def test_a_collection_that_was_made_in_another_place_is_matched_by_the_ends_of_paths(
    classes: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "elsewhere"
    pictures(moved, *CLASSES)
    found = resolved(classes, moved)
    one = query(found, "cup/1.png")
    assert one.left_out == id_of(moved / "cup/1.png")
    assert names_of(one.relevant, moved) == ["1.png", "2.png", "3.png"]


def test_two_places_of_the_same_content_are_one_picture(classes: Path) -> None:
    (classes / "cup/copy.png").write_bytes((classes / "cup/1.png").read_bytes())
    found = resolved(classes, classes)
    for name in ("cup/1.png", "cup/copy.png"):
        one = query(found, name)
        assert one.judge([], []).total == 2
        # To find the query's own content at its other place is neither right nor wrong.
        assert len(one.judge([id_of(classes / "cup/1.png")], [1.0]).relevant) == 0
    assert query(found, "cup/2.png").judge([], []).total == 2
    assert "second names of the same relevant picture: 1" in found.notes[-1]


def test_a_class_of_one_picture_has_no_value_and_is_noted(classes: Path) -> None:
    write(classes / "bee/1.png", 99)
    found = resolved(classes, classes)
    assert np.isnan(average_precision(query(found, "bee/1.png").judge([], [])))
    assert any("to which nothing is relevant: 1" in note for note in found.notes)


def test_class_folders_may_have_their_queries_in_a_folder_of_their_own(
    classes: Path, tmp_path: Path
) -> None:
    asked = pictures(tmp_path / "test", "cup/9.png", start=50)
    (asked / "cup/same.png").write_bytes((classes / "cup/1.png").read_bytes())
    found = resolved(classes, classes, queries=asked)
    assert [each.place for each in found.queries] == [
        str(asked / "cup/9.png"),
        str(asked / "cup/same.png"),
    ]
    # The same content at another place is a picture of the collection, not the query itself.
    assert {each.left_out for each in found.queries} == {None}
    assert found.queries[1].judge([id_of(classes / "cup/1.png")], [1.0]).relevant.tolist() == [True]
    write(asked / "dog/1.png", 60)
    assert "has no class of this name" in str(refusal(classes, queries=asked))


def test_folders_that_are_no_classes_are_told(tmp_path: Path) -> None:
    one = pictures(tmp_path / "one", "jpg/1.png")
    assert "there is one class, `jpg`" in str(refusal(one))
    mixed = pictures(tmp_path / "mixed", "a/1.png", "b/2.png", "3.png")
    assert str(refusal(mixed)).endswith(f"{mixed}/3.png: a picture in no class folder")
    (tmp_path / "empty").mkdir()
    assert "none of the layouts" in str(refusal(tmp_path / "empty"))
    (tmp_path / "hollow/a").mkdir(parents=True)
    assert "no picture in it" in str(refusal(tmp_path / "hollow"))


@pytest.mark.skipif(os.name == "nt", reason="names of files are bytes elsewhere")
def test_a_name_that_is_not_utf_8_is_a_picture_like_others(classes: Path) -> None:
    odd = os.fsencode(classes / "cup") + b"/\xff.png"
    try:
        Path(os.fsdecode(odd)).write_bytes((write(classes.parent / "x.png", 70)).read_bytes())
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    truth = truths.read(classes)
    stored = [
        Record(
            id_of(Path(os.fsdecode(odd))),
            "PNG",
            9,
            9,
            0,
            0.0,
            (Place(Path(os.fsdecode(odd)).as_uri()),),
        ),
        *(each for each in records_of_whole(classes) if "\udcff" not in each.path),
    ]
    assert len(truths.against(truth, stored).queries) == 6


@needs_data
def test_caltech_is_read_as_classes() -> None:
    truth = truths.read(DATA / "caltech60")
    assert truth.layout == "class-folders"
    groups = {query.group for query in truth.queries}
    assert len(groups) == 60
    assert len(truth.queries) == len(list((DATA / "caltech60").glob("*/*.jpg")))
    # Forty sets of names, not one for each of more than two thousand queries.
    assert len({id(query.relevant) for query in truth.queries}) == 60


@needs_data
def test_a_real_collection_of_caltech_is_measured_from_truth_to_mean(tmp_path: Path) -> None:
    subset = tmp_path / "subset"
    for name in ("Faces", "airplanes", "dalmatian"):
        for path in sorted((DATA / "caltech60" / name).glob("*.jpg"))[:6]:
            target = subset / name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    with lookalike.open(tmp_path / "c", recipe="default") as collection:
        collection.add(subset)
        found = truths.against(truths.read(subset), collection)
        answers = []
        for one in found.queries:
            assert one.record is not None
            hits = collection.search(one.place, k=None)
            answers.append(one.judge([hit.id for hit in hits], [hit.score for hit in hits]))
    assert all(len(answer.relevant) == 17 and answer.total == 5 for answer in answers)
    first = mean(per_query(lambda answer: precision_at(answer, 1), answers))
    assert first.counted == 18
    assert first.value > 0.8  # a third by chance


# Tables


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    return pictures(tmp_path / "pictures", "a.png", "b.png", "c.png", "d.png", "sub/e.png")


def test_a_table_says_relevant_and_junk_in_rows_or_in_one_cell(flat: Path, tmp_path: Path) -> None:
    path = table(
        tmp_path / "truth.csv",
        "query,relevant,junk,group",
        "a.png,b.png; c.png,d.png,first",
        "b.png,a.png,,second",
        "b.png,sub/e.png,,",
    )
    found = resolved(path, flat)
    one, other = found.queries
    assert (one.name, one.group, other.group) == ("a.png", "first", "second")
    assert names_of(one.relevant, flat) == ["b.png", "c.png"]
    assert names_of(one.junk, flat) == ["d.png"]
    assert names_of(other.relevant, flat) == ["a.png", "e.png"]
    ids = [id_of(flat / name) for name in ("a.png", "d.png", "sub/e.png", "b.png")]
    answer = one.judge(ids, [4, 3, 2, 1])
    assert answer.relevant.tolist() == [False, True]  # itself and the junk take no rank
    assert average_precision(answer) == 0.25


def test_columns_may_stand_in_any_order_and_a_byte_order_mark_is_no_name(
    flat: Path, tmp_path: Path
) -> None:
    path = tmp_path / "truth.csv"
    path.write_bytes("\ufeffRelevant,Query\r\nb.png,a.png\r\n".encode())
    assert [each.name for each in resolved(path, flat).queries] == ["a.png"]


@pytest.mark.parametrize(
    "name",
    ["a.png", "a", "pictures/a.png", "pictures/a", "./pictures/a.png", "{flat}/a.png", "{id}"],
)
def test_a_picture_goes_by_its_file_its_path_or_its_id(
    flat: Path, tmp_path: Path, name: str
) -> None:
    given = name.format(flat=flat, id=id_of(flat / "a.png"))
    path = table(tmp_path / "truth.csv", "query,relevant", f"b.png,{given}")
    assert names_of(resolved(path, flat).queries[0].relevant, flat) == ["a.png"]


def test_a_name_with_spaces_commas_and_other_letters_is_one_name(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "p", "a, b.png", "größe 2.png")
    path = table(tmp_path / "truth.csv", "query,relevant", '"a, b.png",größe 2.png')
    assert names_of(resolved(path, folder).queries[0].relevant, folder) == ["größe 2.png"]


def test_a_name_that_may_be_several_pictures_is_told_with_its_line(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "p", "x/1.png", "y/1.png", "q.png", "one.png", "one.jpg")
    path = table(
        tmp_path / "truth.csv", "query,relevant", "q.png,1.png", "q.png,x/1.png", "q.png,one"
    )
    with pytest.raises(BadTruth) as caught:
        resolved(path, folder)
    first, second = caught.value.problems
    assert first == (
        f"{path}, line 2: `1.png` may be {folder}/x/1.png or {folder}/y/1.png: "
        "name more of its path"
    )
    assert f"line 4: `one` may be {folder}/one.jpg or {folder}/one.png" in second


def test_places_of_the_same_content_are_not_several_pictures(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "p", "x/1.png", "q.png")
    (folder / "y").mkdir()
    (folder / "y/1.png").write_bytes((folder / "x/1.png").read_bytes())
    path = table(tmp_path / "truth.csv", "query,relevant", "q.png,1.png")
    assert resolved(path, folder).queries[0].judge([], []).total == 1


def test_the_path_from_the_table_comes_before_the_end_of_another_path(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "p", "1.png", "sub/1.png", "q.png")
    path = table(folder / "truth.csv", "query,relevant", "q.png,1.png")
    found = resolved(path, folder).queries[0]
    assert found.relevant == {id_of(folder / "1.png")}


def test_a_query_that_is_relevant_to_itself_counts_and_else_is_left_out(
    flat: Path, tmp_path: Path
) -> None:
    path = table(tmp_path / "truth.csv", "query,relevant", "a.png,a.png;b.png", "b.png,a.png")
    with_itself, without = resolved(path, flat).queries
    ids, scores = [id_of(flat / "a.png"), id_of(flat / "b.png")], [2, 1]
    assert with_itself.judge(ids, scores).relevant.tolist() == [True, True]
    assert without.judge(ids, scores).relevant.tolist() == [True]


def test_a_copy_of_the_query_that_is_the_same_picture_is_left_out_and_noted(
    flat: Path, tmp_path: Path
) -> None:
    (flat / "same.png").write_bytes((flat / "a.png").read_bytes())
    path = table(tmp_path / "truth.csv", "query,relevant", "a.png,same.png;b.png")
    found = resolved(path, flat)
    assert found.queries[0].judge([], []).total == 1
    assert found.notes[0].startswith(f"{path}, line 2: `a.png` is the same picture as one relevant")


def test_queries_lie_beside_the_table_in_a_folder_of_their_own_or_in_the_collection(
    flat: Path, tmp_path: Path
) -> None:
    asked = pictures(tmp_path / "asked", "q1.png", "deep/q2.png", start=20)
    path = table(tmp_path / "t.csv", "query,relevant", "q1,a.png", "q2.png,b.png")
    found = resolved(path, flat, queries=asked)
    assert [each.place for each in found.queries] == [
        str(asked / "q1.png"),
        str(asked / "deep/q2.png"),
    ]
    assert {each.record for each in found.queries} == {None}
    beside = table(
        asked / "t.csv", "query,relevant", "q1.png,a.png", "deep/q2,b.png", "c.png,d.png"
    )
    found = resolved(beside, flat)
    assert [each.place for each in found.queries] == [
        str(asked / "q1.png"),
        str(asked / "deep/q2.png"),
        str(flat / "c.png"),
    ]
    assert [each.left_out for each in found.queries] == [None, None, id_of(flat / "c.png")]


def test_a_query_that_is_nowhere_is_told(flat: Path, tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", "query,relevant", "a.png,b.png", "lost.png,b.png")
    with pytest.raises(
        BadTruth, match=r"line 3: `lost.png` is neither a picture file nor one of the"
    ):
        resolved(path, flat)
    assert "line 3: there is no query `lost.png`" in str(refusal(path, queries=flat))
    twice = pictures(tmp_path / "twice", "x/a.png", "y/a.png", "lost.png")
    assert "line 2: the query `a.png` may be " in str(refusal(path, queries=twice))


@pytest.mark.parametrize("name", ["several.zip", "list.csv", "README"])
def test_a_query_that_is_a_file_but_no_picture_is_told(
    name: str, flat: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "several.zip", "w") as archive:
        for each in ("a.png", "b.png"):
            archive.write(flat / each, each)
    (tmp_path / "list.csv").write_text("path\na.png\nb.png\n")
    (tmp_path / "README").write_text("a.png\n")
    path = table(tmp_path / "t.csv", "query,relevant", f"{name},b.png")
    with pytest.raises(BadTruth, match=f"line 2: `{name}` is neither a picture file nor one of"):
        resolved(path, flat)


def test_query_pictures_that_nobody_names_are_noted(flat: Path, tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", "query,relevant", "a.png,b.png")
    (note,) = truths.read(path, queries=flat).notes
    assert note == f"{path}: not asked with: 4 pictures of {flat}"


def test_every_wrong_row_is_told_with_its_line(tmp_path: Path) -> None:
    path = table(
        tmp_path / "t.csv",
        "query,relevant,junk",
        "a,b,",
        "a,b,",
        "a,c",
        "a,c,d,e",
        "",
        ",b,",
        "e,,",
        "f,b,b",
        "g,,b",
        "h,i;j;i,",
    )
    refused = refusal(path)
    assert refused.problems == tuple(
        f"{path}, line {line}: {problem}"
        for line, problem in (
            (3, f"`b` again, as in {path}, line 2: leave one of them away"),
            (4, "columns: 2, where the heading has 3"),
            (5, "columns: 4, where the heading has 3"),
            (7, "it names no query"),
            (8, "nothing is relevant to `e` in this row"),
            (11, f"`i` again, as in {path}, line 11: leave one of them away"),
            (10, "nothing is relevant to `g`, in any row"),
            (9, f"`b` is junk to `f`, but relevant in {path}, line 9"),
        )
    )
    assert str(refused).startswith(f"cannot use the ground truth {path}, 8 problems:\n  {path}, ")


def test_of_many_problems_twenty_are_told_and_all_are_counted(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", "query,relevant", *["one"] * 1_234)
    refused = refusal(path)
    assert refused.count == 1_234
    assert len(refused.problems) == 21
    assert refused.problems[-1] == "and 1,214 more"
    assert f"{path}, 1,234 problems:" in str(refused)


def test_all_unknown_names_are_told_each_once_with_its_first_line(
    flat: Path, tmp_path: Path
) -> None:
    path = table(
        tmp_path / "t.csv", "query,relevant", "a.png,b.png;x.png", "b.png,y.png", "c.png,x.png"
    )
    with pytest.raises(BadTruth) as caught:
        resolved(path, flat)
    assert sorted(caught.value.problems) == [
        f"{path}, line 2: `x.png` is no picture of the collection",
        f"{path}, line 3: `y.png` is no picture of the collection",
    ]


def test_junk_that_is_not_stored_is_noted_as_it_changes_nothing(flat: Path, tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", "query,relevant,junk", "a.png,b.png,x.png;c.png")
    found = resolved(path, flat)
    assert found.notes == (f"{path}, line 2: `x.png`, which is junk, is not stored",)
    assert names_of(found.queries[0].junk, flat) == ["c.png"]


def test_the_same_picture_called_relevant_and_junk_under_two_names_is_relevant(
    flat: Path, tmp_path: Path
) -> None:
    (flat / "same.png").write_bytes((flat / "b.png").read_bytes())
    path = table(tmp_path / "t.csv", "query,relevant,junk", "a.png,b.png,same.png")
    one = resolved(path, flat).queries[0]
    assert one.junk == frozenset()
    assert one.judge([id_of(flat / "b.png")], [1]).relevant.tolist() == [True]


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (["query,relevent", "a,b"], "line 1: there is no column `relevent`; there are query, rel"),
        (["query,relevant,query", "a,b,a"], "line 1: the column `query` is there twice"),
        (["query,junk", "a,b"], "line 1: the column `relevant` is missing"),
        (["query,relevant", 'a,"b', "c,d"], "not CSV: unexpected end of data"),
        (["query,relevant", "a," + "b" * 200_000], "line 2: not CSV: field larger"),
        (["query,relevant"], "it names no query"),
        (["query,relevant,group", "a,b,x", "a,c,y"], "line 3: `a` is of the group `y`, but of `x`"),
    ],
)
def test_a_table_that_is_none_is_told_with_its_line(
    tmp_path: Path, rows: list[str], problem: str
) -> None:
    assert problem in str(refusal(table(tmp_path / "t.csv", *rows)))


def test_text_that_is_not_utf_8_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"query,relevant\na,b\nc,gr\xf6\xdfe\n")
    assert str(refusal(path)).endswith(f"{path}, line 3: not UTF-8 text: save the file so")
    path.write_bytes("query,relevant\na,b\n".encode("utf-16"))
    assert "line 1: not UTF-8" in str(refusal(path, layout="csv"))


def test_a_message_stays_on_its_lines_and_harms_no_terminal(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", "query,relevant", 'a,"x\n\x1b[2J"', 'a,"x\n\x1b[2J"')
    (problem,) = refusal(path).problems
    assert "`x??[2J` again" in problem


def test_paths_that_are_no_ground_truth_are_told(tmp_path: Path) -> None:
    assert "it does not exist" in str(refusal(tmp_path / "nowhere"))
    empty = table(tmp_path / "empty.csv")
    assert "none of the layouts" in str(refusal(empty))
    os.mkfifo(tmp_path / "pipe")
    assert "neither a file nor a folder" in str(refusal(tmp_path / "pipe"))
    picture = write(tmp_path / "a.png", 1)
    assert "none of the layouts" in str(refusal(picture))
    assert "the layout csv is a file" in str(refusal(tmp_path, layout="csv"))
    assert "the layout oxford is a folder" in str(refusal(empty, layout="oxford"))
    with pytest.raises(UnknownName, match="Did you mean holidays"):
        truths.read(tmp_path, layout="holiday")
    path = table(tmp_path / "t.csv", "query,relevant", "a,b")
    assert "is not a folder" in str(refusal(path, queries=empty))


def test_a_file_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", "query,relevant", "a,b")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    assert "Permission denied" in str(refusal(path))


# TREC


def test_judgements_of_trec_are_relevant_above_zero_and_junk_below(
    flat: Path, tmp_path: Path
) -> None:
    path = table(
        tmp_path / "qrels.txt",
        "a.png 0 b.png 2",
        "a.png 0 c.png 0",
        "",
        "a.png\t0\td.png\t-1",
        "b.png 0 a.png -2",
        "b.png Q0 e 1",
    )
    found = resolved(path, flat)
    assert found.truth.layout == "qrels"
    one, other = found.queries
    assert names_of(one.relevant, flat) == ["b.png"]
    assert names_of(one.junk, flat) == ["d.png"]
    ids = [id_of(flat / name) for name in ("d.png", "c.png", "b.png")]
    assert one.judge(ids, [3, 2, 1]).relevant.tolist() == [False, True]
    assert names_of(other.relevant, flat) == ["e.png"]


def test_a_trec_query_without_relevant_pictures_counts_in_pooled_measures_only(
    flat: Path, tmp_path: Path
) -> None:
    path = table(tmp_path / "qrels.txt", "a 0 b 1", "b 0 c 0")
    found = resolved(path, flat)
    answer = query(found, "b").judge([id_of(flat / "c.png")], [1])
    assert answer.total == 0
    assert answer.relevant.tolist() == [False]
    assert "to which nothing is relevant: 1" in found.notes[0]


def test_wrong_judgements_are_told_with_their_lines(tmp_path: Path) -> None:
    path = table(
        tmp_path / "qrels.txt", "a 0 b 1", "a 0 b 1", "a 0 c", "a 0 c yes", "a 0 d 1", "a 0 d 0"
    )
    assert [problem.partition(": ")[0] for problem in refusal(path).problems] == [
        f"{path}, line {line}" for line in (2, 3, 4, 6)
    ]


# DISC21


def test_an_empty_reference_is_a_query_without_a_copy(tmp_path: Path) -> None:
    stored = pictures(tmp_path / "references", "R000001.png", "R000002.png")
    asked = pictures(tmp_path / "queries", "Q00001.png", "Q00002.png", start=10)
    path = table(tmp_path / "gt.csv", "query_id,reference_id", "Q00001,R000002", "Q00002,")
    found = resolved(path, stored, queries=asked)
    assert found.truth.layout == "disc21"
    assert found.truth.protocol.measures == ("micro_ap", "recall_at_p90")
    copied, other = found.queries
    assert copied.relevant == {id_of(stored / "R000002.png")}
    answer = other.judge([id_of(stored / "R000001.png")], [0.5])
    assert (answer.total, answer.relevant.tolist()) == (0, [False])


def test_disc21_without_a_heading_asks_with_all_pictures_as_the_challenge_does(
    tmp_path: Path,
) -> None:
    stored = pictures(tmp_path / "references", "R000001.png", "R000002.png")
    asked = pictures(tmp_path / "queries", "Q00001.png", "Q00002.png", start=10)
    path = table(tmp_path / "gt.csv", "Q00001,R000002")
    found = resolved(path, stored, queries=asked)
    assert [len(each.relevant) for each in found.queries] == [1, 0]
    assert found.notes[0] == (f"{path}: not named, asked as without a copy: 1 pictures of {asked}")
    # A table that names queries without copies is taken to name all.
    write(asked / "Q00003.png", 30)
    table(path, "query_id,reference_id", "Q00001,R000002", "Q00002,")
    found = resolved(path, stored, queries=asked)
    assert len(found.queries) == 2
    assert "not asked with: 1 pictures of" in found.notes[0]


def test_a_copy_set_may_say_the_edit_of_each_query(tmp_path: Path) -> None:
    path = table(
        tmp_path / "gt.csv", "query_id,reference_id,group", "q1,r1,crop 10%", "q2,,", "q3,r1,flip"
    )
    truth = truths.read(path)
    assert [each.group for each in truth.queries] == ["crop 10%", None, "flip"]
    assert [each.itself for each in truth.queries] == [None] * 3


def test_contradictions_of_a_copy_set_are_told(tmp_path: Path) -> None:
    path = table(
        tmp_path / "gt.csv", "query_id,reference_id", "q1,r1", "q1,", "q2,", "q2,", ",r1", "q3"
    )
    texts = "\n".join(refusal(path).problems)
    assert "line 3: `q1` has no copy here, but one in another row" in texts
    assert "line 5: `q2` again" in texts
    assert "line 6: it names no query" in texts
    assert "line 7: columns: 1" in texts


# Holidays, UKBench, Copydays


def test_holidays_ask_with_the_first_of_each_scene_and_leave_it_out(tmp_path: Path) -> None:
    folder = pictures(
        tmp_path / "jpg", "100000.png", "100001.png", "100002.png", "100100.png", "100101.png"
    )
    found = resolved(folder, folder)
    assert (found.truth.layout, found.truth.protocol.trapezoid) == ("holidays", True)
    assert [each.name for each in found.queries] == ["100000", "100100"]
    one = found.queries[0]
    assert names_of(one.relevant, folder) == ["100001.png", "100002.png"]
    ids = [id_of(folder / f"{name}.png") for name in (100000, 100001, 100100)]
    assert one.judge(ids, [3, 2, 1]).relevant.tolist() == [True, False]


def test_holidays_that_are_not_whole_are_told(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "jpg", "100001.png", "100200.png", "100300.png", "100301.png")
    texts = "\n".join(refusal(folder).problems)
    assert "the query 100000.jpg is missing" in texts
    assert "100200.png: no other picture is of its scene" in texts
    write(folder / "more/100301.png", 50)
    write(folder / "more/beach.png", 51)
    texts = "\n".join(refusal(folder).problems)
    assert f"more/100301.png: the same name as {folder}/100301.png" in texts
    assert "more/beach.png: not named six digits" in texts


def test_a_collection_without_part_of_a_set_is_told(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "jpg", "100000.png", "100001.png", "100100.png", "100101.png")
    truth = truths.read(folder)
    stored = [each for each in records(folder) if not each.path.endswith("100100.png")]
    with pytest.raises(BadTruth, match=r"100100.png` is no picture of the collection"):
        truths.against(truth, stored)


def test_ukbench_counts_the_query_among_its_four(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "full", *(f"ukbench{number:05}.png" for number in range(8)))
    found = resolved(folder, folder)
    assert found.truth.layout == "ukbench"
    assert found.truth.protocol.measures[0] == "n_s"
    assert len(found.queries) == 8
    one = query(found, "ukbench00005")
    assert names_of(one.relevant, folder) == [f"ukbench{number:05}.png" for number in range(4, 8)]
    ids = [id_of(folder / f"ukbench{number:05}.png") for number in (5, 4, 0, 6)]
    assert one.judge(ids, [4, 3, 2, 1]).relevant.tolist() == [True, True, False, True]
    (folder / "ukbench00006.png").unlink()
    assert "of ukbench00004 to 00007 there are only 3" in str(refusal(folder))


@pytest.fixture
def copydays(tmp_path: Path) -> Path:
    return pictures(
        tmp_path / "copydays",
        "original/200000.png",
        "original/200100.png",
        "strong/200001.png",
        "strong/200002.png",
        "crops/10/200000.png",
        "jpegqual/3/200100.png",
    )


def test_copydays_asks_for_originals_with_their_copies(copydays: Path) -> None:
    found = resolved(copydays, copydays / "original")
    assert found.truth.layout == "copydays"
    assert {(each.name, each.group) for each in found.queries} == {
        ("strong/200001", "strong"),
        ("strong/200002", "strong"),
        ("crops/10/200000", "crops/10"),
        ("jpegqual/3/200100", "jpegqual/3"),
    }
    assert query(found, "strong/200002").relevant == {id_of(copydays / "original/200000.png")}
    assert query(found, "jpegqual/3/200100").relevant == {id_of(copydays / "original/200100.png")}


def test_copies_that_were_indexed_with_the_originals_are_ignored(copydays: Path) -> None:
    found = resolved(copydays, copydays)
    one = query(found, "crops/10/200000")
    ids = [
        id_of(copydays / name)
        for name in ("crops/10/200000.png", "strong/200001.png", "original/200000.png")
    ]
    answer = one.judge(ids, [3, 2, 1])
    assert answer.relevant.tolist() == [True]
    assert average_precision(answer) == 1


def test_copydays_that_are_not_whole_are_told(copydays: Path) -> None:
    (copydays / "original/200100.png").unlink()
    write(copydays / "crops/10/crop.png", 60)
    write(copydays / "blurred/200000.png", 61)
    texts = "\n".join(refusal(copydays).problems)
    assert "jpegqual/3/200100.png: there is no original/200100.jpg of it" in texts
    assert "crops/10/crop.png: not named six digits" in texts
    assert "blurred/200000.png: not in original, strong, jpegqual, crops" in texts


@pytest.mark.parametrize("layout", ["holidays", "ukbench", "copydays"])
def test_a_set_that_has_its_queries_in_it_takes_no_other_folder(
    copydays: Path, layout: str
) -> None:
    assert "name no other" in str(refusal(copydays, queries=copydays, layout=layout))


# What all layouts share


def test_an_answer_has_no_picture_twice(classes: Path) -> None:
    one = resolved(classes, classes).queries[0]
    with pytest.raises(ValueError, match="a picture twice"):
        one.judge(["x", "x"], [2, 1])


def test_a_box_cuts_whole_pixels_and_never_nothing() -> None:
    pixels = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    np.testing.assert_array_equal(Box(1.2, 2.4, 3.0, 2.0).crop(pixels), pixels[2:4, 1:4])
    np.testing.assert_array_equal(Box(-3, -3, 100, 100).crop(pixels), pixels)
    np.testing.assert_array_equal(Box(7.9, 5.9, 0.05, 0.05).crop(pixels), pixels[5:, 7:])
    np.testing.assert_array_equal(Box(2, 2, 0.1, 0.1).crop(pixels), pixels[2:3, 2:3])


def test_every_refusal_is_an_error_for_users() -> None:
    error = BadTruth(Path("t.csv"), ["t.csv, line 3: why"])
    assert isinstance(error, LookalikeError)
    assert re.fullmatch(r"cannot use the ground truth t\.csv: t\.csv, line 3: why", str(error))


def test_a_truth_is_a_value(classes: Path) -> None:
    assert truths.read(classes) == truths.read(classes)
    assert isinstance(truths.read(classes), Truth)
