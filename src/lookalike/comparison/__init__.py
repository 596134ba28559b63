"""Several recipes on one folder of pictures: how good, how fast, how big, and which to take.

compared = compare("caltech60", ["default", "sift-bovw"])
compared.verdict.sentence
"""

from __future__ import annotations

from .running import OnStep, check, compare
from .values import Against, Found, NotRun, RecipeComparison, RecipeResult, Verdict, WorstQuery

__all__ = [
    "Against",
    "Found",
    "NotRun",
    "OnStep",
    "RecipeComparison",
    "RecipeResult",
    "Verdict",
    "WorstQuery",
    "check",
    "compare",
]
