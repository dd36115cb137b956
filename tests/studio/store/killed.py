"""A writer who types and a model that streams, until the process is killed: each change is printed when it is confirmed.

Run as `python -m tests.studio.store.killed URL SCENE`, it types words and streams candidates in turn, and appends what the
store confirmed to the standard output, one JSON line each.
"""

from __future__ import annotations

import json
import sys
import threading

from storyteller.studio.store import Store


def main(url: str, scene: str) -> None:
    """Type and stream for ever."""
    writer = Store(url).writer()
    say = threading.Lock()

    def confirm(**what: object) -> None:
        with say:
            sys.stdout.write(json.dumps(what) + "\n")
            sys.stdout.flush()

    def stream() -> None:
        number = 0
        while True:
            now = writer.scene(scene)["head"]
            made = writer.create_generation(scene, "continue", 0, now, model="tiny")["id"]
            writer.update_generation(made, {"status": "running"})
            said = ""
            for _ in range(20):
                number += 1
                writer.append(made, [(0, f"{number}海 ", [{"text": str(number)}])])
                said += f"{number}海 "
                confirm(generation=made, said=said)
            writer.update_generation(made, {"status": "done"})

    threading.Thread(target=stream, daemon=True).start()
    opened = writer.scene(scene)
    head, text, number = opened["head"], opened["text"], 0
    while True:
        number += 1
        word = f"{number}豹 "
        head = writer.splice(scene, head, [{"start": len(text), "remove": 0, "insert": word}])["head"]
        text += word
        confirm(text=text)
        if number % 17 == 0:
            writer.label(head, f"moment {number}")
        if number % 23 == 0:
            confirm(text=text, undoing="yes")
            back = writer.undo(scene, head)
            head, text = back["head"], back["text"]
            confirm(text=text)


if __name__ == "__main__":
    main(*sys.argv[1:])
