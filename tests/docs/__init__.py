"""Documentation that has to stay true: links, anchors, citations, commands and their output."""
