"""Command line, pipeline, report and doctor: the room that sees all others and only wires them."""
