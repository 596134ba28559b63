"""Any network of the library timm: pictures -> one vector each, or one at each position."""

from __future__ import annotations

import difflib
import hashlib
import inspect
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np

from ..errors import RecipeError, UnknownName
from ..types import LocalFeatures, Picture, Vectors
from . import torch_device, weights
from .preprocessing import Interpolation, Preprocessing
from .torch_device import Precision
from .torch_extractor import TorchExtractor


@dataclass(frozen=True, slots=True)
class TimmOptions:
    """Which network, and what of it."""

    model: str
    """A name that timm knows, best with its tag: `resnet50.tv_in1k`. It sets the preprocessing."""
    weights: str = ""
    """A file, or a folder with one; empty for those that timm fetches from its hub."""
    pooling: Literal["default", "average", "gem", "cls", "fc1"] = "default"
    """`default`: what the classifier would get; `average` and `gem`: over all positions; `cls`:
    the class token; `fc1`: the first fully connected layer of a VGG, after its ReLU."""
    p: float = 3.0
    """Of `gem`: 1 is the average of what is positive, infinity the maximum."""
    size: int = 0
    """Side of the network's input in pixels; 0 for the one that timm names."""
    precision: Precision = "half"

    def __post_init__(self) -> None:
        if not self.p > 0:
            raise ValueError(f"p must be above 0, not {self.p}")
        if self.size < 0:
            raise ValueError(f"size must be 0 or more, not {self.size}")


@dataclass(frozen=True, slots=True)
class Blueprint:
    """What is known of a network before there are weights."""

    dim: int
    preprocessing: Preprocessing
    hub: weights.HubFile | None
    arguments: dict[str, Any]
    """Further ones for `timm.create_model`."""


class TimmExtractor(TorchExtractor[Blueprint]):
    """A network of timm. Its vectors have length 1; one thread a call on a CPU.

    Weights are found when the fingerprint is first asked for, and read when a picture comes.
    """

    Options: ClassVar = TimmOptions

    @property
    def dim(self) -> int:
        """The length of a vector."""
        return self._blueprint.dim

    @cached_property
    def fingerprint(self) -> str:
        """Hexadecimal sha256 over the weights and everything that is done with them."""
        options, blueprint = self.options, self._blueprint
        digest, architecture = weights.sha256(self.weights_file), options.model.partition(".")[0]
        p = options.p if options.pooling == "gem" else None
        network = (digest, architecture, sorted(blueprint.arguments.items()))
        use = (blueprint.preprocessing, options.pooling, p, options.precision)
        return hashlib.sha256(repr((network, use)).encode()).hexdigest()

    def extract(self, pictures: Sequence[Picture]) -> Vectors:
        """`pictures`: n of them -> float32 [n, dim], of unit length (all zeros stay so)."""
        if not pictures:
            return np.empty((0, self.dim), np.float32)
        return self._running(self.preprocessing.normalised(pictures))

    def extract_local(self, pictures: Sequence[Picture]) -> list[LocalFeatures]:
        """What the network knows at each position, before any pooling, of each picture."""
        if not pictures:
            return []
        every = self._running(self.preprocessing.normalised(pictures), "positions")
        return [
            _placed(each, self.preprocessing.shown(picture))
            for picture, each in zip(pictures, every, strict=True)
        ]

    def picture_network(self) -> Any:
        """A `torch.nn.Module`, ready to be exported: what `extract` gives, in float32, on the CPU.

        float32 [n, 3, size, size], normalised -> float32 [n, dim].
        """
        return self._network().eval().requires_grad_(False)

    def _draw(self) -> Blueprint:
        return _draw(self.options)

    def _network(self) -> Any:
        from .torch_networks import TimmNetwork, Unfilled

        with Unfilled():
            model = _create(self.options.model, self._blueprint.arguments)
        path = self.weights_file
        tensors = weights.read(path)
        with weights.explained(path):
            tensors = _without_classifier(_in_todays_names(tensors, model), model)
            model.load_state_dict(tensors, strict=True)
        weights.check_finite(model, path)
        return TimmNetwork(model, self.options.pooling, self.options.p)


