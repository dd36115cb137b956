"""Planning: premise, people, outline, beats, prose; each step is plain data that a writer can change.

`Idea` is the box "What is your story about?", `Plan` what becomes of it. `premises`, `people`, `outlines` and `beats`
propose (`proposing`): our structures give the frame, the model ends lines in it (`lines`), scores choose (`scoring`).
`draft` writes beat by beat with a running summary (`drafting`, `memory`) and says what went wrong (`faults`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from storyteller.lazy import late

if TYPE_CHECKING:
    from storyteller.craft.planning.drafting import Began, Event, Kept, Tried, Wrote, draft
    from storyteller.craft.planning.faults import Fault
    from storyteller.craft.planning.lines import Teller
    from storyteller.craft.planning.plan import Beat, Idea, Person, Plan, Proposal, Section, people_of
    from storyteller.craft.planning.proposing import beats, best, make_plan, outlines, people, premises

__all__ = [
    "Beat",
    "Began",
    "Event",
    "Fault",
    "Idea",
    "Kept",
    "Person",
    "Plan",
    "Proposal",
    "Section",
    "Teller",
    "Tried",
    "Wrote",
    "beats",
    "best",
    "draft",
    "make_plan",
    "outlines",
    "people",
    "people_of",
    "premises",
]

__getattr__ = late(
    __name__,
    dict.fromkeys(("Beat", "Idea", "Person", "Plan", "Proposal", "Section", "people_of"), "plan")
    | dict.fromkeys(("beats", "best", "make_plan", "outlines", "people", "premises"), "proposing")
    | dict.fromkeys(("Began", "Event", "Kept", "Tried", "Wrote", "draft"), "drafting")
    | {"Fault": "faults", "Teller": "lines"},
)
