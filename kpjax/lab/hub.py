"""Predictors on the Hugging Face hub, by names such as hub:OWNER/NAME."""

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from etils import epath

from kpjax.errors import InputError

PREFIX = "hub:"
Answer = TypeVar("Answer")


def folder_of(run: epath.PathLike) -> epath.PathLike:
    """Returns the folder of what stands in the place of a run: itself, or where the hub's client
    keeps the files of `hub:OWNER/NAME`, or of one revision by `hub:OWNER/NAME@REVISION`.

    They are fetched first, unless they are there. Raises InputError if they cannot be.
    """
    if not os.fspath(run).startswith(PREFIX):
        return run
    name, revision = repository_of(os.fspath(run))
    client = hub_client()
    return Path(
        asked(
            lambda: client.snapshot_download(name, revision=revision),
            "run",
            f"{run} cannot be fetched",
        )
    )


def give_away(folder: Path, to: str, *, private: bool) -> str:
    """Puts all files of a folder into a repository of the hub, which is made if there is none;
    returns the address of what was added.

    Raises InputError if the hub refuses.
    """
    name, revision = repository_of(to)
    client = hub_client()

    def upload() -> str:
        api = client.HfApi()
        api.create_repo(name, private=private, exist_ok=True)
        return str(
            api.upload_folder(
                repo_id=name,
                folder_path=folder,
                revision=revision,
                commit_message="A predictor of kpjax",
            )
        )

    return asked(upload, "to", f"{to} was not changed")


def repository_of(text: str) -> tuple[str, str | None]:
    """Returns repository and revision, if there is one, of `hub:OWNER/NAME@REVISION`.

    Raises InputError for other words.
    """
    name, _, revision = text.removeprefix(PREFIX).partition("@")
    owner, slash, rest = name.partition("/")
    if not (text.startswith(PREFIX) and owner and slash and rest and "/" not in rest):
        raise InputError(f"{text!r}: write {PREFIX}OWNER/NAME")
    return name, revision or None


def hub_client() -> ModuleType:
    """Imports the hub's client. Raises InputError where it is not installed."""
    try:
        import huggingface_hub
    except ImportError as error:
        raise InputError(
            f"the hub's client is not here ({error}); pip install 'kpjax[hub]'"
        ) from None
    return huggingface_hub


def asked(question: Callable[[], Answer], argument: str, what: str) -> Answer:
    """Returns the hub's answer. Raises InputError with what it means that there is none."""
    try:
        return question()
    except Exception as error:  # the client's own, its HTTP library's and the system's kinds
        why = " ".join(str(error).split())[:200]
        raise InputError(
            argument,
            f"{what} ({type(error).__name__}: {why}); check the name, the network and hf auth login",
        ) from error
