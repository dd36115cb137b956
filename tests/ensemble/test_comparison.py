"""The scripts that tell and compare ensembles: what is asked, gathered, priced and planned."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.adapters import tiny_ensemble

from storyteller.corpus import PrepareSettings, prepare
from storyteller.evaluate.texts import HUMAN, Text, write_texts

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def scripts() -> Iterator[tuple[Any, Any]]:
    sys.path.insert(0, str(ROOT / "scripts"))
    import compare_ensembles
    import tell_ensembles

    yield tell_ensembles, compare_ensembles
    sys.path.remove(str(ROOT / "scripts"))


def text(
    system: str, prompt: str, seed: int | None = 1, temperature: float | None = 1.0, words: str = "It sang."
) -> Text:
    return Text(words, system, prompt, seed=seed, temperature=temperature)


def test_what_is_told_is_gathered_under_short_names(
    scripts: tuple[Any, Any], tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teller, _ = scripts
    prepare([ROOT / "examples" / "stories" / "en"], tmp_path / "tales", settings=PrepareSettings(dev=0.1, test=0.4))
    models = [tiny_llama, tiny_ensemble(tiny_llama, tmp_path / "mix")]
    for model in models:
        command = [
            "tell",
            model,
            "--data",
            tmp_path / "tales",
            "--prompts",
            2,
            "--words",
            10,
            "--seeds",
            2,
            "--first",
            3,
        ]
        command += ["--engine", "torch", "--rows", 3, "--max-tokens", 16, "--out", tmp_path / model.name]
        monkeypatch.setattr(sys, "argv", ["tell_ensembles.py", *map(str, command)])
        teller.main()
    texts = teller.gather([tmp_path / model.name for model in models])
    assert {one.system for one in texts} == {HUMAN, tiny_llama.name, "mix"}
    assert {one.seed for one in texts if one.system == "mix"} == {3, 4}
    assert len(texts) == 2 * 5
    assert all(one.prompt_id.startswith("tales/") for one in texts)
    assert all(one.tokens for one in texts if one.system != HUMAN)


def test_only_what_everybody_answered_in_full_is_compared(scripts: tuple[Any, Any]) -> None:
    _, comparing = scripts
    prompts = [f"p{number}" for number in range(10)]
    whole = [text(HUMAN, prompt, None, None) for prompt in prompts]
    whole += [text("a", prompt, seed) for prompt in prompts for seed in (1, 2)]
    partly = [text("b", prompt, seed) for prompt in prompts for seed in (1, 2)][:-1]  # killed before its last text
    hardly = [text("c", prompt) for prompt in prompts[:3]]
    kept = comparing.complete([*whole, *partly, *hardly])
    assert {one.system for one in kept} == {HUMAN, "a", "b"}
    assert {one.prompt_id for one in kept} == set(prompts[:-1])
    assert len([one for one in kept if one.system == "b"]) == 18


def test_pools_are_of_one_size_and_all_members_have_equal_parts(scripts: tuple[Any, Any]) -> None:
    _, comparing = scripts
    texts = [text(name, "p", seed) for name in "ab" for seed in range(1, 5)]
    found = comparing.pools(texts, ["a", "b"], 4)
    assert {name: len(own) for name, own in found.items()} == {"a": 4, "b": 4, "all": 4}
    assert sorted(one.system for one in found["all"]) == ["a", "a", "b", "b"]
    good = {one: replace(one, text=f"It sang {one.seed} times.") for one in found["all"]}
    scorers = {"seed": lambda some, request: [float(one.split()[2]) for one in some]}
    from storyteller.tokens import Request

    candidates = [replace(one, request=Request(about="A seal.")) for one in good.values()]
    ranked = comparing.reranked("all", candidates, 4, scorers, shown=True)
    assert [one.system for one in ranked] == ["best of 4 by all", *["shown by all"] * 3]
    assert "2 times" in ranked[0].text  # standardised within each member, the second text of both is the better one


def test_plans_compare_at_equal_cost(scripts: tuple[Any, Any]) -> None:
    _, comparing = scripts
    pairs = comparing.plan(["a", "b"], ["merged"], {"mix": 2}, [2, 8], "b")
    assert ("b", "merged") in pairs
    assert ("best of 2 by b", "mix") in pairs
    assert ("best of 8 by b", "best of 8 by all") in pairs
    assert ("shown by b", "shown by all") in pairs


def test_wins_are_counted_by_genre_and_both_halves_of_a_pair_make_one(
    scripts: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, comparing = scripts
    chances = {"a": 0.9, "b": 0.4, "c": 0.6}

    def judged(human: list[str], system: list[str], **_: Any) -> SimpleNamespace:
        return SimpleNamespace(system=[float(one) for one in system])  # what is said of a text is its own

    def equalised(human: list[str], system: list[str], *_: Any, **__: Any) -> SimpleNamespace:
        return SimpleNamespace(human=human, system=system, kept=range(len(system)))

    monkeypatch.setattr(comparing, "judge", judged)
    monkeypatch.setattr(comparing, "equalise", equalised)
    texts = [text(HUMAN, f"{genre}/{n}", None, None) for genre in ("tales", "plays") for n in range(3)]
    for genre, n, name in itertools.product(("tales", "plays"), range(3), "abc"):
        chance = 0.95 if (genre, name) == ("plays", "b") else chances[name]
        texts.append(replace(text(name, f"{genre}/{n}", words=str(chance)), work=f"{genre}{n}"))
    found = comparing.wins(texts, ["a", "b", "c"])
    assert found["best_by_genre"] == {"plays": {"b": 3}, "tales": {"a": 3}}
    assert found["pairs_by_genre"]["plays"]["b"] == {"a": 1.0, "c": 1.0}
    assert found["pairs_by_genre"]["tales"] == {"a": {"b": 1, "c": 1}, "b": {"a": 0, "c": 0}, "c": {"a": 0, "b": 1}}
    table = comparing.win_matrix(found["pairs_by_genre"]["tales"], "tales")
    assert table[2] == "| a |  | 100 | 100 |"


def test_scores_are_kept_and_not_made_again(scripts: tuple[Any, Any], tmp_path: Path) -> None:
    teller, _ = scripts
    path = tmp_path / "scores.json"
    path.write_text(f'{{"{teller.hash_of("It sang.")}": 0.5}}')
    assert teller.score(["It sang.", "It sang."], path) == {teller.hash_of("It sang."): 0.5}
    write_texts(tmp_path / "texts.jsonl", [text("/runs/a", "p")])
    assert teller.gather([tmp_path / "texts.jsonl"])[0].system == "a"


def test_as_many_texts_are_shown_where_one_of_them_is_hardly_a_story(scripts: tuple[Any, Any]) -> None:
    from storyteller.tokens import Request

    _, comparing = scripts
    told = ["It sang.", "1. one\n2. two\n3. three\n4. four\n5. five", "It rowed home."]
    drafts = [text("a", "p", seed, words=words) for seed, words in enumerate(told, 1)]
    drafts = [replace(one, request=Request(about="A seal.")) for one in drafts]
    shown = comparing.reranked("a", drafts, 3, {}, shown=True)[1:]
    assert sorted(one.text for one in shown) == sorted(told)
    assert [one.seed for one in shown] == [1, 2, 3]
