"""What the documents say of the code, where it can be compared."""

from __future__ import annotations

import re
import tomllib

from galaxy_notify.cli.group import COMMANDS
from galaxy_notify.model import notification, route
from galaxy_notify.model.failure_classes import FAILURE_CLASSES, SKIPPED_AT_SEND
from galaxy_notify.publishing.state_check import REPAIRED
from galaxy_notify.redis_state.shared_settings import STATE_FORMAT
from tests.support.documents import rows, text_of
from tests.support.program import ROOT


def test_upgrades__tells_the_formats_of_this_version() -> None:
    """The formats in the table are those that the code writes."""
    told = [row[-1].rstrip("| ") for row in rows("docs/upgrades.md", "formats")]
    states = " and ".join(each.decode() for each in sorted(route.FORMATS))
    assert told == [str(STATE_FORMAT), notification.FORMAT.decode(), states]


def test_operations__tells_what_the_janitor_mends_itself() -> None:
    """The table of findings names every kind once, and whose business it is."""
    lines = [
        line for line in text_of("docs/operations.md").splitlines() if line.endswith(" itself |")
    ]
    told = [code for line in lines for code in re.findall(r"`([^`]+)`", line.split("|")[1])]
    assert sorted(told) == sorted(REPAIRED)


def test_requirements__names_files_that_exist() -> None:
    """Each place that the table names is there."""
    named = re.findall(r"`([\w./-]+\.(?:py|lua|md|toml|service))`", text_of("docs/requirements.md"))
    assert len(named) > 50
    assert sorted({name for name in named if not (ROOT / name).exists()}) == []


def test_requirements__answers_each_of_them_once() -> None:
    """No number is left out and none is answered twice."""
    cells = [row[0].lstrip("| ") for row in rows("docs/requirements.md", "requirements")]
    wanted = {"G": _numbers(1, 7, 10, 17, 20, 24, 30, 37, 40, 48, 50, 55, 60, 62, 70, 74)}
    wanted["GW"] = _numbers(1, 8, 10, 16, 20, 24, 30, 32, 40, 45)
    wanted["GT"] = _numbers(1, 18)
    assert cells == [f"{kind}-{n:02}" for kind, numbers in wanted.items() for n in numbers]


def _numbers(*bounds: int) -> list[int]:
    pairs = zip(bounds[::2], bounds[1::2], strict=True)
    return [number for first, last in pairs for number in range(first, last + 1)]


def test_guide__names_every_command() -> None:
    """Every command of the program stands in docs/guide.md or in docs/operations.md."""
    text = text_of("docs/guide.md") + text_of("docs/operations.md") + text_of("examples/README.md")
    every = {command for section in COMMANDS.values() for command in section}
    used = set(re.findall(r"galaxy-notify(?: --embedded)? ([a-z]+)", text))
    assert every - used - {"demo"} == set()
    assert "make demo" in text_of("README.md")


def test_examples__have_an_idempotency_key_each() -> None:
    """Who tries one example after the other is never answered that the content is another."""
    documents = [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*.*")]
    texts = [path.read_text(encoding="utf-8") for path in documents if path.suffix != ".jsonl"]
    pattern = r"""(?:Idempotency-Key: |idempotency_key"?[=:] ?")([^"' ]+)["' ]"""
    keys = re.findall(pattern, "\n".join(texts))
    assert len(keys) >= 4
    assert sorted(keys) == sorted(set(keys))


def test_credentials__lie_where_the_readme_puts_them() -> None:
    """Units and documents name the files that the README makes, and no others."""
    units = [*ROOT.glob("systemd/*.service"), *ROOT.glob("docs/*.md")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in units)
    named = re.findall(r"LoadCredential=(\w+):(/\S+)", text)
    assert len(named) >= 4
    folders = [
        f"/etc/galaxy-notify/{name}/" for name in ("credentials", "operator", "gateway", "feed")
    ]
    assert [path for name, path in named if path not in {f"{f}{name}" for f in folders}] == []
    made = set(re.findall(r"/dev/null (/etc/galaxy-notify/\S+)", text_of("docs/guide.md")))
    assert {path for name, path in named if name == "redis__password"} <= made


def test_failure_classes__are_those_of_the_code_and_the_readme() -> None:
    """Filters refuse other classes: the list must have every one that a dead letter may get."""
    package = (ROOT / "galaxy_notify").rglob("*.py")
    own = "failure_classes.py"
    text = "\n".join(path.read_text(encoding="utf-8") for path in package if path.name != own)
    given = set(re.findall(r'(?:Failure|_buried)\((?:\s*|due, )"(\w+)"', text))
    assert given <= set(FAILURE_CLASSES)
    assert [name for name in FAILURE_CLASSES if f'"{name}"' not in text] == []
    assert all(f"`{name}`" in text_of("docs/guide.md") for name in FAILURE_CLASSES)


def test_channels__names_how_routes_end() -> None:
    """The table has every reason to skip a route at its send, and every class of its own."""
    cells = [row[1] for row in rows("docs/channels.md", "endings")]
    named = [cell.strip("`") for cell in cells if cell != "–"]
    own = [name for name in FAILURE_CLASSES if re.match("delivery_|address_|endpoint_", name)]
    assert sorted(named) == sorted([*SKIPPED_AT_SEND, *own])


def test_contributing__draws_the_layers_that_are_enforced() -> None:
    """The picture has the layers of pyproject.toml, in their order."""
    contracts = tomllib.loads(text_of("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    enforced = [{name.strip() for name in row.split("|")} for row in contracts[0]["layers"]]
    picture = text_of("CONTRIBUTING.md").partition("## The layers")[2].split("```")[1]
    drawn = [
        {name.strip() for name in re.split(r" {2,}", line.strip())[0].split("|")}
        for line in picture.partition(" - -")[0].splitlines()
        if line.strip()
    ]
    assert drawn == enforced


def test_contributing__names_files_that_exist() -> None:
    """Each place of a recipe is there, but for those with a name to choose."""
    named = re.findall(
        r"`((?:galaxy_notify|tests|lua|config)/[\w./-]*)`", text_of("CONTRIBUTING.md")
    )
    chosen = {name for name in named if re.search(r"NAME|SUBSYSTEM", name)}
    assert len(named) > 10
    assert sorted({name for name in named if not (ROOT / name).exists()} - chosen) == []


def test_glossary__has_each_word_once() -> None:
    """No word is explained twice, and each explanation is complete."""
    text = text_of("docs/glossary.md").partition("## Words of the texts")[0]
    table = [line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    entries = [row for row in table if row[0].strip() != "word"]
    words = [word.strip() for row in entries for word in row[0].split(",")]
    assert len(words) > 50
    assert sorted(words) == sorted(set(words))
    assert all(len(row) == 4 and all(cell.strip() for cell in row) for row in entries)
