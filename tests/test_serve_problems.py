"""What a client is told of what goes wrong where the pictures are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from lookalike import errors
from lookalike.serve import problems

WHERE = "es+https://inside.example:9200/photos"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.ClusterUnreachable(WHERE, "nothing listens there"), 503),
        (errors.ClusterRefuses(WHERE, "nothing listens there"), 503),
        (errors.ClusterUnwell(WHERE, "nothing listens there"), 503),
        (errors.ClusterUnsuited(WHERE, "nothing listens there"), 503),
        (errors.CannotStore(WHERE, "nothing listens there"), 503),
        (errors.ObjectStoreUnusable(WHERE, "nothing listens there"), 503),
        (errors.CannotWrite(Path("/inside.example/photos"), "nothing listens there"), 507),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_reason_is_told_and_not_the_place(error: errors.LookalikeError, status: int) -> None:
    told = problems.of_error(error)
    assert told["status"] == status
    assert "nothing listens there" in told["detail"]
    assert "inside.example" in str(error)
    assert "inside.example" not in told["detail"]
