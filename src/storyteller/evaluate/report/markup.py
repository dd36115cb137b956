"""Markup that is escaped by construction: a string is text unless it is `Html` already."""

from __future__ import annotations

import html
import re

__all__ = ["Html", "join", "plain", "tag"]

_VOID = frozenset({"br", "col", "hr", "meta"})
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


class Html(str):
    """A piece of HTML or SVG that needs no escaping any more."""

    __slots__ = ()


def plain(text: str) -> str:
    """The text with the characters that neither HTML nor UTF-8 can hold replaced by U+FFFD, and one kind of line end."""
    return _UNPRINTABLE.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


def tag(name: str, /, *children: str | None, **attributes: str | int | float | bool | None) -> Html:
    """An element; children that are no `Html` are escaped, None is left out, and so are attributes of None or False.

    An attribute such as `class_` or `stroke_width` is written `class`, `stroke-width`; True stands for itself.
    """
    parts = []
    for key, value in attributes.items():
        key = key if key in ("viewBox", "preserveAspectRatio") else key.rstrip("_").replace("_", "-")
        if value is True:
            parts.append(f" {key}")
        elif value is not None and value is not False:
            written = f"{value:.6g}" if isinstance(value, float) else plain(str(value))
            parts.append(f' {key}="{html.escape(written)}"')
    opening = f"<{name}{''.join(parts)}>"
    return Html(opening if name in _VOID else f"{opening}{join(*children)}</{name}>")


def join(*children: str | None) -> Html:
    """Several pieces one after another, escaped where they are text."""
    return Html("".join(c if isinstance(c, Html) else html.escape(plain(c)) for c in children if c is not None))
