from __future__ import annotations

import pytest

from lookalike import terminal


def test_of_what_another_prints_the_first_sentences_are_messages_each_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with terminal.briefly("Ray"):
        print("\x1b[33m(raylet)\x1b[0m A worker died. To troubleshoot:\n  File x\nValueError: y")
        print("\x1b[33m(raylet)\x1b[0m A worker died. Another time.\n")
        print("one \x1b]0;title\x07 line")
    print("the result")
    said = capsys.readouterr()
    assert said.out == "the result\n"
    assert said.err.splitlines() == [
        "Ray: (raylet) A worker died",
        "Ray: one \\x1b]0;title\\x07 line",
    ]
