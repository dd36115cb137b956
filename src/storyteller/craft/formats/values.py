"""Values of JSON from strangers, taken for what they should be: wrong types become empty, nothing raises."""

from __future__ import annotations

from typing import Any

from storyteller.craft.formats.plain import one_line, text_lines, tidy

__all__ = ["flag_of", "line_of", "list_of", "manuscript", "number_of", "object_of", "text_of", "texts_of"]


def text_of(value: Any) -> str:
    """A text; numbers as they are written, everything else as nothing."""
    if isinstance(value, str):
        return tidy(value).strip()
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else ""


def line_of(value: Any) -> str:
    """A text on one line, of a length that a name may have."""
    return one_line(text_of(value))[:500]


def texts_of(value: Any) -> list[str]:
    """The texts of a list, or of a text with commas, which older files use instead."""
    values = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else []
    return [text for item in values if (text := text_of(item))]


def list_of(value: Any) -> list[Any]:
    """A list, or nothing; an object with numbers as keys counts as one."""
    if isinstance(value, dict) and all(str(key).isdigit() for key in value):
        return [value[key] for key in sorted(value, key=lambda key: (len(str(key)), str(key)))]
    return value if isinstance(value, list) else []


def object_of(value: Any) -> dict[str, Any]:
    """An object, or nothing."""
    return value if isinstance(value, dict) else {}


def flag_of(value: Any, default: bool = False) -> bool:
    """A truth value, also when it was written as a word or a number."""
    if isinstance(value, str):
        return value.strip().lower() in ("true", "1", "yes")
    return bool(value) if isinstance(value, (bool, int, float)) else default


def number_of(value: Any, default: int = 0) -> int:
    """A whole number within a database's reach."""
    try:
        return max(-(2**31), min(2**31 - 1, int(float(value))))
    except (TypeError, ValueError, OverflowError):
        return default


def manuscript(text: str) -> str:
    """A text as a scene keeps it: a line for each paragraph."""
    return "\n".join(line.strip() for line in text_lines(tidy(text)))
