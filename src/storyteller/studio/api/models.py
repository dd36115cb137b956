"""Models: which there are, fetching them, connecting servers, and presets for the sampler."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Literal

from anyio import to_thread
from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import Field

from storyteller.generate.remote import RemoteModel
from storyteller.models.ensemble_file import ENSEMBLE_FILE, Rule, named_weights, read_ensemble
from storyteller.studio.api.shapes import Answer, Body, Done
from storyteller.studio.catalogue import list_models
from storyteller.studio.errors import DeniedError, NotFoundError, StudioError
from storyteller.studio.presets import PRESETS
from storyteller.studio.streams import Event, event_stream, sse_responses
from storyteller.studio.studio import At, Kept, Studio, User

__all__ = ["Figure", "Writes", "check_model", "check_new_members", "known_models", "model_for", "router", "with_model"]

router = APIRouter(prefix="/api", tags=["models"])

#: Seconds that a server has to list its models, so that a wrong address is told soon.
_PATIENCE = 10.0


class Figure(Answer):
    """A measured number, with its interval and what to compare it with."""

    name: str = Field(examples=["bits per byte"])
    value: float | str = Field(examples=[1.2153])
    low: float | None = Field(None, description="The lower end of the 95 % interval.")
    high: float | None = Field(None, description="The upper end.")
    baseline: float | str | None = None
    note: str | dict[str, str] = Field("", description="What it means, in words; by language where it is in both.")


class Writes(Answer):
    """A model to write with."""

    name: str = Field(description="What to ask for it by.", examples=["default"])
    title: str = Field(description="What to show.", examples=["default"])
    kind: Literal["model", "adapter", "ensemble", "run", "remote"]
    languages: list[str]
    parameters: int | None = Field(None, examples=[134515008])
    bytes: int | None = Field(None, description="The size of its weights.")
    download: int | None = Field(None, description="How much is downloaded for it.")
    fetched: bool = Field(True, description="Whether it is on this machine.")
    licence: str = ""
    note: str = ""
    figures: list[Figure] = Field([])
    members: dict[str, float] | None = Field(None, description="Of an ensemble, each member's weight.")
    rule: Rule | None = Field(None, description="Of an ensemble, how its members are mixed.")
    terms: str | None = Field(None, description="What has to be accepted before it is fetched.")
    loaded: bool = Field(False, description="Whether it is in memory.")


class Pull(Body):
    """How to fetch."""

    accept_terms: bool = Field(False, description="The model's terms of use are accepted.")


class Connection(Answer):
    """A server that the writer connected; its key never comes back."""

    id: str
    name: str
    url: str = Field(examples=["http://127.0.0.1:11434/v1"])
    model: str
    has_key: bool = False


class Address(Body):
    """A server to try."""

    url: str = Field(max_length=2000, examples=["http://127.0.0.1:11434/v1"])
    key: str | None = Field(None, max_length=1000)


class NewConnection(Address):
    """A server to connect, or one to change by its id; a key that is left out stays what it was."""

    id: str | None = Field(None, max_length=64)
    name: str = Field("", max_length=200)
    model: str = Field(max_length=500)


class Offered(Answer):
    """What a server has."""

    models: list[str]


class PresetAnswer(Answer):
    """Sampler settings with a plain name."""

    id: str = Field(examples=["natural"])
    name: dict[str, str] = Field(examples=[{"en": "Natural", "zh": "自然"}])
    about: dict[str, str]
    sampling: dict[str, float]


@router.get("/models", response_model=list[Writes], name="list_models")
def read_models(studio: At, kept: Kept, user: User) -> Any:
    """All models: the catalogue's, those that were trained here, and those of connected servers."""
    return known_models(studio, kept, user)


@router.post("/models/{name:path}/pull", responses=sse_responses("progress", "done", "failed"),
             response_class=StreamingResponse, name="pull_model")  # fmt: skip
async def pull_model(studio: At, name: str, body: Pull | None = None) -> StreamingResponse:
    """Fetch a model of the catalogue into the cache; it goes on when nobody listens."""
    from storyteller.models.entries import find_entry

    entry = find_entry(name)
    if entry is None and not studio.settings.local:
        raise NotFoundError(f"there is no model {name!r}. Choose one of the list.")
    return event_stream(_pulling(studio.pulls, name, accept_terms=bool(body and body.accept_terms)))


@router.get("/connections", response_model=list[Connection], name="list_connections")
def list_connections(kept: Kept) -> Any:
    """The servers that were connected."""
    return kept.connections()


@router.post("/connections", response_model=Connection, status_code=201, name="connect")
def connect(kept: Kept, body: NewConnection) -> Any:
    """Connect an OpenAI-compatible server; from now on it can be chosen as a model."""
    RemoteModel(body.url, body.model, api_key=body.key or "").close()  # refuses an address that is none
    return kept.save_connection(body.model_dump(exclude_none=True))


