"""A finished run adapted to images that look different, without the labels and images that it learnt from.

Command   kpjax train adapt --start RUN --target FOLDER_OR_VIDEO          (2 CPU cores, minutes)
Expected  the sections on adaptation without the source in experiments/regda/results.md, on people and ultrasound

There is no paper of its own, and no preset but that for people's own data. `source_free` of `regda` is the same method
where every answer is known; `kpjax.methods.regda_family.source_free` says what is from where.
"""
from kpjax.lab.own.adapt import SYSTEM

__all__ = ["SYSTEM"]
