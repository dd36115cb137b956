"""The two numbers that a writer may ask of a passage."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field

from storyteller.studio.api.shapes import Answer, Body, Language
from storyteller.studio.studio import At, Kept

__all__ = ["router"]

router = APIRouter(prefix="/api", tags=["quality"])


class Asked(Body):
    """A passage of any version of a manuscript."""

    text: str = Field(max_length=20_000, description="Its first 300 words are read.")
    language: Language = "en"


class Number(Answer):
    """A number from 0 to 100, or the reason why there is none."""

    value: float | None = Field(None, examples=[63.5])
    reason: Literal["", "short", "language", "kind", "length"] = Field(
        "",
        description="`short`: under 40 words; `language`: not English; `kind`: unlike all that the number was made from; "
        "`length`: no human passages of this length to compare with.",
    )


class SentencePart(Answer):
    """A sentence, and by how many points the human-likeness is higher with it than without."""

    text: str
    likeness: float | None = Field(None, examples=[-4.2])


class Numbers(Answer):
    """What was read in the passage. Neither number is a grade, and neither says who wrote it."""

    likeness: Number = Field(
        description="The share of published passages of this length that the critic finds less human."
    )
    coherence: Number = Field(
        description="Of passages that score like this, how many in 100 are as written, where half had a fault put in."
    )
    words: int = Field(description="How many words were read.")
    sentences: list[SentencePart] = Field([], description="Together they are the text that was read.")


@router.post("/numbers", response_model=Numbers, name="read_numbers")
async def read_numbers(request: Request, studio: At, kept: Kept, body: Asked) -> Any:
    """Human-likeness and coherence of a passage, with each sentence's part; nothing of it is kept.

    The model that reads is loaded when it is first asked for. A caller that hangs up is not answered: the reading stops.
    """
    told = await studio.numbers.of(body.text, body.language, request.is_disconnected)
    return Numbers(
        likeness=Number.model_validate(told.likeness),
        coherence=Number.model_validate(told.coherence),
        words=told.words,
        sentences=[SentencePart(text=text, likeness=part) for text, part in told.sentences],
    )
