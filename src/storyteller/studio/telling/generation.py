"""One generation at work: what it says goes to its listeners at once, and to the store within half a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from storyteller.corpus.language import count_words
from storyteller.corpus.story import Language
from storyteller.errors import StorytellerError
from storyteller.studio.answers import split_message
from storyteller.studio.telling.events import EventLog
from storyteller.studio.telling.refusing import Watch

__all__ = ["Generation", "Keeper"]

#: Seconds that text may wait to be kept.
DELAY = 0.4


class Keeper(Protocol):
    """What a generation needs of the store; see `storyteller.studio.store.Writer`."""

    def update_generation(self, generation: str, changes: Mapping[str, Any]) -> None:
        """Change status, error, context, seed, model or settings."""
        ...

    def append(self, generation: str, pieces: Sequence[tuple[int, str, Sequence[Mapping[str, Any]]]]) -> None:
        """Keep what candidates gained: (candidate, text, tokens)."""
        ...

    def finish_candidate(
        self, generation: str, candidate: int, finish_reason: str, extra: Mapping[str, Any] | None = None
    ) -> None:
        """Keep how a candidate ended."""
        ...


class Generation:
    """The state of one generation, which several threads share: who writes it, who listens, who stops it.

    A store that cannot be written to (a full disk) does not end it: its text is shown, and kept when that is possible again.
    """

    def __init__(
        self, id: str, keeper: Keeper, language: Language, model: str, count: int = 1, watch: Watch | None = None
    ) -> None:
        self.id, self.model, self.language, self.count = id, model, language, count
        self._watch = watch or Watch()
        self.log = EventLog()
        self.stopped = False
        self._keeper = keeper
        self._lock = threading.RLock()
        self._texts: dict[int, list[str]] = {}
        self._ended: set[int] = set()
        self._pending: list[tuple[int, str, list[Mapping[str, Any]]]] = []
        self._endings: list[tuple[int, str, Mapping[str, Any]]] = []
        self._kept_at = time.monotonic()
        self.unsaved = False

    def queued(self, position: int) -> None:
        """Say how many are before it."""
        self.log.add("queued", {"position": position})

    def started(self, seeds: Sequence[int], context: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        """Say what the model sees, and keep it; of what was stopped meanwhile, nothing."""
        shown = {name: context[name] for name in ("parts", "tokens", "limit") if name in context}
        changes = {"status": "running", "context": dict(context), "settings": dict(settings), "model": self.model}
        with self._lock:
            if self.log.closed:
                return
            self.log.add(
                "started", {"generation": self.id, "model": self.model, "seeds": list(seeds), "context": shown}
            )
            self._update({**changes, "seed": seeds[0] if seeds else None})

    def progress(self, read: int, total: int) -> bool:
        """Say how much of the prompt is read; whether to go on. (0, 0) only asks."""
        if total:
            self.log.add("progress", {"read": read, "total": total})
        self.keep_due()
        return not self.stopped

    def say(self, candidate: int, text: str, token: Mapping[str, Any] | None = None) -> bool:
        """Add to a candidate's text; whether to go on. A token's `raw` text is kept where another one is shown."""
        if token is not None:
            token = {name: value for name, value in token.items() if name != "text" and (name, value) != ("raw", text)}
        with self._lock:
            if self.log.closed or candidate in self._ended:
                return False
            if self._watch.stops(self.text(candidate), text):
                self.end(candidate, "refused")
                return False
            self._texts.setdefault(candidate, []).append(text)
            kept = [{**token, "text": text}] if token is not None else []
            if self._pending and self._pending[-1][0] == candidate:
                _, before, tokens = self._pending.pop()
                self._pending.append((candidate, before + text, [*tokens, *kept]))
            else:
                self._pending.append((candidate, text, [*kept]))
            if text or token is not None:
                said: dict[str, Any] = {"candidate": candidate, "text": text}
                self.log.add("text", said | ({"token": dict(token)} if token is not None else {}))
        self.keep_due()
        return not self.stopped

    def text(self, candidate: int) -> str:
        """What a candidate says so far."""
        return "".join(self._texts.get(candidate, ()))

    def end(self, candidate: int, reason: str, extra: Mapping[str, Any] | None = None) -> None:
        """Say how a candidate ended; `extra` are doubt, scores, what was trimmed and who was left out, if any."""
        with self._lock:
            if self.log.closed or candidate in self._ended:
                return
            self._ended.add(candidate)
            text = self.text(candidate)
            more = {**(extra or {}), "findings": self._watch.findings(text)}
            told = {"words": count_words(text, self.language)} | {k: v for k, v in more.items() if v}
            self._endings.append((candidate, reason, told))
            self.log.add("candidate", {"candidate": candidate, "finish_reason": reason, "text": text, **told})

    def stop(self) -> None:
        """End it now, whoever is at work on it: what was shown stays, what comes later is not heard."""
        with self._lock:
            if self.log.closed:
                return
            self.stopped = True
            for candidate in range(self.count):
                if candidate in self._texts:
                    self.end(candidate, "cancelled")
            self._close("stopped", None)

    def done(self) -> None:
        """All candidates are written."""
        with self._lock:
            self._close("done", None)

    def fail(self, error: BaseException) -> None:
        """Say why it cannot go on; the text so far is kept."""
        with self._lock:
            if self.log.closed:
                return
            for candidate in range(self.count):
                if candidate in self._texts:
                    self.end(candidate, "failed")
            self._close("failed", str(error) or type(error).__name__)

    def keep_due(self) -> None:
        """Keep what waits, when it has waited long enough."""
        if (self._pending or self._endings) and time.monotonic() - self._kept_at >= DELAY:
            self._keep()

    def _keep(self) -> None:
        with self._lock:
            pending, endings = self._pending, self._endings
            self._pending, self._endings = [], []
            self._kept_at = time.monotonic()
            try:
                if pending:
                    self._keeper.append(self.id, pending)
                    pending = []
                while endings:
                    self._keeper.finish_candidate(self.id, endings[0][0], endings[0][1], endings[0][2])
                    endings = endings[1:]
                self.unsaved = False
            except (StorytellerError, OSError):
                self._pending, self._endings = pending + self._pending, endings + self._endings
                self.unsaved = True

    def _update(self, changes: Mapping[str, Any]) -> None:
        try:
            self._keeper.update_generation(self.id, changes)
        except (StorytellerError, OSError):
            self.unsaved = True

    def _close(self, status: str, error: str | None) -> None:
        if self.log.closed:
            return
        self._keep()
        self._update({"status": status, "error": error})
        if error is None:
            self.log.add("done", {"generation": self.id, **({"saved": False} if self.unsaved else {})})
        else:
            message, then = split_message(error)
            self.log.add("failed", {"message": message, "next": then, "kept": not self.unsaved})
        self.log.close()
