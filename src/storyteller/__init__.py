"""Storyteller turns a language model into a storyteller, and gives a writer a place to work with it."""
