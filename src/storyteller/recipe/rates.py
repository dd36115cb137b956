"""Which learning rates a method begins with, and which it does not survive, with where that is known from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from storyteller.recipe.methods import Method
from storyteller.recipe.pretraining import new_rate

if TYPE_CHECKING:
    from storyteller.recipe import Recipe

__all__ = ["RATES", "Rates", "rate_warning", "rates_of"]


@dataclass(frozen=True, slots=True)
class Rates:
    """The peak rate that is taken when none is asked for, and the highest that is asked for without a warning.

    The second is ten times what the source goes up to, or what it names as its highest; which rate a model really survives
    `find_rate` measures.
    """

    usual: float
    most: float
    source: str


RATES: dict[Method, Rates] = {
    "full": Rates(1e-5, 1e-4, "Devlin et al. 2019 fine-tune with 2e-5 to 5e-5, PEFT's benchmark with 1e-5"),
    "lora": Rates(2e-4, 2e-3, "ten times that of full fine-tuning: Schulman et al. 2025, LoRA Without Regret"),
    "dora": Rates(2e-4, 2e-3, "Liu et al. 2024: 1e-4 to 3e-4, as for LoRA"),
    "adalora": Rates(1e-3, 1e-2, "Zhang et al. 2023, appendix: 5e-4 to 2.2e-3"),
    "qlora": Rates(2e-4, 2e-3, "Dettmers et al. 2023: 1e-4 to 2e-4"),
    "bottleneck": Rates(5e-4, 5e-3, "Houlsby et al. 2019 sweep 3e-5 to 3e-3; Pfeiffer et al. 2021 take 1e-4"),
    "prompt": Rates(1e-2, 3e-1, "Lester et al. 2021: 0.3 with Adafactor; PEFT's benchmark with Adam: 1e-3"),
    "prefix": Rates(5e-3, 5e-2, "PEFT's benchmark, tuned: 5e-3"),
    "ia3": Rates(5e-3, 5e-2, "Liu et al. 2022: 3e-3 with Adafactor"),
}


def rates_of(recipe: Recipe) -> Rates:
    """The rates of what `recipe` trains: those of its method or, for a new model, those of its size."""
    if recipe.pretrain is None:
        return RATES[recipe.model.method]
    usual = new_rate(recipe.model.size)
    return Rates(usual, 10 * usual, f"ten times that of model.size={recipe.model.size or 'null'}")


def rate_warning(recipe: Recipe) -> str | None:
    """What to say about a rate far over, or far under, what is known to be needed; None when it is usual."""
    rates, rate, new = rates_of(recipe), recipe.train.lr, recipe.pretrain is not None
    what, command = ("pretraining", "pretrain") if new else (f"{recipe.model.method} fine-tuning", "finetune")
    if rate > rates.most:
        return (
            f"train.lr is {rate:g}, over {rates.most:g}, beyond which {what} seldom goes well ({rates.source}); "
            f"it may diverge. The usual is {rates.usual:g}; storyteller {command} RECIPE --find-lr measures yours."
        )
    if rate < rates.usual / 20:
        return f"train.lr is {rate:g}, and {what} usually needs about {rates.usual:g}: it may learn next to nothing."
    return None
