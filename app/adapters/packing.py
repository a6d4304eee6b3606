"""Texts that are kept for long and rarely read, in a third of their length: what they all have in common is not written again.

It is named here. A packed text begins with the name of the sample that it was packed with, so that a sample is never changed: a
better one gets another name.
"""

import base64
import zlib

_SAMPLE = (
    b'{"at":17,"route":"generation","trust":"signed","raw":"{\\"code\\":200,\\"msg\\":\\"Veo3.1 video generated successfully.\\",'
    b'\\"data\\":{\\"taskId\\":\\"\\",\\"info\\":{\\"resultUrls\\":\\"[\\\\\\"https://tempfile.aiquickdraw.com/v/.mp4\\\\\\"]\\",'
    b'\\"originUrls\\":[],\\"resolution\\":\\"1080p\\"},\\"fallbackFlag\\":false,\\"creditsConsumed\\":60}}"}'
    b'{"task_id":"","tracked_at":17,"labels":{"":""},"submission":"sub_","request":{"prompt":"","model":"veo3_fast",'
    b'"aspectRatio":"16:9"},"fingerprint":"","price":60.0,"asked":{"resolution":"1080p","seconds":8.0},"upgrades":["1080p","4k"],'
    b'"verdict":"succeeded","waiting_since":17,"verdict_at":17,"verdict_from":"poll","verdict_from":"callback","made_at":17,'
    b'"complete_at":17,"code":200,"msg":"success","credits":60.0,"received":1,"heard":["generation succeeded 200"],"heard_at":17,'
    b'"settle":{"fence":1},"manifest":{"fence":1},"changes":6,"written":6,"renditions":[{"kind":"4k","state":"stored","work":'
    b'{"fence":1},"since":17,"attempts":1,"order":{"intended_at":17,"asked_at":17,"asks":1,"arrived":true,"token":"","alias":"",'
    b'"taken":true,"confirmed":true,"price":120.0},"orders":1,"key":"veo//4k-0.mp4","bytes":1},{"kind":"result","state":"stored",'
    b'"work":{"fence":1},"since":17,"attempts":1,"key":"veo//result-0.mp4","bytes":1,"sha256":"","width":1280,"height":720,'
    b'"seconds":8.0,"audio":true,"stored_at":17}]}'
)
_MARK = "1:"


def pack(text: str) -> str:
    """A shorter text of printable ASCII. The same text gives the same."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, _SAMPLE)
    return _MARK + base64.b85encode(squeeze.compress(text.encode()) + squeeze.flush()).decode()


def unpack(text: str) -> str:
    """What was packed; a text that was not is given back as it is. JSON objects never begin as a packed text does.

    :raises ValueError: it is damaged
    """
    if not text.startswith(_MARK):
        return text
    expand = zlib.decompressobj(-15, _SAMPLE)
    try:
        read = expand.decompress(base64.b85decode(text[len(_MARK) :]))
    except zlib.error as error:
        raise ValueError(f"a packed text is damaged: {error}") from None
    if not expand.eof:
        raise ValueError("a packed text is cut short")
    return read.decode()
