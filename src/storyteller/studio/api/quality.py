"""How much of the models' text is kept, who wrote what, and the log of the writer's choices."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import Field

from storyteller.studio.api.models import Figure
from storyteller.studio.api.shapes import Answer, Body, Done, ProjectId
from storyteller.studio.studio import At, Kept

__all__ = ["router"]

router = APIRouter(prefix="/api", tags=["quality"])


#: Seconds that the figures are waited for; a page asks again for those that are being counted still.
_PATIENCE = 0.1


class KeptShare(Answer):
    """The share of a model's words that stayed in the manuscript, with its 95 % interval over `n` generations."""

    model: str
    share: float
    low: float | None = None
    high: float | None = None
    n: int


class Quality(Answer):
    """The figures of a project."""

    kept: list[KeptShare] = Field([], description="The primary number: how much of what a model wrote was kept.")
    provenance: dict[str, float] = Field(
        {}, description="The share of each source.", examples=[{"person": 0.4, "model": 0.5, "edited": 0.1}]
    )
    disclosure: str = Field("", description="A sentence that says who wrote it, for a title page.")
    measures: list[Figure] = Field([], description="What is counted in the text itself.")
    state: Literal["ready", "measuring"] = Field(
        "ready", description="`measuring`: these are of before the last change."
    )


class Choice(Body):
    """What the writer did with a model's text."""

    generation: str = Field(max_length=64)
    candidate: int = Field(0, ge=0)
    kind: Literal["accept", "retry", "delete", "rewrite"]
    kept_text: str | None = Field(None, description="What stands in its place now.")


@router.get("/quality/{project}", response_model=Quality, name="read_quality")
def read_quality(studio: At, kept: Kept, project: ProjectId) -> Any:
    """How much of the models' text was kept, who wrote what, and what the text measures."""
    return studio.quality.of(kept, project, _PATIENCE)


@router.post("/events/choice", response_model=Done, status_code=201, name="log_choice")
def log_choice(kept: Kept, body: Choice) -> Done:
    """Log a choice; it stays on this machine."""
    kept.log_choice(body.generation, body.candidate, body.kind, body.kept_text)
    return Done()


@router.get("/edits/summary", response_model=dict[str, Any], name="summarise_edits")
def summarise_edits(kept: Kept) -> Any:
    """How many choices of each kind there are."""
    return kept.edits_summary()


@router.get("/edits/export", response_class=StreamingResponse, name="export_edits",
            responses={200: {"content": {"application/jsonl": {}}, "description": "One JSON object a line."}})  # fmt: skip
def export_edits(kept: Kept, kind: Annotated[Literal["pairs", "dpo"], Query()] = "pairs") -> StreamingResponse:
    """The choices as training data: `pairs` with all that is known, `dpo` as prompt, chosen, rejected."""

    headers = {"content-disposition": f'attachment; filename="edits-{kind}.jsonl"'}
    return StreamingResponse(kept.export_edits(kind), media_type="application/jsonl", headers=headers)


@router.delete("/edits", response_model=Done, name="wipe_edits")
def wipe_edits(kept: Kept) -> Done:
    """Delete the whole log; it cannot be taken back."""
    kept.wipe_edits()
    return Done()
