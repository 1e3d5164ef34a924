"""Framing of one forwarded port in the WebSocket subprotocol v4.channel.k8s.io; pure functions.

Each message starts with one byte, its channel: 0 for data in both directions, 1 for error text from the node. The
first message on each channel is the port number as two bytes, little-endian. The node sends it before it connects to
the pod, so it does not prove that anything listens there. There is no half-close: an empty data message is not an end.

Source: kubelet pkg/cri/streaming/portforward/websocket.go; apimachinery pkg/util/httpstream/wsstream/conn.go.
"""

from enum import IntEnum

PROTOCOL = "v4.channel.k8s.io"

HEADER = 1
"""Bytes before a message's payload: its channel."""


class Channel(IntEnum):
    """The two channels of the first forwarded port, which is the only one here."""

    DATA = 0
    ERROR = 1


class FramingError(ValueError):
    """The node violated the protocol."""


def blank(room: int) -> bytearray:
    """Return a data message to the pod with room for a number of bytes after its header."""
    return bytearray([Channel.DATA]) + bytearray(room)


def unwrap(message: bytes) -> tuple[Channel, memoryview]:
    """Return the channel of a message and its payload, without copying it.

    Raises:
        FramingError: the message is empty, or its channel is unknown.
    """
    if not message:
        raise FramingError("the node sent an empty message")
    try:
        return Channel(message[0]), memoryview(message)[HEADER:]
    except ValueError:
        raise FramingError(f"the node sent a message on the unknown channel {message[0]}") from None


def check_port(message: bytes, expected: Channel, port: int) -> None:
    """Check the first message of a channel.

    Raises:
        FramingError: the channel, length or port is wrong.
    """
    channel, payload = unwrap(message)
    if channel is not expected or bytes(payload) != port.to_bytes(2, "little"):
        raise FramingError(f"the node sent {message[:8].hex()} instead of port {port} on channel {expected}")
