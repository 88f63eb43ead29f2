"""What is known of accelerators: cards, drivers and what needs them as data, and parsers of the vendors' tools."""
