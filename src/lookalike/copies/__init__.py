"""A copy-detection set out of any folder: edited copies, and what each is a copy of.

`casting` chooses which pictures play which part, `maker` makes one picture's queries, `layout` is
how the set lies on disk.
"""

from __future__ import annotations

from .making import Made, OnProgress, Wish, make_copies

__all__ = ["Made", "OnProgress", "Wish", "make_copies"]
