"""Texts to judge, a session over them, and its server in a thread."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import uvicorn

from storyteller.corpus.story import Language
from storyteller.evaluate.blind.server import application, listen
from storyteller.evaluate.blind.session import Session
from storyteller.evaluate.pairs import choose_pairs
from storyteller.evaluate.texts import Text

__all__ = ["serving", "session_over", "texts"]

_WORDS = {
    "en": ("The seal spoke. {}", "A seal was heard. {}", "A <b>seal</b> {}"),
    "zh": ("海豹说话了。{}", "海豹开口。{}", "一只<b>海豹</b>{}"),
}


def texts(prompts: int, language: Language = "en") -> list[Text]:
    """Two systems, `secret-one` and `secret-two`, on as many prompts."""
    one, two, prompt = _WORDS[language]
    return [
        Text(words.format(n), system, f"{n}", language, prompt=prompt.format(n))
        for n in range(prompts)
        for system, words in (("secret-one", one), ("secret-two", two))
    ]


def session_over(out: Path, prompts: int = 4, language: Language = "en", **options: object) -> Session:
    """A session of Ada over all pairs of `texts`."""
    return Session(choose_pairs(texts(prompts, language)), "Ada", out, **options)  # type: ignore[arg-type]


@contextlib.contextmanager
def serving(session: Session) -> Iterator[str]:
    """The address of the page while the block runs."""
    listener = listen()
    server = uvicorn.Server(uvicorn.Config(application(session), log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join(timeout=5)
        listener.close()
