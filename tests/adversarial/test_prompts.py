"""Prompts by work, stories marked alike, and short cuts that are found before the critic finds them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.tokens.stories import LAMP, SEAL, story, write_corpus

from storyteller.adversarial.critic import Read
from storyteller.adversarial.marks import Marks, matched, sentence_marks
from storyteller.adversarial.probes import probe, refuse_shortcuts
from storyteller.adversarial.prompts import Prompt, PromptSets, corrupted, draw, make_prompts
from storyteller.adversarial.reading import Group, read_groups
from storyteller.corpus.story import Language
from storyteller.errors import DataError
from storyteller.recipe import DataRecipe
from storyteller.recipe.models import RolloutRecipe
from storyteller.tokens import Template

ROLLOUT = RolloutRecipe(new_tokens=60, prompt_tokens=400, dev_prompts=8)


def several(count: int, language: str = "en") -> list[str]:
    """Stories with different beginnings and the same rest."""
    if language == "zh":
        return [f"第{i}天，守塔人醒得很早。{LAMP}" for i in range(count)]
    return [f"On day {i} of that year the keeper woke early and counted {i + 3} gulls. {SEAL}" for i in range(count)]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_work_is_in_two_sets(tmp_path: Path, template: Template, language: str) -> None:
    texts = several(20, language)
    train = [story(text, f"t{i}", language, work=f"book {i // 2}") for i, text in enumerate(texts[:14])]  # type: ignore[arg-type]
    dev = [story(text, f"d{i}", language, work=f"other {i // 2}") for i, text in enumerate(texts[14:])]  # type: ignore[arg-type]
    corpus = write_corpus(tmp_path / "c", train, dev)
    sets = make_prompts(DataRecipe(path=corpus, context=600), template, ROLLOUT, seed=1)
    works = [{prompt.work for prompt in prompts} for prompts in (sets.train, sets.held, sets.dev, sets.gate)]
    assert sum(map(len, works)) == len(set.union(*works)) == 10
    assert all(work.startswith("other") for part in works[2:] for work in part)
    assert sets == make_prompts(DataRecipe(path=corpus, context=600), template, ROLLOUT, seed=1)
    for prompt in [*sets.train, *sets.held, *sets.dev, *sets.gate]:
        assert 0 < len(prompt.human) <= 60
        assert len(prompt.ids) <= 400
        assert prompt.text
        text = next(text for text, one in zip(texts, [*train, *dev], strict=True) if one.id == prompt.story)
        assert prompt.text.strip() in text  # what is to be continued, or all of it


def test_some_prompts_show_a_beginning(tmp_path: Path, template: Template) -> None:
    stories = [story(text, f"t{i}") for i, text in enumerate(several(12))]
    data = DataRecipe(path=write_corpus(tmp_path / "c", stories[:8], stories[8:]), context=900, keep_condition=0)
    lengths = []
    for share in (0.0, 1.0):
        prompts = make_prompts(data, template, ROLLOUT.model_copy(update={"prefix_share": share}), 1).train
        lengths.append(sum(len(prompt.ids) for prompt in prompts) / len(prompts))
    assert lengths[1] > lengths[0] + 20


def test_a_prompt_that_gives_its_story_away_is_refused(tmp_path: Path, template: Template) -> None:
    train = [story(text, f"t{i}", prompt=text[:300]) for i, text in enumerate(several(6))]
    corpus = write_corpus(tmp_path / "c", train, train)
    rollout = ROLLOUT.model_copy(update={"prefix_share": 0.0, "prompt_tokens": 600})
    with pytest.raises(DataError, match="could tell by the prompt"):
        make_prompts(DataRecipe(path=corpus, context=900, keep_condition=1), template, rollout, seed=1)


def test_too_few_works_are_told(tmp_path: Path, template: Template) -> None:
    corpus = write_corpus(tmp_path / "c", [story(SEAL, "a")], [])
    with pytest.raises(DataError, match="too few works"):
        make_prompts(DataRecipe(path=corpus, context=600), template, ROLLOUT, seed=1)


def test_every_prompt_is_drawn_once_an_epoch() -> None:
    prompts = [Prompt((1,), (2,), "x", "", "w", "en", str(i)) for i in range(10)]
    drawn = [prompt.story for step in range(10) for prompt in draw(prompts, 3, seed=1, step=step)]
    assert sorted(drawn[:10]) == sorted(drawn[10:20]) == [str(i) for i in range(10)]
    assert drawn[:10] != drawn[10:20]


@pytest.mark.parametrize(
    ("text", "language", "sentences"),
    [
        ("She ran. He did not! And th", "en", ["She ran.", "She ran. He did not!"]),
        ('"Who?" he asked. "Me."', "en", ['"Who?" he asked.', '"Who?" he asked. "Me."']),
        ("她跑了。他没有！然后", "zh", ["她跑了。", "她跑了。他没有！"]),
        ("“谁？”他问。“我。”", "zh", ["“谁？”他问。", "“谁？”他问。“我。”"]),
    ],
)
def test_marks_stand_at_sentence_ends(template: Template, text: str, language: str, sentences: list[str]) -> None:
    tokenizer = template.tokenizer
    ids = [*tokenizer.encode(text), template.stop_id]
    marks = sentence_marks(ids, tokenizer, language)  # type: ignore[arg-type]
    assert [tokenizer.decode(ids[:end]) for end in marks.ends] == sentences
    assert marks.text == sentences[-1]
    assert marks.ended


def test_marks_of_what_has_no_sentence(template: Template) -> None:
    tokenizer = template.tokenizer
    assert sentence_marks([template.stop_id], tokenizer, "en") == Marks("", (), False)
    assert sentence_marks([], tokenizer, "en") == Marks("", (), False)
    ids = tokenizer.encode("no end in sight")
    assert sentence_marks(ids, tokenizer, "en") == Marks("no end in sight", (len(ids),), False)


def test_pairs_are_cut_to_one_length() -> None:
    assert matched((5, 9, 20), (8, 15)) == ([5, 9], [8, 15])
    assert matched((5, 9, 20), (3,)) == ([5], [3])


def test_a_fault_is_put_in(template: Template) -> None:
    prompt = Prompt((1,), (2,), SEAL, "", "w", "en", "s")
    ids = corrupted(prompt, template, 200, seed=1, other=LAMP)
    assert ids is not None
    assert len(ids) <= 200
    assert template.tokenizer.decode(ids) != SEAL[: len(template.tokenizer.decode(ids))]
    assert ids == corrupted(prompt, template, 200, seed=1, other=LAMP)
    assert corrupted(Prompt((1,), (2,), "No.", "", "w", "en", "s"), template, 200, seed=1, other="") is None


@pytest.mark.parametrize(
    ("text", "language", "told"),
    [(SEAL, "en", "So Mr. Pell asked Mara what to do, and Mara laughed."), (LAMP, "zh", "他去问林小舟，林小舟笑了。")],
)
def test_names_are_exchanged(
    template: Template, monkeypatch: pytest.MonkeyPatch, text: str, language: str, told: str
) -> None:
    monkeypatch.setattr("storyteller.adversarial.prompts.FAULTS", ("names",))
    ids = corrupted(Prompt((1,), (2,), text, "", "w", language, "s"), template, 2000, seed=1, other="")  # type: ignore[arg-type]
    assert ids is not None
    assert told in template.tokenizer.decode(ids)


def test_a_fault_borrows_from_a_story_in_the_same_language(template: Template, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the critic would learn that Latin letters in Chinese are a fault, and of splices in English nothing."""
    borrowed: list[str] = []
    monkeypatch.setattr("storyteller.adversarial.reading.corrupted", lambda *given: borrowed.append(given[-1]))
    monkeypatch.setattr("storyteller.adversarial.reading._read", lambda *_: [])
    mixed: list[Language] = ["en", "zh", "en", "zh", "zh"]
    prompts = [Prompt((1,), (2,), f"{i} {each}", "", "w", each, "s") for i, each in enumerate(mixed)]

    def read(some: list[Prompt]) -> list[str]:
        borrowed.clear()
        stories = [[[2]] for _ in some]
        read_groups(None, None, template, some, stories, temperature=1, new_tokens=9, rows=2, seed=1)  # type: ignore[arg-type]
        return borrowed

    assert read(prompts) == ["2 en", "3 zh", "0 en", "4 zh", "1 zh"]
    assert read(prompts[:2]) == ["", ""]


