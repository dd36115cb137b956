"""Where every word is kept: SQLite by default, PostgreSQL by URL; one tree of nodes for each scene.

    store = Store("sqlite:///studio.db")     migrates the database, or makes it
    store.recover()                          when a server starts: what was running when it was killed is `interrupted`
    writer = store.writer("")                all that one writer owns ("" without accounts); another's is `NotFoundError`
    scene = writer.scene(item)
    saved = writer.splice(item, scene["head"], [{"start": 0, "remove": 0, "insert": "Once"}])

Everything that comes out is a plain dictionary in the API's shape (`records`). Every call is one transaction: when it
returns, a kill -9 or a power cut loses nothing of it. Calls are made from any thread. Nothing of a manuscript is deleted.

`Store`: recover, storage, writer, users, user, create_user, set_password, create_session, session, delete_session,
    backup(path), restore(path) -> Path of what stood there before, close
`Writer`, by module:
    projects      projects(trashed=False) create_project(fields) project(p) update_project(p, changes) trash_project(p)
                  restore_project(p) create_item(p, kind, title, parent, position, form, text, author)
                  update_item(i, changes) trash_item(i) restore_item(i) trash(p)
    manuscripts   scene(i) splice(i, base, splices) undo(i, base) redo(i, base) restore(i, base, node)
                  go_to(i, base, node) at(i, node) choose(i, base, at, generation, candidate)
    history       history(i, before=None, limit=100) branches(i) label(node, label)
    generations   create_generation(i, mode, at, base, ...) update_generation(g, changes) append(g, pieces)
                  finish_candidate(g, candidate, finish_reason, extra) generation(g) recovered(i) dismiss(g)
                  alternatives(i, at) streaming(g)
    world         entries(p) create_entry(p, fields) update_entry(e, changes) delete_entry(e) restore_entry(e)
                  plan(p, version=None) save_plan(p, plan) plan_versions(p) messages(p) add_message(p, role, text, character)
    desk          settings() save_settings(values) connections() connection(c) save_connection(fields)
                  delete_connection(c) connection_key(c)
    edits         log_choice(generation, candidate, kind, kept_text) edits_summary() export_edits(kind) wipe_edits()
                  kept(project=None) shares(project)
    backup        backup(path) restore_backup(path) backup_project(p, path) add_project(path) -> new project's id

Errors: `NotFoundError`, `ConflictError` (its `state` is {head, text, provenance}), `StudioError` for the rest; a full disk is
`StorageError`, after which reading goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from storyteller.lazy import late

if TYPE_CHECKING:
    from storyteller.studio.store.database import StorageError
    from storyteller.studio.store.store import Store, Writer
    from storyteller.studio.store.streaming import Streaming

__all__ = ["StorageError", "Store", "Streaming", "Writer"]

__getattr__ = late(
    __name__,
    {"StorageError": "database", "Store": "store", "Streaming": "streaming", "Writer": "store"},
)
