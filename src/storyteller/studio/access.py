"""Who may use the studio: everybody on this machine, who has the token, or who has an account."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from typing import TYPE_CHECKING

from anyio import to_thread

from storyteller.studio.errors import DeniedError, StudioError
from storyteller.studio.security import Attempts, hash_password, right_password, token_cookie
from storyteller.studio.settings import StudioSettings

if TYPE_CHECKING:
    from storyteller.studio.store import Store

__all__ = ["SESSION_SECONDS", "Access", "add_user"]

SESSION_SECONDS = 30 * 24 * 3600

_SHORTEST_PASSWORD = 10

#: Seconds in which a session that was ended elsewhere (another password) may still be used.
_REMEMBERED = 30.0


class Access:
    """Knows writers by a bearer token or a cookie; without token and accounts everybody is the writer `""`.

    What a browser keeps is never the token itself, and the database keeps hashes alone.
    """

    def __init__(self, settings: StudioSettings, store: Store) -> None:
        self._settings, self._store = settings, store
        self._cookie = token_cookie(settings.token) if settings.token else None
        self._sessions: dict[str, tuple[str, float]] = {}  # whose, and until when that need not be looked up again
        self.attempts = Attempts()

    async def who(self, bearer: str | None, cookie: str | None) -> str | None:
        """The id of the writer, or None for a stranger."""
        if self._settings.accounts:
            shown = bearer or cookie
            return await self._of_session(_hash(shown)) if shown else None
        if self._settings.token is None or self._cookie is None:
            return ""
        if bearer is not None:
            return "" if _same(bearer, self._settings.token) else None
        return "" if cookie is not None and _same(cookie, self._cookie) else None

    def show_token(self, token: str, place: str) -> str:
        """What the browser may keep for the right token; `DeniedError` for a wrong one, `LimitError` for too many."""
        if self._settings.token is None or self._cookie is None:
            raise StudioError("this studio has no token. Log in with a name, or just use it.")
        self.attempts.check(place)
        if not _same(token, self._settings.token):
            self.attempts.fail(place)
            raise DeniedError("that is not the studio's token. It was printed where the studio was started.", 401)
        return self._cookie

    def log_in(self, name: str, password: str, place: str) -> str:
        """Begin a session and return its secret; the errors of `show_token`."""
        if not self._settings.accounts:
            raise StudioError("this studio has no accounts. It is started with --accounts where it has.")
        self.attempts.check(place)
        user = self._store.user(name)
        if not right_password(password, user["password_hash"] if user else None) or user is None:
            self.attempts.fail(place)
            raise DeniedError("the name or the password is wrong. Try again, or ask who runs the studio.", 401)
        secret = secrets.token_urlsafe(32)
        self._store.create_session(user["id"], _hash(secret), time.time() + SESSION_SECONDS)
        return secret

    def log_out(self, shown: str | None) -> None:
        """End a session."""
        if self._settings.accounts and shown:
            self._sessions.pop(_hash(shown), None)
            self._store.delete_session(_hash(shown))

    async def _of_session(self, key: str) -> str | None:
        user, expires = self._sessions.get(key, (None, 0.0))
        if user is None or expires <= time.time():
            self._sessions.pop(key, None)
            session = await to_thread.run_sync(self._store.session, key)
            if session is None:
                return None
            user, expires = str(session["user_id"]), float(session["expires"])
            self._sessions[key] = (user, min(expires, time.time() + _REMEMBERED))
        return user if time.time() < expires else None


def add_user(store: Store, name: str, password: str) -> str:
    """Make an account and return its id; `StudioError` for a name that is taken or a password that is too short."""
    name = name.strip()
    if not name or len(name) > 60:
        raise StudioError("a name has 1 to 60 characters. Choose another.")
    if len(password) < _SHORTEST_PASSWORD:
        raise StudioError(f"the password is too short. It must have {_SHORTEST_PASSWORD} characters or more.")
    if store.user(name) is not None:
        raise StudioError(f"there is a writer called {name!r} already. Choose another name.")
    return str(store.create_user(name, hash_password(password)))


def _same(given: str, right: str) -> bool:
    return hmac.compare_digest(given.encode(), right.encode())


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
