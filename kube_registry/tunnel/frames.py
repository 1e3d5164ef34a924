"""Framing of one forwarded port in the WebSocket subprotocol v4.channel.k8s.io; pure.

Each message starts with one byte, its channel: 0 carries data both ways, 1 carries error text from the node. The
first message on either channel is the port number as two bytes, little-endian; it comes before the pod is dialled,
so it does not prove that anything listens. There is no half-close: an empty data message is not an end.

Source: kubelet pkg/cri/streaming/portforward/websocket.go; apimachinery pkg/util/httpstream/wsstream/conn.go.
"""

from enum import IntEnum

PROTOCOL = "v4.channel.k8s.io"

HEADER = 1
"""Bytes of a message before what it carries: its channel."""


class Channel(IntEnum):
    """The two channels of the first, here the only, forwarded port."""

    DATA = 0
    ERROR = 1


class FramingError(ValueError):
    """The node sent something that the protocol does not allow."""


def blank(room: int) -> bytearray:
    """A message to the pod with room for so many bytes of data, which go after its header."""
    return bytearray([Channel.DATA]) + bytearray(room)


def unwrap(message: bytes) -> tuple[Channel, memoryview]:
    """The channel of a message and what it carries, not copied.

    Raises:
        FramingError: the message is empty or of an unknown channel.
    """
    if not message:
        raise FramingError("an empty message, which has no channel")
    try:
        return Channel(message[0]), memoryview(message)[HEADER:]
    except ValueError:
        raise FramingError(f"a message on channel {message[0]}, which was not asked for") from None


def check_port(message: bytes, expected: Channel, port: int) -> None:
    """Check the first message of a channel.

    Raises:
        FramingError: another channel, length or port.
    """
    channel, payload = unwrap(message)
    if channel is not expected or bytes(payload) != port.to_bytes(2, "little"):
        raise FramingError(f"{message[:8].hex()} in place of port {port} on channel {expected}")
