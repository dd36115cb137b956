"""Recipes: what a run is to do, as one frozen, checked object that YAML, the command line and Python share."""

from __future__ import annotations

from storyteller.recipe.load import load_recipe, recipe_schema
from storyteller.recipe.models import DataRecipe, LoraRecipe, ModelRecipe, Recipe, SamplesRecipe, TrainRecipe

__all__ = [
    "DataRecipe",
    "LoraRecipe",
    "ModelRecipe",
    "Recipe",
    "SamplesRecipe",
    "TrainRecipe",
    "load_recipe",
    "recipe_schema",
]
