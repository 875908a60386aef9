"""RTP payload formats as pure functions: bytes in, bytes out, one file per format. Only bots use them.

Whatever the bytes are, reading them raises `InvalidPayloadError` or nothing, and what is kept has a named cap:
`window.MAX_HELD` packets, `picture.MAX_PICTURE` bytes in `picture.MAX_LAYERS` frames, `red.MAX_REDUNDANT` blocks.
"""
