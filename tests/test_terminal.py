from __future__ import annotations

import sys

import pytest

from lookalike import terminal


def test_of_what_another_prints_the_first_sentences_are_messages_each_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with terminal.briefly("Ray"):
        sys.stdout.write("\x1b[33m(raylet)\x1b[0m A worker died. See:\n  File x\nError: y")
        sys.stdout.write("\x1b[33m(raylet)\x1b[0m A worker died. Another time.\n")
        sys.stdout.write("one \x1b]0;title\x07 line")
    sys.stdout.write("the result\n")
    said = capsys.readouterr()
    assert said.out == "the result\n"
    assert said.err.splitlines() == [
        "Ray: (raylet) A worker died",
        "Ray: one \\x1b]0;title\\x07 line",
    ]
