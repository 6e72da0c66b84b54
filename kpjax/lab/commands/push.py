"""The command `push`: an exported predictor for everybody."""

from kpjax import standalone
from kpjax.lab import hub
from kpjax.lab.commands import Push


def push(asked: Push) -> str:
    """Gives an exported folder away and returns its address.

    Raises InputError for a folder that is no exported one, or is damaged, and if the hub refuses.
    """
    standalone.checked_description(asked.folder)
    address = hub.give_away(asked.folder, asked.to, private=asked.private)
    print(f"{address}: kpjax predict {asked.to} IMAGES --out points")
    return address
