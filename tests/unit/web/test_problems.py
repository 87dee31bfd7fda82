"""Problems as bodies: always the same fields, always ASCII."""

from __future__ import annotations

import json

import pytest

from galaxy_notify.web.problems import KINDS, TYPE_PREFIX, Problem, fault, packed, unread


@pytest.mark.parametrize("kind", KINDS)
def test_problem__has_the_fields_of_the_standard(kind: str) -> None:
    """Type, title and status belong to the kind; the detail is the occurrence's."""
    problem = Problem(kind, "why", [fault("a", "is wrong")], {"X": "1"}, {"more": 1})
    document = json.loads(problem.body)
    assert document == {
        "type": f"{TYPE_PREFIX}{kind}",
        "title": KINDS[kind].title,
        "status": KINDS[kind].status,
        "detail": "why",
        "errors": [{"field": "a", "code": "invalid", "message": "is wrong"}],
        "more": 1,
    }
    assert (problem.status, problem.headers) == (KINDS[kind].status, {"X": "1"})


def test_body__is_ascii_for_any_text() -> None:
    """Also for what a client sent that is no text at all."""
    problem = Problem("not-found", "\ud800 \xe4 \0 \u2028 </script>")
    assert problem.body.isascii()
    assert json.loads(problem.body)["detail"] == problem.detail
    assert packed({"a": "\xff"}).isascii()


@pytest.mark.parametrize(("status", "found"), [(400, 400), (414, 414), (431, 431), (501, 501)])
def test_unread__keeps_the_status_that_is_known(status: int, found: int) -> None:
    """Whatever else was wrong with the bytes is a bad request."""
    body, answered = unread(status)
    assert (answered, json.loads(body)["status"]) == (found, found)
    assert unread(418)[1] == 400
