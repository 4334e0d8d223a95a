"""Every link of the documentation and every citation of it in code leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import (
    ROOT,
    anchors_in,
    citations,
    files,
    headings,
    links,
    problem,
    read,
    relative_links,
    slug,
)

PAGES = files(".md")
SPEC = sorted((ROOT / "docs" / "spec").glob("*.md"))
INDEX = ROOT / "docs" / "spec" / "README.md"
STATUS_WITHIN_LINES = 4
ISSUES = re.compile(r"\bissues? (\d+)(?:,? and (\d+))?")


def named(path: Path) -> str:
    """Return a file's name within the checkout."""
    return str(path.relative_to(ROOT))


class TestLinks:
    """Links between pages."""

    @pytest.mark.parametrize("page", PAGES, ids=named)
    def test_every_relative_link_resolves(self, page: Path) -> None:
        """The file exists, and the heading that the anchor names."""
        problems = [problem(target, page) for target in relative_links(page)]
        assert [each for each in problems if each] == []

    def test_the_pages_are_found(self) -> None:
        """A walk that misses the documentation would prove nothing."""
        assert {"README.md", "docs/spec/money.md", "docs/adr/README.md", "bench/README.md"} <= {
            named(page) for page in PAGES
        }


class TestCitations:
    """Citations of pages in code, configuration and pages."""

    def test_every_cited_page_and_heading_exists(self) -> None:
        """`docs/spec/money.md#buckets` in a docstring, comment, Makefile or alert."""
        root = ROOT / "Makefile"  # citations are relative to the checkout's root
        problems = [
            f"{named(path)}: {found}"
            for path in files()
            if path.parent != Path(__file__).parent  # here, what does not exist is named on purpose
            for found in {problem(cited, root) for cited in citations(read(path))}
            if found
        ]
        assert problems == []

    def test_what_is_cited_is_recognised(self) -> None:
        """With and without an anchor; not within a longer path or a URL."""
        text = "(docs/spec/money.md#buckets), `docs/http.md`. https://x.org/docs/a.md deploy/docs/b.md"
        assert citations(text) == ["docs/spec/money.md#buckets", "docs/http.md"]

    @pytest.mark.parametrize(
        ("cited", "wrong"),
        [
            ("docs/spec/money.md#buckets", None),
            ("docs/spec/no-such-page.md", "no such file"),
            ("docs/spec/money.md#no-such-heading", "no such heading"),
            ("docs/throughput.svg#buckets", "no such heading"),
        ],
    )
    def test_what_does_not_exist_is_noticed(self, cited: str, wrong: str | None) -> None:
        """A page, a heading, and an anchor into something that has none."""
        found = problem(cited, ROOT / "Makefile")
        assert found == (None if wrong is None else f"{cited}: {wrong}")


class TestSpecification:
    """docs/spec: complete index, a status on each page, anchors that stay."""

    def test_the_index_lists_every_page(self) -> None:
        """And nothing else: the table is how a reader finds a rule."""
        listed = {target.partition("#")[0] for target in relative_links(INDEX)}
        assert {page.name for page in SPEC if page != INDEX} <= listed

    @pytest.mark.parametrize("page", [page for page in SPEC if page != INDEX], ids=named)
    def test_every_page_has_a_status(self, page: Path) -> None:
        """A reader has to know what exists and what is planned."""
        head = read(page).splitlines()[:STATUS_WITHIN_LINES]
        assert any(line.startswith("Status: ") for line in head)

    @pytest.mark.parametrize("page", SPEC, ids=named)
    def test_no_heading_occurs_twice(self, page: Path) -> None:
        """An anchor with a number would change its meaning when a section moves."""
        anchors = [slug(heading) for heading in headings(read(page))]
        assert sorted(set(anchors)) == sorted(anchors)

    def test_what_is_not_built_names_its_issue(self) -> None:
        """What is planned without an issue would be forgotten."""
        titles = set(re.findall(r"^\| (\d+) \| ", read(INDEX), re.MULTILINE))
        for page in SPEC:
            for paragraph in read(page).split("\n\n"):
                numbers = {number for pair in ISSUES.findall(paragraph) for number in pair if number}
                assert numbers <= titles, paragraph
                if paragraph.startswith("Status: specified, not built yet"):
                    assert numbers, paragraph


class TestMarkdown:
    """The rules of GitHub that the checks rest on."""

    @pytest.mark.parametrize(
        ("heading", "anchor"),
        [
            ("Buckets", "buckets"),
            ("State of a line", "state-of-a-line"),
            ("JD: codes, and `validCode`", "jd-codes-and-validcode"),
            ("What is `order_topic`?", "what-is-order_topic"),
            ("[Kafka](https://x.org) and more", "kafka-and-more"),
            ("维权 (disputes)", "维权-disputes"),
        ],
    )
    def test_slugs(self, heading: str, anchor: str) -> None:
        """Punctuation goes, spaces become hyphens, letters of any script stay."""
        assert slug(heading) == anchor

    def test_headings_that_repeat_are_numbered(self) -> None:
        """As GitHub does."""
        assert anchors_in("# A\n## B\n## B\n") == {"a", "b", "b-1"}

    def test_code_holds_neither_headings_nor_links(self) -> None:
        """A comment in a shell example is no heading."""
        text = "# A\n```sh\n# B\n[x](y.md)\n```\nand `[x](z.md)`, [w](v.md#u)\n"
        assert anchors_in(text) == {"a"}
        assert links(text) == ["v.md#u"]
