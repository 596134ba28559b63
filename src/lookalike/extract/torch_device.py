"""Where torch computes: the choice of a device, and a network that runs there."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Literal

import numpy as np

from ..errors import DeviceUnavailable, MissingPackage, UnknownName
from ..types import Vectors
from .weights import INSTALL

Precision = Literal["half", "full"]
"""`half`: float16 on a GPU, float32 on a CPU, which is slow at less; `full`: float32 on both."""


def required(package: Literal["torch", "timm", "open_clip"], wanted: str) -> Any:
    """The package, loaded; `MissingPackage` with the extra to install."""
    try:
        return import_module(package)
    except ImportError as error:
        raise MissingPackage(wanted, INSTALL) from error


def check_name(device: str) -> None:
    """`UnknownName` for what is no device at all; loads nothing."""
    name, _, number = device.partition(":")
    plain = number.isascii() and number.isdecimal()
    if name not in ("auto", "cpu", "cuda") or (":" in device and not (name == "cuda" and plain)):
        raise UnknownName("device", device, ("auto", "cpu", "cuda", "cuda:0"))


def place_for(device: str, *, cuda_build: bool, gpus: int) -> str:
    """`cpu` or `cuda:N` for a wanted device, `DeviceUnavailable` when that cannot be had.

    `cuda_build`: whether the installed torch is built for CUDA; `gpus`: how many it can use.
    """
    check_name(device)
    name, _, number = device.partition(":")
    if name == "cpu" or (name == "auto" and not gpus):
        return "cpu"
    if not cuda_build:
        raise DeviceUnavailable(
            f"{device!r} was asked for, but this torch is built without CUDA: install another, "
            "as https://pytorch.org/get-started/locally says"
        )
    if not gpus:
        raise DeviceUnavailable(
            f"{device!r} was asked for, but torch finds no GPU here: see that `nvidia-smi` lists "
            "one, and that the driver is new enough for the CUDA of this torch"
        )
    if int(number or 0) >= gpus:
        last = f"cuda:{gpus - 1}"
        raise DeviceUnavailable(f"{device!r} was asked for, but the last GPU here is {last!r}")
    return f"cuda:{int(number or 0)}"


def place_here(device: str, wanted: str) -> str:
    """The same for this machine; loads torch, on behalf of what is `wanted`."""
    torch = required("torch", wanted)
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return place_for(device, cuda_build=torch.version.cuda is not None, gpus=gpus)


def why_there(device: str, place: str) -> str:
    """Why it runs there, for a person."""
    if device != "auto":
        return f"as {device!r} was asked for"
    return "torch finds no GPU here" if place == "cpu" else "the first GPU that torch finds here"


class Running:
    """A network in its place. Safe to call from several threads at once."""

    def __init__(self, network: Any, place: str, precision: Precision) -> None:
        import torch

        self._torch = torch
        self._place = place
        self._half = precision == "half" and place != "cpu"
        if place == "cpu":
            # One thread a call, as callers run several calls at once. It holds for the process.
            torch.set_num_threads(1)
        network = network.eval().requires_grad_(False)
        self._network = (network.half() if self._half else network).to(place)

    def __call__(self, values: Any, part: str = "forward") -> Vectors:
        """An array of n inputs -> float32 [n, …]; `part` names a method of the network."""
        inputs = self._torch.from_numpy(values).to(self._place)
        if self._half and inputs.is_floating_point():
            inputs = inputs.half()
        with self._torch.inference_mode():
            output = getattr(self._network, part)(inputs)
        return np.ascontiguousarray(output.float().cpu().numpy())
