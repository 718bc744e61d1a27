"""Seals Temporal payloads as docs/sealing.md says."""

import base64
import binascii
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadCodec

VERSION = b"\x01"
NONCE_BYTES = 12
TAG_BYTES = 16
KEY_BYTES = 32
KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,40}")
ASSOCIATED = "policy-sync/payload"
ENCRYPTED = b"binary/encrypted"
NOTHING = b"binary/null"


class SealingError(ValueError):
    """Keys that are none, or a payload that is not to be opened. One line, without a secret."""


@dataclass(frozen=True)
class Keys:
    """The keys of POLICY_SYNC_KEYS: the first seals, every one opens."""

    active: str
    by_id: dict[str, AESGCM]


def parse_keys(setting: str) -> Keys:
    """Reads `id:base64-of-32-bytes[,id:base64…]`. Errors name an entry by its place, never by its text."""
    if not setting.strip():
        raise SealingError("POLICY_SYNC_KEYS is empty: unset it to run without keys")
    by_id: dict[str, AESGCM] = {}
    for place, entry in enumerate(setting.split(","), 1):
        id, _, encoded = entry.strip().partition(":")
        try:
            secret = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            secret = b""
        if not KEY_ID.fullmatch(id) or len(secret) != KEY_BYTES:
            raise SealingError(
                f"POLICY_SYNC_KEYS: expected id:base64-of-32-bytes[,id:base64…], entry {place} is not"
            )
        if id in by_id:
            raise SealingError(f"POLICY_SYNC_KEYS: entry {place} has an id used before")
        by_id[id] = AESGCM(secret)
    return Keys(next(iter(by_id)), by_id)


def seal(key: AESGCM, plaintext: bytes, associated: str, nonce: bytes | None = None) -> bytes:
    """Version byte, nonce, ciphertext, tag. A nonce is given by tests only: never use one twice with one key."""
    nonce = nonce or os.urandom(NONCE_BYTES)
    return VERSION + nonce + key.encrypt(nonce, plaintext, associated.encode())


def unseal(key: AESGCM, sealed: bytes, associated: str) -> bytes:
    """Gives back what `seal` was given; fails when a single bit of bytes, key or `associated` differs."""
    if len(sealed) < 1 + NONCE_BYTES + TAG_BYTES or sealed[:1] != VERSION:
        raise SealingError("these are no sealed bytes of version 1")
    try:
        return key.decrypt(sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :], associated.encode())
    except InvalidTag:
        raise SealingError("sealed bytes do not open: changed, or sealed by another key or for another place") from None


class SealingCodec(PayloadCodec):
    """Seals whole payloads, metadata included."""

    def __init__(self, keys: Keys, allow_plain: bool = False) -> None:
        """`allow_plain` takes payloads in the clear although there are keys (POLICY_SYNC_ALLOW_PLAIN=1)."""
        self._keys = keys
        self._allow_plain = allow_plain

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [self._seal(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [self._open(payload) for payload in payloads]

    def _seal(self, payload: Payload) -> Payload:
        id = self._keys.active
        return Payload(
            metadata={"encoding": ENCRYPTED, "encryption-key-id": id.encode()},
            data=seal(self._keys.by_id[id], payload.SerializeToString(), ASSOCIATED),
        )

    def _open(self, payload: Payload) -> Payload:
        encoding = payload.metadata.get("encoding")
        if encoding != ENCRYPTED:
            if encoding == NOTHING or self._allow_plain:
                return payload
            raise SealingError("payload keys are set and a payload came in the clear")
        id = payload.metadata.get("encryption-key-id", b"").decode(errors="replace")
        if id not in self._keys.by_id:
            raise SealingError(f"no key {id!r} to open a payload: add it to POLICY_SYNC_KEYS, after the first")
        return Payload.FromString(unseal(self._keys.by_id[id], payload.data, ASSOCIATED))
