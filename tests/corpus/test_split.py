from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from storyteller.corpus.authors import author_key
from storyteller.corpus.duplicates import components
from storyteller.corpus.ledger import ROW
from storyteller.corpus.split import assign, group

STORIES = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 15), st.integers(0, 15), st.integers(0, 1), st.integers(0, 400)),
    min_size=1,
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(STORIES, st.integers(0, 5))
def test_no_author_work_prompt_or_near_duplicate_is_in_two_splits(
    stories: list[tuple[int, int, int, int, int]], seed: int
) -> None:
    rows = np.zeros(len(stories), ROW)
    for index, (author, work, prompt, language, twin) in enumerate(stories):
        rows[index] = (index * 7919 + 1, author, work, prompt, 100, 0, 0, 0, language)
        rows[index]["text"] = index * 7919 + twin
    twin = np.array([min(story[4] % 50, index) for index, story in enumerate(stories)])
    kin = components(
        np.arange(len(stories)), np.arange(len(stories)), np.where(twin < 5, twin, np.arange(len(stories)))
    )
    labels, cut = group(rows, kin, largest=1.0)
    splits = assign(rows, labels, dev=0.1, test=0.1, seed=seed)
    assert not cut
    for name, keys in (
        ("author", rows["author"]),
        ("work", rows["work"]),
        ("prompt", rows["prompt"]),
        ("kin", kin + 1),
    ):
        for key in set(keys.tolist()) - {0}:
            assert len(set(splits[keys == key].tolist())) == 1, name
    if len(set(labels.tolist())) >= 3:
        assert set(splits.tolist()) == {0, 1, 2}
    assert np.array_equal(splits, assign(rows, labels, dev=0.1, test=0.1, seed=seed))


def test_shares_are_near_the_wish_and_the_seed_matters() -> None:
    rows = np.zeros(4000, ROW)
    rows["text"] = np.arange(1, 4001)
    rows["author"] = np.arange(4000) // 7 + 1
    labels, _ = group(rows, np.arange(4000), 0.2)
    splits = assign(rows, labels, dev=0.05, test=0.05, seed=1)
    assert all(190 <= int((splits == number).sum()) <= 200 for number in (1, 2))
    assert not np.array_equal(splits, assign(rows, labels, dev=0.05, test=0.05, seed=2))


def test_too_large_a_group_falls_back_to_its_works_and_then_to_stories() -> None:
    rows = np.zeros(100, ROW)
    rows["text"], rows["author"], rows["work"] = np.arange(1, 101), 1, np.arange(100) // 10 + 1
    labels, cut = group(rows, np.arange(100), 0.2)
    assert cut == {"author": 100}
    assert len(set(labels.tolist())) == 10
    rows["work"] = 1
    labels, cut = group(rows, np.arange(100), 0.2)
    assert cut == {"author": 100, "work": 100}
    assert len(set(labels.tolist())) == 100


def test_spellings_of_one_author_and_no_author() -> None:
    assert author_key("Dickens, Charles") == author_key("Charles Dickens (ed.)")
    assert author_key("Aesop (tr. V. S. Vernon Jones)") == author_key("Aesop")
    assert author_key("鲁迅")
    assert author_key("〔清〕曹雪芹") == author_key("曹雪芹")
    for nobody in (None, "", "Anonymous", "Storyteller authors", "佚名", "meta-llama/Llama-3.1-8B-Instruct", "GPT-4"):
        assert author_key(nobody) == "", nobody


def test_people_who_bear_a_models_name_are_people() -> None:
    people = ("Claude McKay", "McKay, Claude", "Gabriela Mistral", "Frédéric Mistral", "Jean-Claude Izzo", "Falcon, Edmund",
              "Claude-Adrien Helvétius", "Gemini Jones")  # fmt: skip
    for person in people:
        assert author_key(person), person
    machines = ("Claude", "Claude 3.5 Sonnet", "claude-3-opus-20240229", "Claude (Anthropic)", "Gemini Pro", "gemini-1.5-flash",
                "Mistral 7B Instruct", "Mixtral-8x7B", "Llama3", "Code Llama 34B", "Falcon-40B", "ChatGPT", "DeepSeek-V3",
                "Qwen2.5 7B", "AI-generated")  # fmt: skip
    for machine in machines:
        assert author_key(machine) == "", machine
