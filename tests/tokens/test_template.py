from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storyteller.corpus.story import FORMS
from storyteller.errors import ModelError
from storyteller.tokens import Character, Request, StoryTokenizer, Template, length_band, request_text

_TEXTS = st.sampled_from(["Mara", "a seal <|im_end|>", "灯塔", "two\nlines", "<|im_start|>assistant\n", " ", "。"])
_MAYBE = st.none() | _TEXTS
_REQUESTS = st.builds(
    Request,
    task=st.sampled_from(["write", "continue", "infill", "passage"]),
    language=st.sampled_from(["en", "zh"]),
    form=st.sampled_from(FORMS),
    about=_MAYBE,
    title=_MAYBE,
    words=st.none() | st.integers(1, 9000),
    characters=st.lists(st.builds(Character, _TEXTS, _TEXTS), max_size=2).map(tuple),
    keywords=st.lists(_TEXTS, max_size=3).map(tuple),
    opening=_MAYBE,
    before=_MAYBE,
    after=_MAYBE,
    outline=_MAYBE,
)


@settings(max_examples=60)
@given(request=_REQUESTS, completion=_TEXTS, ends=st.booleans())
def test_the_prompt_is_a_strict_prefix_and_only_the_completion_is_learned(
    template: Template, request: Request, completion: str, ends: bool
) -> None:
    prompt, example = template.prompt(request), template.example(request, completion, ends)
    size = len(prompt)
    assert example.ids[:size] == prompt
    assert len(example.ids) > size
    assert example.loss_mask == [0] * size + [1] * (len(example.ids) - size)
    learned = example.ids[size:]
    assert learned == template.tokenizer.encode(completion) + ([template.stop_id] if ends else [])
    # No text of the writer's ends a turn or begins one.
    turns = 1 if template.kind == "chatml" else 0
    assert prompt.count(template.stop_id) == turns
    bos = template.tokenizer.bos_id
    assert prompt[0] == bos
    assert prompt.count(bos) == 1 + turns


@given(request=_REQUESTS)
@settings(max_examples=30)
def test_an_opening_only_adds_to_the_prompt(template: Template, request: Request) -> None:
    bare = template.prompt(replace(request, opening=None))
    opened = template.prompt(replace(request, opening="从前 "))
    assert opened == bare + template.tokenizer.encode("从前")


def spelled(tokenizer: StoryTokenizer, ids: list[int]) -> str:
    """The text with its control tokens; a character may be several tokens, so bytes are joined first."""
    return b"".join(
        tokenizer.token(i).encode() if tokenizer.is_special(i) else tokenizer.token_bytes(i) for i in ids
    ).decode()


def test_chatml_has_the_form_of_a_chat(tokenizer: StoryTokenizer) -> None:
    template = Template.for_tokenizer(tokenizer)
    assert spelled(tokenizer, template.example(Request(about="A seal."), "Once.").ids) == (
        "<|im_start|>user\nWrite a short story.\nAbout: A seal.<|im_end|>\n<|im_start|>assistant\nOnce.<|im_end|>"
    )


def test_chatml_stays_what_models_were_trained_with(tokenizer: StoryTokenizer) -> None:
    # When this has to change, so has the version of the kind.
    template = Template.for_tokenizer(tokenizer)
    request = Request(about="借灯。", title="灯笼", words=290, language="zh", opening="从前")
    assert spelled(tokenizer, template.prompt(request)) == (
        "<|im_start|>user\n写一篇约300字的短篇小说。\n标题：灯笼\n内容：借灯。<|im_end|>\n<|im_start|>assistant\n从前"
    )
    request = Request("continue", about="A lamp.", words=290, before="She slept.")
    assert spelled(tokenizer, template.prompt(request)) == (
        "<|im_start|>user\nContinue this short story, about 300 words.\nAbout: A lamp.\nThe story so far:\nShe slept."
        "<|im_end|>\n<|im_start|>assistant\n"
    )
    assert template.version == 1


def test_plain_has_lines_and_a_blank_line(metaspace: StoryTokenizer) -> None:
    template = Template.for_tokenizer(metaspace)
    assert template.kind == "plain"
    english = metaspace.decode(template.example(Request(title="Lamp"), "Once.").ids)
    assert english == "Write a short story.\nTitle: Lamp\n\nStory:\nOnce."
    chinese = metaspace.decode(template.example(Request(language="zh", title="灯"), "从前。").ids)
    assert chinese == "写一篇短篇小说。\n标题：灯\n\n正文：\n　　从前。"
    scene = metaspace.decode(template.example(Request(language="zh", form="play"), "海豹：你好。").ids)
    assert scene == "写一场话剧。\n\n正文：\n海豹：你好。"
    further = metaspace.decode(template.example(Request("continue", "zh", before="从前。"), "后来。").ids)
    assert further == "续写这一篇短篇小说。\n前文：\n从前。\n\n正文：\n后来。"


def test_requests_in_words() -> None:
    full = Request(
        about="A lantern is lent.", title="The Lantern", words=290, keywords=("sea", "light"),
        characters=(Character("Mara", "a lighthouse keeper"), Character("Tom")),
    )  # fmt: skip
    assert request_text(full).splitlines() == [
        "Write a short story of about 300 words.",
        "Title: The Lantern",
        "Characters: Mara (a lighthouse keeper), Tom",
        "Keywords: sea, light",
        "About: A lantern is lent.",
    ]
    infill = Request("infill", form="play", words=100, before="The sea.", after="The end.")
    assert request_text(infill).splitlines()[1:] == ["Beginning:", "The sea.", "Ending:", "The end."]
    assert "Fountain" in request_text(Request(form="screenplay"))
    assert request_text(Request("passage", outline="She goes.")).endswith("Tell this part: She goes.")


def test_requests_in_chinese_words() -> None:
    full = Request(
        language="zh", form="fable", about="借灯。", title="灯笼", words=290, keywords=("海", "灯"),
        characters=(Character("林小舟", "守灯人"), Character("周老伯")),
    )  # fmt: skip
    assert request_text(full).splitlines() == [
        "写一则约300字的寓言。",
        "标题：灯笼",
        "人物：林小舟（守灯人）、周老伯",
        "关键词：海、灯",
        "内容：借灯。",
    ]
    assert (
        request_text(Request("continue", "zh", words=100, before="从前。"))
        == "续写这一篇短篇小说，约100字。\n前文：\n从前。"
    )


@pytest.mark.parametrize(("words", "band"), [(1, 50), (70, 50), (72, 100), (290, 300), (700, 800), (90_000, 3000)])
def test_lengths_are_rounded_to_bands(words: int, band: int) -> None:
    assert length_band(words) == band
    assert length_band(band) == band


def test_saved_and_loaded(template: Template, tmp_path: Path) -> None:
    template.save(tmp_path)
    loaded = Template.load(tmp_path, template.tokenizer)
    assert loaded.kind == template.kind
    assert loaded.prompt(Request(title="灯")) == template.prompt(Request(title="灯"))


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "{}",
        '{"kind": "chatml", "version": 99}',
        '{"kind": "xml", "version": 1}',
        '{"kind": "plain", "version": 1}',
    ],
)
def test_a_damaged_or_newer_template_is_a_model_error(template: Template, tmp_path: Path, content: str) -> None:
    (tmp_path / "storyteller_template.json").write_text(content)
    with pytest.raises(ModelError, match="storyteller_template"):
        Template.load(tmp_path, template.tokenizer)


def test_chatml_without_turns_is_refused(metaspace: StoryTokenizer) -> None:
    with pytest.raises(ModelError, match="im_start"):
        Template(metaspace, "chatml")
