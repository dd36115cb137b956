"""Serve a local model as an OpenAI-compatible chat API on this machine: python scripts/chat_server.py MODEL --port 8099

For trying `storyteller evaluate judge` without anybody else's server. Greedy, one question at a time.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from storyteller.generate import Engine, open_engine
from storyteller.models import locate
from storyteller.tokens import StoryTokenizer


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("model")
    arguments.add_argument("--port", type=int, default=8099)
    arguments.add_argument("--context", type=int, default=4096)
    options = arguments.parse_args()
    located = locate(options.model)
    tokenizer = StoryTokenizer.load(located.folder)
    engine = open_engine(located, context=options.context)
    lock = asyncio.Lock()

    async def chat(request: Request) -> JSONResponse:
        body = await request.json()
        ids = _turns(tokenizer, body["messages"])
        most = min(body.get("max_tokens") or 256, options.context - len(ids))
        if most < 1:
            return JSONResponse({"error": f"{len(ids)} tokens do not fit a context of {options.context}"}, 400)
        async with lock:
            told = await asyncio.to_thread(_answer, engine, tokenizer, ids, most)
        message = {"role": "assistant", "content": tokenizer.decode(told)}
        finish = "length" if len(told) == most else "stop"
        usage = {"prompt_tokens": len(ids), "completion_tokens": len(told)}
        return JSONResponse({"choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": usage})

    async def models(_: Request) -> JSONResponse:
        return JSONResponse({"data": [{"id": options.model}]})

    routes = [Route("/v1/chat/completions", chat, methods=["POST"]), Route("/v1/models", models)]
    uvicorn.run(Starlette(routes=routes), host="127.0.0.1", port=options.port, log_level="warning")


def _turns(tokenizer: StoryTokenizer, messages: Sequence[dict[str, str]]) -> list[int]:
    """The conversation in ChatML; only its own marks are control tokens, whatever the texts spell."""
    start, end = tokenizer.id_of("<|im_start|>"), tokenizer.id_of("<|im_end|>")
    if start is None or end is None:
        raise SystemExit("the model does not know the turns of ChatML")
    ids = []
    for message in messages:
        ids += [start, *tokenizer.encode(f"{message['role']}\n{message['content']}"), end, *tokenizer.encode("\n")]
    return [*ids, start, *tokenizer.encode("assistant\n")]


def _answer(engine: Engine, tokenizer: StoryTokenizer, ids: Sequence[int], most: int) -> list[int]:
    """The likeliest token, again and again."""
    told: list[int] = []
    while len(told) < most:
        following = int(np.argmax(engine.feed([*ids, *told])))
        if following in tokenizer.stop_ids:
            break
        told.append(following)
    return told


if __name__ == "__main__":
    main()
