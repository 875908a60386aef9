"""Edge 2: WHIP (RFC 9725) to send, WHEP (draft-ietf-wish-whep) to receive."""