@router.delete("/connections/{connection}", response_model=Done, name="disconnect")
def disconnect(kept: Kept, connection: str) -> Done:
    """Forget a server and its key."""
    kept.delete_connection(connection)
    return Done()


@router.post("/connections/test", response_model=Offered, name="test_connection")
def test_connection(body: Address) -> Offered:
    """Ask a server which models it has; nothing is kept."""
    with RemoteModel(body.url, "", api_key=body.key or "", timeout=_PATIENCE, retries=0) as remote:
        return Offered(models=remote.models())


@router.get("/presets", response_model=list[PresetAnswer], name="list_presets")
async def list_presets() -> Any:
    """Sampler settings in plain words, from calm to wild."""
    return PRESETS


def known_models(studio: Studio, kept: Any, user: str) -> list[dict[str, Any]]:
    """The models that this writer may use."""
    hidden: set[str] = set()
    if studio.settings.accounts:
        others = [other["id"] for other in studio.store.users() if other["id"] != user]
        hidden = {job["run"] for other in others for job in studio.jobs.jobs(other)}
    return list_models(studio.settings.runs, loaded=studio.desk.loaded(), connections=kept.connections(), hidden=hidden)


def check_model(studio: Studio, kept: Any, user: str, name: str | None) -> None:
    """Raise `DeniedError` for a model that is not on the writer's list; who runs the studio may name any folder."""
    if name is None or studio.settings.local:
        return
    if name not in {model["name"] for model in known_models(studio, kept, user)}:
        raise DeniedError(f"there is no model {name!r} for you. Choose one of the list.")


def check_members(model: str, weights: Mapping[str, float]) -> None:
    """Raise `StudioError` for weights that the members of this model cannot have: every text after them would fail."""
    folder = Path(model).expanduser()
    if not (folder / ENSEMBLE_FILE).is_file():
        raise StudioError(
            f"{model} is no ensemble, so it has no members to weigh. Choose one, or leave `members` away."
        )
    ensemble = read_ensemble(folder)
    try:
        named_weights(weights, ensemble.names, ensemble.rule)
    except ValueError as error:
        raise StudioError(f"{error}.") from None


def check_new_members(model: str, given: Mapping[str, Any], before: Mapping[str, Any]) -> None:
    """`check_members` of the weights in settings, where these are others than `before`, or for another model.

    Weights that stay are let be: their ensemble may be gone, and that is no reason to keep the other settings.
    """
    if given.get("members") and any(given.get(name) != before.get(name) for name in ("model", "members")):
        check_members(model, given["members"])


def model_for(studio: Studio, kept: Any, settings: dict[str, Any]) -> str:
    """The model that a project of these settings writes with: its own, the writer's or the studio's."""
    return str({**kept.settings(), **settings}.get("model") or studio.settings.model)


def with_model(studio: Studio, kept: Any, user: str, project: str, wish: dict[str, Any]) -> dict[str, Any]:
    """A wish with the model that it means, its own or the project's (see `model_for`); the errors of `check_model`.

    To go on from a token of an earlier text is to go on with the model of that text.
    """
    if wish.get("from") is None:
        wish = wish | {"model": wish.get("model") or model_for(studio, kept, kept.project(project)["settings"])}
    check_model(studio, kept, user, wish.get("model"))
    return wish


async def _pulling(pulls: dict[str, asyncio.Task[Any]], name: str, *, accept_terms: bool) -> AsyncIterator[Event]:
    """Fetch in a thread, or join who fetches it, and tell every half second how much of it has come."""
    from storyteller.models import pull
    from storyteller.models.entries import entry_named, find_entry

    entry = find_entry(name)
    source = entry_named(entry.base) if entry and entry.base else entry
    total = source.download if source else 0
    fetching = pulls.get(name)
    if fetching is None or fetching.done():
        fetching = asyncio.create_task(to_thread.run_sync(lambda: pull(name, accept_terms=accept_terms)))
        pulls[name] = fetching
    for number in itertools.count(1):
        done, _ = await asyncio.wait({fetching}, timeout=0.5 if number > 1 else 0.0)
        if done:
            fetching.result()
            yield number, "done", {"model": name}
            return
        read = await to_thread.run_sync(_size_of, source.place.parent) if source else 0
        yield number, "progress", {"read": min(read, total), "total": total}


def _size_of(folder: Path) -> int:
    """The bytes in a folder, which may be emptied meanwhile."""
    size = 0
    for path in folder.rglob("*") if folder.is_dir() else ():
        with contextlib.suppress(OSError):
            size += path.stat().st_size
    return size
