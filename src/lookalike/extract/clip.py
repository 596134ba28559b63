"""Any model of the library open_clip: pictures and words -> vectors that are compared directly."""

from __future__ import annotations

import difflib
import hashlib
import json
import tempfile
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..errors import MissingPackage, RecipeError, UnknownName, WeightsMissing
from ..types import Picture, Vectors
from . import torch_device, weights
from .clip_tokenizer import as_json
from .preprocessing import Interpolation, Preprocessing
from .torch_device import Precision
from .torch_extractor import TorchExtractor


@dataclass(frozen=True, slots=True)
class ClipOptions:
    """Which model and which of its weights."""

    model: str
    """A name that open_clip knows, `ViT-B-32`; or the path of a configuration, ending in .json."""
    pretrained: str = ""
    """The tag of a set of weights that open_clip knows: it sets the preprocessing as well."""
    weights: str = ""
    """A file, or a folder with one; empty for those that `pretrained` has on the hub."""
    precision: Precision = "half"

    def __post_init__(self) -> None:
        if not (self.pretrained or self.weights):
            raise ValueError("give pretrained (a tag that open_clip knows) or weights (a file)")


@dataclass(frozen=True, slots=True)
class Blueprint:
    """What is known of a model before there are weights."""

    config: dict[str, Any]
    """As open_clip keeps it: embed_dim, vision_cfg, text_cfg."""
    preprocessing: Preprocessing
    hub: weights.HubFile | None


class ClipExtractor(TorchExtractor[Blueprint]):
    """A model of open_clip. Its vectors have length 1; one thread a call on a CPU.

    Radford et al. 2021, arXiv:2103.00020. Weights are found when the fingerprint is first asked
    for, and read when a picture or a text comes.
    """

    Options: ClassVar = ClipOptions
    reads_text: ClassVar = True

    @property
    def dim(self) -> int:
        """The length of a vector."""
        return int(self._blueprint.config["embed_dim"])

    @property
    def context(self) -> int:
        """How many tokens of a text are read, with those for its start and its end."""
        return int(self._blueprint.config["text_cfg"].get("context_length", 77))

    @cached_property
    def fingerprint(self) -> str:
        """Hexadecimal sha256 over the weights and everything that is done with them."""
        config = json.dumps(self._blueprint.config, sort_keys=True)
        digest = weights.sha256(self.weights_file)
        made_of = (digest, config, self.preprocessing, self.options.precision)
        return hashlib.sha256(repr(made_of).encode()).hexdigest()

    def extract(self, pictures: Sequence[Picture]) -> Vectors:
        """`pictures`: n of them -> float32 [n, dim], of unit length."""
        if not pictures:
            return np.empty((0, self.dim), np.float32)
        return self._running(self.preprocessing.normalised(pictures), "pictures")

    def encode_text(self, texts: Sequence[str]) -> Vectors:
        """`texts`: n of them -> float32 [n, dim], unit length; beyond `context` is cut off."""
        if not texts:
            return np.empty((0, self.dim), np.float32)
        return self._running(self._tokens(list(texts)), "texts")

    def picture_network(self) -> Any:
        """A `torch.nn.Module`, ready to be exported: what `extract` gives, in float32, on the CPU.

        float32 [n, 3, size, size], normalised -> float32 [n, dim].
        """
        return self._network().pictures.eval().requires_grad_(False)

    def text_network(self) -> Any:
        """The same of `encode_text`: int64 [n, context] -> float32 [n, dim]."""
        return self._network().texts.eval().requires_grad_(False)

    def tokenizer_json(self) -> str:
        """What makes ids of text, as the library `tokenizers` reads it; padded to `context`.

        It agrees with open_clip on plain text. Before that, open_clip mends broken encodings and
        HTML entities (`ftfy`), which no tokenizer file can say.
        """
        return as_json(self._tokenizer, self.context, self.options.model)

    @property
    def _called(self) -> str:
        return f"{self.options.model} {self.options.pretrained}".strip()

    @property
    def _tokenizer(self) -> Any:
        with self._lock:
            return self._made_tokenizer

    @cached_property
    def _made_tokenizer(self) -> Any:
        return _tokenizer_of(self.options.model, self._blueprint.config["text_cfg"])

    def _tokens(self, texts: list[str]) -> Any:
        with self._lock:  # it keeps a cache of words
            return self._made_tokenizer(texts).numpy()

    def _draw(self) -> Blueprint:
        return _draw(self.options)

    def _network(self) -> Any:
        from .torch_networks import ClipNetwork

        path = self.weights_file
        model = _load(self._blueprint.config, path)
        weights.check_finite(model, path)
        return ClipNetwork(model)


