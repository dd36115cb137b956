from __future__ import annotations

import gzip
import json
import lzma
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.evaluate.blind.pages import session_over
from tests.fake_openai import Asked, completion, fake_openai
from typer.testing import CliRunner

from storyteller.cli.judge import judge
from storyteller.errors import DataError, GenerationError
from storyteller.evaluate.bradley_terry import detectable
from storyteller.evaluate.human_pairs import read_human_pairs
from storyteller.evaluate.judge_model import judge_texts, render_verdicts
from storyteller.evaluate.texts import Text, write_texts
from storyteller.generate.remote import RemoteModel

WORDS = {
    "en": ("The good seal number {}.", "The dull seal number {} swam on and on."),
    "zh": ("好海豹{}。", "闷海豹{}游啊游。"),
}


def shown(asked: Asked) -> tuple[str, str]:
    """The texts that stand as A and B in a question of either language."""
    found = re.search(r"<(?:text_a|文字A)>\n(.*?)\n</.*?<(?:text_b|文字B)>\n(.*?)\n</", asked.words, re.S)
    assert found
    return found[1], found[2]


def perfect(asked: Asked) -> str:
    a, _ = shown(asked)
    return f'It is better.\n{{"better": "{"A" if "good" in a or "好" in a else "B"}"}}'


def always_first(_: Asked) -> str:
    return '{"better": "A"}'


def written(folder: Path, language: str = "en", prompts: int = 12) -> Path:
    good, dull = WORDS[language]
    texts = [
        Text(words.format(n), system, str(n), language, prompt="?")  # type: ignore[arg-type]
        for n in range(prompts)
        for system, words in (("good", good), ("dull", dull))
    ]
    write_texts(folder / "texts.jsonl", texts)
    return folder / "texts.jsonl"


def people(folder: Path, language: str = "en", *, right: bool = True) -> Path:
    good, dull = WORDS[language]
    chosen, rejected = ("text", "rejected") if right else ("rejected", "text")
    records = [{chosen: good.format(n), rejected: dull.format(n), "prompt": f"p{n}"} for n in range(100, 110)]
    path = folder / "pairs.jsonl.xz"
    with lzma.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)
    return path


def judged(folder: Path, script: Callable[[Asked], Any], language: str = "en", **options: Any) -> dict[str, Any]:
    path = folder / "texts.jsonl"
    path = path if path.exists() else written(folder, language)
    with fake_openai(script) as fake, RemoteModel(fake.url, "wise", retries=0, timeout=20) as client:
        return judge_texts([path], ["good", "dull"], client, **options)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_perfect_judge(tmp_path: Path, language: str) -> None:
    summary = judged(tmp_path, perfect, language, human_pairs=people(tmp_path, language))
    (meeting,) = summary["meetings"]
    assert (meeting["first"], meeting["wins"], meeting["ties"], meeting["losses"]) == ("good", 12, 0, 0)
    assert summary["position_bias"]["value"] == 0
    assert summary["said_a"]["value"] == 0.5
    assert summary["people"]["agreement"]["value"] == 1
    assert summary["people"]["longer"]["value"] == 0  # people preferred the shorter ones here
    report = (tmp_path / "judge.md").read_text()
    assert "Agreement with people: 100%" in report
    assert report == render_verdicts(json.loads((tmp_path / "judge.json").read_text()))


def test_a_judge_of_places_gives_only_ties(tmp_path: Path) -> None:
    summary = judged(tmp_path, always_first, human_pairs=people(tmp_path))
    assert summary["meetings"][0]["ties"] == summary["verdicts"] == 12
    assert summary["position_bias"]["value"] == 1
    assert summary["people"]["agreement"]["value"] == 0.5
    assert "not more than chance" in render_verdicts(summary)


def test_a_judge_against_people_is_shown_as_that(tmp_path: Path) -> None:
    summary = judged(tmp_path, perfect, human_pairs=people(tmp_path, right=False))
    assert summary["people"]["disagree"] == 10
    assert "Agreement with people: 0%" in render_verdicts(summary)


def test_one_order_and_a_tie_in_the_other_is_a_tie_without_bias(tmp_path: Path) -> None:
    summary = judged(tmp_path, lambda asked: "B" if "good" in shown(asked)[1] else "tie")
    assert summary["meetings"][0]["ties"] == 12
    assert summary["position_bias"]["value"] == 0


