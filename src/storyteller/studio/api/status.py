"""What the studio is, who is there, and how they want it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import Field

from storyteller import __version__
from storyteller.studio.access import SESSION_SECONDS
from storyteller.studio.api.models import Figure, check_model, check_new_members
from storyteller.studio.api.shapes import Answer, Body, Done, WritingSettings
from storyteller.studio.catalogue import describe_model
from storyteller.studio.errors import StudioError
from storyteller.studio.security import COOKIE, bearer
from storyteller.studio.studio import At, Kept, User

__all__ = ["router"]

router = APIRouter(prefix="/api", tags=["studio"])

#: The largest settings that are kept, in characters of JSON.
_MOST = 200_000


class ModelStatus(Answer):
    """The model that writes when no other is asked for."""

    name: str = Field(examples=["default"])
    loaded: bool = Field(description="Whether it is in memory.")
    loading: bool = False
    error: str | None = Field(None, description="Why it could not be loaded.")
    languages: list[str] = Field([])
    parameters: int | None = Field(None, examples=[134515008])
    bytes: int | None = None
    fetched: bool = True
    note: str = ""
    figures: list[Figure] = Field([])


class Storage(Answer):
    """Where the manuscripts lie, and how much room there is."""

    path: str
    free_bytes: int | None = None
    ok: bool = Field(True, description="Whether there is room to keep more.")


class Status(Answer):
    """The studio; a stranger is told only how to come in."""

    version: str
    accounts: bool = Field(description="Whether writers log in by name.")
    token: bool = Field(False, description="Whether the studio asks for its token.")
    signed_in: bool = True
    user: str | None = Field(None, description="The writer's id, where there are accounts.")
    model: ModelStatus | None = None
    storage: Storage | None = None


class Credentials(Body):
    """The studio's token, or a name and a password."""

    token: str | None = Field(None, max_length=1000)
    name: str | None = Field(None, max_length=60)
    password: str | None = Field(None, max_length=1000)
    bearer: bool = Field(False, description="Also return what programs send as `Authorization: Bearer`.")


class SignedIn(Done):
    """A cookie is set."""

    bearer: str | None = Field(None, description="For programs, if it was asked for.")


@router.get("/status", response_model=Status, name="read_status")
def read_status(request: Request, studio: At, kept: Kept) -> Any:
    """Version, model and storage."""
    settings, user = studio.settings, request.state.user
    told = {"version": __version__, "accounts": settings.accounts, "token": settings.token is not None}
    if user is None:
        return told | {"signed_in": False}
    model = kept.settings().get("model") or settings.model
    return told | {
        "user": user or None,
        "model": describe_model(model) | studio.desk.status(model),
        "storage": studio.store.storage(),
    }


@router.post("/session", response_model=SignedIn, name="sign_in")
def sign_in(request: Request, response: Response, studio: At, body: Credentials) -> SignedIn:
    """Show the token, or name and password; the browser then has a cookie that scripts cannot read."""
    place = request.client.host if request.client else ""
    if body.token is not None:
        secret = studio.access.show_token(body.token, place)
        shown = body.token
    elif body.name is not None and body.password is not None:
        secret = shown = studio.access.log_in(body.name, body.password, place)
    else:
        raise StudioError("there is nothing to sign in with. Give the token, or a name and a password.")
    secure = request.url.scheme == "https"
    response.set_cookie(
        COOKIE, secret, max_age=SESSION_SECONDS, httponly=True, samesite="strict", secure=secure, path="/"
    )
    return SignedIn(bearer=shown if body.bearer else None)


@router.delete("/session", response_model=Done, name="sign_out")
def sign_out(request: Request, response: Response, studio: At) -> Done:
    """Forget who is there, by cookie or by bearer."""
    for shown in (request.cookies.get(COOKIE), bearer(request.headers)):
        studio.access.log_out(shown)
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return Done()


@router.get("/settings", response_model=dict[str, Any], name="read_settings")
def read_settings(kept: Kept) -> Any:
    """How the writer wants the studio: whatever was written, as it was."""
    return kept.settings()


@router.put("/settings", response_model=dict[str, Any], name="write_settings")
def write_settings(studio: At, kept: Kept, user: User, body: WritingSettings) -> Any:
    """Keep the writer's settings: interface, theme, preset, model, keys, provenance_colours, ghost, and free ones."""
    if len(str(body)) > _MOST:
        raise StudioError(f"the settings have more than {_MOST:,} characters. Keep texts in notes.")
    check_model(studio, kept, user, body.get("model"))
    check_new_members(str(body.get("model") or studio.settings.model), body, kept.settings())
    kept.save_settings(body)
    return kept.settings()
