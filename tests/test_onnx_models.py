"""Any ONNX file with a TOML beside it: what it gives, and what is said of one that is no good."""

from __future__ import annotations

import re
import threading
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper
from samples import lookalike as run
from samples import photographs, write
from tiny_onnx import (
    CONTEXT,
    DESCRIPTION,
    DIM,
    EMBEDDINGS,
    IMAGENET,
    SIDE,
    WEIGHTS,
    WORDS,
    outputs_of,
    save,
    write_network,
    write_tokenizer,
    write_tower,
)

import lookalike
from lookalike import recipe
from lookalike.errors import (
    DeviceUnavailable,
    ModelMismatch,
    NoText,
    RecipeError,
    WeightsUnusable,
)
from lookalike.extract import TextEncoder
from lookalike.extract.onnx import OnnxExtractor, OnnxOptions
from lookalike.extract.preprocessing import Preprocessing
from lookalike.types import Picture, Vectors

PREPROCESSING = Preprocessing(SIDE, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
TOWER = """
[text]
kind = "tower"
model = "net.text.onnx"
tokenizer = "net.tokenizer.json"
context = 4
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the network is to be."""
    return tmp_path / "net.onnx"


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    return photographs()


def extractor(path: Path) -> OnnxExtractor:
    return OnnxExtractor(OnnxOptions(str(path)), "cpu")


def expected(pictures: list[Picture], output: str = "vector") -> Vectors:
    return np.asarray(outputs_of(PREPROCESSING.normalised(pictures))[output])


def described(output: str) -> str:
    return f"[input]\nsize = {SIDE}{IMAGENET}\n[output]\n{output}\n"


def problem(path: Path) -> str:
    with pytest.raises(RecipeError) as caught:
        extractor(path)
    return str(caught.value)


def gem(values: Any, p: float, axes: Any) -> Any:
    return (np.maximum(values.astype(float), 1e-6) ** p).mean(axis=axes) ** (1 / p)


@pytest.mark.parametrize(
    ("output", "name", "pool"),
    [
        ('name = "vector"', "vector", lambda v: v),
        ('name = "vector"\npooling = "none"\ndim = 5', "vector", lambda v: v),
        ('name = "map"\npooling = "average"', "map", lambda m: m.mean(axis=(2, 3))),
        ('name = "map"\npooling = "gem"', "map", lambda m: gem(m, 3, (2, 3))),
        ('name = "map"\npooling = "gem"\np = 4.5', "map", lambda m: gem(m, 4.5, (2, 3))),
        ('name = "tokens"\npooling = "average"', "tokens", lambda t: t.mean(axis=1)),
        ('name = "tokens"\npooling = "tokens-average"', "tokens", lambda t: t[:, 1:].mean(axis=1)),
        ('name = "tokens"\npooling = "cls"', "tokens", lambda t: t[:, 0]),
        ('name = "tokens"\npooling = "gem"\np = 1', "tokens", lambda t: gem(t, 1, 1)),
    ],
)
def test_each_pooling_gives_what_numpy_gives(
    path: Path, pictures: list[Picture], output: str, name: str, pool: Callable[[Any], Any]
) -> None:
    made = extractor(write_network(path, described(output)))
    vectors = made.extract(pictures)
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous
    assert made.dim == DIM
    wanted = pool(expected(pictures, name))
    np.testing.assert_allclose(vectors, wanted, rtol=1e-4, atol=1e-5)
    made = extractor(write_network(path, described(output + "\nnormalise = true")))
    wanted = wanted / np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(made.extract(pictures), wanted, rtol=1e-4, atol=1e-5)


def test_a_vector_of_zeros_stays_one_when_it_is_normalised(
    path: Path, pictures: list[Picture]
) -> None:
    text = described('name = "vector"\nnormalise = true')
    made = extractor(write_network(path, text, weights=0 * WEIGHTS))
    assert not made.extract(pictures).any()


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.FLOAT16])
@pytest.mark.parametrize("nhwc", [False, True])
def test_type_and_layout_come_from_the_graph(
    path: Path, pictures: list[Picture], kind: int, nhwc: bool
) -> None:
    shape = ("n", SIDE, SIDE, 3) if nhwc else ("n", 3, SIDE, SIDE)
    made = extractor(write_network(path, shape=shape, nhwc=nhwc, kind=kind))
    atol = 1e-5 if kind == TensorProto.FLOAT else 1e-2
    np.testing.assert_allclose(made.extract(pictures), expected(pictures), atol=atol)


