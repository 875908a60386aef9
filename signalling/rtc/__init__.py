"""What LiveKit's SDKs send and expect. Works with them; not affiliated with LiveKit, Inc."""
