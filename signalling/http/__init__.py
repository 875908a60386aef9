"""The HTTP side: routes, errors, headers."""