@pytest.mark.parametrize("nhwc", [False, True])
def test_a_graph_that_takes_bytes_gets_the_pixels_as_they_are(
    path: Path, pictures: list[Picture], nhwc: bool
) -> None:
    shape = ("n", SIDE, SIDE, 3) if nhwc else ("n", 3, SIDE, SIDE)
    text = DESCRIPTION.replace(IMAGENET, "\n")
    write_network(path, text, shape=shape, nhwc=nhwc, kind=TensorProto.UINT8)
    squares = PREPROCESSING.squares(pictures).transpose(0, 3, 1, 2).astype(np.float32)
    wanted = outputs_of(squares)["vector"]
    np.testing.assert_allclose(extractor(path).extract(pictures), wanted, rtol=1e-4)


def test_a_layout_that_the_graph_leaves_open_is_as_told(
    path: Path, pictures: list[Picture]
) -> None:
    text = DESCRIPTION.replace("[output]", 'layout = "nhwc"\n[output]')
    write_network(path, text, shape=("n", "h", "w", "c"), nhwc=True)
    np.testing.assert_allclose(
        extractor(path).extract(pictures), expected(pictures), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("batch", [1, 4])
def test_a_fixed_batch_size_is_kept_to(path: Path, pictures: list[Picture], batch: int) -> None:
    made = extractor(write_network(path, shape=(batch, 3, SIDE, SIDE), outputs=["vector"]))
    assert len(pictures) % 4 != 0
    np.testing.assert_allclose(made.extract(pictures), expected(pictures), rtol=1e-4, atol=1e-5)
    assert made.extract([]).shape == (0, DIM)


def test_a_size_that_the_graph_fixes_need_not_be_told(path: Path) -> None:
    made = extractor(write_network(path, DESCRIPTION.replace(f"size = {SIDE}", "")))
    assert made.model.preprocessing.size == made.shortest_side == SIDE


def test_what_the_graph_does_not_say_is_believed_until_it_runs(
    path: Path, pictures: list[Picture]
) -> None:
    """A length, and even the number of axes, that only the description tells."""
    # `Squeeze` without axes takes those of length 1, which only the values tell.
    any_rank: dict[str, Any] = {
        "outputs": ["vector"],
        "output_shapes": {"vector": None},
        "last": "Squeeze",
    }
    assert "does not say how many axes vector has" in problem(write_network(path, **any_rank))
    text = described('name = "vector"\ndim = 5\npooling = "none"')
    made = extractor(write_network(path, text, **any_rank))
    np.testing.assert_allclose(made.extract(pictures), expected(pictures), rtol=1e-4, atol=1e-5)
    path.with_suffix(".toml").write_text(text.replace("dim = 5", "dim = 6"), "utf-8")
    with pytest.raises(RecipeError, match=re.escape("[6, 5] for 6 pictures, not [6, 6]")):
        extractor(path).extract(pictures)
    with pytest.raises(RecipeError, match=re.escape("[5] for 1 pictures, not [1, 6]")):
        extractor(path).extract(pictures[:1])


def test_the_fingerprint_is_that_of_all_a_vector_depends_on(path: Path) -> None:
    text = described('name = "tokens"\npooling = "average"')
    weights = write_network(path, text)
    first = extractor(weights).fingerprint
    assert extractor(weights).fingerprint == first
    seen = {first}
    for old, new in (
        ('"average"', '"cls"'),
        ('"average"', '"gem"'),
        ('"average"', '"gem"\np = 4'),
        ('"average"', '"average"\nnormalise = true'),
        ('"tokens"', '"map"'),
        ("0.485", "0.5"),
        (f"size = {SIDE}", f'size = {SIDE}\nresize = "crop"\ncrop = 0.9'),
    ):
        path.with_suffix(".toml").write_text(text.replace(old, new), "utf-8")
        seen.add(extractor(path).fingerprint)
    seen.add(extractor(write_network(path, text, weights=2 * WEIGHTS)).fingerprint)
    assert len(seen) == 9
    assert extractor(write_network(path, 'licence = "MIT"\n' + text)).fingerprint == first


def test_weights_beside_the_graph_are_loaded_and_part_of_the_fingerprint(
    path: Path, pictures: list[Picture]
) -> None:
    name = "weights of a name that is longer than one byte can count " + 90 * "x"
    made = extractor(write_network(path, outside=name))
    np.testing.assert_allclose(made.extract(pictures), expected(pictures), rtol=1e-4, atol=1e-5)
    beside = path.parent / name
    content = bytearray(beside.read_bytes())
    content[3] ^= 1
    beside.write_bytes(content)
    assert extractor(path).fingerprint != made.fingerprint
    beside.unlink()
    assert "has its weights in" in problem(path)
    assert "copy both" in problem(path)


def test_the_digest_in_the_description_is_held_to_when_it_is_loaded(
    path: Path, pictures: list[Picture]
) -> None:
    wrong = extractor(write_network(path, f'sha256 = "{64 * "0"}"\n' + DESCRIPTION))
    with pytest.raises(RecipeError, match=r"net\.onnx is damaged or another file"):
        wrong.extract(pictures)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[output]", "[outptu]", "there is no key 'outptu'; did you mean output?"),
        ("size", "sise", "net.toml, input: there is no key 'sise'; did you mean size?"),
        ("size = 8", 'size = "8"', "net.toml, input: size must be int, not '8'"),
        ("size = 8", "size = 9", "size is 9, but the graph has pictures (float [?, 3, 8, 8])"),
        ("size = 8", "size = 0", "size must be 1 or more, not 0"),
        ("size = 8", 'size = 8\nresize = "fit"', "resize must be one of 'squash', 'crop'"),
        ("size = 8", "size = 8\ncrop = 1.5", "crop must be over 0 and at most 1, not 1.5"),
        ("size = 8", 'size = 8\nname = "x"', "no input 'x'; there is pictures (float"),
        ("size = 8", 'size = 8\nlayout = "nhwc"', "layout is 'nhwc', but the graph takes"),
        ("std = [0.229, 0.224, 0.225]", "", "mean and std are missing"),
        ("[0.229, 0.224, 0.225]", "[0.229, 0.224]", "std must hold 3 values"),
        ("[0.229, 0.224, 0.225]", "[0.229, 0.224, 0]", "std must have no 0"),
        ("[0.229, 0.224, 0.225]", "0.2", "std must be an array, not 0.2"),
        ("[0.229, 0.224, 0.225]", '["a", 1, 1]', "std[0] must be float, not 'a'"),
        ('"vector"', '"vectors"', "no output 'vectors'; there are: vector (float [?, 5]), tokens"),
        ('name = "vector"', "", "net.onnx has several: vector (float [?, 5]), tokens"),
        ('"vector"', '"map"', "pooling is missing; for map (float [?, 5, 8, 8]) it is one of av"),
        ('"vector"', '"vector"\npooling = "cls"', "pooling is 'cls'; for vector (float [?, 5]) it"),
        ('"vector"', '"vector"\npooling = "max"', "pooling must be one of 'none', 'average'"),
        ('"vector"', '"vector"\ndim = 6', "dim is 6, but the graph has vector (float [?, 5])"),
        ('"vector"', '"vector"\np = 0', "p must be over 0, not 0"),
        ("[output]", "[output", "net.toml is not TOML"),
    ],
)
def test_a_wrong_description_is_refused_by_file_and_key(
    path: Path, old: str, new: str, said: str
) -> None:
    assert old in DESCRIPTION
    assert said in problem(write_network(path, DESCRIPTION.replace(old, new)))


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"shape": ("n", 1, SIDE, SIDE), "weights": WEIGHTS[:, :1]}, "1 channels; pictures have 3"),
        ({"shape": ("n", 3, SIDE, 16)}, "pictures are made square, but the graph has pictures"),
        ({"kind": TensorProto.DOUBLE}, "double [?, 3, 8, 8]); it must be one of uint8, float"),
        ({"output_shapes": {"vector": ["n", "d"]}, "shape": None}, "dim is missing, and vector"),
    ],
)
def test_a_graph_that_cannot_be_used_is_refused(path: Path, how: dict[str, Any], said: str) -> None:
    write_network(path, outputs=["vector"], **how)
    assert said in problem(path)


