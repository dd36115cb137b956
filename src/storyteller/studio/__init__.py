"""The studio: a place where a writer works with the storyteller.

`store` keeps every word (one tree of nodes a scene), `telling` runs the models, `jobs` trains them, `api` is the HTTP
interface that the page in `page/` talks to, `security` keeps strangers out, and `server` runs it all.
"""
