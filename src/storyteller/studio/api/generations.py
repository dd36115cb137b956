"""Generations: what a model is asked, what it saw, and what it wrote, as it writes it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse
from pydantic import Field

from storyteller.studio.api.models import with_model
from storyteller.studio.api.shapes import ERRORS, Answer, Body, Done, GenerationId, ItemId, Sampling
from storyteller.studio.streams import event_stream, sse_responses
from storyteller.studio.studio import At, Kept, Studio, User

__all__ = ["Context", "Generation", "Wish", "router"]

router = APIRouter(prefix="/api", tags=["generations"], responses=ERRORS)

EVENTS = sse_responses("queued", "started", "text", "progress", "candidate", "done", "failed")


class Origin(Body):
    """A token of an earlier text, and which of the tokens that could have stood there to go on from."""

    generation: str
    candidate: int = Field(0, ge=0)
    token: int = Field(ge=0, description="Its place in the candidate's tokens.")
    choice: int = Field(0, ge=0, description="Which of its alternatives.")


class Wish(Body):
    """What a model is asked for."""

    base: str | None = Field(None, description="The head; without it, whatever it is.")
    mode: Literal["continue", "rewrite", "infill", "ghost", "begin", "chat"] = Field("continue", examples=["continue"])
    at: int | None = Field(None, ge=0, description="Where to write, in UTF-16 units; default: the end.")
    end: int | None = Field(None, ge=0, description="The end of the selection.")
    text: str | None = Field(None, description="The manuscript, when the caller's is ahead of the head.")
    instruction: str | None = Field(None, max_length=10_000)
    action: Literal["rewrite", "expand", "shorten", "describe", "tone", "viewpoint", "translate"] | None = None
    value: str | None = Field(None, max_length=1000, description="The tone, the point of view or the language.")
    n: int = Field(1, ge=1, le=8, description="How many candidates.")
    words: int | None = Field(None, ge=1, le=20_000, description="The wished length in words or 字.")
    model: str | None = Field(None, max_length=500)
    preset: str | None = Field(None, max_length=100, description="The id of a preset.")
    sampling: Sampling | None = None
    members: dict[str, float] | None = Field(None, description="Of an ensemble, each member's weight.")
    seed: int | None = Field(None, ge=0, lt=1 << 53, description="The same seed gives the same text.")
    from_: Origin | None = Field(
        None,
        alias="from",
        description="Go on from another token of an earlier text, of which all before that token is said once more.",
    )


class Part(Answer):
    """A part of what the model sees."""

    name: str = Field(examples=["memory"])
    text: str
    tokens: int
    why: str | None = Field(None, description="Why it is there, such as the name that made an entry fire.")


class Context(Answer):
    """What the model sees, part by part, with what each costs."""

    parts: list[Part] = Field([])
    tokens: int = 0
    limit: int = 0


class Candidate(Answer):
    """One of a generation's texts, with its tokens and what could have stood in their places."""

    candidate: int = 0
    text: str
    finish_reason: str | None = None
    tokens: list[dict[str, Any]] = Field([])
    extra: dict[str, Any] = Field(
        {},
        description="words, doubt, scores, findings of the content check and, of an ensemble, the members that were left "
        "out because their weights are damaged (left_out), where there are any.",
    )


class Generation(Answer):
    """One request to a model: what it was asked, what it saw, what it wrote."""

    id: str
    scene: str
    project: str = ""
    mode: str
    at: int
    end: int | None = None
    base: str = ""
    model: str
    seed: int | None = None
    settings: dict[str, Any] = Field({})
    context: dict[str, Any] = Field({})
    status: Literal["queued", "running", "done", "stopped", "failed", "interrupted"]
    error: str | None = None
    created: str = ""
    finished: str | None = None
    candidates: list[Candidate] = Field([])


@router.post("/scenes/{item}/generate", responses=EVENTS, response_class=StreamingResponse, name="generate")
def generate(studio: At, kept: Kept, user: User, item: ItemId, body: Wish) -> StreamingResponse:
    """Ask a model to write; its text comes as events, and goes on being written and kept when nobody listens."""
    generation = studio.desk.start(item, _wish(studio, kept, user, item, body), user)
    return event_stream(studio.desk.events(generation, user=user))


@router.get(
    "/generations/{generation}/events", responses=EVENTS, response_class=StreamingResponse, name="join_generation"
)
def join_generation(
    studio: At,
    kept: Kept,
    user: User,
    generation: GenerationId,
    after: Annotated[int, Query(ge=0, description="The number of the last event that came.")] = 0,
    last_event_id: Annotated[int, Header(ge=0, description="The same, as browsers say it.")] = 0,
) -> StreamingResponse:
    """Take up a stream again where it was left."""
    kept.generation(generation)
    return event_stream(studio.desk.events(generation, max(after, last_event_id), user))


@router.get("/generations/{generation}", response_model=Generation, name="read_generation")
def read_generation(kept: Kept, generation: GenerationId) -> Any:
    """The whole record, with every token and what could have stood in its place."""
    return kept.generation(generation)


@router.post("/generations/{generation}/stop", response_model=Done, name="stop_generation")
def stop_generation(studio: At, kept: Kept, generation: GenerationId) -> Done:
    """Stop at once; what is written so far stays."""
    kept.generation(generation)
    studio.desk.stop(generation)
    return Done()


@router.post("/generations/{generation}/dismiss", response_model=Done, name="dismiss_generation")
def dismiss_generation(kept: Kept, generation: GenerationId) -> Done:
    """Offer an interrupted text no longer; its record stays."""
    kept.dismiss(generation)
    return Done()


@router.post("/scenes/{item}/context", response_model=Context, name="read_context")
def read_context(studio: At, kept: Kept, user: User, item: ItemId, body: Wish) -> Any:
    """What the model would see for a wish, with costs and reasons; nothing is written."""
    return studio.desk.context(item, _wish(studio, kept, user, item, body), user)


def _wish(studio: Studio, kept: Any, user: str, item: str, body: Wish) -> dict[str, Any]:
    """The wish as the desk takes it; raises `NotFoundError` for another writer's scene."""
    given = body.model_dump(exclude_none=True, by_alias=True)
    return with_model(studio, kept, user, kept.scene(item)["project"], given)
