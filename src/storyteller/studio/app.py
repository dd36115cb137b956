"""The application: the guard, the API, the built page, and an error shape for all of it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.middleware import Middleware
from starlette_compress import CompressMiddleware

from storyteller import __version__
from storyteller.studio import openai
from storyteller.studio.answers import Faults, answer_errors
from storyteller.studio.api import ROUTERS, TAGS
from storyteller.studio.api.shapes import Problem
from storyteller.studio.built import BuiltPage
from storyteller.studio.security import Guard, SecureHeaders
from storyteller.studio.settings import StudioSettings
from storyteller.studio.studio import Studio, open_studio

__all__ = ["create_app"]

#: The framework can send what happens to an address in the environment; a studio tells nobody anything.
_SILENT: Any = dict.fromkeys(("tracing", "metrics", "logs", "operation_spans", "auto_configure"), False)

_ABOUT = """The studio's page uses this interface and nothing else.

Bodies and answers are JSON in UTF-8. Offsets and lengths in a manuscript count UTF-16 code units, as JavaScript does.
An error is `{"error": {"code", "message", "next"}}`, where `next` says what to do; a conflict (409) also brings how the
manuscript stands. Streams are server-sent events. Without a token the studio answers this machine alone; with one, send
`Authorization: Bearer TOKEN`, or the cookie that `POST /api/session` sets."""


def create_app(settings: StudioSettings, studio: Studio | None = None) -> FastAPI:
    """The application for these settings; raises `StudioError` where they would let strangers in.

    `studio` takes the place of the one that the settings describe; it is closed with the application.
    """
    settings.check()
    studio = studio or open_studio(settings)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if settings.warm:
            studio.desk.load(settings.model)
        yield
        studio.close()

    app = FastAPI(
        title="Storyteller Studio",
        summary="A place where a writer works with the storyteller.",
        description=_ABOUT,
        version=__version__,
        openapi_url="/api/openapi.json",
        docs_url=None,  # their script comes from elsewhere; `/api/docs` is ours
        redoc_url=None,
        openapi_tags=TAGS,
        lifespan=lifespan,
        generate_unique_id_function=lambda route: route.name,
        middleware=[
            Middleware(SecureHeaders),
            Middleware(CompressMiddleware),
            Middleware(Faults),
            Middleware(Guard, settings=settings, who=studio.access.who),
        ],
        telemetry=_SILENT,
        responses={422: {"model": Problem, "description": "The request is not understood."}},
    )
    app.state.studio = studio
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]
    answer_errors(app)
    app.include_router(openai.router)
    if settings.manuscripts:
        for router in ROUTERS:
            app.include_router(router)
    if settings.page:
        app.mount("/", BuiltPage())
    return app


def _described(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI description, made once, with the error shape that we send instead of the framework's."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            description=app.description,
            routes=app.routes,
            tags=app.openapi_tags,
        )
        for unused in ("HTTPValidationError", "ValidationError"):
            made["components"]["schemas"].pop(unused, None)
        app.openapi_schema = made
    return app.openapi_schema
