"""Planning: premise, people, outline and beats to choose from and to edit, and a draft from them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi import Path as InPath
from fastapi.responses import StreamingResponse
from pydantic import ConfigDict, Field

from storyteller.studio.api.models import with_model
from storyteller.studio.api.shapes import Answer, Body, ProjectId, Sampling
from storyteller.studio.streams import event_stream, sse_responses
from storyteller.studio.studio import At, Kept, User

__all__ = ["router"]

router = APIRouter(prefix="/api/projects/{project}/plan", tags=["plan"])

Text = Annotated[str, Field(max_length=20_000)]


class PlanPerson(Body):
    """A person of the story."""

    name: str = Field("", max_length=200)
    who: Text = ""


class Beat(Body):
    """A step of a scene, drafted as one piece."""

    id: str | int
    text: Text
    words: int | None = Field(None, ge=1, le=20_000)


class Outlined(Body):
    """A scene or chapter of the outline."""

    model_config = ConfigDict(extra="allow")

    id: str | int
    title: Text = ""
    beats: list[Beat] = Field([], max_length=200)


class Plan(Body):
    """The plan of a story; every part may be empty."""

    model_config = ConfigDict(extra="allow")

    premise: Text = ""
    people: list[PlanPerson] = Field([], max_length=100)
    outline: list[Outlined] = Field([], max_length=500)
    chosen: dict[str, int] | int | None = Field(
        None, description="Which proposal each step came from, by the step's name; in older plans, one number."
    )
    summary: Text = Field("", description="The story so far, in short.")


class PlanVersion(Answer):
    """An earlier plan."""

    version: int
    created: str
    premise: str = ""


class Proposing(Body):
    """How many proposals, and for which part of the outline."""

    n: int = Field(3, ge=1, le=8)
    part: str | int | None = Field(None, description="The id of the scene whose beats are wanted.")
    model: str | None = Field(None, max_length=500)
    seed: int | None = Field(None, ge=0, lt=1 << 53)


class Drafting(Body):
    """What is drafted, and from which beat on."""

    scene: str | None = Field(None, max_length=64, description="The scene to write into; default: the first.")
    from_beat: str | int | None = Field(None, description="Default: the first.")
    model: str | None = Field(None, max_length=500)
    preset: str | None = Field(None, max_length=100)
    sampling: Sampling | None = None
    seed: int | None = Field(None, ge=0, lt=1 << 53)


@router.get("", response_model=Plan, name="read_plan")
def read_plan(
    kept: Kept, project: ProjectId, version: Annotated[int | None, Query(description="Default: the latest.")] = None
) -> Any:
    """The plan of a project."""
    return kept.plan(project, version)


@router.put("", response_model=Plan, name="write_plan")
def write_plan(kept: Kept, project: ProjectId, body: Plan) -> Any:
    """Keep a plan; the earlier ones stay."""
    kept.save_plan(project, body.model_dump())
    return kept.plan(project)


@router.get("/versions", response_model=list[PlanVersion], name="list_plan_versions")
def list_plan_versions(kept: Kept, project: ProjectId) -> Any:
    """The earlier plans, the latest first."""
    return kept.plan_versions(project)


@router.post("/draft", responses=sse_responses("beat", "started", "text", "candidate", "done", "failed"),
             response_class=StreamingResponse, name="draft")  # fmt: skip
def draft(studio: At, kept: Kept, user: User, project: ProjectId, body: Drafting) -> StreamingResponse:
    """Write a scene from its beats, one after the other, with a running summary; `beat` says which comes."""
    wish = with_model(studio, kept, user, project, body.model_dump(exclude_none=True))
    return event_stream(studio.desk.draft(project, wish, user))


@router.post(
    "/{part}", responses=sse_responses("plan", "done", "failed"), response_class=StreamingResponse, name="propose"
)
def propose(
    studio: At,
    kept: Kept,
    user: User,
    project: ProjectId,
    part: Annotated[Literal["premise", "people", "outline", "beats"], InPath(description="What is proposed.")],
    body: Proposing | None = None,
) -> StreamingResponse:
    """Proposals for a part of the plan, scored, the reason with each; nothing is kept until `PUT` keeps it."""
    wish = with_model(studio, kept, user, project, (body or Proposing()).model_dump(exclude_none=True))
    return event_stream(studio.desk.plan(project, part, wish, user))
