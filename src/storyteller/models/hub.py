"""Models of the Hugging Face hub: used from the hub's own cache or ours, else fetched into ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from storyteller.errors import ModelError
from storyteller.runs.console import say
from storyteller.runs.home import models_home

__all__ = ["fetch_from_hub"]

#: Safetensors, JSON and text; never pickles, never code.
_WANTED = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model", "README.md", "LICENSE*"]


def fetch_from_hub(name: str, download: Callable[..., str] | None = None) -> Path:
    """The folder of the hub model `name`, from the cache or fetched now; `ModelError` when it cannot be had.

    `download` has the shape of `huggingface_hub.snapshot_download`. An interrupted fetch goes on when it is repeated.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

    download = download or snapshot_download
    ours = models_home() / "hub"
    for cache in (None, ours):  # None: the cache that other programs fill
        try:
            return Path(download(name, allow_patterns=_WANTED, cache_dir=cache, local_files_only=True))
        except LocalEntryNotFoundError:
            continue
    say(f"fetching {name} from the Hugging Face hub into {ours}")
    try:
        return Path(download(name, allow_patterns=_WANTED, cache_dir=ours))
    except GatedRepoError:
        raise ModelError(f"{name} asks you to accept its terms on its hub page and to log in: hf auth login") from None
    except RepositoryNotFoundError:
        raise ModelError(f"the hub has no model {name!r} that is open to you; check the spelling.") from None
    except Exception as error:  # every layer of the network below has its own errors
        raise ModelError(
            f"{name} is not in the hub's cache and cannot be fetched ({type(error).__name__}). Check the network, or "
            "fetch it on another machine and give its folder's path. Not from the hub: storyteller models list"
        ) from error