def groups(template: Template, count: int, human: str, drawn: str) -> list[Group]:
    """Groups of one drawn story each; the texts repeated once more in every third pair, so that they vary."""
    made = []
    for i in range(count):
        ours, theirs = (template.tokenizer.encode(" ".join([text] * (1 + (i % 3 == 0)))) for text in (human, drawn))
        marks = [sentence_marks(ids, template.tokenizer, "en") for ids in (ours, theirs)]
        reads = [Read(torch.zeros(1, mark.ends[-1], 4), mark.ends) for mark in marks]
        prompt = Prompt((1,), tuple(ours), marks[0].text, "", f"w{i}", "en", str(i))
        made.append(Group(prompt, [theirs], [marks[1]], [], 0.0, [reads[1]], reads[0], None))
    return made


def test_of_several_languages_the_one_that_dev_and_gate_share_is_judged() -> None:
    def prompts(*languages: Language) -> list[Prompt]:
        return [Prompt((1,), (2,), "x", "", "w", each, "s") for each in languages]

    sets = PromptSets(prompts("en", "zh"), [], prompts("en", "en", "en", "zh", "zh"), prompts("en", "zh", "zh", "zh"))
    assert sets.judged == "zh"
    assert "zh only, 2 of 5 prompts of dev and 3 of 4 prompts of gate" in sets.unjudged
    assert "what becomes of en is not judged" in sets.unjudged
    whole = PromptSets(prompts("zh"), [], prompts("zh"), prompts("zh"))
    assert (whole.judged, whole.unjudged) == ("zh", "")
    assert "en is not judged" in replace(whole, train=prompts("en")).unjudged


