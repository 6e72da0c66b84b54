"""The documentation's commands parse, its pages exist, and every public name is documented."""

import ast
import csv
import importlib
import importlib.metadata
import pathlib
import re
import runpy
import shlex
import shutil
import subprocess

import pytest

from experiments.render import Render
from kpjax.formats import plain_csv
from kpjax.formats.project import Report
from kpjax.formats.reading import read_project
from kpjax.lab.commands import COMMANDS
from kpjax.lab.commands.train import system_and_flags
from kpjax.lab.own.systems import NEEDS, own_experiment
from kpjax.papers.command_line import Shared, read_command
from kpjax.papers.configs import flat
from kpjax.papers.engine import OWN
from kpjax.papers.parsing import parse, typed_flags

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [page for page in sorted((ROOT / "docs").rglob("*.md")) if "reference" not in page.parts]
# also finds the helpers of tests/lab
DOCS = runpy.run_path(str(ROOT / "docs" / "run.py"), run_name="docs")
untrained_run = importlib.import_module("own_runs").untrained_run


@pytest.mark.slow
@pytest.mark.parametrize("page", DOCS["PAGES"])
def test_commands_of_the_pages_parse(page):
    found = DOCS["commands"](page)
    assert found
    for words in found:
        command, arguments = DOCS["name_of"](words), words[4 if words[0] == "python" else 2 :]
        if command == "train":
            system, _ = system_and_flags(arguments)
            assert system in NEEDS
            assert {*typed_flags(arguments)} <= {
                *flat(own_experiment(system).presets[OWN]),
                *Shared.__dataclass_fields__,
            }
        elif command == "render":
            assert parse(Render, arguments, prog="python").tutorial == page.partition("/")[2]
        else:
            parse(COMMANDS[command], arguments, prog="kpjax")


@pytest.mark.slow
@pytest.mark.parametrize("name", DOCS["TUTORIALS"])
def test_commands_of_the_tutorials_fit_their_images(name, tmp_path, monkeypatch, capsys):
    """All that comes before the first step: settings are chosen from the stand-ins, flags and
    variants are known.

    Networks of earlier commands are untrained. docs/run.py runs the commands themselves.
    """
    monkeypatch.chdir(tmp_path)
    DOCS["TUTORIALS"][name](tmp_path, 0)
    trained = set()
    # python, -m, ... for a clone's
    for program, command, *arguments in DOCS["commands"](f"tutorials/{name}"):
        runs = [word for word in arguments if word.startswith("runs/")]
        assert {str(tmp_path / pathlib.Path(run).parent) for run in runs} <= trained
        if (program, command) != ("kpjax", "train"):
            continue
        for run in runs:
            taught = read_project(
                tmp_path / {"incremental": "old_labels", "adaptation": "people"}[name]
            )
            shutil.copytree(untrained_run(tmp_path / "untrained", taught.skeleton, 64), run)
        read = read_command(own_experiment(arguments[0]), [OWN, *arguments[1:]])
        trained |= {str(read.folder / variant) for variant in read.variants}
    assert len(trained) >= 2
    assert re.search(r"^chosen from your data: ", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.slow
def test_every_public_name_is_documented():
    """Modules, functions and classes."""
    silent = []
    for path in (ROOT / "kpjax").rglob("*.py"):
        module = ast.parse(path.read_text(encoding="utf-8"))
        known = [
            *([] if path.name == "__init__.py" else [module]),
            *(
                node
                for node in module.body
                if isinstance(node, ast.FunctionDef | ast.ClassDef)
                and not node.name.startswith("_")
            ),
        ]
        silent += [
            f"{path.relative_to(ROOT)}: {getattr(node, 'name', 'module')}"
            for node in known
            if not ast.get_docstring(node)
        ]
    assert not silent


def slug(heading):
    """Returns the anchor that MyST gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def links(text, images=False):
    """Returns where the links of a text, or its images, lead; code is left out."""
    prose = re.sub(r"^```.*?^```|`[^`\n]+`", "", text, flags=re.DOTALL | re.MULTILINE)
    found = re.findall(r"(!?)\[[^\]]*\]\(([^)\s]+)\)", prose)
    return [link for mark, link in found if bool(mark) == images and "://" not in link]


def check_link(page, link, home):
    """Fails unless a link of a page leads to a file, and to a heading of it where it names one.

    home: the folder that links are relative to.
    """
    path, _, anchor = link.partition("#")
    there = home / path if path else page
    assert there.is_file(), f"{page.relative_to(ROOT)}: {link} leads nowhere"
    if anchor:
        headings = re.findall(r"^#+ (.+)$", there.read_text(encoding="utf-8"), re.MULTILINE)
        assert anchor in map(slug, headings), f"{page.relative_to(ROOT)}: {link}: no such heading"


def test_links_between_pages_lead_somewhere():
    documents = [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *(ROOT / "experiments").glob("**/*.md"),
        *PAGES,
    ]
    for page in documents:
        for link in links(page.read_text(encoding="utf-8")):
            check_link(page, link, page.parent)


def included(page):
    """Yields (path, options, text) of the parts of other files that a page includes as Markdown."""
    blocks = re.findall(
        r"^```\{include\} (\S+)\n(.*?)^```",
        page.read_text(encoding="utf-8"),
        re.DOTALL | re.MULTILINE,
    )
    for name, written in blocks:
        options = dict(re.findall(r'^:([\w-]+): *"?(.*?)"?$', written, re.MULTILINE))
        path = page.parent / name
        text = path.read_text(encoding="utf-8")
        text = "\n".join(text.split("\n")[int(options.get("start-line", 0)) :])
        if "start-after" in options:
            assert options["start-after"] in text, (page, options)
            text = text.partition(options["start-after"])[2]
        if "end-before" in options:
            assert options["end-before"] in text, (page, options)
            text = text.partition(options["end-before"])[0]
        yield path, options, text


def test_links_of_included_parts_lead_somewhere_from_the_page_that_shows_them():
    """MyST reads a link of an included part from the page, and its images from where they say."""
    parts = [(page, *part) for page in PAGES for part in included(page)]
    assert len(parts) >= 7
    for page, path, options, text in parts:
        for link in links(text):
            check_link(page, link, page.parent)
        for image in links(text, images=True):
            check_link(page, image, path.parent if "relative-images" in options else page.parent)


def test_files_that_pages_show_are_there():
    """Blocks that show a file whole: what a command printed, a script, a table."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        names = re.findall(r"^```\{literalinclude\} (\S+)$", text, re.MULTILINE)
        names += re.findall(r"^:file: (\S+)$", text, re.MULTILINE)
        for name in names:
            assert (page.parent / name).is_file(), (page, name)


def test_versions_that_were_tried_are_written_by_the_run_that_tried_them():
    page = (ROOT / "docs" / "start.md").read_text(encoding="utf-8")
    assert "\n:file: outputs/versions.csv\n" in page
    assert not re.findall(r"\b\d+\.\d+(?:\.\d+)?\b", page)  # no version by hand
    written = runpy.run_path(str(ROOT / ".ci" / "versions.py"))
    with written["TABLE"].open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert tuple(header) == written["HEADER"]
    assert rows == sorted(rows, key=lambda row: (written["minor"](row), row[-1]))
    for row in rows:
        assert all(re.fullmatch(r"\d+(\.\w+)+", version) for version in row[:-1]), row


def commands_named(page):
    """Yields the words of every command `kpjax ...` of a page, in blocks and in the text."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = re.findall(r"^```(?:sh|bash)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    lines += [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose)]
    yield from (shlex.split(line) for line in lines if re.match(r"kpjax \w+ .", line))


