"""Books in and out, and the whole studio as one file."""

from __future__ import annotations

import json
import re
import tempfile
import zipfile
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi import Path as InPath
from fastapi.responses import FileResponse, Response
from pydantic import Field, ValidationError
from starlette.background import BackgroundTask
from starlette.datastructures import UploadFile

from storyteller.craft.formats import KINDS, FileKind
from storyteller.studio.api.shapes import Answer, Body, Done, ProjectId
from storyteller.studio.books import book_of, keepable, shelve
from storyteller.studio.errors import StudioError
from storyteller.studio.store.room import checked
from storyteller.studio.studio import Kept

__all__ = ["router"]

router = APIRouter(prefix="/api", tags=["books"])

Kind = Literal[
    "md", "txt", "docx", "epub", "pdf", "fountain", "fdx", "twee", "jsonl", "messages",
    "card", "card-v2", "card-png", "lorebook", "story",
]  # fmt: skip

_KINDS = {**KINDS, "story": FileKind(".storyteller", "application/octet-stream")}
_FILES = 200


class Pasted(Body):
    """A text instead of a file."""

    text: str
    name: str = Field("pasted.txt", max_length=300, description="Its name; the ending says what it is.")
    project: str | None = Field(None, max_length=64, description="The project to add it to; default: a new one.")


class Imported(Answer):
    """What was made of it."""

    project: str
    items: list[str] = Field([])
    entries: list[str] = Field([])
    warnings: list[str] = Field([], description="What could not be kept or had to be guessed.")


class Restored(Done):
    """It is restored."""

    project: str | None = Field(None, description="The project that was added.")
    before: str | None = Field(None, description="A backup of what stood there before, on the server.")


_UPLOAD = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "files": {"type": "array", "items": {"type": "string", "format": "binary"}},
                        "project": {"type": "string", "description": "The project to add them to."},
                    },
                }
            },
            "application/json": {"schema": Pasted.model_json_schema()},
        },
    }
}


@router.post("/import", response_model=Imported, status_code=201, name="import_book", openapi_extra=_UPLOAD)
async def import_book(request: Request, kept: Kept) -> Any:
    """Read files: text, Markdown, DOCX, EPUB, Fountain, FDX, character cards, lorebooks, Kobold, NovelAI, SillyTavern."""
    files, project = await _files(request)
    return await to_thread.run_sync(_import, kept, files, project)


@router.get("/projects/{project}/export/{kind}", response_class=Response, name="export_book",
            responses={200: {"description": "The file.", "content": {"application/octet-stream": {}}}})  # fmt: skip
def export_book(kept: Kept, project: ProjectId, kind: Annotated[Kind, InPath(description="The format.")]) -> Response:
    """A project as a file; `story` is a backup of this one project."""
    title = kept.project(project)["title"]
    if kind == "story":
        path = _temporary(".storyteller")
        kept.backup_project(project, path)
        return _download(path, title, kind)
    from storyteller.craft.formats import write_book

    return Response(
        write_book(book_of(kept, project), kind), media_type=_KINDS[kind].media_type, headers=_named(title, kind)
    )


@router.get("/backup", response_class=FileResponse, name="back_up",
            responses={200: {"description": "The file.", "content": {"application/octet-stream": {}}}})  # fmt: skip
def back_up(kept: Kept) -> Response:
    """All that the writer owns in one file: projects with their whole history, settings and the log of choices."""
    path = _temporary(".storyteller")
    kept.backup(path)
    return _download(path, "studio", "story")


@router.post("/backup", response_model=Restored, name="restore_backup", openapi_extra=_UPLOAD)
async def restore_backup(request: Request, kept: Kept) -> Restored:
    """Restore a backup in the place of all that the writer owns; one of a single project is added to it instead."""
    path = await _saved(request)
    try:
        return await to_thread.run_sync(_restore, kept, path)
    finally:
        path.unlink(missing_ok=True)


def _import(kept: Any, files: list[tuple[str, bytes]], project: str | None) -> dict[str, Any]:
    from storyteller.craft.formats import read_book

    if not files:
        raise StudioError("there is no file in the request. Choose one, or paste a text.")
    answer: dict[str, Any] = {"project": project, "items": [], "entries": [], "warnings": []}
    if len(files) == 1 and files[0][0].endswith(".storyteller"):
        path = _temporary(".storyteller")
        try:
            path.write_bytes(files[0][1])
            return answer | {"project": kept.add_project(path)}
        finally:
            path.unlink(missing_ok=True)
    books = [keepable(read_book(name, data)) for name, data in files]  # all are read before one is kept
    for book in books:
        made = shelve(kept, book, answer["project"])
        answer["project"] = made["project"]
        for key in ("items", "entries", "warnings"):
            answer[key] += made[key]
    return answer


async def _files(request: Request) -> tuple[list[tuple[str, bytes]], str | None]:
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        try:
            pasted = Pasted.model_validate(await request.json())
        except ValidationError as error:
            raise StudioError(
                f"the request is not understood: {error.errors()[0]['msg']}. Send text and name."
            ) from None
        except ValueError:
            raise StudioError("the request is neither a form with files nor JSON. Send one of them.") from None
        return [(checked(pasted.name), checked(pasted.text).encode())], pasted.project
    files, project = [], None
    async with request.form(max_files=_FILES) as form:
        for key, value in form.multi_items():
            if isinstance(value, UploadFile):
                files.append((value.filename or "book.txt", await value.read()))
            elif key == "project" and value:
                project = value
    return files, project


async def _saved(request: Request) -> Path:
    """The first file of a form, or the body, on disk: a backup may be larger than the memory should be."""
    path = _temporary(".storyteller")
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        async with request.form(max_files=1) as form:
            for _, value in form.multi_items():
                if isinstance(value, UploadFile):
                    with path.open("wb") as file:
                        while piece := await value.read(1 << 20):
                            file.write(piece)
                    return path
        raise StudioError("there is no file in the request. Choose a backup.")
    with path.open("wb") as file:
        async for piece in request.stream():
            file.write(piece)
    return path


def _restore(kept: Any, path: Path) -> Restored:
    if _is_project(path):
        return Restored(project=kept.add_project(path))
    return Restored(before=str(kept.restore_backup(path)))


def _is_project(path: Path) -> bool:
    """Whether it is the backup of one project; what is no backup at all is the store's to refuse."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open("manifest.json") as file:
            return bool(json.loads(file.read(1 << 20))["scope"] == "project")
    except (OSError, zipfile.BadZipFile, ValueError, KeyError, TypeError):
        return False


def _temporary(suffix: str) -> Path:
    with tempfile.NamedTemporaryFile(suffix=suffix, prefix="storyteller-", delete=False) as file:
        return Path(file.name)


def _download(path: Path, title: str, kind: str) -> FileResponse:
    gone = BackgroundTask(path.unlink, missing_ok=True)
    return FileResponse(path, media_type=_KINDS[kind].media_type, headers=_named(title, kind), background=gone)


def _named(title: str, kind: str) -> dict[str, str]:
    """A file's name from a title of any script, for browsers old and new."""
    name = re.sub(r"[^\w\- ]+", "", title).strip()[:80] or "story"
    ending = _KINDS[kind].suffix
    plain = name.encode("ascii", "ignore").decode().strip() or "story"
    return {"content-disposition": f"attachment; filename=\"{plain}{ending}\"; filename*=UTF-8''{quote(name)}{ending}"}