def test_the_letter_where_an_answer_was_cut_off_is_none(tmp_path: Path) -> None:
    def cut(asked: Asked) -> Any:
        answer = completion("Well.\nB")
        answer["choices"][0]["finish_reason"] = "length" if " 3" in asked.words else "stop"
        return 200, answer

    assert judged(tmp_path, cut)["unparsable_answers"] == 2
    assert judged(tmp_path, cut)["unparsable_answers"] == 2  # and so it is when read from the file


def test_more_tokens_ask_again_what_was_cut_off_and_nothing_else(tmp_path: Path) -> None:
    questions = []

    def thinking(asked: Asked) -> Any:
        questions.append(asked.words)
        whole = asked.body["max_tokens"] > 512 or " 3" in asked.words
        answer = completion(perfect(asked) if whole else "Let me think")
        answer["choices"][0]["finish_reason"] = "stop" if whole else "length"
        return 200, answer

    assert judged(tmp_path, thinking)["unparsable_answers"] == 22
    assert judged(tmp_path, thinking)["unparsable_answers"] == 22
    assert len(questions) == 24
    assert judged(tmp_path, thinking, max_tokens=4096)["verdicts"] == 12
    assert len(questions) == 24 + 22
    assert judged(tmp_path, thinking, max_tokens=8192)["verdicts"] == 12
    assert len(questions) == 24 + 22


def test_what_cannot_be_read_is_counted_and_not_guessed(tmp_path: Path) -> None:
    summary = judged(tmp_path, lambda asked: perfect(asked) if " 3" in asked.words else "I like seals.")
    assert summary["verdicts"] == 1
    assert summary["unparsable_answers"] == 22
    report = render_verdicts(summary)
    assert "22 of 24 answers" in report
    assert "Agreement with people: not measured" in report
    nothing = judged(tmp_path, lambda _: "海豹。", out=tmp_path / "other.jsonl", human_pairs=people(tmp_path))
    assert nothing["systems"] == {}
    assert "could be read" in render_verdicts(nothing)


@pytest.mark.parametrize(
    ("fault", "message"), [((500, {"error": "down"}), "HTTP 500"), (9.0, "did not answer in time")]
)
def test_a_failing_server_ends_the_run_and_the_next_goes_on(tmp_path: Path, fault: Any, message: str) -> None:
    path, count = written(tmp_path), [0]

    def failing(asked: Asked) -> Any:
        count[0] += 1
        return fault if count[0] > 5 else perfect(asked)

    with fake_openai(failing) as fake:
        client = RemoteModel(fake.url, "wise", retries=0, timeout=1.5)
        with client, pytest.raises(GenerationError, match=message):
            judge_texts([path], [], client, workers=1)
    kept = (tmp_path / "judge.jsonl").read_text().splitlines()
    assert len(kept) == 5
    assert set(json.loads(kept[0])) == {"model", "question", "answer", "finish", "max_tokens", "pair", "order"}
    with fake_openai(perfect) as fake, RemoteModel(fake.url, "wise") as client:
        summary = judge_texts([path], ["good", "dull"], client)
    assert len(fake.asked) == 24 - 5
    assert summary["verdicts"] == 12


def test_three_systems_are_told_what_two_of_them_can_see(tmp_path: Path) -> None:
    texts = [Text(f"{system} seal {n}", system, str(n)) for system in ("good", "dull", "odd") for n in range(40)]
    write_texts(tmp_path / "texts.jsonl", texts)
    with fake_openai(perfect) as fake, RemoteModel(fake.url, "wise") as client:
        summary = judge_texts([tmp_path / "texts.jsonl"], [], client, pairs=60)
    ties = sum(meeting["ties"] for meeting in summary["meetings"])
    assert summary["verdicts"] == 60
    assert summary["seen_with_these"] == detectable(20, ties=ties / 60)


