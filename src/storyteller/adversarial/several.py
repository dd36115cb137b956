"""Several generators: the same refinement against other critics, from other seeds, or on other kinds of stories.

Each member is a run of its own, over one base, so that members can be drawn from in turn, mixed or merged by `storyteller
ensemble`. They differ in what they were taught to be real: by `seed` in the critic's projections and heads, the prompts'
order and the stories drawn; by `critic` in the one depth of the reference that their critic reads (as discriminators on
other features see other faults: Kumari et al. 2022, arXiv 2112.09130); by slice in the stories that they learn from.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from storyteller.adversarial.critic import depths_of
from storyteller.adversarial.measuring import Score
from storyteller.adversarial.stage import Check, dry_run, refine, whole_recipe
from storyteller.errors import ModelError, RecipeError
from storyteller.models import locate
from storyteller.recipe import Recipe
from storyteller.recipe.models import RefineRecipe
from storyteller.runs import Run
from storyteller.runs.console import say

__all__ = ["Apart", "members", "refine_several"]

Apart = Literal["seed", "critic"]


def members(recipe: Recipe, count: int, apart: Apart = "seed", slices: Sequence[str] = ()) -> list[Recipe]:
    """The recipe of each member; with `slices` (patterns, see `refine.rollout.only`) one for each of them.

    Raises `RecipeError` for fewer than two members, for more critics than the reference has depths to read, and for what the
    members would not do that the recipe says: a pattern of its own beside slices, depths that no member reads.
    """
    if (len(slices) or count) < 2:
        raise RecipeError("several generators are two or more; give --members 2, or --slice twice.")
    base = recipe.refine or RefineRecipe()
    if slices and base.rollout.only is not None:
        raise RecipeError(
            f"--slice gives each member its stories, and refine.rollout.only={base.rollout.only} does, too; leave one out."
        )
    made = []
    for number in range(len(slices) or count):
        refined, train = base, recipe.train
        if slices:
            refined = base.model_copy(update={"rollout": base.rollout.model_copy(update={"only": slices[number]})})
        elif apart == "critic":
            layers = _depths(recipe, base, count)
            refined = base.model_copy(update={"critic": base.critic.model_copy(update={"layers": [layers[number]]})})
        else:
            train = train.model_copy(update={"seed": train.seed + number})
        made.append(
            recipe.model_copy(update={"name": f"{recipe.name}-{number + 1}", "refine": refined, "train": train})
        )
    return made


def refine_several(recipes: Sequence[Recipe], folder: Path, score: Score, *, check: Check | None = None) -> list[Run]:
    """Refine every member into `folder`/1, 2, ...; members that are done stay, one that was stopped goes on exactly.

    Raises `CheckpointError` where a member that is done or stopped is of another recipe or another corpus. What would stop a
    later member before its first step is raised before the first one takes its hours.
    """
    for number, recipe in enumerate(recipes, 1):
        own = folder / str(number)
        if (own / "recipe.yaml").is_file():
            whole_recipe(recipe, Run.open(own))
        else:
            say(f"checking member {number} of {len(recipes)}")
            dry_run(recipe, check=check)
    runs = []
    for number, recipe in enumerate(recipes, 1):
        own = folder / str(number)
        if (own / "recipe.yaml").is_file() and Run.open(own).finished:
            say(f"member {number} of {len(recipes)} is done already: {own}")
            runs.append(Run.open(own))
            continue
        say(f"member {number} of {len(recipes)}: {own}")
        runs.append(refine(recipe, own, score, check=check, resume=(own / "recipe.yaml").is_file()))
    return runs


def _depths(recipe: Recipe, refined: RefineRecipe, count: int) -> list[int]:
    """`count` depths for critics of one depth each: the recipe's, or spread over the layers of the model that they read."""
    critic, layers = refined.critic, refined.critic.layers
    if layers is None:
        read = critic.encoder if critic.reads == "encoder" else None
        depth = _depth(Path(read) if read is not None else locate(recipe.model.base).folder)
        spread = {max(1, round(depth * (number + 1) / count)) for number in range(count)}
        layers = sorted({*spread} | ({*depths_of(depth)} if len(spread) < count else set()))
    elif len(layers) > count:
        raise RecipeError(
            f"{count} critics of one depth each would not read all of refine.critic.layers={list(layers)}; name {count}."
        )
    if len(layers) < count:
        raise RecipeError(f"{count} critics of one depth each need as many hidden states; there are {list(layers)}.")
    return list(layers)


def _depth(folder: Path) -> int:
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{folder} holds no model whose layers can be counted ({str(error).splitlines()[0]})."
        ) from error
    return int(config.get_text_config().num_hidden_layers)
