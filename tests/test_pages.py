"""The pages of settings and failures: fresh, and nothing left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rebate_app import failures_page, money_out_page, settings_page
from rebate_app.cli import exits
from rebate_app.domain.reasons import REASONS
from rebate_app.settings import Settings, changed_settings, load_settings, shown_settings
from rebate_app.streams import errors as failures

CHECKOUT = Path(__file__).parents[1]


class TestConfiguration:
    """docs/configuration.md and what is shown of the settings."""

    def test_the_page_is_fresh(self) -> None:
        """Else `python -m rebate_app.settings_page > docs/configuration.md`."""
        assert (CHECKOUT / "docs/configuration.md").read_text(encoding="utf-8") == settings_page.page()

    def test_every_setting_has_a_meaning(self) -> None:
        """A row for each, and none without words."""
        for name, field in Settings.model_fields.items():
            assert field.description, name
            assert f"| `REBATE_{name.upper()}` |" in settings_page.page()

    def test_no_secret_is_shown(self) -> None:
        """Neither among all nor among the changed ones; an empty one shows as empty."""
        settings = load_settings({"REBATE_SASL_PASSWORD": "hush", "REBATE_INSECURE": "1"})
        assert changed_settings(settings) == {"REBATE_SASL_PASSWORD": "***", "REBATE_INSECURE": "1"}
        assert "hush" not in str(shown_settings(settings))
        assert shown_settings(load_settings({}))["REBATE_SASL_PASSWORD"] == ""


class TestFailures:
    """docs/failures.md."""

    def test_the_page_is_fresh(self) -> None:
        """Else `python -m rebate_app.failures_page > docs/failures.md`."""
        assert (CHECKOUT / "docs/failures.md").read_text(encoding="utf-8") == failures_page.page()

    def test_every_reason_stands_on_it(self) -> None:
        """The table of reasons is the page's."""
        for reason in REASONS:
            assert f"| `{reason.code}` |" in failures_page.page()

    def test_every_error_that_ends_a_worker_stands_on_it_with_its_exit_code(self) -> None:
        """A new way to end has to be explained."""
        exit_codes = {failure.error: failure.exit_code for failure in failures_page.FAILURES}
        ends = [kind for kind in vars(failures).values() if isinstance(kind, type)]
        for kind in ends:
            if issubclass(kind, failures.StreamsError) and kind is not failures.StreamsError:
                assert exit_codes[kind.__name__] == kind.exit_code

    def test_every_exit_code_of_the_help_is_explained(self) -> None:
        """`--help` lists the same codes; 70 is a bug and not promised there."""
        promised = {int(code) for code in re.findall(r"\b\d+\b", exits.EXITS)}
        assert promised <= {each.code for each in failures_page.EXITS}

    @pytest.mark.parametrize("failure", failures_page.FAILURES, ids=lambda failure: failure.error)
    def test_exit_codes_of_failures_are_explained(self, failure: failures_page.EnvironmentFailure) -> None:
        """Each failure ends with a code of the table, or not at all."""
        assert failure.exit_code is None or failure.exit_code in {each.code for each in failures_page.EXITS}


class TestMoneyOut:
    """docs/money-out.md."""

    def test_it_is_fresh(self) -> None:
        """Else `python -m rebate_app.money_out_page docs/money-out.md`."""
        text = (CHECKOUT / "docs/money-out.md").read_text(encoding="utf-8")
        assert money_out_page.with_generated(text) == text

    def test_a_page_without_a_place(self) -> None:
        """It is refused, never appended to."""
        with pytest.raises(ValueError, match="no place"):
            money_out_page.with_generated("# A page")
