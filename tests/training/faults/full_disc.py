"""Trains on a file system of a few megabytes until it is full. Linux, as root: it mounts a tmpfs.

python tests/training/faults/full_disc.py
"""
import pathlib
import subprocess
import sys
import tempfile

CHILD = pathlib.Path(__file__).parent / "trained_child.py"


def train(folder, megabytes=4):
    found = subprocess.run([sys.executable, str(CHILD), str(folder), str(megabytes)], capture_output=True, text=True,
                           check=False)
    return found.returncode, found.stdout.splitlines()[-1], found.stderr


def main():
    with tempfile.TemporaryDirectory() as place:
        expected = train(pathlib.Path(place, "undisturbed"))[1]
        disc = pathlib.Path(place, "disc")
        disc.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=22m", "tmpfs", str(disc)], check=True)
        try:
            filler = disc / "filler"
            for size in (20, 17, 14, 11, 8):
                filler.write_bytes(b"0" * size * 1_000_000)
                code, said, noise = train(disc / "run")
                print(f"{size} MB taken: exit code {code}, {said}\n  stderr: {noise.strip()[-300:]!r}")
            filler.unlink()
            subprocess.run(["mount", "-o", "remount,ro", str(disc)], check=True)
            print("read-only:", *train(disc / "run"))
            subprocess.run(["mount", "-o", "remount,rw,size=200m", str(disc)], check=True)
            code, said, _ = train(disc / "run")
            print("room again:", code, said, "the same" if said == expected else f"DIFFERENT from {expected}")
            sys.exit(said != expected)
        finally:
            subprocess.run(["umount", str(disc)], check=True)


if __name__ == "__main__":
    main()