def test_length_alone_is_refused(template: Template) -> None:
    """Drawn stories stop in the middle of the human first sentence, whatever is done: a leak that cutting cannot mend."""
    some = groups(template, 60, "The keeper went down to the sea and sang. She slept.", "Yes. No.")
    with pytest.raises(DataError, match=r"length alone tells .* Human stories have \d+ tokens, drawn ones \d+"):
        refuse_shortcuts(some, template.tokenizer, 0.6)


def test_punctuation_alone_is_refused(template: Template) -> None:
    some = groups(template, 60, "She ran off. He did not. So be it.", "She ran off! He did not! So be it!")
    with pytest.raises(DataError, match=r"punctuation alone tells .* The mark '[.!]'"):
        refuse_shortcuts(some, template.tokenizer, 0.6)
    assert refuse_shortcuts(some, template.tokenizer, 1.0)["punctuation"] > 0.9


def test_what_is_alike_passes(template: Template) -> None:
    some = groups(template, 60, "She ran off. He did not. So be it.", "So be it. He did not. She ran off.")
    assert max(refuse_shortcuts(some, template.tokenizer, 0.6).values()) < 0.6


def test_nothing_to_compare_is_told(template: Template) -> None:
    (group,) = groups(template, 1, "She ran.", "She ran.")
    silent = Group(group.prompt, [[2]], [Marks("", (), False)], [], 0.0, [None], group.human, None)
    with pytest.raises(DataError, match="one class only"):
        refuse_shortcuts([silent], template.tokenizer, 0.6)


def test_a_probe_is_fair_where_there_is_nothing_to_find() -> None:
    import numpy as np

    chance = np.random.default_rng(1)
    found = [probe(chance.normal(size=(80, 5)), chance.normal(size=(80, 5))) for _ in range(20)]
    assert 0.45 < np.mean(found) < 0.55


def test_a_large_work_does_not_fill_the_smaller_part(tmp_path: Path, template: Template) -> None:
    train = [story(text, f"t{i}", work="novel" if i < 16 else f"tale {i}") for i, text in enumerate(several(24))]
    dev = [story(text, f"d{i}", work=f"other {i}") for i, text in enumerate(several(4))]
    corpus = write_corpus(tmp_path / "c", train, dev)
    for seed in range(6):
        sets = make_prompts(DataRecipe(path=corpus, context=600), template, ROLLOUT, seed=seed)
        assert 1 <= len(sets.held) <= 4
