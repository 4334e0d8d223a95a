"""Exports of the networks' back offices: tables that people download, as order facts of `fetch_seq` 0.

table.py reads CSV and XLSX into numbered rows of text, columns.py reads the mapping files beside it,
export_reader.py maps rows to facts or refusals (docs/spec/sources.md#exports).
"""
