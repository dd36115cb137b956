from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console
from tests.tokens.stories import LAMP, SEAL, story, write_corpus

from storyteller.errors import DataError
from storyteller.recipe import DataRecipe
from storyteller.tokens import StoryTokenizer, tokenize
from storyteller.tokens.inspection import draw_example, draw_packing, draw_report, find_shards


@pytest.fixture
def corpus(tokenizer: StoryTokenizer, tmp_path: Path) -> Path:
    folder = write_corpus(tmp_path, [story(SEAL, "a"), story(LAMP, "b", "zh")])
    tokenize(folder, None, tokenizer, DataRecipe(context=1024, tasks={"write": 1.0}))
    return folder


@pytest.mark.parametrize(("number", "text"), [(0, "Mara kept the lighthouse"), (1, "林小舟")])
def test_an_example_is_drawn_with_its_loss_mask(
    corpus: Path, tokenizer: StoryTokenizer, number: int, text: str
) -> None:
    drawn = draw_example(find_shards(corpus), tokenizer, "train", number)
    styles = {drawn.plain[span.start : span.end]: str(span.style) for span in drawn.spans}
    assert drawn.plain.startswith("<|im_start|>user\n")
    assert drawn.plain.endswith("<|im_end|>")
    assert text in drawn.plain
    assert "�" not in drawn.plain
    assert str(drawn.spans[-1].style) == "bold black on yellow"
    learned = "".join(drawn.plain[span.start : span.end] for span in drawn.spans if str(span.style) == "green")
    assert learned.strip()
    assert learned.strip() in (SEAL if number == 0 else LAMP)
    assert "green" in styles.values()
    with_ids = draw_example(find_shards(corpus), tokenizer, "train", number, ids=True)
    assert "<|im_start|>·1 " in with_ids.plain


def test_report_and_packing_are_drawn(corpus: Path) -> None:
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(draw_report(find_shards(corpus)))
    console.print(draw_packing(find_shards(corpus), "train"))
    told = console.export_text()
    console.file.close()
    assert "share truncated" in told
    assert "language zh" in told
    assert "% full" in told


def test_mistakes_are_data_errors(corpus: Path, tokenizer: StoryTokenizer, metaspace: StoryTokenizer) -> None:
    shards = find_shards(corpus)
    with pytest.raises(DataError, match=r"no example 9 in train; there are train 0\.\.1"):
        draw_example(shards, tokenizer, "train", 9)
    with pytest.raises(DataError, match="--model"):
        draw_example(shards, metaspace, "train", 0)
    with pytest.raises(DataError, match="storyteller tokenize"):
        find_shards(corpus / "nowhere")
