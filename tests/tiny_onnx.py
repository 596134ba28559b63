"""ONNX files of a few hundred bytes, made when they are tested, with what they compute in numpy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]

DIM = 5
SIDE = 8
WEIGHTS = np.random.default_rng(0).normal(size=(DIM, 3)).astype(np.float32)
WORDS = {"[pad]": 0, "[unk]": 1, "red": 2, "bicycle": 3, "at": 4, "night": 5}
EMBEDDINGS = np.random.default_rng(1).normal(size=(len(WORDS), DIM)).astype(np.float32)
CONTEXT = 4

IMAGENET = """
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]
"""
DESCRIPTION = f"""
[input]
size = {SIDE}{IMAGENET}
[output]
name = "vector"
"""


def outputs_of(values: Array) -> dict[str, Array]:
    """What the network of `write_network` gives. `values`: float [n, 3, h, w]."""
    maps = np.einsum("dc,nchw->ndhw", WEIGHTS, values)
    tokens = maps.reshape(*maps.shape[:2], -1).transpose(0, 2, 1)
    return {"map": maps, "tokens": tokens, "vector": maps.mean(axis=(2, 3))}


def write_network(
    path: Path,
    description: str | None = DESCRIPTION,
    *,
    shape: Any = ("n", 3, SIDE, SIDE),
    kind: int = TensorProto.FLOAT,
    nhwc: bool = False,
    outputs: Sequence[str] = ("vector", "tokens", "map"),
    output_shapes: dict[str, Any] | None = None,
    weights: Array = WEIGHTS,
    last: str = "Identity",
    outside: str | None = None,
) -> Path:
    """A 1x1 convolution: `map` [n, 5, h, w], the same as `tokens` [n, hw, 5], their mean `vector`.

    `last`: an operation on the vector. `outside`: the file beside it that is to hold the weights.
    """
    channels = weights.shape[1]
    nodes = [helper.make_node("Cast", ["pictures"], ["cast"], to=TensorProto.FLOAT)]
    turned = "cast"
    if nhwc:
        turned = "turned"
        nodes.append(helper.make_node("Transpose", ["cast"], [turned], perm=[0, 3, 1, 2]))
    nodes += [
        helper.make_node("Conv", [turned, "weights"], ["map"]),
        helper.make_node("Reshape", ["map", "flat"], ["flattened"]),
        helper.make_node("Transpose", ["flattened"], ["tokens"], perm=[0, 2, 1]),
        helper.make_node("ReduceMean", ["tokens", "first"], ["mean"], keepdims=0),
        helper.make_node(last, ["mean"], ["vector"]),
    ]
    batch = None if shape is None else shape[0]
    every: dict[str, Any] = {
        "vector": [batch, DIM],
        "tokens": [batch, SIDE * SIDE, DIM],
        "map": [batch, DIM, SIDE, SIDE],
    } | (output_shapes or {})
    tensor = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "tiny",
        [tensor("pictures", kind, shape)],
        [tensor(name, TensorProto.FLOAT, every[name]) for name in outputs],
        [
            numpy_helper.from_array(weights.reshape(DIM, channels, 1, 1), "weights"),
            numpy_helper.from_array(np.array([0, 0, -1]), "flat"),
            numpy_helper.from_array(np.array([1]), "first"),
        ],
    )
    return save(graph, path, description, outside)


def write_tower(path: Path, *, mask: bool = False, context: Any = CONTEXT, dim: int = DIM) -> Path:
    """Token numbers [n, context] -> the mean of their rows of `EMBEDDINGS`, [n, 5]."""
    tensor = helper.make_tensor_value_info
    inputs = [tensor("ids", TensorProto.INT64, ["n", context])]
    nodes = [helper.make_node("Gather", ["embeddings", "ids"], ["rows"])]
    rows = "rows"
    if mask:
        inputs.append(tensor("mask", TensorProto.INT64, ["n", context]))
        rows = "masked"
        nodes += [
            helper.make_node("Cast", ["mask"], ["float"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["float", "axis"], ["wide"]),
            helper.make_node("Mul", ["rows", "wide"], [rows]),
        ]
    nodes.append(helper.make_node("ReduceMean", [rows, "first"], ["words"], keepdims=0))
    graph = helper.make_graph(
        nodes,
        "tower",
        inputs,
        [tensor("words", TensorProto.FLOAT, ["n", dim])],
        [
            numpy_helper.from_array(EMBEDDINGS[:, :dim], "embeddings"),
            numpy_helper.from_array(np.array([1]), "first"),
            numpy_helper.from_array(np.array([2]), "axis"),
        ],
    )
    return save(graph, path)


def write_tokenizer(path: Path) -> Path:
    """Words between spaces, as `WORDS` numbers them."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel(WORDS, unk_token="[unk]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(path))
    return path


def save(
    graph: Any, path: Path, description: str | None = None, outside: str | None = None
) -> Path:
    """The graph as a file, its TOML beside it."""
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(
        model,
        path,
        save_as_external_data=outside is not None,
        location=outside,
        size_threshold=64,
    )
    if description is not None:
        path.with_suffix(".toml").write_text(description, "utf-8")
    return path
