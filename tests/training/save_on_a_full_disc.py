"""Goes on from the checkpoints of a folder and saves one more, in a process that cannot write a byte to any file.

PYTHONPATH=. python tests/training/save_on_a_full_disc.py FOLDER
"""
import pathlib
import resource
import sys

from tiny_checkpoints import IDENTITY, state_of, template

from kpjax.errors import InputError
from kpjax.training.checkpoints import open_checkpoints


def main(folder):
    # The disc stays full until the process ends: a write that comes later would succeed.
    with open_checkpoints(folder, IDENTITY) as checkpoints:
        assert checkpoints.restore(template()).step == 5
        state = state_of(6)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        try:
            checkpoints.save(6, state, {}, 5)
            checkpoints.wait()
        except InputError as error:
            print("InputError:", str(error).replace("\n", "\\n"))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