def test_several_inputs_are_refused(path: Path) -> None:
    tensor = helper.make_tensor_value_info
    inputs = [tensor(name, TensorProto.FLOAT, ["n", 3, 8, 8]) for name in ("a", "b")]
    node = helper.make_node("Add", ["a", "b"], ["sum"])
    graph = helper.make_graph([node], "two", inputs, [tensor("sum", TensorProto.FLOAT, None)])
    save(graph, path, DESCRIPTION)
    assert "has 2 inputs (a (float [?, 3, 8, 8]), b (" in problem(path)


@pytest.mark.parametrize("rank", [1, 5])
def test_an_output_that_is_no_vector_is_refused(path: Path, rank: int) -> None:
    shapes: dict[int, Any] = {1: ["n"], 5: ["n", 3, 2, 4, 8]}
    target = {1: [-1], 5: [-1, 3, 2, 4, 8]}[rank]
    tensor = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["pictures", "target"], ["out"])],
        "odd",
        [tensor("pictures", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [tensor("out", TensorProto.FLOAT, shapes[rank])],
        [helper.make_tensor("target", TensorProto.INT64, [len(target)], target)],
    )
    save(graph, path, DESCRIPTION.replace("vector", "out"))
    assert "take another output" in problem(path)


def test_a_file_that_is_not_there_or_not_onnx_is_refused(path: Path) -> None:
    assert f"cannot read the model {path}: No such file" in problem(path)
    content = write_network(path).read_bytes()
    for wrong, said in (
        (b"", "is empty"),
        (b"GIF89a" + bytes(100), "is not an ONNX model"),
        (content[: len(content) // 2], "is not an ONNX model"),
    ):
        path.write_bytes(wrong)
        assert f"{path} {said}" in problem(path)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.UINT8])
def test_without_a_description_one_is_given_that_works_as_it_stands(
    path: Path, pictures: list[Picture], kind: int
) -> None:
    for outputs in (["vector", "tokens", "map"], ["tokens"], ["map"]):
        path.with_suffix(".toml").unlink(missing_ok=True)
        said = problem(write_network(path, None, kind=kind, outputs=outputs))
        assert f"Write {path.with_suffix('.toml')} like this" in said
        text = said[said.index("[input]") :]
        assert tomllib.loads(text)["output"]["name"] == outputs[0]
        path.with_suffix(".toml").write_text(text, "utf-8")
        assert extractor(path).extract(pictures).shape == (len(pictures), DIM)


def test_values_that_are_no_numbers_are_an_error_that_names_the_model(
    path: Path, pictures: list[Picture]
) -> None:
    made = extractor(write_network(path, last="Sqrt", weights=-np.abs(WEIGHTS)))
    with pytest.raises(WeightsUnusable, match=r"net\.onnx gives values that are no numbers"):
        made.extract(pictures)


def test_a_model_that_is_made_for_cpus_says_so(path: Path) -> None:
    write_network(path, 'devices = ["cpu"]\n' + DESCRIPTION)
    with pytest.raises(DeviceUnavailable, match=r"its TOML says devices = \['cpu'\]"):
        OnnxExtractor(OnnxOptions(str(path)), "cuda")


def test_a_recipe_needs_the_whole_path() -> None:
    with pytest.raises(ValueError, match=r"model must be a whole path, as '.*/net\.onnx'"):
        OnnxOptions("net.onnx")


def test_many_threads_load_it_once_and_get_the_same(
    path: Path, pictures: list[Picture], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = extractor(write_network(path))
    loaded = []
    original = onnxruntime.InferenceSession

    def load(*given: Any, **options: Any) -> Any:
        loaded.append(threading.get_ident())
        return original(*given, **options)

    monkeypatch.setattr(onnxruntime, "InferenceSession", load)
    wanted = expected(pictures)
    with ThreadPoolExecutor(8) as threads:
        for vectors in threads.map(made.extract, [pictures] * 24):
            np.testing.assert_allclose(vectors, wanted, rtol=1e-4, atol=1e-5)
    assert len(loaded) == 1


# --- words


def with_tower(path: Path, more: str = "", **how: Any) -> Path:
    write_tower(path.with_suffix(".text.onnx"), **how)
    write_tokenizer(path.with_suffix(".tokenizer.json"))
    return write_network(path, DESCRIPTION + TOWER + more)


def of_words(*words: str, length: int = CONTEXT) -> Any:
    """The mean of the words' rows, with the padding's, at length 1."""
    numbers = [WORDS.get(word, WORDS["[unk]"]) for word in words][:length]
    rows = EMBEDDINGS[numbers + [0] * (length - len(numbers))]
    return rows.mean(axis=0) / np.linalg.norm(rows.mean(axis=0))


def test_words_become_vectors_of_length_1(path: Path) -> None:
    made = extractor(with_tower(path))
    assert isinstance(made, TextEncoder)
    assert made.reads_text
    texts = ["red bicycle at night", "red", "a bicycle", "", "red red red red red red bicycle"]
    vectors = made.encode_text(texts)
    assert vectors.shape == (len(texts), DIM)
    assert vectors.dtype == np.float32
    wanted = np.stack([of_words(*text.split()) for text in texts])
    np.testing.assert_allclose(vectors, wanted, atol=1e-6)
    assert made.encode_text([]).shape == (0, DIM)
    assert made.fingerprint == extractor(write_network(path)).fingerprint


def test_a_mask_tells_the_words_from_what_fills_up(path: Path) -> None:
    made = extractor(with_tower(path, 'ids = "ids"\nmask = "mask"\n', mask=True))
    (vector,) = made.encode_text(["red night"])
    rows = EMBEDDINGS[[WORDS["red"], WORDS["night"]]].sum(axis=0)
    np.testing.assert_allclose(vector, rows / np.linalg.norm(rows), atol=1e-6)


def test_a_model_without_words_says_so(path: Path) -> None:
    made = extractor(write_network(path))
    assert not made.reads_text
    with pytest.raises(NoText, match="the model net reads no text"):
        made.encode_text(["red"])


@pytest.mark.parametrize(
    ("old", "new", "how", "said"),
    [
        ("context = 4", "", {}, "net.toml, text: context is missing"),
        ("context = 4", "context = 5", {}, "context is 5, but the graph takes ids (int64 [?, 4])"),
        ("context = 4", "contxt = 4", {}, "did you mean context?"),
        ('"tower"', '"towr"', {}, "kind must be one of 'tower'"),
        ("net.text.onnx", "no.onnx", {}, "/no.onnx: No such file"),
        ("net.tokenizer.json", "no.json", {}, "/no.json: copy it there"),
        ("context = 4", 'context = 4\noutput = "x"', {}, "no output 'x'; there are: words (float"),
        ("context = 4", 'context = 4\nmask = "x"', {}, "no input 'x'; there are: ids (int64"),
        ("context = 4", "context = 4\npad = -1", {}, "pad must be 0 or more"),
        ("context = 4", "context = 4", {"mask": True}, "name ids, and mask if there is one"),
        ("context = 4", "context = 4", {"dim": 4}, "is not [n, 5], as the pictures' vectors are"),
    ],
)
def test_a_text_part_that_does_not_fit_is_refused(
    path: Path, old: str, new: str, how: dict[str, Any], said: str
) -> None:
    with_tower(path, **how)
    path.with_suffix(".toml").write_text(DESCRIPTION + TOWER.replace(old, new), "utf-8")
    assert said in problem(path)


def test_a_tokenizer_that_is_none_is_refused_by_name(path: Path) -> None:
    with_tower(path)
    path.with_suffix(".tokenizer.json").write_text("{}", "utf-8")
    with pytest.raises(RecipeError, match=r"net\.tokenizer\.json is not a tokenizer's file"):
        extractor(path).encode_text(["red"])


# --- end to end


def test_a_network_is_a_recipe_by_its_path(tmp_path: Path, path: Path) -> None:
    write_network(path)
    files = [write(tmp_path / "pictures" / f"{i}.png", i) for i in range(4)]
    folder = tmp_path / "collection"
    with lookalike.open(folder, recipe=f"onnx:{path}") as collection:
        assert collection.add(tmp_path / "pictures").stored == 4
        assert collection.search(files[2])[0].path == str(files[2])
    with lookalike.open(folder) as collection:
        assert collection.recipe == recipe.load(f"onnx:{path}")
        assert [each.name for each in collection.recipe.embeddings] == ["net"]
        assert collection.search(files[3])[0].path == str(files[3])
    write_network(path, weights=2 * WEIGHTS)
    with pytest.raises(ModelMismatch, match="made with another model: its `net` vectors"):
        lookalike.open(folder)
    path.unlink()
    with pytest.raises(RecipeError, match=re.escape(f"cannot read the model {path}")):
        lookalike.open(folder)


def test_from_a_shell_the_path_may_start_where_one_is(tmp_path: Path, path: Path) -> None:
    write(tmp_path / "pictures" / "1.png", 1)
    index = ("index", "pictures", "-c", "collection", "--recipe", "onnx:net.onnx")
    write_network(path, None)
    done = run(*index, cwd=tmp_path)
    assert done.returncode == 2
    assert "needs a description beside it" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "collection").exists()
    write_network(path)
    assert run(*index, cwd=tmp_path).returncode == 0
    done = run("search", path.parent / "pictures" / "1.png", "-c", tmp_path / "collection")
    assert "1.png" in done.stdout


@pytest.mark.parametrize("name", ["onnx:", "onnx:net", "onnx:net.toml", "onnx:a\nb.onnx"])
def test_what_is_no_path_of_a_network_is_refused(name: str) -> None:
    with pytest.raises(RecipeError, match=r"onnx"):
        recipe.load(name)


@pytest.mark.parametrize(
    ("name", "plain"),
    [("net", "net"), ("9 nets", "_9_nets"), ("vit-b.16", "vit_b_16"), ('q"ü', "q__")],
)
def test_an_embedding_is_named_after_the_file(tmp_path: Path, name: str, plain: str) -> None:
    read = recipe.load(f"onnx:{tmp_path / name}.onnx")
    assert read.name == name
    assert [each.name for each in read.embeddings] == [plain]
    assert read.embeddings[0].extractor.options.model == f"{tmp_path / name}.onnx"
