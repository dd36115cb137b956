"""Telling: from a writer's wish to a text that streams, is kept as it comes, and stops when it should.

    desk = Desk(store)
    generation = desk.start(scene, {"mode": "continue", "n": 3})
    async for number, name, data in desk.events(generation): ...
    desk.stop(generation)

`asking` reads the wish and the scene, `line` lets one write at a time for each model, `tellers` holds at most two models in
memory, `rows` lets each scene find again what was read of it, `local` and `remote` write, `generation` tells the listeners
and the store.
"""

from __future__ import annotations

from storyteller.studio.telling.desk import Desk

__all__ = ["Desk"]
