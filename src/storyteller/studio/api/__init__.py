"""The HTTP API, one router a resource; `shapes` holds what several of them send."""

from __future__ import annotations

from storyteller.studio.api import (
    books,
    chat,
    docs,
    entries,
    generations,
    jobs,
    models,
    numbers,
    plan,
    projects,
    quality,
    scenes,
    status,
)

__all__ = ["ROUTERS", "TAGS"]

ROUTERS = tuple(
    module.router
    for module in (
        status,
        projects,
        scenes,
        generations,
        entries,
        plan,
        chat,
        models,
        quality,
        numbers,
        jobs,
        books,
        docs,
    )
)

TAGS = [
    {"name": "studio", "description": "Status, sign-in, and the writer's settings."},
    {"name": "projects", "description": "Projects and their trees of chapters, scenes and notes."},
    {"name": "scenes", "description": "A scene's text, every change of it, and its branches."},
    {"name": "generations", "description": "What models are asked, see and write."},
    {"name": "entries", "description": "People, places and things that a model must remember."},
    {"name": "plan", "description": "From a premise to beats, and a draft from them."},
    {"name": "chat", "description": "Talk with the storyteller or with a person of the story."},
    {"name": "models", "description": "Models, connected servers and sampler presets."},
    {"name": "quality", "description": "What is kept of the models' text, choices, and the two numbers of a passage."},
    {"name": "jobs", "description": "Training."},
    {"name": "books", "description": "Files in and out, and backups."},
    {"name": "openai", "description": "The interface that OpenAI's clients speak."},
]
