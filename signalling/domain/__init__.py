"""What may happen in a room: pure values and decisions, without I/O, clock or event loop."""
