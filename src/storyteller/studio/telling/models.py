"""What a model's name stands for: a model of this machine, one that follows instructions, or a connected server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storyteller.errors import GenerationError
from storyteller.models.ensemble_file import ENSEMBLE_FILE, read_ensemble

if TYPE_CHECKING:
    from storyteller.generate.remote import RemoteModel
    from storyteller.tokens import StoryTokenizer

__all__ = ["instructed", "is_remote", "members_of", "model_of", "reading", "remote_model"]

_REMOTE = "remote:"


def is_remote(model: str) -> bool:
    """Whether a name stands for a connected server."""
    return model.startswith(_REMOTE)


@contextmanager
def remote_model(writer: Any, model: str) -> Iterator[RemoteModel]:
    """The server behind a name, with the writer's own key; raises `NotFoundError` when the connection is gone."""
    from storyteller.generate.remote import RemoteModel

    name = model.removeprefix(_REMOTE)
    connection = writer.connection(name)
    with RemoteModel(connection["url"], connection["model"], api_key=writer.connection_key(name) or "") as server:
        yield server


def instructed(model: str) -> str:
    """The name of the model that follows instructions where this one writes: itself, or the base of an adapter.

    Raises `GenerationError` when neither does.
    """
    from storyteller.models import locate
    from storyteller.tokens.chat import takes_instructions

    located = locate(model)
    if not takes_instructions(located.folder):
        raise GenerationError(
            f"the model {model} follows no instructions: it only continues texts. Choose one that does, such as "
            "smollm2-135m-instruct, or connect a server."
        )
    bare = located.adapter is None and located.ensemble is None
    return model if bare else located.base


def model_of(writer: Any, project: str, wish: Mapping[str, Any]) -> str:
    """The name of the model that is wished for, else the project's, else the writer's, else the default."""
    own = {**writer.settings(), **writer.project(project)["settings"]}
    return str(wish.get("model") or own.get("model") or "default")


def members_of(writer: Any, project: str, model: str) -> dict[str, float]:
    """The weights that a project gives the members of a model; none if it does not, or if they are for another model.

    Weights without a model of their own stay behind when the writer chooses another one for all projects.
    """
    own = {**writer.settings(), **writer.project(project)["settings"]}
    weights = dict(own.get("members") or {}) if own.get("model") in (None, model) else {}
    folder = Path(model).expanduser()
    known = read_ensemble(folder).names if weights and (folder / ENSEMBLE_FILE).is_file() else ()
    return weights if weights.keys() <= set(known) else {}


def reading(model: str) -> tuple[StoryTokenizer, int]:
    """The tokenizer of a model that need not be loaded, and the positions that it will have."""
    from storyteller.generate.engine import DEFAULT_CONTEXT
    from storyteller.models import locate
    from storyteller.tokens import StoryTokenizer

    return StoryTokenizer.load(locate(model).folder), DEFAULT_CONTEXT
