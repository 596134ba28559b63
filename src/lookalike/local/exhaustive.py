from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt


def votes(
    query: npt.NDArray[Any], stored: Iterable[tuple[int, npt.NDArray[Any]]]
) -> Iterator[tuple[int, float]]:
    for row, other in stored:
        if not len(other):
            continue
        p = query @ other.T
        a = p.argmax(1)
        b = p.argmax(0)
        yield row, float((b[a] == np.arange(len(a))).sum())
