"""Pages from slices: what writers may do is taken, whatever its cuts; what a decoder would choke on is not."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.wire.messages import WireError
from agent.wire.ogg import OggPages


def page(lacing: list[int]) -> bytes:
    return b"OggS" + bytes(22) + bytes([len(lacing)]) + bytes(lacing) + bytes(sum(lacing))


HEAD = b"OggS" + bytes(22) + b"\x01\x08OpusHead"


def lacing_of(packets: list[int]) -> list[int]:
    """The lacing values of packets of these sizes (RFC 3533 6)."""
    return [size for packet in packets for size in (*[255] * (packet // 255), packet % 255)]


@given(
    st.lists(st.integers(1, 800), max_size=20), st.lists(st.integers(0, 80), max_size=4), st.lists(st.integers(1, 4000))
)
def test_whole_packets_are_taken_wherever_pages_and_slices_are_cut(
    packets: list[int], breaks: list[int], cuts: list[int]
) -> None:
    values = lacing_of(packets)
    edges = [0, *sorted(min(at, len(values)) for at in breaks), len(values)]
    pages = [HEAD, *(page(values[start:end]) for start, end in pairwise(edges))]
    stream, found, reader = b"".join(pages), [], OggPages()
    for cut in [*cuts, len(stream)]:
        found += reader.feed(stream[:cut])
        stream = stream[cut:]
    assert found == pages


@pytest.mark.parametrize("pages", [[[0]], [[10, 0]], [[0, 10]], [[255, 0, 0]], [[255], [0], [0]], [[255, 3], [0]]])
def test_an_empty_packet_is_refused(pages: list[list[int]]) -> None:
    with pytest.raises(WireError, match="is empty"):
        list(OggPages().feed(HEAD + b"".join(map(page, pages))))
