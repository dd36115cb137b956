"""Documents: every token of every story is learned once, and a word is not torn between two pieces."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from tests.tokens.stories import LAMP, SEAL, long_story, story, write_corpus

from storyteller.recipe import DataRecipe
from storyteller.tokens import Shards, Template, tokenize
from storyteller.tokens.conditions import Conditions
from storyteller.tokens.documents import Documents, DocumentSettings
from storyteller.tokens.vocabulary import Frequencies

STORIES = [long_story("a", 12), long_story("b", 9, "zh"), story("Mara", "c"), story(SEAL, "d"), story(LAMP, "e", "zh")]


def documents(template: Template, context: int, settings: DocumentSettings, **data: object) -> Documents:
    recipe = DataRecipe(context=context, **data)  # type: ignore[arg-type]
    return Documents(template, Conditions(Frequencies(), 0.8), recipe, settings)


@pytest.mark.parametrize("context", [16, 61, 4096])
@pytest.mark.parametrize("prompted", [0.0, 0.5, 1.0])
def test_every_token_is_learned_once(template: Template, context: int, prompted: float) -> None:
    made = documents(template, context, DocumentSettings(prompted))
    for one in STORIES:
        ids = template.tokenizer.encode(one.text)
        chunks = list(made.of([one]))
        learned = [index for chunk in chunks for index in chunk.ids[len(chunk.ids) - chunk.targets :]]
        assert learned == [*ids, template.stop_id]
        assert sum(chunk.bytes for chunk in chunks) == len(one.text.encode())
        assert all(2 <= len(chunk.ids) <= context for chunk in chunks)
        # A piece in the middle reads the last token of the piece before it.
        for before, after in itertools.pairwise(chunks):
            assert (after.ids[0], after.targets) == (before.ids[-1], len(after.ids) - 1)
    assert made.counts["stories"] == len(STORIES) == made.counts["whole"] + made.counts["cut"]


def test_a_request_is_what_writing_would_show(template: Template) -> None:
    made = documents(template, 4096, DocumentSettings(prompted=1.0))
    for chunk in made.of(STORIES):
        read = chunk.ids[: len(chunk.ids) - chunk.targets]
        assert read == template.prompt(chunk.request)
        assert chunk.request.opening is None


def test_pieces_for_a_masked_model_are_whole_words(template: Template) -> None:
    made = documents(template, 48, DocumentSettings(0.0, masked=True))
    for one in STORIES:
        chunks = list(made.of([one]))
        end = template.stop_id
        assert all(chunk.ids[0] == chunk.ids[-1] == end and len(chunk.ids) <= 48 for chunk in chunks)
        assert [i for chunk in chunks for i in chunk.ids[1:-1]] == template.tokenizer.encode(one.text)
        for chunk in chunks:
            assert chunk.starts is not None
            assert len(chunk.starts) == len(chunk.ids)
            assert chunk.starts[[0, 1, -1]].all()
        if one.language == "en":
            texts = [template.tokenizer.decode(chunk.ids) for chunk in chunks]
            assert not any(a[-1:].isalpha() and b[:1].isalpha() for a, b in itertools.pairwise(texts))


def test_parts_can_be_capped_and_an_empty_story_is_counted(template: Template) -> None:
    made = documents(template, 32, DocumentSettings(0.0), max_parts=2)
    assert len(list(made.of([STORIES[0], story("", "x")]))) == 2
    assert (made.counts["capped"], made.counts["without_target"], made.counts["stories"]) == (1, 1, 2)


def test_the_stop_token_is_a_label_of_the_batch(template: Template, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", STORIES, STORIES[3:])
    shards = tokenize(
        corpus, None, template.tokenizer, DataRecipe(context=64), template=template, documents=DocumentSettings()
    )
    examples = tokenize(corpus, None, template.tokenizer, DataRecipe(context=64), template=template)
    assert shards.folder != examples.folder
    assert Shards.open(shards.folder).meta["documents"] == {"prompted": 0.5, "masked": False}
    labels = np.concatenate([batch.labels.ravel() for batch in shards.rows(64, 2, split="train")])
    assert (labels == template.stop_id).sum() == len(STORIES)
