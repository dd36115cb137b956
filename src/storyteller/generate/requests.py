"""From what a writer typed to a `Request`, with every mistake named."""

from __future__ import annotations

from collections.abc import Sequence

from storyteller.corpus.language import identify_language
from storyteller.corpus.story import FORMS, LANGUAGES
from storyteller.errors import GenerationError
from storyteller.tokens.request import Character, Request

__all__ = ["build_request", "read_character"]


def build_request(
    about: str | None,
    *,
    form: str = "story",
    language: str | None = None,
    words: int | None = None,
    title: str | None = None,
    characters: Sequence[Character] = (),
    keywords: Sequence[str] = (),
    opening: str | None = None,
    before: str | None = None,
) -> Request:
    """The request for a story about something, or, with `before`, for what comes after a story so far.

    Without a language it is that of `about`, `opening` or `before`, the first that is there. Raises `GenerationError`
    for an empty prompt, an unknown form or language, a length below 1, and an opening for what has begun already.
    """
    about = about.strip() if about else None
    opening = opening.strip() if opening else None
    if opening and before:
        raise GenerationError("an opening begins a new story. To continue one with your words, add them to its file.")
    if not about and not before and not opening:
        raise GenerationError('the prompt is empty. Say what the story is about: "A keeper finds a talking seal"')
    known_form = next((known for known in FORMS if known == form), None)
    if known_form is None:
        raise GenerationError(f"no form is called {form!r}. Choose one of: {', '.join(FORMS)}.")
    spoken = next((known for known in LANGUAGES if known == language), None)
    if spoken is None and language is not None:
        raise GenerationError(f"the language {language!r} is not known. Choose one of: {', '.join(LANGUAGES)}.")
    if words is not None and words < 1:
        raise GenerationError(f"a story of {words} words cannot be written; ask for 1 or more.")
    return Request(
        task="continue" if before else "write",
        language=spoken or identify_language(about or opening or before or "") or "en",
        form=known_form,
        about=about,
        title=title,
        words=words,
        characters=tuple(characters),
        keywords=tuple(word.strip() for word in keywords if word.strip()),
        opening=opening or None,
        before=before or None,
    )


def read_character(value: str) -> Character:
    """A person as a writer names them on the command line, `NAME:WHO` or `NAME`; raises `GenerationError`."""
    name, _, who = value.replace("：", ":", 1).partition(":")
    if not name.strip() or (":" in value and not who.strip()):
        raise GenerationError(f"--character {value!r} is not NAME:WHO, such as 'Mara:a lighthouse keeper'.")
    return Character(name.strip(), who.strip())
