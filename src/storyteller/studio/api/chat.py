"""Chat: talk with the storyteller, or with a person of the story."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import Field

from storyteller.studio.api.models import with_model
from storyteller.studio.api.shapes import Answer, Body, ProjectId
from storyteller.studio.streams import event_stream, sse_responses
from storyteller.studio.studio import At, Kept, User

__all__ = ["router"]

router = APIRouter(prefix="/api/projects/{project}/chat", tags=["chat"])


class Message(Answer):
    """A line of the chat."""

    id: str
    role: str = Field(examples=["person", "storyteller", "character"])
    character: str | None = Field(None, description="The entry of the person who speaks.")
    text: str
    created: str


class Said(Body):
    """What the writer says, and to whom."""

    text: str = Field(min_length=1, max_length=20_000)
    character: str | None = Field(None, max_length=64, description="The id of an entry; default: the storyteller.")
    model: str | None = Field(None, max_length=500)
    seed: int | None = Field(None, ge=0, lt=1 << 53)


@router.get("", response_model=list[Message], name="read_chat")
def read_chat(kept: Kept, project: ProjectId) -> Any:
    """The chat of a project from its beginning."""
    return kept.messages(project)


@router.post(
    "", responses=sse_responses("started", "text", "done", "failed"), response_class=StreamingResponse, name="say"
)
def say(studio: At, kept: Kept, user: User, project: ProjectId, body: Said) -> StreamingResponse:
    """Say something and hear the answer as it comes; both are kept."""
    wish = with_model(studio, kept, user, project, body.model_dump(exclude_none=True))
    return event_stream(studio.desk.chat(project, wish, user))
