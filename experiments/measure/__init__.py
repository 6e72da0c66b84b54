"""What was measured: rows of finished runs in `results.csv`, the pages that show them, and running
what a table lacks.

    rows.py     a row for every number, read, written and gathered from finished runs
    render.py   tables, plots and pages, from these rows alone
    advice.py   measured gains of methods over their controls, by what a person has
    queue.py    the runs of a table

A table is a preset, lines and metrics, and stands as plain data in `results.py` of a room beside
its `results.csv`. Nothing that trains imports this package.
"""
