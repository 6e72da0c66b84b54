"""`python -m kpjax`: the program `kpjax`."""

from kpjax.lab.program import main

if __name__ == "__main__":
    main()
