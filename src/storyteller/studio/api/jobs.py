"""Training: jobs that go on when the page is closed and when the server is started anew."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Literal

from anyio import to_thread
from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import Field, ValidationError
from starlette.datastructures import UploadFile

from storyteller.studio.api.shapes import Answer, Body, Done
from storyteller.studio.errors import DeniedError, StudioError
from storyteller.studio.streams import Event, event_stream, in_thread, sse_responses
from storyteller.studio.studio import At, User

__all__ = ["router"]

router = APIRouter(prefix="/api/jobs", tags=["jobs"])

_FILES = 2000


class Training(Body):
    """What to train on, for how long, and from which model."""

    kind: Literal["train"] = "train"
    name: str = Field("", max_length=200, description="What the new model is called.", examples=["my fables"])
    text: str | None = Field(None, description="Pasted stories.")
    paths: list[str] | None = Field(None, max_length=100, description="Files and folders of this machine.")
    recipe: str | None = Field(None, max_length=500, description="Default: own-stories.")
    minutes: float | None = Field(None, gt=0, description="How long all of it may take.")
    base: str | None = Field(None, max_length=500, description="The model to go on from; default: the shipped one.")
    overrides: list[str] | None = Field(None, max_length=100, description="Keys of the recipe, as `a.b=c`.")


class Point(Answer):
    """The loss at a step; `dev` where it was measured on texts that are not trained on."""

    step: int
    loss: float | None = None
    dev: float | None = None


class Sample(Answer):
    """What the model wrote at a step."""

    step: int
    text: str


class Job(Answer):
    """A training as it stands."""

    id: str
    kind: str = "train"
    name: str
    state: Literal["queued", "running", "done", "failed", "cancelled", "interrupted"]
    stage: str = ""
    progress: float = Field(0.0, description="From 0 to 1.")
    eta_seconds: float | None = None
    message: str = ""
    next: str = Field("", description="What to do about it.")
    created: float | None = Field(None, description="In seconds since 1970.")
    ended: float | None = None
    run: str | None = Field(None, description="The folder of the run.")
    model: str | None = Field(None, description="The name to write with it, when it is done.")
    minutes: float | None = None
    base: str | None = None
    recipe: str | None = None
    step: int | None = None
    steps: int | None = None
    report: Any = Field(None, description="What was found in the data.")
    estimate: Any = None
    curve: list[Point] = Field([])
    samples: list[Sample] = Field([])
    figures: Any = Field(None, description="What was measured on the result.")


@router.get("", response_model=list[Job], name="list_jobs")
def list_jobs(studio: At, user: User) -> Any:
    """All trainings, the newest first, without curves and samples."""
    return studio.jobs.jobs(user)


@router.post(
    "",
    response_model=Job,
    status_code=201,
    name="start_job",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": Training.model_json_schema()},
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "description": "The keys of the JSON body, and any number of files.",
                        "properties": {"files": {"type": "array", "items": {"type": "string", "format": "binary"}}},
                        "additionalProperties": True,
                    }
                },
            },
        }
    },
)
async def start_job(request: Request, studio: At, user: User) -> Any:
    """Save what is handed over and put a training into the queue."""
    body, files = await _asked(request)
    local = studio.settings.local
    if not local and (body.paths or body.overrides or _is_path(body.recipe) or _is_path(body.base)):
        raise DeniedError("files of the server are for who runs it. Upload your stories or paste them.")
    given = body.model_dump(exclude_none=True, exclude={"kind", "name", "paths"})
    paths = [Path(path) for path in body.paths or ()]
    return await to_thread.run_sync(lambda: studio.jobs.start(body.name, files=files, paths=paths, owner=user, **given))


@router.get("/{job}", response_model=Job, name="read_job")
def read_job(studio: At, user: User, job: str) -> Any:
    """A training with its report, its curve and its samples."""
    return studio.jobs.job(job, user)


@router.get("/{job}/events", responses=sse_responses("job"), response_class=StreamingResponse, name="watch_job")
def watch_job(
    studio: At,
    user: User,
    job: str,
    after: Annotated[int, Query(ge=0, description="Not used: each event is whole.")] = 0,
) -> StreamingResponse:
    """The job as it stands, and again whenever something has changed, until it has ended."""
    studio.jobs.job(job, user)

    async def events() -> AsyncIterator[Event]:
        numbers = itertools.count(after + 1)
        async for view in in_thread(studio.jobs.events(job, user, studio.closing)):
            yield next(numbers), "job", view

    return event_stream(events())


@router.post("/{job}/cancel", response_model=Job, name="cancel_job")
def cancel_job(studio: At, user: User, job: str) -> Any:
    """Stop it after this step; it can go on from there later."""
    return studio.jobs.cancel(job, user)


@router.post("/{job}/resume", response_model=Job, name="resume_job")
def resume_job(studio: At, user: User, job: str) -> Any:
    """Let it go on from its last checkpoint."""
    return studio.jobs.resume(job, user)


@router.delete("/{job}", response_model=Done, name="delete_job")
def delete_job(studio: At, user: User, job: str) -> Done:
    """Forget it and what was handed over for it; the model stays."""
    studio.jobs.delete(job, user)
    return Done()


async def _asked(request: Request) -> tuple[Training, list[tuple[str, bytes]]]:
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        values: dict[str, Any] = {}
        files = []
        async with request.form(max_files=_FILES, max_part_size=64 << 20) as form:
            for key, value in form.multi_items():
                if isinstance(value, UploadFile):
                    files.append((value.filename or "story.txt", await value.read()))
                elif key in ("paths", "overrides"):
                    values.setdefault(key, []).append(value)
                else:
                    values[key] = value
        return _checked(values), files
    try:
        return _checked(await request.json()), []
    except ValueError:
        raise StudioError("the request is no JSON. Send JSON, or a form with files.") from None


def _checked(values: Any) -> Training:
    try:
        return Training.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        raise StudioError(f"{place}: {problem['msg']}. Look at the description of this request.") from None


def _is_path(name: str | None) -> bool:
    return name is not None and ("/" in name or "\\" in name or Path(name).suffix != "")
