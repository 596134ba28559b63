"""Search by words, beside pictures, and by what hits are not to be like: all three faces."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from samples import DATA, called, lookalike, needs_data

import lookalike as package
from lookalike import Collection
from lookalike.errors import BadQuery, NoText, UnknownName
from lookalike.extract.onnx import OnnxExtractor, OnnxOptions
from lookalike.serve.server import Server
from lookalike.types import Vectors

CLASSES = ("electric_guitar", "umbrella", "dalmatian", "grand_piano", "wheelchair", "wrench")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    folder = tmp_path_factory.mktemp("words") / "c.lookalike"
    with package.open(folder) as opened:
        opened.add(*(DATA / "caltech60" / name for name in CLASSES))
        yield opened


def words(*texts: str) -> Vectors:
    """The network's own vectors of texts, float32 [n, dim]."""
    return OnnxExtractor(OnnxOptions("efficientnet-lite0-int8"), "cpu").encode_text(texts)


def unit(vector: Vectors) -> Vectors:
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


@needs_data
class TestFromPython:
    @pytest.mark.parametrize("name", CLASSES[:5])
    def test_words_find_what_they_name(self, made: Collection, name: str) -> None:
        hits = made.search(text=name.replace("_", " "), k=10)
        assert sum(hit.label == name for hit in hits) >= 7

    def test_the_score_is_the_cosine_of_words_and_picture(self, made: Collection) -> None:
        (vector,) = words("umbrella")
        for hit in made.search(text="umbrella", k=20):
            assert hit.score == pytest.approx(unit(made.vector(hit.id)[0]) @ vector, abs=1e-5)

    def test_words_beside_a_picture_count_by_their_weight(self, made: Collection) -> None:
        picture = made.vector(made.search(text="dalmatian", k=1)[0].id)
        for weight in (0.0, 0.3, 1.0):
            like = (1 - weight) * unit(picture) + weight * words("wheelchair")
            expected = made.search(unit(like), k=10)
            hits = made.search(picture, text="wheelchair", text_weight=weight, k=10)
            assert [hit.id for hit in hits] == [hit.id for hit in expected]

    def test_what_hits_are_not_to_be_like_is_taken_away(self, made: Collection) -> None:
        like, away = words("grand piano", "umbrella")
        hits = made.search(text="grand piano", unlike_text="umbrella", k=10)
        expected = made.search(unit(like - 0.5 * away), k=10)
        assert [hit.id for hit in hits] == [hit.id for hit in expected]
        umbrella = made.search(text="umbrella", k=1)[0].path
        before = [hit.label for hit in made.search(text="umbrella", k=30)]
        after = [hit.label for hit in made.search(text="umbrella", unlike=[umbrella], k=30)]
        assert after.count("umbrella") < before.count("umbrella")

    def test_several_texts_are_one_query(self, made: Collection) -> None:
        mean = words("umbrella", "wheelchair").mean(axis=0)
        hits = made.search(text=["umbrella", "wheelchair"], k=10)
        assert [hit.id for hit in hits] == [hit.id for hit in made.search(mean, k=10)]

    def test_many_pictures_may_each_be_asked_beside_words(self, made: Collection) -> None:
        folder = DATA / "caltech60" / "dalmatian"
        paths = sorted(folder.glob("*.jpg"))[:5]
        answers = list(made.search_many(paths, text="grand piano", text_weight=0.9, k=3))
        for path, answer in zip(paths, answers, strict=True):
            alone = made.search(path, text="grand piano", text_weight=0.9, k=3)
            assert [hit.id for hit in answer.hits] == [hit.id for hit in alone]

    def test_what_makes_no_sense_is_refused(self, made: Collection) -> None:
        for text in ("", "  ", ["cat", ""]):
            with pytest.raises(BadQuery, match="empty"):
                made.search(text=text, k=3)
        with pytest.raises(BadQuery, match="text_weight"):
            made.search(text="cat", text_weight=1.5)
        with pytest.raises(BadQuery, match="at least one picture, or text"):
            made.search(unlike_text="cat")
        with pytest.raises(UnknownName, match="default"):
            made.search(text="cat", embedding="defualt")


