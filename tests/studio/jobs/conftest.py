"""Jobs on a database of their own, and ten tiny stories."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from storyteller.studio.jobs.table import JobRow
from storyteller.studio.store.database import Database
from storyteller.studio.store.tables import Base

#: What makes a tiny model's training short, and the same on every machine.
SMALL = ("data.context=128", "train.rows=2", "train.precision=float32", "train.lr=0.01", "samples.prompts=[]")


def make_store(path: Path) -> Any:
    """As much of a store as jobs need."""
    database = Database(f"sqlite:///{path}")
    Base.metadata.create_all(database.engine, tables=[JobRow.__table__])  # type: ignore[list-item]
    return SimpleNamespace(database=database)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Any]:
    store = make_store(tmp_path / "studio.db")
    yield store
    store.database.close()


_WRAPPED = """# The Seal's Errand

The seal came up the slipway at dusk with a letter in her teeth. The keeper dried it on the lamp and read it twice. It asked
only that the light be a little late tomorrow, because the herring wished to sleep. He thought of the ships, and then of the
herring, and set his alarm five minutes on.

# A Spoon of Fog

Grandmother kept fog in a jar for the summer. When the heat stood in the kitchen she opened the lid and let one spoon of it
out over the sill. The cat disappeared to the ears. By noon the whole street had come to borrow some, and nobody gave the
spoon back.

# The Last Stop

The night tram had one passenger, a boy with a goldfish in a bag. At the last stop the driver turned round and asked where
the fish was going. The boy said home, and the driver asked which of them lived there. So they drove on past the last stop,
slowly, because of the water.

# Two Left Shoes

The cobbler sold two left shoes to a man in a hurry. The man walked in circles for a week and met everyone in town. He came
back for the right one with eleven friends, and the cobbler, who had been waiting, charged him nothing at all for it.

# What the Well Said

They dropped a coin into the well and it dropped it back. They dropped a stone and it dropped that back as well. Then Ana
leaned over and asked what it wanted, and the well, which had never been asked, was silent for so long that it filled.

# The Orchard Test

On Monday the teacher brought one pear for nineteen children. Nobody wanted to be the one to cut it. They planted it behind
the gymnasium instead. When the first of them came back with a child of her own, the pears were hard and small and there
were exactly enough.

# Borrowed Rain

The hill farmers rented a cloud from the coast for three days. It came on a rope, complaining. On the third evening they
walked it down again with its pockets full of apples, and ever since then it rains there a little for no money, at night.

# The Bell Ringer's Holiday

The bell ringer went to the sea and the village lost the hour. Bread was taken out when it was done, and children came home
when they were hungry. After two weeks he returned and rang noon, and everyone looked up, insulted, in the middle of supper.

# A Door for Sale

He sold doors without houses. Most people laughed, but the widow bought a green one and stood it up in her field. Every
evening she knocked. In October it was opened from the other side by a man looking for the village, with a lamp and a loaf.

# The Snow Clerk

It was his job to sign for each flake. He was forty thousand behind when the inspector came. They looked out together for a
while. Then the inspector took off his coat, found a pen, and asked quietly whether one signed with the full name, or not.
"""

TEN = re.sub(r"(?<=[^\n])\n(?=[^\n])", " ", _WRAPPED)
