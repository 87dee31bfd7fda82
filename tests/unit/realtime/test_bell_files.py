"""The bell page as it is served: for frames of listed pages, without a way for texts to run."""

from __future__ import annotations

import re

from galaxy_notify.realtime.bell_files import bell_files

ORIGINS = ("https://app.example.com", "http://127.0.0.1:8088")
FILES = bell_files(ORIGINS)


def test_bell__is_there_for_listed_pages_only() -> None:
    """Without any origin there is no page; with some, browsers frame it there and nowhere else."""
    assert bell_files(()) == {}
    assert sorted(FILES) == ["/bell", "/bell.css", "/bell.js"]
    for file in FILES.values():
        policy = dict(file.headers)[b"content-security-policy"].decode()
        assert policy.endswith(f"frame-ancestors {' '.join(ORIGINS)}")
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
        assert "unsafe" not in policy


def test_page__has_nothing_that_the_policy_forbids() -> None:
    """Its script and its style are files of the gateway, and so is all that they ask for."""
    page = FILES["/bell"].body.decode()
    assert re.findall(r'(?:src|href)="([^"]*)"', page) == ["/bell.css", "/bell.js"]
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*src)", page)
    assert "url(" not in FILES["/bell.css"].body.decode()


def test_script__makes_no_code_of_texts() -> None:
    """It takes the client from the gateway, and no markup from anybody."""
    script = FILES["/bell.js"].body.decode()
    assert re.findall(r'from "([^"]*)"', script) == ["/client.js"]
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", script)
    assert not re.search(r"^\s*//", script, re.MULTILINE)


def test_files__are_asked_for_each_time() -> None:
    """Whom the policy lists may have changed; what has not is not sent again."""
    for file in FILES.values():
        assert dict(file.headers)[b"cache-control"] == b"no-cache"
        assert file.is_kept(file.etag)