@pytest.mark.parametrize("name", ["judge.json", "judge.md"])
def test_raw_answers_never_stand_where_the_summary_goes(tmp_path: Path, name: str) -> None:
    with fake_openai(perfect) as fake, RemoteModel(fake.url, "wise") as client:
        with pytest.raises(DataError, match=r"ends in \.jsonl"):
            judge_texts([written(tmp_path)], [], client, out=tmp_path / name)
        assert fake.asked == []


@pytest.mark.parametrize(
    ("judge_name", "system"),
    [
        ("default", "default"),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "default"),  # the base under the shipped adapter
        ("SmolLM2-135M-Instruct.gguf", "smollm2-135m-instruct@0.8"),
        ("mine:q4", "runs/mine"),
    ],
)
def test_nobody_judges_themselves(tmp_path: Path, judge_name: str, system: str) -> None:
    path = tmp_path / "texts.jsonl"
    name = system.partition("@")[0]
    write_texts(path, [Text(f"{s} {n}", s, str(n), temperature=0.8) for n in range(3) for s in (name, "human")])
    with fake_openai(perfect) as fake, RemoteModel(fake.url, judge_name) as client:
        with pytest.raises(DataError, match="the same model"):
            judge_texts([path], [system, "human"], client)
        assert fake.asked == []


def test_the_base_of_an_adapter_does_not_judge_it(tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text('{"base_model_name_or_path": "org/Big-7B"}')
    system = str(tmp_path / "adapter")
    write_texts(tmp_path / "texts.jsonl", [Text(f"{s}", s, "1") for s in (system, "human")])
    client = RemoteModel("http://127.0.0.1:9/v1", "big-7b")
    with client, pytest.raises(DataError, match="the same model"):
        judge_texts([tmp_path / "texts.jsonl"], [], client)


def test_pairs_that_people_judged(tmp_path: Path) -> None:
    path = people(tmp_path)
    pairs = read_human_pairs(path, 4)
    assert pairs == read_human_pairs(path, 4)
    assert pairs != read_human_pairs(path, 4, seed=2)
    assert all("good" in pair.first_text for pair in pairs)
    assert [pair.language for pair in read_human_pairs(people(tmp_path, "zh"), 2)] == ["zh", "zh"]
    packed = tmp_path / "p.jsonl.gz"
    packed.write_bytes(gzip.compress(b'{"text": "a", "rejected": "b", "prompt": "", "more": 1}\n'))
    assert read_human_pairs(packed)[0].second_text == "b"


def test_blind_judgements_are_such_pairs(tmp_path: Path) -> None:
    out = tmp_path / "blind.jsonl"
    session = session_over(out, prompts=4, language="zh", repeat=0.5)
    for choice in ("left", "tie", "right", "skip"):
        session.judge(session.state()["pair"]["place"], choice)  # type: ignore[arg-type]
    session.undo()
    session.judge(session.state()["pair"]["place"], "left")
    while not session.finished:
        session.judge(session.state()["pair"]["place"], "right")
    pairs = read_human_pairs(out)
    assert 2 <= len(pairs) <= 3  # the tie is none, nor are the repeats
    assert {pair.language for pair in pairs} == {"zh"}


def test_other_files_are_refused(tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    french = '{"text": "a", "rejected": "b", "prompt": "", "language": "fr"}'
    for content, message in (
        ("{", "line 1: not a preference"), ('{"text": "a"}', "line 1"), ("", "no pair"), (french, "line 1: the language 'fr'")
    ):  # fmt: skip
        bad.write_text(content)
        with pytest.raises(DataError, match=message):
            read_human_pairs(bad)
    packed = tmp_path / "bad.jsonl.xz"
    packed.write_bytes(b"no xz")
    with pytest.raises(DataError, match="cannot be unpacked"):
        read_human_pairs(packed)


def test_the_command_prints_the_agreement_beside_the_verdicts(tmp_path: Path) -> None:
    import typer

    app = typer.Typer()
    app.command()(judge)
    with fake_openai(perfect) as fake:
        options = ["--url", fake.url, "--model", "wise", "--human-pairs", str(people(tmp_path)), "--pairs", "6"]
        result = CliRunner().invoke(app, [str(written(tmp_path)), *options], catch_exceptions=False)
    assert result.exit_code == 0
    assert "| good against dull | 6 | 0 | 0 |" in result.stdout
    assert "Agreement with people: 100%" in result.stdout