def test_a_second_training_of_a_page_goes_into_a_folder_of_its_own():
    """A finished run is never replaced: other frames, labels or projects beside it are refused."""
    other = {"--start", "--unlabelled"}
    for name in ("start", "own/deeplabcut", "own/sleap", "own/several", "own/after"):
        found = list(commands_named(ROOT / "docs" / f"{name}.md"))
        train = [words for words in found if words[1] == "train"]
        assert train
        for words in train:
            system, flags = system_and_flags(words[2:])
            if system == "semi_supervised" and (other & {*flags} or flags.count("--project") > 1):
                assert "--workdir" in flags, (name, words)


def test_frames_to_label_keep_away_from_labels_in_every_command_of_the_pages():
    pages = ["start", "troubleshooting", "own/after"]
    pages += [f"own/{tool}" for tool in ("deeplabcut", "sleap", "lightning_pose", "coco")]
    for name in pages:
        found = list(commands_named(ROOT / "docs" / f"{name}.md"))
        suggest = [words for words in found if words[1] == "suggest" and "--out" in words]
        assert suggest
        assert all("--labelled" in words for words in suggest), name


def row_of(table, start):
    """Returns the cells of the only row of a rendered table whose first cell begins so."""
    (found,) = [line for line in table.splitlines() if line.startswith(f"| {start}")]
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_numbers_that_pages_say_of_the_mouse_are_those_of_the_tables():
    page = " ".join((ROOT / "docs" / "own" / "measured.md").read_text(encoding="utf-8").split())
    home = ROOT / "experiments" / "own"
    look_alike = (home / "one_point" / "results.md").read_text(encoding="utf-8")
    look_alike = look_alike.partition("own/one_point/mouse")[2]
    alone = row_of(look_alike, "the small U-net again, by a later commit, labels alone")
    beside = row_of(look_alike, "a second small U-net, with pseudo-labels")
    assert alone[4] == beside[4]
    assert alone[6] == beside[6] == "1"
    assert (
        f"one seed (below), PCK was {float(alone[4]):.0f} % with and without them. With them one pair "
        f"of keypoints was one point on {float(beside[1]):.0f} % of a video's frames, "
        f"without them on {float(alone[1]):.0f} %"
    ) in page
    radii = row_of((home / "results.md").read_text(encoding="utf-8"), "radii of the run")
    assert f"for the third, a mouse, in {float(radii[3]):.0f} cases of 100" in page


@pytest.mark.slow
def test_the_tables_of_the_page_on_tables_are_read(tmp_path):
    text = (ROOT / "docs" / "own" / "csv.md").read_text(encoding="utf-8")
    (skeleton,) = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
    for number, table in enumerate(re.findall(r"```text\n(image.*?)```", text, re.DOTALL)):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "labels.csv").write_text(table)
        (folder / "skeleton.json").write_text(skeleton)
        project = plain_csv.read(folder, Report("", [], []))
        assert project.instances
        assert project.skeleton.names == ("nose", "left_ear", "right_ear", "tail")
        assert project.skeleton.flip == (0, 2, 1, 3)
        assert len(project.skeleton.edges) == 2
    assert len(project.instances) == 2  # the last table has two animals on a frame


def test_the_page_of_the_command_line_has_the_help_of_every_command_and_system(monkeypatch):
    conf = runpy.run_path(str(ROOT / "docs" / "conf.py"))
    asked = []

    def help_of(words, **given):
        asked.append(words[3:-1])
        return subprocess.CompletedProcess(words, 0, f"help of {' '.join(words[3:])}")

    monkeypatch.setattr(subprocess, "run", help_of)
    page = conf["_commands_page"]()
    assert asked == [[], ["train"], *(["train", name] for name in NEEDS), *([n] for n in COMMANDS)]
    assert (
        page[page.index("   help of train semi_supervised --help") - 5]
        == "kpjax train semi_supervised"
    )
