"""What the READMEs promise: the Python snippet as it stands, what is not built, and whose order matters."""

from __future__ import annotations

import ast
import re

import pytest

from tests.docs.commands import without_comments
from tests.docs.pages import ROOT

PAGES = {"README.md": "Profiles", "README.zh-CN.md": "会员资料"}
NOT_BUILT = {"README.md": "not built yet", "README.zh-CN.md": "尚未实现"}
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPECIFIED = re.compile(r"\[(?:specified|已有规格)\]\((docs/spec/[a-z-]+\.md)\)")


def read(page: str) -> str:
    """Return the text of a page."""
    return (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
class TestReadme:
    """Each language by itself."""

    def test_the_snippet_is_what_is_run(self, page: str) -> None:
        """test_readme_commands.py runs it without comments, against a real worker: the same program."""
        (snippet,) = PYTHON.findall(read(page))
        assert ast.dump(ast.parse(snippet)) == ast.dump(ast.parse(without_comments(snippet)))
        assert "OrderService(load_settings())" in snippet

    def test_what_it_does_not_do_is_specified_and_not_built(self, page: str) -> None:
        """Once such a page is built, its row leaves the column of what is missing; none may be left."""
        for each in SPECIFIED.findall(read(page)):
            assert "not built yet" in "\n".join(read(each).splitlines()[:6]), each

    def test_a_promise_about_order_names_the_exception(self, page: str) -> None:
        """Reports may come in any order; profiles may not, or lines have to be priced again."""
        (promise,) = [
            paragraph
            for paragraph in re.split(r"\n(?=- )|\n\n", read(page))
            if re.search(r"in whatever order|到达顺序", paragraph)
        ]
        assert PAGES[page] in promise
        assert "(docs/spec/rules.md#repricing)" in promise
        repricing = read("docs/spec/rules.md").split("## Repricing")[1].split("\n## ")[0]
        assert (NOT_BUILT[page] in promise) == ("not built yet" in repricing)
