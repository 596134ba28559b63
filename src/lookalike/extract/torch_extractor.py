"""What extractors on torch have in common: weights are found late, and the network later still."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from . import torch_device, weights
from .preprocessing import Preprocessing
from .torch_device import Running


class Blueprint(Protocol):
    """What is known of a network before there are weights."""

    @property
    def preprocessing(self) -> Preprocessing:
        """How pictures are brought to the network's input."""
        ...

    @property
    def hub(self) -> weights.HubFile | None:
        """Where its weights are on the hub."""
        ...


_Blueprint = TypeVar("_Blueprint", bound=Blueprint)


class TorchExtractor(ABC, Generic[_Blueprint]):
    """Weights are found when the fingerprint is first asked for, and read when there is work.

    Safe to use from several threads; one thread a call on a CPU.
    """

    def __init__(self, options: Any, device: str) -> None:
        """`options`: has `model`, `weights` and `precision`."""
        self.options = options
        self._device = device
        torch_device.check_name(device)
        if device.startswith("cuda"):  # said before anything is made for it
            torch_device.place_here(device, options.model)
        self._lock = threading.RLock()

    @property
    def preprocessing(self) -> Preprocessing:
        """How pictures are brought to the network's input: as its library says."""
        return self._blueprint.preprocessing

    @property
    def shortest_side(self) -> int:
        """In pixels, of what a decoder may shrink a picture to."""
        return self.preprocessing.shortest_side

    @property
    def weights_file(self) -> Path:
        """Where the weights lie, fetched if need be; `WeightsMissing`."""
        with self._lock:
            return self._weights_file

    @property
    def device(self) -> str:
        """What it runs on, `cpu` or `cuda:N`."""
        return torch_device.place_here(self._device, self.options.model)

    @property
    def why(self) -> str:
        """Why it runs there, for a person."""
        return torch_device.why_there(self._device, self.device)

    @abstractmethod
    def _draw(self) -> _Blueprint:
        """Find out what is known without weights."""

    @abstractmethod
    def _network(self) -> Any:
        """The `torch.nn.Module` with its weights read."""

    @property
    def _called(self) -> str:
        """What a message calls the weights."""
        return str(self.options.model)

    @property
    def _blueprint(self) -> _Blueprint:
        with self._lock:
            return self._drawn

    @property
    def _running(self) -> Running:
        with self._lock:
            return self._loaded

    @cached_property
    def _drawn(self) -> _Blueprint:
        return self._draw()

    @cached_property
    def _weights_file(self) -> Path:
        return weights.find(self._called, self.options.weights, self._blueprint.hub)

    @cached_property
    def _loaded(self) -> Running:
        return Running(self._network(), self.device, self.options.precision)
