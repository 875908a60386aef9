"""Meetings of LiveKit's SDKs, carried out: between their WebSockets, what `rtc` decides, rooms and the media engine."""
