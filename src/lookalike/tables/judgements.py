"""What people have said of pairs, a line each."""

from __future__ import annotations

import csv
import sys
from typing import TYPE_CHECKING

from ..terminal import print_json, print_row

if TYPE_CHECKING:
    from ..collection import Collection


def show_judgements(collection: Collection, *, as_json: bool) -> None:
    """Every pair: by paths, or by the ids of pictures that are not stored now."""
    for said in collection.judgements():
        if as_json:
            print_json(said.to_json())
        else:
            verdict = "same" if said.same else "different"
            print_row(verdict, *(_name(collection, id) for id in (said.a, said.b)), said.judge)


def print_csv(collection: Collection) -> None:
    """The pairs that are the same, both ways, as `evaluate --truth` reads them."""
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(("query", "relevant"))
    for said in collection.judgements():
        if said.same and said.a in collection and said.b in collection:
            table.writerows(((said.a, said.b), (said.b, said.a)))


def _name(collection: Collection, id: str) -> str:
    record = collection.store.get(id)
    return id if record is None else record.path