def _draw(options: ClipOptions) -> Blueprint:
    open_clip = torch_device.required("open_clip", options.model)
    wanted: dict[str, Any]
    if options.model.endswith(".json"):
        config, wanted = _read_config(Path(options.model).expanduser())
    else:
        config, wanted = open_clip.get_model_config(options.model), {}
        if config is None:
            near = difflib.get_close_matches(options.model, open_clip.list_models(), 3, 0.5)
            raise UnknownName("model of open_clip", options.model, near or ("ViT-B-32", "RN50"))
    hub = None
    if options.pretrained:
        tags = open_clip.list_pretrained_tags_by_model(options.model)
        if options.pretrained not in tags:
            raise UnknownName(f"set of weights for {options.model}", options.pretrained, tags)
        wanted = open_clip.get_pretrained_cfg(options.model, options.pretrained)
        if wanted.get("quick_gelu"):  # trained with another activation than the configuration says
            config["quick_gelu"] = True
        hub = _hub_file(wanted.get("hf_hub", ""))
    return Blueprint(config, _preprocessing(options.model, config, wanted), hub)


def _read_config(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The model's and the preprocessing's part of a JSON file, as open_clip writes them."""
    try:
        table = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise RecipeError(f"cannot read the configuration {path}: {error}") from error
    config = table.get("model_cfg", table) if isinstance(table, dict) else {}
    for key in ("embed_dim", "vision_cfg", "text_cfg"):
        if key not in config:
            raise RecipeError(f"the configuration {path} lacks the key {key}")
    return config, table.get("preprocess_cfg", {})


def _hub_file(place: str) -> weights.HubFile | None:
    """`owner/name/` or `owner/name/file`, as open_clip writes it."""
    repo, _, name = place.rpartition("/")
    if not repo:
        return None
    safe = f"{name.rpartition('.')[0]}.safetensors"
    return weights.HubFile(repo, (safe, name) if name else weights.OPEN_CLIP_NAMES)


def _preprocessing(model: str, config: dict[str, Any], wanted: dict[str, Any]) -> Preprocessing:
    """`wanted`: mean, std, interpolation and resize_mode, where they are not those of CLIP."""
    from open_clip.transform import PreprocessCfg

    told = PreprocessCfg(**{key: wanted[key] for key in _TOLD if key in wanted})
    size = config["vision_cfg"].get("image_size", told.size)
    sides = {size} if isinstance(size, int) else set(size)
    if len(sides) != 1 or told.resize_mode not in ("shortest", "squash"):
        raise RecipeError(
            f"{model} takes pictures of {size} pixels, resized by {told.resize_mode!r}: only "
            "squares can be made here, by 'shortest' or 'squash'"
        )
    way: Interpolation = "linear" if told.interpolation == "bilinear" else "cubic"
    return Preprocessing(
        size=sides.pop(),
        resize="squash" if told.resize_mode == "squash" else "crop",
        interpolation=way,
        mean=tuple(told.mean),
        std=tuple(told.std),
    )


_TOLD = ("mean", "std", "interpolation", "resize_mode")


def _load(config: dict[str, Any], path: Path) -> Any:
    """The model with its weights, by open_clip's own loading, strict and of tensors only."""
    open_clip = torch_device.required("open_clip", str(path))
    from .torch_networks import Unfilled

    safe = path.suffix == ".safetensors"
    with tempfile.TemporaryDirectory() as folder, weights.explained(path), Unfilled():
        # A folder of its own is how open_clip takes a configuration without keeping its name.
        told = {"model_cfg": deepcopy(config), "preprocess_cfg": {}}
        (Path(folder) / "open_clip_config.json").write_text(json.dumps(told), "utf-8")
        name = weights.OPEN_CLIP_NAMES[0 if safe else 1]
        (Path(folder) / name).symlink_to(path.resolve())
        return open_clip.create_model(
            f"local-dir:{folder}", weights_only=True, require_pretrained=True
        )


def _tokenizer_of(model: str, config: dict[str, Any]) -> Any:
    open_clip = torch_device.required("open_clip", model)
    theirs = config.get("hf_tokenizer_name")
    try:
        if not model.endswith(".json"):
            return open_clip.get_tokenizer(model)
        told = {
            "context_length": config.get("context_length", 77),
            **config.get("tokenizer_kwargs", {}),
        }
        return (
            open_clip.HFTokenizer(theirs, **told) if theirs else open_clip.SimpleTokenizer(**told)
        )
    except ImportError as error:
        raise MissingPackage(
            f"the tokenizer of {model}", "pip install transformers sentencepiece"
        ) from error
    except OSError as error:
        raise WeightsMissing(
            f"the tokenizer of {model} is not on this machine and could not be fetched: on one "
            f"with internet, fetch https://huggingface.co/{theirs} and copy the hub's cache here"
        ) from error
