"""Craft: what makes text a story. Books in and out, lore, what the model sees, planning; no server and no database."""
