"""A collection as one file, and back: taken while it is used, proved when it is restored."""

from __future__ import annotations

from .making import Backup, back_up
from .restoring import Restored, restore

__all__ = ["Backup", "Restored", "back_up", "restore"]
