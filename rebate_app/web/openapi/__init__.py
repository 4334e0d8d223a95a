"""The API described for machines and people: /openapi.json, /docs and the examples of docs/http.md."""
