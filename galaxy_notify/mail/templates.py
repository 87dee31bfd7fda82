"""What an e-mail says: templates by the type of the notification, with a default that looks right.

A folder of your own holds ``TYPE.subject.txt``, ``TYPE.txt`` and ``TYPE.html``, each where it says
something else than the default; ``default.…`` there is for all other types.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from jinja2 import (
    BaseLoader,
    ChainableUndefined,
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    PackageLoader,
    Template,
    TemplateNotFound,
    TemplateSyntaxError,
)

from galaxy_notify.errors import ConfigurationError

_DEFAULT: Final = "default"
_FORMS: Final = ("subject.txt", "txt", "html")
#: What a body of 64 KiB and the look around it do not reach; more is no e-mail.
_LONGEST: Final = 1 << 20


class TemplateFailed(Exception):
    """A template cannot be filled in with this notification; the text says why."""


class Written(NamedTuple):
    """The three texts of an e-mail."""

    subject: str
    text: str
    html: str


class Templates:
    """The templates of one channel, read and compiled once: a later change needs a restart."""

    def __init__(self, folder: str, setting: str = "templates") -> None:
        """Read the templates of *folder*, which may be empty for none.

        Raises `ConfigurationError` with a line for each that cannot be compiled, which begins with
        the name of the *setting*.
        """
        own: list[BaseLoader] = [FileSystemLoader(folder)] if folder else []
        looks = PackageLoader("galaxy_notify.mail", "look")
        self._environment = Environment(
            loader=ChoiceLoader([*own, looks]),
            autoescape=_is_html,
            undefined=ChainableUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
            cache_size=-1,
        )
        if problems := [f"{setting}: {problem}" for problem in self._problems(folder)]:
            raise ConfigurationError("\n".join(problems))
        self._found: dict[tuple[str, str], Template] = {}
        names = self._environment.list_templates()
        self._types = frozenset(names)

    def write(self, type: str, values: Mapping[str, Any]) -> Written:
        """Return the texts for a notification of this type; raise `TemplateFailed`."""
        return Written(*(self._filled(type, form, values) for form in _FORMS))

    def _filled(self, type: str, form: str, values: Mapping[str, Any]) -> str:
        template = self._template(type, form)
        try:
            text = template.render(values)
        except Exception as error:  # a template may do anything
            where = f"{template.name}: {type_name(error)}"
            raise TemplateFailed(where) from error
        if len(text) > _LONGEST:
            raise TemplateFailed(f"{template.name}: more than {_LONGEST} characters")
        return text

    def _template(self, type: str, form: str) -> Template:
        name = f"{type}.{form}"
        return self._environment.get_template(name if name in self._types else f"{_DEFAULT}.{form}")

    def _problems(self, folder: str) -> Iterator[str]:
        """Find what cannot be read or compiled."""
        if folder and not Path(folder).is_dir():
            yield f"{folder}: no such folder"
            return
        for name in self._environment.list_templates():
            try:
                self._environment.get_template(name)
            except TemplateSyntaxError as error:
                yield f"{name}, line {error.lineno}: {error.message}"
            except (OSError, UnicodeDecodeError, TemplateNotFound) as error:
                yield f"{name}: cannot be read: {type_name(error)}"


def type_name(error: Exception) -> str:
    """Return what may be shown of an error: its text could quote the notification."""
    return type(error).__name__


def _is_html(name: str | None) -> bool:
    return bool(name and name.endswith(".html"))
