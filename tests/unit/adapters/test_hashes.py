"""The hashes of a file that arrives in chunks of any size, with the MD5 in its own thread or not."""

import hashlib
import threading

import pytest

from app.adapters import hashes
from app.adapters.hashes import Hashes

SIZES = (0, 1, hashes.BATCH - 1, hashes.BATCH, hashes.BATCH + 1, 5, 3 * hashes.BATCH, 7)


@pytest.mark.parametrize("beside", [True, False])
def test_both_are_those_of_the_whole(beside: bool) -> None:
    chunks = [bytes([number + 1]) * size for number, size in enumerate(SIZES)]
    made = Hashes(with_md5=True, beside=beside)
    for chunk in chunks:
        made.update(chunk)
    whole = b"".join(chunks)
    assert (made.sha256, made.md5) == (hashlib.sha256(whole).hexdigest(), hashlib.md5(whole).hexdigest())
    made.close()


@pytest.mark.parametrize("beside", [True, False])
def test_what_nobody_wants_is_not_made(beside: bool) -> None:
    made = Hashes(with_md5=False, beside=beside)
    made.update(b"abc")
    assert (made.sha256, made.md5) == (hashlib.sha256(b"abc").hexdigest(), "")
    made.close()


def test_nothing_is_left_running_when_a_file_is_given_up() -> None:
    made = Hashes(with_md5=True, beside=True)
    made.update(bytes(2 * hashes.BATCH))
    made.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("download-md5")]