def _draw(options: TimmOptions) -> Blueprint:
    """Found out on torch's `meta` device, where a network takes neither time nor memory."""
    torch = torch_device.required("torch", options.model)
    _check_name(options.model)
    from .torch_networks import TimmNetwork

    with torch.device("meta"), torch.inference_mode():
        arguments: dict[str, Any] = {}
        model = _create(options.model, arguments)
        if options.size and model.pretrained_cfg.get("fixed_input_size"):
            arguments["img_size"] = options.size
            model = _create(options.model, arguments)
        preprocessing = _preprocessing(model, options)
        network = TimmNetwork(model.eval(), options.pooling, options.p)
        try:
            sample = torch.empty(1, 3, preprocessing.size, preprocessing.size)
            dim = network(sample).shape[1]
        except (ValueError, RuntimeError, AssertionError) as error:
            raise RecipeError(
                f"{options.model} with pooling {options.pooling!r} at {preprocessing.size} pixels "
                f"cannot be had: {error}"
            ) from error
    repo = model.pretrained_cfg.get("hf_hub_id")
    hub = weights.HubFile(repo, weights.TIMM_NAMES) if repo else None
    return Blueprint(dim, preprocessing, hub, arguments)


def _preprocessing(model: Any, options: TimmOptions) -> Preprocessing:
    config = model.pretrained_cfg
    size = options.size or config["input_size"][-1]
    way: Interpolation = "linear" if config["interpolation"] == "bilinear" else "cubic"
    return Preprocessing(
        size=size,
        resize="squash" if config.get("crop_mode") == "squash" else "crop",
        crop=config["crop_pct"],
        interpolation=way,
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
    )


def _create(name: str, arguments: dict[str, Any]) -> Any:
    """The network, its values not loaded yet."""
    timm = torch_device.required("timm", name)
    return timm.create_model(name, pretrained=False, num_classes=0, **arguments)


def _check_name(name: str) -> None:
    timm = torch_device.required("timm", name)
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        near = difflib.get_close_matches(architecture, timm.list_models(), n=3, cutoff=0.5)
        raise UnknownName("model of timm", name, near or ("resnet50", "vgg16"))
    tagged = [each for each in timm.list_pretrained(architecture + ".*") if "." in each]
    if tag and name not in tagged:
        raise UnknownName("set of weights of timm", name, tagged)


def _in_todays_names(tensors: dict[str, Any], model: Any) -> dict[str, Any]:
    """With the conversion that timm itself keeps beside each network for older checkpoints."""
    room = sys.modules[type(model).__module__]
    convert = getattr(room, "checkpoint_filter_fn", None) or getattr(room, "_filter_fn", None)
    if convert is None:
        return tensors
    both = len(inspect.signature(convert).parameters) > 1
    return dict(convert(tensors, model) if both else convert(tensors))


def _without_classifier(tensors: dict[str, Any], model: Any) -> dict[str, Any]:
    names = model.pretrained_cfg.get("classifier") or ()
    heads = tuple(f"{name}." for name in ([names] if isinstance(names, str) else names))
    return {name: value for name, value in tensors.items() if not name.startswith(heads)}


def _placed(descriptors: Vectors, shown: tuple[float, float, float, float]) -> LocalFeatures:
    """`descriptors`: [side * side, channels], by rows, over the part `shown` of the original."""
    left, top, width, height = shown
    side = round(len(descriptors) ** 0.5)
    rows, columns = np.divmod(np.arange(side * side), side)
    xy = np.stack([left + (columns + 0.5) * width / side, top + (rows + 0.5) * height / side], 1)
    return LocalFeatures(
        xy=xy.astype(np.float32),
        scale=np.full(len(xy), (width + height) / 2 / side, np.float32),
        angle=np.zeros(len(xy), np.float32),
        descriptors=np.ascontiguousarray(descriptors),
    )
