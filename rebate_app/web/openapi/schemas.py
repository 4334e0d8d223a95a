"""JSON Schemas of bodies, made of the types in `web/answers`, under the names of their classes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from types import FunctionType
from typing import Any, Final

from msgspec.json import schema_components

from rebate_app.wire.facts.text_types import DEFINITIONS

Schema = dict[str, Any]

PREFIX: Final = "#/components/schemas/"
_FACT_DEFINITIONS: Final = "#/$defs/"


class SchemaRegistry:
    """The schemas that a document refers to, by name."""

    def __init__(self, types: Iterable[Any]) -> None:
        """Make the schemas of all types at once: each name belongs to one type."""
        listed = list(dict.fromkeys(types))
        structs = [each for each in listed if not isinstance(each, FunctionType)]
        references, components = schema_components(structs, ref_template=PREFIX + "{name}")
        self._references = dict(zip(structs, references, strict=True))
        self.components: dict[str, Schema] = dict(components)
        for source in listed:
            if isinstance(source, FunctionType):
                schema, definitions = source()
                self._references[source] = _relocated(schema)
                self.components |= {_fact_name(name): _relocated(each) for name, each in definitions.items()}
        self._add_texts()
        self.components = {name: _tidy(self.components[name]) for name in sorted(self.components)}

    def reference(self, source: Any) -> Schema:
        """Return the schema, or the reference to it, of a type that was named at the beginning."""
        reference: Schema = self._references[source]
        return reference

    def _add_texts(self) -> None:
        """Add the texts of facts to which a body refers."""
        self.components = _relocated(self.components)
        text = json.dumps(self.components)
        for name, definition in DEFINITIONS.items():
            if f'"{PREFIX}{_fact_name(name)}"' in text:
                self.components.setdefault(_fact_name(name), dict(definition))


def _fact_name(name: str) -> str:
    """Return the name of a definition of the schemas of facts, apart from those of answers."""
    return f"{name}Text" if name in DEFINITIONS else name if name.endswith("Fact") else f"{name}Fact"


def _relocated(value: Any) -> Any:
    """Return a schema of facts whose references lead to the components."""
    if isinstance(value, Mapping):
        return {name: _relocated(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_relocated(member) for member in value]
    if isinstance(value, str) and value.startswith(_FACT_DEFINITIONS):
        return PREFIX + _fact_name(value.removeprefix(_FACT_DEFINITIONS))
    return value


def _tidy(value: Any) -> Any:
    """Return a schema without what OpenAPI does not know or a reader does not need."""
    if isinstance(value, list):
        return [_tidy(member) for member in value]
    if not isinstance(value, Mapping):
        return value
    tidy = {name: _tidy(member) for name, member in value.items()}
    discriminator = tidy.get("discriminator")
    if isinstance(discriminator, dict) and all(str(name).isdigit() for name in discriminator["mapping"]):
        del tidy["discriminator"]  # OpenAPI's is for texts
    if "$ref" in tidy and tidy.get("type") == "string":
        del tidy["type"]  # the definition says it
    return tidy
