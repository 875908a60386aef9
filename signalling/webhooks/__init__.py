"""Webhooks: systems elsewhere are told what happens in rooms, in a form that LiveKit's server SDKs read and verify."""
