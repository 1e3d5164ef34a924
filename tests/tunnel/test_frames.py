import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube_registry.tunnel.frames import HEADER, Channel, FramingError, blank, check_port, unwrap


class TestFrames:
    @given(st.binary())
    def test_what_is_filled_in_comes_out_whole_on_the_data_channel(self, data: bytes) -> None:
        message = blank(len(data))
        message[HEADER:] = data
        channel, payload = unwrap(bytes(message))
        assert channel is Channel.DATA
        assert bytes(payload) == data

    @given(st.integers(min_value=2, max_value=255), st.binary())
    def test_a_channel_that_was_not_asked_for_is_refused(self, channel: int, data: bytes) -> None:
        with pytest.raises(FramingError, match=f"channel {channel}"):
            unwrap(bytes([channel]) + data)

    @given(st.binary())
    def test_any_message_is_either_taken_apart_without_loss_or_refused(self, message: bytes) -> None:
        try:
            channel, payload = unwrap(message)
        except FramingError:
            assert message[:1] not in (b"\x00", b"\x01")
        else:
            assert bytes([channel]) + bytes(payload) == message

    @given(st.sampled_from(Channel), st.integers(0, 65535), st.binary(max_size=5))
    def test_exactly_one_first_message_is_right_for_a_channel_and_a_port(
        self, channel: Channel, port: int, message: bytes
    ) -> None:
        right = bytes([channel]) + port.to_bytes(2, "little")
        check_port(right, channel, port)
        if message != right:
            with pytest.raises(FramingError):
                check_port(message, channel, port)

    def test_a_message_without_a_channel_is_refused(self) -> None:
        with pytest.raises(FramingError, match="empty message"):
            unwrap(b"")

    def test_the_port_is_little_endian(self) -> None:
        check_port(bytes.fromhex("005000"), Channel.DATA, 80)
        check_port(bytes.fromhex("018813"), Channel.ERROR, 5000)

    @pytest.mark.parametrize("message", ["00", "0050", "00005000", "000050", "015000", "00500000"])
    def test_any_other_first_message_is_refused(self, message: str) -> None:
        with pytest.raises(FramingError):
            check_port(bytes.fromhex(message), Channel.DATA, 80)
