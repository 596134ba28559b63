"""A torch extractor as files that ONNX Runtime reads: the network, its TOML, and a text tower."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import int8
from .errors import CannotExport
from .extract import TextNetwork
from .extract.onnx_file import sha256_of
from .types import Picture

# Names that no node within a network has by chance.
PICTURES, TOKENS, VECTORS = "input_pictures", "input_tokens", "output_vectors"


def write(
    original: Any,
    made: Path,
    sample: Sequence[Picture],
    opset: int,
    on_step: Callable[[str], None],
) -> None:
    """All files of an extractor's network: `made`, which ends in `.onnx`, and those beside it.

    `sample`: what calibrates it in int8; none for float32. Raises `CannotExport`.
    """
    on_step("tracing the network")
    side = original.preprocessing.size
    noise = np.zeros((2, 3, side, side), np.float32)
    _trace(original.picture_network(), noise, made, (PICTURES, VECTORS), opset)
    if sample:
        on_step("narrowing it to int8")
        int8.quantise(made, PICTURES, original.preprocessing.normalised(sample))
    if isinstance(original, TextNetwork):
        tokens = np.zeros((2, original.context), np.int64)
        tower, tokenizer = made.with_suffix(".text.onnx"), made.with_suffix(".tokenizer.json")
        _trace(original.text_network(), tokens, tower, (TOKENS, VECTORS), opset)
        tokenizer.write_text(original.tokenizer_json(), "utf-8")
    made.with_suffix(".toml").write_text(
        _description(original, made, narrowed=bool(sample)), "utf-8"
    )


def _trace(network: Any, sample: Any, path: Path, names: tuple[str, str], opset: int) -> None:
    """Write a torch module as ONNX, its weights inside; any number of inputs at once."""
    import torch

    given, result = names
    try:
        with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
            warnings.simplefilter("ignore")  # the exporter's own, on what it will do one day
            program = torch.onnx.export(
                network,
                (torch.from_numpy(sample),),
                path,
                input_names=[given],
                output_names=[result],
                dynamic_shapes=({0: torch.export.Dim("n")},),
                opset_version=opset,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    except Exception as error:
        said = str(error).strip().partition("\n")[0]
        raise CannotExport(f"torch cannot write this network as ONNX: {said}") from error
    if (got := program.model.opset_imports[""]) != opset:
        raise CannotExport(f"torch cannot write this network with opset {opset}, but with {got}")


def _description(original: Any, made: Path, *, narrowed: bool) -> str:
    """The TOML, from which everything but the weights can be told."""
    way = original.preprocessing
    lines = [
        f"name = {json.dumps(made.stem, ensure_ascii=False)}",
        f'sha256 = "{sha256_of(made)}"',
        f"devices = {json.dumps(['cpu'] if narrowed else ['cuda', 'cpu'])}",
        "",
        "[input]",
        f'name = "{PICTURES}"',
        f"size = {way.size}",
        f'resize = "{way.resize}"',
        f"crop = {way.crop}",
        f'interpolation = "{way.interpolation}"',
        f"mean = {list(way.mean)}",
        f"std = {list(way.std)}",
        "",
        "[output]",
        f'name = "{VECTORS}"',
        f"dim = {original.dim}",
    ]
    if isinstance(original, TextNetwork):
        stem = json.dumps(made.stem, ensure_ascii=False)[:-1]
        lines += [
            "",
            "[text]",
            'kind = "tower"',
            f'model = {stem}.text.onnx"',
            f'tokenizer = {stem}.tokenizer.json"',
            f"context = {original.context}",
        ]
    return "\n".join(lines) + "\n"
