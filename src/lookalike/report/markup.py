"""HTML and SVG as text: whatever comes from a user is escaped on its way in."""

from __future__ import annotations

import html


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def element(name: str, /, *inside: str, **attributes: str | float) -> Markup:
    """An element. What is inside is escaped unless it is markup; attributes always are.

    `class_` is `class`, and an underscore elsewhere a hyphen.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(_value(value))}"'
        for key, value in attributes.items()
    )
    if not inside and name not in _PAIRED:
        return Markup(f"<{name}{written}{'>' if name in _VOID else '/>'}")
    return Markup(f"<{name}{written}>{joined(*inside)}</{name}>")


def joined(*parts: str) -> Markup:
    """One after the other, what is not markup escaped."""
    return Markup("".join(part if isinstance(part, Markup) else escaped(part) for part in parts))


def escaped(text: str) -> Markup:
    """Text as it is to be read, without what no page may hold."""
    return Markup(html.escape(_plain(text)))


_VOID = frozenset(("img", "meta"))
_PAIRED = frozenset(("td", "th", "span", "div", "p"))
"""Elements that have an end also where nothing is inside."""


def _value(value: str | float) -> str:
    """Numbers with what a screen can show of them."""
    return _plain(value) if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")


def _plain(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
