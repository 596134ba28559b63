"""Words through a network of their own, into the space of the pictures' vectors (CLIP's way).

Two more files beside a model: `NAME.text.onnx`, token numbers in and a vector out, and the
`tokenizer.json` of the `tokenizers` library.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..errors import RecipeError
from ..types import Vectors
from .onnx_file import Graph, Network, Providers, Tensor, graph_of, sha256_of
from .pooling import unit

_TOKEN_TYPES = {"int64": np.int64, "int32": np.int32}


@dataclass(frozen=True, slots=True)
class TowerOptions:
    """The keys of [text]."""

    model: str
    """The network's file; like the tokenizer's, by its place from where the TOML lies."""
    tokenizer: str
    context: int
    """How many tokens the network takes: a longer text is cut, a shorter one filled up."""
    kind: Literal["tower"] = "tower"
    ids: str | None = None
    """The input for the tokens' numbers, needed where there are two."""
    mask: str | None = None
    """The input that tells tokens (1) from what fills up (0), if the network has one."""
    output: str | None = None
    pad: int = 0
    """The number that fills up."""

    def __post_init__(self) -> None:
        if self.context < 1:
            raise ValueError(f"context must be 1 or more, not {self.context}")
        if self.pad < 0:
            raise ValueError(f"pad must be 0 or more, not {self.pad}")


class TextTower:
    """Encodes text. Safe to call from several threads; loaded when it is first used.

    Made with what [text] says, the `folder` of the files, and the `dim` of the pictures' vectors.
    `RecipeError` at once if the graph does not fit these.
    """

    def __init__(
        self, options: TowerOptions, folder: Path, dim: int, providers: Providers, device: str
    ) -> None:
        self._options = options
        self._tokens = folder / options.tokenizer
        self._dim = dim
        if not self._tokens.is_file():
            raise RecipeError(f"there is no tokenizer {self._tokens}: copy it there")
        path = folder / options.model
        graph = graph_of(path)
        self._ids = _input(graph, options, path)
        self._batch = self._ids.shape[0] if self._ids.shape else None
        self._output = _output(graph, options, path, dim)
        self._network = Network(path, sha256_of(path), providers, device)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """`texts`: n of them -> float32 [n, dim], each of length 1."""
        if not texts:
            return np.empty((0, self._dim), np.float32)
        kind = _TOKEN_TYPES[self._ids.type]
        encodings = self._tokenizer.encode_batch(list(texts))
        given = {self._ids.name: _array([each.ids for each in encodings], kind)}
        if self._options.mask:
            given[self._options.mask] = _array([each.attention_mask for each in encodings], kind)
        vectors = self._network.run(self._output, given, self._batch)
        return unit(np.ascontiguousarray(vectors, np.float32))

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        try:
            tokenizer = Tokenizer.from_file(str(self._tokens))
        except Exception as error:  # it raises nothing more exact
            raise RecipeError(f"{self._tokens} is not a tokenizer's file: {error}") from error
        context, pad = self._options.context, self._options.pad
        tokenizer.enable_truncation(context)
        tokenizer.enable_padding(length=context, pad_id=pad)
        return tokenizer


def _array(rows: Sequence[Sequence[int]], kind: Any) -> npt.NDArray[Any]:
    return np.array(rows, kind)


def _input(graph: Graph, options: TowerOptions, path: Path) -> Tensor:
    """The one for the tokens' numbers; there may be a second, for the mask, and no more."""
    listed = ", ".join(map(str, graph.inputs))
    names = {each.name for each in graph.inputs}
    for name in (options.ids, options.mask):
        if name is not None and name not in names:
            raise RecipeError(f"{path}: there is no input {name!r}; there are: {listed}")
    free = [each for each in graph.inputs if each.name != options.mask]
    if len(free) != 1 or options.ids not in (None, free[0].name):
        raise RecipeError(
            f"{path} takes {listed}: name ids, and mask if there is one; more cannot be used"
        )
    (tensor,) = free
    if tensor.type not in _TOKEN_TYPES:
        raise RecipeError(f"{path}: {tensor} does not take the numbers of tokens, int64 or int32")
    if len(tensor.shape) == 2 and tensor.shape[1] not in (None, options.context):
        raise RecipeError(f"{path}: context is {options.context}, but the graph takes {tensor}")
    return tensor


def _output(graph: Graph, options: TowerOptions, path: Path, dim: int) -> str:
    """The name of the one whose vectors are compared with those of the pictures."""
    listed = ", ".join(map(str, graph.outputs))
    if options.output is None and len(graph.outputs) > 1:
        raise RecipeError(f"{path} has several outputs, so output must name one of: {listed}")
    for each in graph.outputs:
        if options.output in (None, each.name):
            if len(each.shape) != 2 or each.shape[1] not in (None, dim):
                raise RecipeError(f"{path}: {each} is not [n, {dim}], as the pictures' vectors are")
            return each.name
    raise RecipeError(f"{path}: there is no output {options.output!r}; there are: {listed}")
