"""A comparison of recipes as a page to look at: one file that needs no other, and no network."""

from __future__ import annotations

from .writing import check, write

__all__ = ["check", "write"]
