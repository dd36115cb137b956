"""Sampler presets in plain words, from calm to wild.

`natural` is the measured one: at temperature 1.0 stories are nearer to people's in every figure than at 0.8 (docs/results.md,
the frontier), with min-p against nonsense and DRY against loops. The others step to its sides and are not measured.
"""

from __future__ import annotations

from dataclasses import dataclass

from storyteller.errors import StudioError

__all__ = ["DEFAULT_PRESET", "PRESETS", "Preset", "preset_named"]

DEFAULT_PRESET = "natural"


@dataclass(frozen=True, slots=True)
class Preset:
    """A choice of sampling settings with a name and a sentence in each language of the interface."""

    id: str
    name: dict[str, str]
    about: dict[str, str]
    temperature: float
    min_p: float
    dry_multiplier: float = 0.8

    @property
    def sampling(self) -> dict[str, float]:
        """The keyword arguments of `SamplingSettings`."""
        return {"temperature": self.temperature, "min_p": self.min_p, "dry_multiplier": self.dry_multiplier}


PRESETS = (
    Preset(
        "calm",
        {"en": "Calm", "zh": "沉稳"},
        {"en": "Keeps to the likely; plain and a little repetitive.", "zh": "贴着最可能的写法走，平实，略有重复。"},
        0.7,
        0.08,
    ),
    Preset(
        "steady",
        {"en": "Steady", "zh": "平稳"},
        {"en": "Between calm and natural; what `write` takes.", "zh": "介于沉稳与自然之间，与命令行 write 相同。"},
        0.8,
        0.05,
    ),
    Preset(
        "natural",
        {"en": "Natural", "zh": "自然"},
        {
            "en": "As people write: measured nearest to human stories.",
            "zh": "最像人写的：实测与人类故事最接近。",
        },
        1.0,
        0.05,
    ),
    Preset(
        "lively",
        {"en": "Lively", "zh": "活泼"},
        {"en": "More surprises, and more slips.", "zh": "更多意外，也更多失误。"},
        1.15,
        0.06,
    ),
    Preset(
        "wild",
        {"en": "Wild", "zh": "狂放"},
        {"en": "For ideas rather than for sentences.", "zh": "适合找点子，不适合成文。"},
        1.4,
        0.08,
    ),
)


def preset_named(name: str) -> Preset:
    """The preset of that id; `StudioError` with the ids there are."""
    for preset in PRESETS:
        if preset.id == name:
            return preset
    raise StudioError(f"no preset is called {name!r}. Choose one of: {', '.join(preset.id for preset in PRESETS)}.")
