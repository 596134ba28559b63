"""Groups of duplicates as a page to look through: one file, whose pictures are in it."""

from __future__ import annotations

import base64
from pathlib import Path

from ..collection import Collection
from ..duplicates import KINDS, Duplicates, Group, Kind, Member
from ..errors import PictureError
from ..quantities import written_bytes
from ..terminal import command
from . import writing
from .duplicates_styles import DUPLICATES
from .markup import Markup, element

SIGNED = '<meta name="generator" content="lookalike duplicates">'
"""By which a page is known to be one of these."""

_OPTION = "--html"
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_SIDE = 320
_PICTURES = 2_000
"""So many fit on a page that a browser still scrolls well: some 40 MB."""
_KINDS: dict[Kind, tuple[str, str]] = {
    "exact": ("exact", "the same content or pixels"),
    "copy": ("copies", "the same picture, edited"),
    "near": ("near", "the same scene, another moment"),
}


def check(path: Path) -> None:
    """`CannotWritePage` if `write` could not write there; before all the work."""
    writing.check(path, SIGNED, _OPTION)


def write(found: Duplicates, collection: Collection, path: Path) -> None:
    """Write the page; `CannotWritePage`. A picture that cannot be read is a box that says why."""
    writing.write(_page(found, collection), path, SIGNED, _OPTION)


def _page(found: Duplicates, collection: Collection) -> str:
    shown = _that_fit(found)
    name = Path(collection.address).name.removesuffix(".lookalike") or "collection"
    parts = [_heading(found, name), _choice(shown)]
    parts += [_group(group, collection) for group in shown]
    if len(shown) < len(found.groups):
        more = f"{len(found.groups) - len(shown):,} smaller groups did not fit on this page."
        parts.append(element("p", f"{more} --json has them all.", class_="faint"))
    if not found.groups:
        parts.append(element("p", "Nothing shows the same as anything else.", class_="faint"))
    title = element("title", f"Duplicates in {name}")
    policy = element("meta", http_equiv="Content-Security-Policy", content=_POLICY)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{SIGNED}\n{policy}\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"{title}\n<style>{DUPLICATES}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def _that_fit(found: Duplicates) -> list[Group]:
    shown: list[Group] = []
    pictures = 0
    for group in found.groups:
        pictures += 1 + len(group.others)
        if shown and pictures > _PICTURES:
            break
        shown.append(group)
    return shown


def _heading(found: Duplicates, name: str) -> Markup:
    count = len(found.groups)
    if count:
        groups = f"{count:,} group{'' if count == 1 else 's'} of pictures that show the same"
        lead = f"{found.others:,} files could go, {written_bytes(found.size)}."
    else:
        groups, lead = "No duplicates", ""
    files = f"{found.pictures:,} pictures, {found.compared:,} pairs compared."
    return element(
        "header",
        element("p", f"Duplicates in {name}", class_="over"),
        element("h1", groups),
        element("p", f"{lead} {files} Nothing was moved or changed by this page.", class_="faint"),
    )


def _choice(groups: list[Group]) -> Markup:
    """Which kinds are shown: styles alone do it."""
    counts = {kind: sum(group.kind == kind for group in groups) for kind in KINDS}
    there = [kind for kind in KINDS if counts[kind]]
    if len(there) < 2:
        return Markup()
    chips = [_chip("all", f"all {len(groups):,}", checked=True)]
    chips += [_chip(kind, f"{_KINDS[kind][0]} {counts[kind]:,}") for kind in there]
    return element("nav", *chips)


def _chip(kind: str, text: str, *, checked: bool = False) -> Markup:
    attributes = {"checked": ""} if checked else {}
    radio = element("input", type="radio", name="kind", id=f"show-{kind}", **attributes)
    return element("label", radio, element("span", text))


def _group(group: Group, collection: Collection) -> Markup:
    what, meaning = _KINDS[group.kind]
    heading = element(
        "h2",
        element("span", what, class_=f"badge {group.kind}"),
        element("span", meaning),
        element("span", written_bytes(group.size), class_="size"),
    )
    kept = element(
        "div",
        element("p", "Keep", class_="word"),
        _figure(group.keep, collection),
        element("p", f"{group.why[:1].upper()}{group.why[1:]}.", class_="why"),
        class_="keep",
    )
    others = element("div", *(_other(each, group, collection) for each in group.others))
    inside = element("div", kept, others, class_="sides")
    return element("section", heading, inside, class_=group.kind)


def _other(member: Member, group: Group, collection: Collection) -> Markup:
    parts = [_figure(member, collection, badge=member.relation.kind)]
    if member.record.id != group.keep.record.id:
        ids = (member.record.id[:12], group.keep.record.id[:12])
        said = command("judge", *ids, "--different", "-c", collection.name_in_full)
        parts.append(element("details", element("summary", "Not the same?"), element("code", said)))
    return element("div", *parts, class_="other")


def _figure(member: Member, collection: Collection, badge: Kind | None = None) -> Markup:
    record, path = member.record, member.place.path
    folder, _, file = path.rpartition("/")
    facts = f"{record.width} x {record.height} · {written_bytes(member.size)} · {record.format}"
    marks = [element("span", badge, class_=f"badge {badge}")] if badge else []
    if member.relation.judged:
        marks.append(element("span", "you said so", class_="faint"))
    caption = element(
        "figcaption",
        *marks,
        element("b", file or path),
        element("span", facts, class_="faint"),
        element("span", folder, class_="faint folder"),
    )
    return element("figure", _image(member, collection), caption)


def _image(member: Member, collection: Collection) -> Markup:
    try:
        jpeg = collection.thumbnail(member.record.id, _SIDE)
    except PictureError as error:
        return element("div", error.reason, class_="none")
    data = base64.b64encode(jpeg).decode()
    return element(
        "img", alt=member.place.path, loading="lazy", src=f"data:image/jpeg;base64,{data}"
    )
