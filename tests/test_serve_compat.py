"""The calls of replaced services, made with curl as their users make them."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import skimage
from PIL import Image
from samples import called
from scipy.spatial import distance as scipy_distance
from serving import service

import lookalike
from lookalike import Collection
from lookalike import recipe as recipes

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")

SAMPLES = Path(skimage.__file__).parent / "data"
NAMES = ("astronaut", "chelsea", "coffee", "coins", "motorcycle_left", "motorcycle_right", "page")
PROBLEM = "application/problem+json"
SCOPES = ("read", "write")


@contextmanager
def serving(
    collections: Mapping[str, Collection], *roots: Path, compat: bool = True, **more: Any
) -> Iterator[str]:
    """The address of a service that clients may name files in `roots` to."""
    with service(given=collections, root=roots, compat=compat, **more) as (client, _):
        yield str(client.base_url).rstrip("/")


def curl(*arguments: str | Path) -> tuple[int, Any]:
    """What curl prints, as JSON; and the status."""
    done = subprocess.run(
        ["curl", "-q", "-sS", "--noproxy", "*", "-w", "\n%{http_code} %{content_type}", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    body, _, last = done.stdout.rpartition("\n")
    status, _, kind = last.partition(" ")
    assert kind == (PROBLEM if int(status) >= 400 else "application/json")
    return int(status), json.loads(body)


def assert_refused(told: tuple[int, Any], status: int, *words: str) -> None:
    assert told[0] == status, told
    for word in words:
        assert word in told[1]["detail"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures, beside what is nobody's business."""
    folder = tmp_path_factory.mktemp("outside") / "root"
    (folder / "more").mkdir(parents=True)
    for name in NAMES:
        shutil.copy(SAMPLES / f"{name}.png", folder)
    for number in range(3):
        noise = np.random.default_rng(number).integers(0, 256, (60, 80, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / "more" / f"{number}.png")
    secret = folder.parent / "secret.png"
    Image.new("RGB", (40, 30), "red").save(secret)
    (folder / "way-out.png").symlink_to(secret)
    (folder / "loop.png").symlink_to(folder / "loop.png")
    (folder / "list.csv").write_text(f"path\n{secret}\n")
    (folder / "notes.txt").write_text("no picture")
    (folder / "broken.png").write_bytes((SAMPLES / "coins.png").read_bytes()[:2000])
    return folder


@pytest.fixture(scope="module")
def bag_of_words(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Iterator[Collection]:
    """A collection of what lies in the root itself, as the first service had it."""
    text = recipes.load("sift-bovw-lsh").text.replace("k = 1000", "k = 50")
    text = text.replace("probes = 8", 'probes = "all"')
    recipe = tmp_path_factory.mktemp("recipes") / "few-words.toml"
    recipe.write_text(text)
    folder = tmp_path_factory.mktemp("collections") / "words"
    with lookalike.open(folder, recipe=str(recipe)) as collection:
        collection.add(*(root / f"{name}.png" for name in NAMES))
        yield collection


@pytest.fixture(scope="module")
def url(bag_of_words: Collection, root: Path) -> Iterator[str]:
    with serving({"words": bag_of_words}, root) as url:
        yield url


class TestLSHashService:
    @pytest.mark.parametrize("kind", ["-F", "-d"])
    def test_answers_a_path_with_paths_the_nearest_first(
        self, url: str, root: Path, kind: str
    ) -> None:
        picture = root / "motorcycle_left.png"
        status, names = curl(kind, f"image={picture}", kind, "n=2", f"{url}/search")
        assert status == 200
        assert names == [str(picture), str(root / "motorcycle_right.png")]

    def test_answers_an_upload_in_the_same_way(self, url: str, root: Path) -> None:
        picture = root / "chelsea.png"
        by_path = curl("-F", f"image={picture}", f"{url}/search")
        assert curl("-F", f"image=@{picture}", f"{url}/search") == by_path
        assert by_path[1][0] == str(picture)

    def test_gives_all_that_there_are_unless_told_how_many(self, url: str, root: Path) -> None:
        answer = curl("-d", f"image={root}/coins.png", f"{url}/search")[1]
        assert sorted(answer) == sorted(str(root / f"{name}.png") for name in NAMES)

    @pytest.mark.parametrize(
        ("named", "by_scipy"),
        [
            ("Euclidean", "sqeuclidean"),
            ("true_euclidean", "euclidean"),
            ("cosine", "cosine"),
            ("l1norm", "cityblock"),
        ],
    )
    def test_orders_by_the_distance_that_lshash_calls_so(
        self, url: str, root: Path, bag_of_words: Collection, named: str, by_scipy: str
    ) -> None:
        query = bag_of_words.vector_of(root / "page.png")
        paths = [record.path for record in bag_of_words]
        every = np.concatenate([bag_of_words.vector(record.id) for record in bag_of_words])
        apart = scipy_distance.cdist(query.astype(float), every.astype(float), by_scipy)[0]
        expected = [paths[place] for place in np.argsort(apart)][:4]
        asked = ("-d", f"image={root}/page.png", "-d", "n=4", "-d", f"distance={named}")
        assert curl(*asked, f"{url}/search") == (200, expected)

    @pytest.mark.parametrize(
        ("fields", "status", "said"),
        [
            (("n=0",), 422, "n: "),
            (("n=many",), 422, "n: "),
            (("n=",), 422, "n: "),
            (("distance=far",), 400, "'far'"),
            (("distance=hamming",), 400, "hash keys"),
            (("limit=3",), 422, "limit"),
        ],
    )
    def test_says_which_field_is_wrong(
        self, url: str, root: Path, fields: tuple[str, ...], status: int, said: str
    ) -> None:
        asked = [part for field in fields for part in ("-d", field)]
        told = curl("-d", f"image={root}/coins.png", *asked, f"{url}/search")
        assert_refused(told, status, said)

    def test_needs_one_picture(self, url: str, root: Path) -> None:
        assert_refused(curl("-d", "n=2", f"{url}/search"), 422, "image")
        assert_refused(curl("-d", "image=", f"{url}/search"), 422, "image")
        assert_refused(curl("-F", f"picture=@{root}/page.png", f"{url}/search"), 422, "image")
        both = ("-F", f"image=@{root}/page.png", "-F", f"image={root}/page.png")
        assert_refused(curl(*both, f"{url}/search"), 422, "image")
        json_body = ("-H", "content-type: application/json", "-d", '{"image": "a.png"}')
        assert_refused(curl(*json_body, f"{url}/search"), 415, "a form")
        assert_refused(curl("-X", "POST", f"{url}/search"), 415, "a form")

    @pytest.mark.parametrize(
        "path",
        [
            "/etc/passwd",
            "{root}/../secret.png",
            "{root}/nothing/../../secret.png",
            "{root}/way-out.png",
            "{root}/loop.png",
            "{root}",
            "{root}/",
            "~/a.png",
            "file://{root}/page.png",
            "a\0b.png",
            "page.png",
            "{root}/" + "a" * 3000,
            "{root}-beside/page.png",
            "C:\\\\a.png",
        ],
    )
    def test_reads_nothing_outside_the_roots_by_whatever_name(
        self, url: str, root: Path, path: str
    ) -> None:
        given = path.format(root=root)
        answer = httpx.post(f"{url}/search", data={"image": given}, trust_env=False)
        assert answer.status_code in (400, 403), answer.text
        assert str(root.parent / "secret") not in answer.text.replace(given, "")

    def test_does_not_say_what_is_there_outside_the_roots(self, url: str, root: Path) -> None:
        there = curl("-d", f"image={root.parent}/secret.png", f"{url}/search")
        absent = curl("-d", f"image={root.parent}/absent.png", f"{url}/search")
        assert there[0] == absent[0] == 403
        assert there[1]["detail"].replace("secret", "absent") == absent[1]["detail"]

    @pytest.mark.parametrize("name", ["absent.png", "notes.txt", "broken.png"])
    def test_refuses_what_is_no_picture(self, url: str, root: Path, name: str) -> None:
        status, _ = curl("-d", f"image={root}/{name}", f"{url}/search")
        assert 400 <= status < 500

    def test_refuses_an_upload_that_is_no_picture(self, url: str, root: Path) -> None:
        for name in ("notes.txt", "broken.png"):
            status, _ = curl("-F", f"image=@{root}/{name}", f"{url}/search")
            assert status in (415, 422)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Iterator[str]:
    """Of a collection to which nothing is ever added."""
    with (
        lookalike.open(tmp_path_factory.mktemp("empty") / "c") as collection,
        serving({"c": collection}, root) as url,
    ):
        yield url


class TestClipServer:
    @pytest.fixture
    def collection(self, tmp_path: Path) -> Iterator[Collection]:
        with lookalike.open(tmp_path / "c") as collection:
            yield collection

    @pytest.fixture
    def url(self, collection: Collection, root: Path) -> Iterator[str]:
        with serving({"c": collection}, root) as url:
            yield url

    def test_adds_a_picture_and_a_folder_and_counts(self, url: str, root: Path) -> None:
        said = {"message": "Extracted features from images", "failed": 0}
        assert curl(f"{url}/stats") == (200, {"images": 0})
        one = curl(f"{url}/add?image={root}/page.png")
        assert one == (200, {**said, "added": 1, "skipped": 0})
        for added, skipped in ((3, 0), (0, 3)):
            folder = curl(f"{url}/add?image={root}/more")
            assert folder == (200, {**said, "added": added, "skipped": skipped})
        assert curl(f"{url}/stats") == (200, {"images": 4})

    def test_answers_with_paths_and_distances_the_nearest_first(
        self, url: str, root: Path, collection: Collection
    ) -> None:
        collection.add(*(root / f"{name}.png" for name in NAMES))
        query = root / "motorcycle_left.png"
        status, answer = curl(f"{url}/search?image={query}&limit=3")
        expected = collection.search(query, k=3)
        assert status == 200
        assert answer == {
            "results": [{"image": hit.path, "distance": round(hit.distance, 6)} for hit in expected]
        }
        assert answer["results"][1]["image"] == str(root / "motorcycle_right.png")
        assert len(curl(f"{url}/search?image={query}")[1]["results"]) == len(NAMES)

    def test_tells_what_comparators_say_without_another_order(
        self, url: str, root: Path, collection: Collection
    ) -> None:
        collection.add(*(root / f"{name}.png" for name in NAMES))
        plain = curl(f"{url}/search?image={root}/chelsea.png&limit=4")[1]["results"]
        asked = f"{url}/search?image={root}/chelsea.png&limit=4&compare=basic&compare=sift"
        results = curl(asked)[1]["results"]
        assert [each["image"] for each in results] == [each["image"] for each in plain]
        pair = collection.match(
            root / "chelsea.png", collection.meant(results[1]["image"]), compare=["basic", "sift"]
        )
        said = {name: float(text) for name, text in results[1]["compare"].items()}
        assert said == pytest.approx(dict(pair.scores), rel=1e-4)

    @pytest.mark.parametrize(
        ("asked", "status", "said"),
        [
            ("search", 422, "image"),
            ("search?image=", 422, "image"),
            ("search?image={root}/page.png&limit=0", 422, "limit"),
            ("search?image={root}/page.png&limit=ten", 422, "limit"),
            ("search?image={root}/page.png&lmit=1", 422, "lmit"),
            ("search?image={root}/page.png&compare=shift", 400, "sift"),
            ("search?image={root}/absent.png", 400, "absent.png"),
            ("search?image=/etc/passwd", 403, "--root"),
            ("search?image={root}/../secret.png", 403, "--root"),
            ("search?image=%00", 403, "--root"),
            ("add", 422, "image"),
            ("add?image={root}/more&limit=1", 422, "limit"),
            ("add?image={root}/..", 403, "--root"),
            ("add?image={root}/way-out.png", 403, "--root"),
            ("add?image={root}/notes.txt", 400, "picture"),
            ("add?image={root}/list.csv", 400, "picture"),
        ],
    )
    def test_refuses_in_words_and_adds_nothing(
        self, empty: str, root: Path, asked: str, status: int, said: str
    ) -> None:
        assert_refused(curl("--path-as-is", f"{empty}/{asked.format(root=root)}"), status, said)
        assert curl(f"{empty}/stats")[1] == {"images": 0}

    def test_a_link_in_a_folder_leads_nothing_in_from_outside(
        self, url: str, root: Path, collection: Collection
    ) -> None:
        assert curl(f"{url}/add?image={root}")[0] == 200
        within = [record.path for record in collection]
        assert str(root / "page.png") in within
        assert not any("way-out" in path or "secret" in path for path in within)

    def test_a_broken_picture_counts_as_failed(self, url: str, root: Path) -> None:
        assert curl(f"{url}/add?image={root}/broken.png")[1]["failed"] == 1

    @pytest.mark.parametrize(
        "header",
        [
            "Origin: https://elsewhere.example",
            "Origin: null",
            "Sec-Fetch-Site: cross-site",
            "Sec-Fetch-Site: same-site",
            "Host: rebound.example",
        ],
    )
    def test_no_page_of_another_site_can_add(self, empty: str, root: Path, header: str) -> None:
        status, _ = curl("-H", header, f"{empty}/add?image={root}/page.png")
        assert status in (403, 421)
        assert curl(f"{empty}/stats")[1] == {"images": 0}


@pytest.fixture(scope="module")
def three_ways(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Iterator[Collection]:
    """SIFT matched one by one, and two networks, of which only the names are true."""
    pytest.importorskip("onnx")
    from tiny_onnx import DIM, WEIGHTS, write_network

    folder = tmp_path_factory.mktemp("three-ways")
    networks = {
        "resnet50": write_network(folder / "resnet50.onnx"),
        "beit": write_network(folder / "beit_base.onnx", weights=WEIGHTS[::-1].copy()),
    }
    assert DIM == 5
    parts = [
        f'[embeddings.{name}.extractor]\nname = "onnx"\nmodel = "{path}"\n'
        f'[embeddings.{name}.index]\nname = "flat"\n'
        for name, path in networks.items()
    ]
    local = recipes.load("sift-mutual").text.partition("[local]")[2]
    recipe = folder / "three-ways.toml"
    recipe.write_text("\n".join((*parts, "[local]", local)))
    listed = folder / "dataset.csv"
    rows = [f"{root}/{name}.png,{100 + number}" for number, name in enumerate(NAMES)]
    listed.write_text("\n".join(("path,id", *rows)))
    with lookalike.open(folder / "c", recipe=str(recipe)) as collection:
        collection.add(listed)
        yield collection


@pytest.fixture(scope="module")
def three_ways_url(three_ways: Collection) -> Iterator[str]:
    with serving({"c": three_ways}) as url:
        yield url


class TestImageFinder:
    def test_sift_answers_the_three_ids_with_most_mutual_matches(
        self, three_ways_url: str, root: Path, three_ways: Collection
    ) -> None:
        query = root / "motorcycle_left.png"
        answer = curl(
            "-X", "POST", "-F", f"image=@{query}", f"{three_ways_url}/sift-similar-images"
        )
        counts = {
            record.metadata["id"]: three_ways.match(query, record, compare="mutual").scores[
                "mutual"
            ]
            for record in three_ways
        }
        assert answer == (200, sorted(counts, key=lambda each: -(counts[each] or 0))[:3])
        assert answer[1][0] == 100 + NAMES.index("motorcycle_left")

    @pytest.mark.parametrize("model", ["resnet50", "beit"])
    def test_each_network_answers_by_its_own_embedding(
        self, three_ways_url: str, root: Path, three_ways: Collection, model: str
    ) -> None:
        query = root / "coffee.png"
        status, ids = curl(
            "-X", "POST", "-F", f"image=@{query}", f"{three_ways_url}/{model}-similar-images"
        )
        asked = three_ways.vector_of(query, model)[0]
        near = {
            record.metadata["id"]: scipy_distance.cosine(
                asked, three_ways.vector(record.id, model)[0]
            )
            for record in three_ways
        }
        assert (status, ids) == (200, sorted(near, key=lambda each: near[each])[:3])

    @pytest.mark.parametrize("model", ["sift", "resnet50", "beit"])
    def test_refuses_what_is_no_picture(self, three_ways_url: str, root: Path, model: str) -> None:
        call = f"{three_ways_url}/{model}-similar-images"
        assert curl("-F", f"image=@{root}/broken.png", call)[0] == 422
        assert curl("-F", f"image=@{root}/notes.txt", call)[0] == 415
        assert_refused(curl("-F", f"image={root}/page.png", call), 422, "image")
        assert_refused(curl("-F", f"file=@{root}/page.png", call), 422, "file")
        more = ("-F", f"image=@{root}/page.png", "-F", "n=5")
        assert_refused(curl(*more, call), 422, "n: ")
        assert_refused(curl("-X", "POST", call), 415, "form")

    def test_says_what_is_lacking_where_nothing_answers(self, root: Path, tmp_path: Path) -> None:
        with (
            lookalike.open(tmp_path / "plain") as plain,
            serving({"plain": plain}) as url,
        ):
            for model, recipe in (
                ("sift", "sift-mutual"),
                ("resnet50", "resnet50"),
                ("beit", "beit-mutual"),
            ):
                call = f"{url}/{model}-similar-images"
                assert_refused(curl("-F", f"image=@{root}/page.png", call), 404, model, recipe)

    def test_an_id_is_ours_where_no_list_gave_one(self, root: Path, tmp_path: Path) -> None:
        with (
            lookalike.open(tmp_path / "c", recipe="sift-mutual") as collection,
            serving({"c": collection}) as url,
        ):
            collection.add(root / "page.png", root / "coins.png")
            picture = f"image=@{root}/page.png"
            status, ids = curl("-F", picture, f"{url}/sift-similar-images")
            assert status == 200
            assert ids[0] == collection.meant(str(root / "page.png")).id


def test_a_key_that_may_only_read_searches_and_adds_nothing(
    bag_of_words: Collection, root: Path, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    ring = [called("keys", "add", scope, "--file", keys, "--scope", scope) for scope in SCOPES]
    may = {scope: done.stdout.split()[-1] for scope, done in zip(SCOPES, ring, strict=True)}
    with serving({"words": bag_of_words}, root, api_key_file=keys) as url:
        search = ("-d", f"image={root}/page.png", "-d", "n=1", f"{url}/search")
        add = f"{url}/add?image={root}/page.png"
        for call in (search, (add,), (f"{url}/stats",)):
            assert curl(*call)[0] == 401
            assert curl("-H", "Authorization: Bearer no-such-key-at-all", *call)[0] == 401
        read, write = (("-H", f"Authorization: Bearer {may[scope]}") for scope in SCOPES)
        assert curl(*read, *search) == (200, [str(root / "page.png")])
        assert curl(*read, f"{url}/stats")[0] == 200
        assert curl(*read, add)[0] == 403
        assert curl(*write, add)[1]["skipped"] == 1


def test_the_recipe_in_the_docs_answers_all_three_calls() -> None:
    text = (Path(__file__).parents[1] / "docs" / "moving-over.md").read_text("utf-8")
    recipe = recipes.parse(text.partition("```toml\n")[2].partition("```")[0], "docs")
    assert [each.name for each in recipe.embeddings] == ["resnet50", "beit"]
    assert recipe.local.use.matching == "exhaustive"


def test_the_calls_are_marked_in_the_description_and_there_only_when_asked_for(
    bag_of_words: Collection,
) -> None:
    calls = {
        ("/search", "post"),
        ("/search", "get"),
        ("/add", "get"),
        ("/stats", "get"),
        ("/sift-similar-images", "post"),
        ("/resnet50-similar-images", "post"),
        ("/beit-similar-images", "post"),
    }
    for compat in (True, False):
        with serving({"words": bag_of_words}, compat=compat) as url:
            described = curl(f"{url}/openapi.json")[1]
            marked = {
                (path, method)
                for path, methods in described["paths"].items()
                for method, call in methods.items()
                if "compat" in call.get("tags", ())
            }
            assert marked == (calls if compat else set())
            answer = httpx.get(f"{url}/stats", trust_env=False)
            assert answer.status_code == (200 if compat else 404)
