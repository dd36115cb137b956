from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.adapters import tiny_adapter, tiny_ensemble
from tests.tiny import tiny_model

from storyteller.errors import ModelError
from storyteller.models import Located, load_model, locate
from storyteller.models.ensemble_file import ENSEMBLE_FILE, Ensemble, Gate, Member, read_ensemble, write_ensemble


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    ensemble = Ensemble(
        rule="contrastive",
        members=(Member(model="a", weight=1.5), Member(model="b", weight=-0.5)),
        gate=Gate(sure=0.9),
    )
    write_ensemble(tmp_path, ensemble)
    assert read_ensemble(tmp_path) == ensemble


def test_without_weights_all_are_equal() -> None:
    assert Ensemble(members=(Member(model="a"), Member(model="b"))).weights == (0.5, 0.5)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("members: [{model: a, weight: 0.5}, {model: b, weight: 0.6}]", "sum to 1"),
        ("members: [{model: a, weight: 1.5}, {model: b, weight: -0.5}]", "negative in contrastive mixing alone"),
        ("members: [{model: a, weight: 1}, {model: b}]", "every member a weight, or none"),
        ("members: [{model: a}]\nrule: contrastive", "contrastive needs weights"),
        ("members: [{model: a}]\nrules: arithmetic", "unknown key rules; did you mean rule"),
        ("members: [{model: a, wieght: 1}]", "did you mean weight"),
        ("members: []", "members"),
        ("members: [{model: a}]\ngate: {sure: 2}", "gate.sure"),
        ("members: [", "cannot be read"),
        ("- a\n- b", "ensemble.yaml"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / ENSEMBLE_FILE).write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=says):
        read_ensemble(tmp_path)


def test_an_ensemble_is_located_with_its_members_and_moves_with_them(tiny_llama: Path, tmp_path: Path) -> None:
    tiny_ensemble(tiny_llama, tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    located = locate(tmp_path / "there")
    assert [member.adapter for member in located.members] == [tmp_path / "there" / f"member-{n}" for n in range(3)]
    assert located.folder == tiny_llama
    assert located.template_folder == tmp_path / "there" / "member-0"


def test_the_hash_is_of_members_and_rule_and_not_of_their_places(tiny_llama: Path, tmp_path: Path) -> None:
    first = locate(tiny_ensemble(tiny_llama, tmp_path / "a")).sha256
    assert locate(tiny_ensemble(tiny_llama, tmp_path / "b")).sha256 == first
    assert locate(tiny_ensemble(tiny_llama, tmp_path / "c", weights=(0.4, 0.4, 0.2))).sha256 != first
    assert locate(tiny_ensemble(tiny_llama, tmp_path / "d", rule="geometric")).sha256 != first


def test_a_missing_member_is_named(tmp_path: Path) -> None:
    write_ensemble(tmp_path, Ensemble(members=(Member(model="../nowhere"),)))
    with pytest.raises(ModelError, match=r"the member '../nowhere'.*cannot be had"):
        locate(tmp_path)


def test_different_tokenizers_are_refused_and_equal_ones_in_other_files_are_not(tmp_path: Path) -> None:
    for name, vocabulary in (("a", 320), ("b", 320), ("c", 300)):
        tiny_model(tmp_path / name, vocabulary=vocabulary)
    # The same tokenizer, written in another layout.
    path = tmp_path / "b" / "tokenizer.json"
    import json

    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8"))), encoding="utf-8")
    write_ensemble(tmp_path, Ensemble(members=(Member(model="a"), Member(model="b"))))
    assert len(locate(tmp_path).members) == 2
    write_ensemble(tmp_path, Ensemble(members=(Member(model="a"), Member(model="c"))))
    with pytest.raises(ModelError, match="different tokenizers"):
        locate(tmp_path)


@pytest.mark.parametrize(
    ("stated", "common"),
    [
        ((("en",), ()), ("en",)),
        (((), ("zh",)), ("zh",)),
        ((("en", "zh"), (), ("zh",)), ("zh",)),
        (((), ()), ()),
        ((("en",), (), ("zh",)), None),
    ],
)
def test_an_ensemble_writes_what_all_members_write_of_which_something_is_said(
    tiny_llama: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stated: tuple[tuple[str, ...], ...],
    common: object,
) -> None:
    tiny_ensemble(tiny_llama, tmp_path, weights=(1 / len(stated),) * len(stated))

    def located(name: str | Path) -> Located:
        whose = Path(name).name.removeprefix("member-")  # of its base nothing is said
        return replace(locate(name), languages=stated[int(whose)]) if whose.isdecimal() else locate(name)

    monkeypatch.setattr("storyteller.models.location.locate", located)  # as the members' places are looked up
    if common is None:
        with pytest.raises(ModelError, match=r"no language in common \(member-0: en; member-2: zh\)"):
            locate(tmp_path)
    else:
        assert locate(tmp_path).languages == common


def test_an_ensemble_of_ensembles_is_refused(tiny_llama: Path, tmp_path: Path) -> None:
    tiny_ensemble(tiny_llama, tmp_path / "inner")
    write_ensemble(tmp_path, Ensemble(members=(Member(model="inner"),)))
    with pytest.raises(ModelError, match="is an ensemble itself"):
        locate(tmp_path)


def test_an_ensemble_has_no_weights_of_its_own(tiny_llama: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="storyteller ensemble merge"):
        load_model(locate(tiny_ensemble(tiny_llama, tmp_path)))


@pytest.mark.parametrize("change", [{"use_dora": True}, {"modules_to_save": ["lm_head"]}])
def test_more_than_plain_lora_cannot_be_a_row(tiny_llama: Path, tmp_path: Path, change: dict[str, object]) -> None:
    from storyteller.models.adapters.factors import read_factors
    from storyteller.runs import read_json, write_json

    folder = tiny_adapter(tiny_llama, tmp_path / "adapter")
    assert len(read_factors(folder)) == 14
    write_json(folder / "adapter_config.json", read_json(folder / "adapter_config.json") | change)
    with pytest.raises(ModelError, match="not plain LoRA"):
        read_factors(folder)


@pytest.mark.parametrize(
    ("models", "names"),
    [
        (("../tales", "../plays"), ("tales", "plays")),
        (("../a/final", "../b/final"), ("a/final", "b/final")),
        (("smollm2-135m-instruct", "/runs/tales"), ("smollm2-135m-instruct", "tales")),
        (("org/one", "other/one"), ("org/one", "other/one")),
        (("../same", "../same"), ("same (1)", "same (2)")),
        (("..", "../a"), ("..", "a")),
    ],
)
def test_members_are_called_by_the_ends_of_their_places(models: tuple[str, ...], names: tuple[str, ...]) -> None:
    assert Ensemble(members=tuple(Member(model=model) for model in models)).names == names
