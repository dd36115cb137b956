"""The bodies and answers that several resources share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from storyteller.corpus.story import Form, Language
from storyteller.craft.safety import Setting
from storyteller.studio.presets import PRESETS

__all__ = [
    "ERRORS",
    "Answer",
    "Author",
    "Body",
    "Done",
    "EntryId",
    "Explained",
    "Form",
    "GenerationId",
    "ItemId",
    "Language",
    "NodeId",
    "Problem",
    "ProjectId",
    "Provenance",
    "Sampling",
    "WritingSettings",
]

Author = Literal["person", "model", "import", "prompt"]

ProjectId = Annotated[str, Path(description="The project's id.", max_length=64)]
ItemId = Annotated[str, Path(description="The id of a scene, a chapter or a note.", max_length=64)]
NodeId = Annotated[str, Path(description="The id of a node of a scene's history.", max_length=64)]
EntryId = Annotated[str, Path(description="The entry's id.", max_length=64)]
GenerationId = Annotated[str, Path(description="The generation's id.", max_length=64)]

Provenance = Annotated[
    list[tuple[int, str, str | None, str | None]],
    Field(
        description="Who wrote what: [length in UTF-16 units, source, generation, model], covering the text from its start.",
        examples=[[[120, "model", "g1", "default"], [14, "person", None, None]]],
    ),
]


class Body(BaseModel):
    """What a caller sends; an unknown key is an error, so that a misspelt one is not lost."""

    model_config = ConfigDict(extra="forbid")


class Answer(BaseModel):
    """What the studio sends."""

    model_config = ConfigDict(from_attributes=True)


class Explained(Answer):
    """An error in words."""

    code: str = Field(description="A word for programs.", examples=["not_found"])
    message: str = Field(description="What is wrong.", examples=["There is no scene of that id."])
    next: str = Field("", description="What to do next; may be empty.", examples=["Open it again from the tree."])


class Problem(Answer):
    """The shape of every error."""

    error: Explained


class Conflict(Problem):
    """The manuscript has moved on since it was read: how it stands now."""

    head: str | None = Field(None, description="The current node.")
    text: str | None = Field(None, description="The current text.")
    provenance: Provenance = Field([])


class Done(Answer):
    """It is done."""

    ok: Literal[True] = True


class Sampling(Body):
    """How the next token is drawn; what is left out is the preset's."""

    temperature: float | None = Field(None, ge=0, le=5, description="Higher is bolder; 0 takes the likeliest.")
    min_p: float | None = Field(
        None, ge=0, le=1, description="Drop what is less likely than this share of the likeliest."
    )
    top_p: float | None = Field(
        None, gt=0, le=1, description="Keep the likeliest tokens that together have this share."
    )
    top_k: int | None = Field(None, ge=1, description="Keep this many of the likeliest tokens.")
    dry_multiplier: float | None = Field(None, ge=0, le=10, description="How hard a repeat is punished; 0 is off.")
    dry_base: float | None = Field(None, ge=1, le=4, description="How fast the punishment grows with the repeat.")
    dry_allowed: int | None = Field(None, ge=1, le=64, description="Repeats of so many tokens are left alone.")
    dry_range: int | None = Field(None, ge=0, le=32768, description="How many tokens back repeats are looked for.")
    repetition_penalty: float | None = Field(
        None, gt=0, le=4, description="Divides what was written already; 1 is off."
    )

    def given(self) -> dict[str, Any]:
        """What was set."""
        return self.model_dump(exclude_none=True)


class _OwnSampling(Sampling):
    """Sampling settings that are kept; what is not of ours is kept with them and not read."""

    model_config = ConfigDict(extra="allow")


class _Read(BaseModel):
    """What the studio reads of settings that are kept."""

    model: str | None = None
    preset: str | None = None
    sampling: _OwnSampling | None = None
    members: dict[str, FiniteFloat] | None = None
    safety: Setting | None = None


def _readable(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as they were given, if every generation can do with them: a wrong one would end them all."""
    try:
        read = _Read.model_validate(settings)
    except ValidationError as error:
        problem = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}") from None
    if read.preset is not None and read.preset not in (names := [preset.id for preset in PRESETS]):
        raise ValueError(f"preset: it is none of {', '.join(names)}")
    return settings


WritingSettings = Annotated[dict[str, Any], AfterValidator(_readable)]
"""Settings of a writer or a project: those that the studio reads are checked, free ones are kept beside them."""


#: What every route may answer beside its own.
ERRORS: dict[int | str, dict[str, Any]] = {
    404: {"model": Problem, "description": "There is nothing of that name."},
    409: {"model": Conflict, "description": "The manuscript has moved on: how it stands now."},
}
