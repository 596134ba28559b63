"""The grammar of `--where`, read: what each filter means, and where a wrong one goes wrong."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from lookalike.errors import BadFilter
from lookalike.filters import All, Any, Comparison, Exists, Field, OneOf, Value, parse

LABEL = Field("label", "text")
SEASON = Field("season", "metadata")


def test_a_comparison_has_a_name_an_operator_and_a_value() -> None:
    assert parse("label=cat") == Comparison(LABEL, "=", Value("cat"))
    assert parse(" label  !=  cat ") == Comparison(LABEL, "!=", Value("cat"))


@pytest.mark.parametrize("operator", ["=", "!=", "<", "<=", ">", ">="])
def test_every_operator_is_read_with_and_without_blanks(operator: str) -> None:
    assert parse(f"width{operator}7") == parse(f"width {operator} 7")
    assert parse(f"width{operator}7") == Comparison(
        Field("width", "number"),
        operator,  # type: ignore[arg-type]
        Value("7", 7),
    )


def test_and_binds_tighter_than_or() -> None:
    a, b, c = (Comparison(Field(name, "metadata"), "=", Value("x")) for name in "abc")
    assert parse("a=x or b=x and c=x") == Any((a, All((b, c))))
    assert parse("(a=x or b=x) and c=x") == All((Any((a, b)), c))
    assert parse("a=x AND b=x Or c=x") == Any((All((a, b)), c))


def test_in_and_exists_are_read() -> None:
    assert parse("label in (cat, 'big dog')") == OneOf(LABEL, (Value("cat"), Value("big dog")))
    assert parse("season exists") == Exists(SEASON)


def test_a_name_that_is_not_ours_is_a_key_of_the_metadata() -> None:
    assert parse("season=dry") == Comparison(SEASON, "=", Value("dry"))
    assert parse("metadata.label=cat") == Comparison(Field("label", "metadata"), "=", Value("cat"))
    assert parse("'two words'=1") == parse('"two words" = 1')
    assert parse("größe exists") == Exists(Field("größe", "metadata"))


def test_a_bare_number_is_a_number_and_a_quoted_one_is_text() -> None:
    assert parse("season=7") == Comparison(SEASON, "=", Value("7", 7))
    assert parse("season='7'") == Comparison(SEASON, "=", Value("7"))
    assert parse("season=-1.5e3") == Comparison(SEASON, "=", Value("-1.5e3", -1500.0))
    assert parse("season=true") == Comparison(SEASON, "=", Value("true", None, truth=True))


def test_a_whole_number_keeps_all_its_digits() -> None:
    filter = parse("season=9007199254740993")
    assert isinstance(filter, Comparison)
    assert filter.value.number == 9007199254740993


def test_quotes_and_backslashes_are_escaped_by_a_backslash() -> None:
    assert parse(r'season="say \"no\" \\"') == Comparison(SEASON, "=", Value('say "no" \\'))
    assert parse(r"season='it\'s'") == Comparison(SEASON, "=", Value("it's"))


def test_a_date_is_the_start_of_its_day_in_utc() -> None:
    filter = parse("added >= 2026-01-31")
    assert isinstance(filter, Comparison)
    assert filter.value.number == datetime(2026, 1, 31, tzinfo=UTC).timestamp()
    assert parse("added > '2026-01-31T12:00:00+02:00'") == Comparison(
        Field("added", "time"),
        ">",
        Value("2026-01-31T12:00:00+02:00", datetime(2026, 1, 31, 10, tzinfo=UTC).timestamp()),
    )


@pytest.mark.parametrize(
    ("text", "position", "problem"),
    [
        ("", 0, "expected a name"),
        ("   ", 0, "expected a name"),
        ("label", 5, "expected one of"),
        ("label=", 6, "expected a value"),
        ("label==cat", 6, "expected a value"),
        ("label=cat dog", 10, "expected `and`, `or` or the end"),
        ("label='cat", 6, "neither a name"),
        ("label=cat and", 13, "expected a name"),
        ("(label=cat", 10, "expected `)`"),
        ("label in cat", 9, "expected `(`"),
        ("label in ()", 10, "expected a value"),
        ("width=wide", 6, "width is a number"),
        ("width=1e999", 6, "width is a number"),
        ("added=yesterday", 6, "added is a time"),
        ("= cat", 0, "expected a name"),
    ],
)
def test_a_wrong_filter_is_refused_with_the_place_where_it_goes_wrong(
    text: str, position: int, problem: str
) -> None:
    with pytest.raises(BadFilter) as caught:
        parse(text)
    first, *_, mark = str(caught.value).split("\n")
    assert problem in first
    assert f"at character {position + 1}:" in first
    assert mark == "  " + " " * position + "^"


def test_parentheses_nest_ten_deep_and_no_deeper() -> None:
    assert parse("(" * 10 + "a=1" + ")" * 10) == parse("a=1")
    with pytest.raises(BadFilter, match="nested too deeply"):
        parse("(" * 11 + "a=1" + ")" * 11)
    with pytest.raises(BadFilter, match="nested too deeply"):
        parse("(" * 100_000)


def test_too_many_conditions_are_refused_before_a_store_chokes_on_them() -> None:
    with pytest.raises(BadFilter, match="more than 500 conditions"):
        parse(" or ".join(["a=1"] * 501))
    many = parse(f"a in ({','.join(map(str, range(50_000)))})")
    assert isinstance(many, OneOf)
    assert len(many.values) == 50_000


def test_a_number_of_thousands_of_digits_is_no_error() -> None:
    assert parse(f"a={'9' * 10_000}") == Comparison(
        Field("a", "metadata"), "=", Value("9" * 10_000)
    )