@pytest.fixture(scope="module")
def client(made: Collection) -> Iterator[httpx.Client]:
    server = Server({"c": made}, port=0)
    thread = threading.Thread(target=server.answer)
    thread.start()
    address = f"{server.url}/v1/collections/c"
    with httpx.Client(base_url=address, timeout=30, trust_env=False) as client:
        yield client
    server.stop()
    thread.join()


@needs_data
class TestOverHttp:
    def test_words_alone_come_in_a_form_or_as_json(
        self, made: Collection, client: httpx.Client
    ) -> None:
        expected = [hit.id for hit in made.search(text="umbrella", unlike_text="dog", k=5)]
        fields = {"text": "umbrella", "unlike_text": "dog", "k": 5}
        as_form = {name: (None, str(value)) for name, value in fields.items()}
        for response in (
            client.post("/search", json=fields),
            client.post("/search", files=as_form),
        ):
            assert response.status_code == 200, response.text
            assert [hit["id"] for hit in response.json()["hits"]] == expected

    def test_words_beside_pictures_and_pictures_not_to_be_like(
        self, made: Collection, client: httpx.Client
    ) -> None:
        umbrella, piano = (
            Path(made.search(text=text, k=1)[0].path).read_bytes()
            for text in ("umbrella", "grand piano")
        )
        response = client.post(
            "/search",
            files=[("image", ("a.jpg", umbrella)), ("unlike", ("b.jpg", piano))],
            data={"text": "wheelchair", "text_weight": "0.8", "k": "6"},
        )
        assert response.status_code == 200, response.text
        expected = made.search(umbrella, unlike=[piano], text="wheelchair", text_weight=0.8, k=6)
        assert [hit["id"] for hit in response.json()["hits"]] == [hit.id for hit in expected]

    @pytest.mark.parametrize(
        ("fields", "status"),
        [
            ({"text": " "}, 400),
            ({"text": "x" * 10_001}, 422),
            ({"text": "cat", "text_weight": 2}, 422),
            ({"text": "cat", "embedding": "nope"}, 400),
            ({"unlike_text": "cat"}, 422),
            ({"text": 5}, 422),
        ],
    )
    def test_what_makes_no_sense_is_a_problem(
        self, client: httpx.Client, fields: dict[str, object], status: int
    ) -> None:
        response = client.post("/search", json=fields)
        assert response.status_code == status, response.text
        assert response.headers["content-type"] == "application/problem+json"


@needs_data
class TestFromTheCommandLine:
    def test_words_are_asked_with_text_and_not(self, made: Collection) -> None:
        done = lookalike("search", "--text", "umbrella", "-c", made.path, "-k", "3", "--json")
        answer = json.loads(done.stdout)
        assert answer["query"] == "umbrella"
        assert [hit["label"] for hit in answer["hits"]] == ["umbrella"] * 3
        picture = answer["hits"][0]["path"]
        more = ("--not", picture, "--not", "wheelchair")
        done = called("search", "--text", "umbrella", *more, "-c", made.path, "--json")
        assert picture not in {hit["path"] for hit in json.loads(done.stdout)["hits"]}

    def test_a_recipe_that_reads_no_text_says_so(self, tmp_path: Path) -> None:
        text = (
            'name = "ready"\n[embeddings.v.extractor]\nname = "vectors"\ndim = 3\n'
            'made_by = "me"\n[embeddings.v.index]\nname = "flat"\n'
        )
        (tmp_path / "ready.toml").write_text(text)
        with package.open(tmp_path / "c", recipe=str(tmp_path / "ready.toml")) as opened:
            assert not opened.reads_text
            with pytest.raises(NoText, match="the recipe ready reads no text"):
                opened.search(text="cat")
        done = called("search", "--text", "cat", "-c", tmp_path / "c")
        assert done.returncode == 2
        assert "reads no text" in done.stderr
        assert "Traceback" not in done.stderr
