"""The catalogue of published versions: what it refuses, what it may lack, and that books are made once."""

from __future__ import annotations

import pytest

from rebate_app.domain.account.account import AccountLine, Repricings
from rebate_app.domain.account.repricing import past_repricing
from rebate_app.domain.pricing.catalogue import Activation, RuleCatalogue, VersionNotReadError
from rebate_app.domain.pricing.rules import Level, RuleBook, RuleVersion

VERSION = RuleVersion("2026-01", 0, (Level("basic", 6_500),))


def test_a_version_is_there_once() -> None:
    """A second one of the same name is refused, whatever it says."""
    catalogue = RuleCatalogue([VERSION])
    with pytest.raises(ValueError, match="is there already"):
        catalogue.add(VERSION)
    assert (catalogue.revision, catalogue.versions) == (1, [VERSION])


def test_what_was_not_read_and_what_does_not_exist() -> None:
    """A live catalogue may lack a version until that is ruled out; one that it has is never absent."""
    catalogue = RuleCatalogue([VERSION], live=True)
    with pytest.raises(VersionNotReadError):
        catalogue.named("2026-02")
    for version in ("2026-02", VERSION.version):
        catalogue.note_absent(version)
    with pytest.raises(KeyError):
        catalogue.named("2026-02")
    assert catalogue.named(VERSION.version) is VERSION


def test_a_book_is_made_once() -> None:
    """The same activations give the same book."""
    catalogue = RuleCatalogue([VERSION])
    activations = [Activation(VERSION.version, "hash", -1, 0)]
    assert catalogue.cached_book(b"one") is None
    book = catalogue.book_of(b"one", activations)
    assert catalogue.book_of(b"one", activations) is book is catalogue.cached_book(b"one")


def test_a_book_by_itself_knows_no_other_version() -> None:
    """Without a catalogue behind it, a name that it lacks is a KeyError."""
    with pytest.raises(KeyError):
        RuleBook.of(VERSION).named("2026-02")


def test_a_line_that_was_never_repriced_has_no_repricing() -> None:
    """Whatever repricings its user had."""
    assert past_repricing(Repricings(past=[(4, 1, "late")]), AccountLine(1, 1, "taobao:1")) is None
