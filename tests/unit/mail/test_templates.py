"""Templates: by type, with a default; what they cannot do, and what is said of broken ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.mail.templates import TemplateFailed, Templates
from tests.support.settings import written

VALUES: dict[str, Any] = {
    "title": "Your turn",
    "body": "Ada has moved.\nNow you.",
    "type": "game.turn",
    "severity": "info",
    "data": {"turn": 12},
    "link": "https://example.com/g/1",
    "sender": "Example",
    "colour": "#4c8dff",
    "unsubscribe_url": "https://example.com/u?token=t",
}


def test_default__says_all_that_there_is() -> None:
    """Text and HTML have the title, the body, the link, and how to get no more."""
    found = Templates("").write("game.turn", VALUES)
    assert found.subject == "Your turn"
    for text in (found.text, found.html):
        for said in ("Your turn", "Ada has moved.", "https://example.com/g/1", "u?token=t"):
            assert said in text
    assert "<" not in found.text


def test_default__says_no_more_than_there_is() -> None:
    """Without title, body and links there is the type, and no empty part."""
    bare = {**VALUES, "title": "", "body": "", "link": "", "unsubscribe_url": ""}
    found = Templates("").write("game.turn", bare)
    assert found.subject == "game.turn"
    assert found.text.strip() == "-- \nExample · game.turn"
    assert "<a " not in found.html
    assert "<p" not in found.html


def test_html__shows_what_looks_like_html() -> None:
    """A title is text: nothing in it is run, or changes the page."""
    hostile = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'
    values = {**VALUES, "title": hostile, "body": hostile, "type": hostile, "sender": hostile}
    found = Templates("").write("game.turn", values)
    assert "<script" not in found.html
    assert "<img" not in found.html
    assert "&lt;script&gt;" in found.html
    assert hostile in found.text


def test_own__is_used_for_its_type(tmp_path: Path) -> None:
    """What a folder lacks has the default look; its own default is for all other types."""
    written(tmp_path / "game.turn.subject.txt", "Turn {{ data.turn }}")
    written(tmp_path / "game.turn.html", "<p>{{ title }} {{ data.a.b }}</p>")
    written(tmp_path / "default.txt", "All: {{ body }}")
    templates = Templates(str(tmp_path))
    values = {**VALUES, "title": "<b>"}
    assert templates.write("game.turn", values) == (
        "Turn 12",
        "All: Ada has moved.\nNow you.",
        "<p>&lt;b&gt; </p>",
    )
    assert templates.write("chat", VALUES).subject == "Your turn"
    assert templates.write("chat", VALUES).text.startswith("All: ")


def test_own__names_what_is_broken(tmp_path: Path) -> None:
    """One line for each template that cannot be compiled or read."""
    written(tmp_path / "a.html", "<p>\n{% if %}</p>")
    written(tmp_path / "b.txt", b"\xff\xfe")
    with pytest.raises(ConfigurationError) as error:
        Templates(str(tmp_path))
    first, second = str(error.value).splitlines()
    assert (
        first == "templates: a.html, line 2: Expected an expression, got 'end of statement block'"
    )
    assert second == "templates: b.txt: cannot be read: UnicodeDecodeError"
    with pytest.raises(ConfigurationError, match="no such folder"):
        Templates(str(tmp_path / "missing"))


@pytest.mark.parametrize(
    "text", ["{{ 1 / 0 }}", "{{ data.turn.x() }}", "{% include 'x' %}", "{{ 'a' * 2000000 }}"]
)
def test_own__that_fails_names_itself(tmp_path: Path, text: str) -> None:
    """The reason quotes nothing of the notification."""
    written(tmp_path / "game.turn.txt", text)
    with pytest.raises(TemplateFailed, match=r"^game\.turn\.txt: ") as error:
        Templates(str(tmp_path)).write("game.turn", {**VALUES, "title": "secret"})
    assert "secret" not in str(error.value)


def test_type__is_no_path(tmp_path: Path) -> None:
    """Whatever a type is called, it reads no file but the templates."""
    written(tmp_path / "secret.txt", "secret")
    inner = tmp_path / "inner"
    inner.mkdir()
    found = Templates(str(inner)).write("../secret", VALUES)
    assert "secret" not in found.text.replace("../secret", "")
