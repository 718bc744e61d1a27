import base64
import json
import re
import unittest
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from temporalio.api.common.v1 import Payload

from sealing import SealingCodec, SealingError, parse_keys, seal, unseal

PAGE = Path(__file__).parents[2] / "docs" / "sealing.md"
VECTORS = json.loads(re.search(r"```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[1])
GOOD = "k1:" + base64.b64encode(bytes(32)).decode()


def parts(vector: dict) -> tuple[AESGCM, bytes, bytes]:
    key = AESGCM(bytes.fromhex(vector["key"]))
    return key, base64.b64decode(vector["plaintext_base64"]), base64.b64decode(vector["sealed"])


class Vectors(unittest.TestCase):
    def test_seals_the_bytes_of_every_vector(self) -> None:
        self.assertTrue(VECTORS)
        for vector in VECTORS:
            key, plaintext, sealed = parts(vector)
            self.assertEqual(seal(key, plaintext, vector["associated"], bytes.fromhex(vector["nonce"])), sealed)

    def test_opens_every_vector_only_as_it_is(self) -> None:
        for vector in VECTORS:
            key, plaintext, sealed = parts(vector)
            self.assertEqual(unseal(key, sealed, vector["associated"]), plaintext)
            with self.assertRaises(SealingError):
                unseal(key, sealed, vector["associated"] + "!")
            with self.assertRaises(SealingError):
                unseal(key, sealed[:-1] + bytes([sealed[-1] ^ 1]), vector["associated"])


class Codec(unittest.IsolatedAsyncioTestCase):
    async def test_opens_the_payload_of_the_vector_and_what_it_seals(self) -> None:
        vector = next(vector for vector in VECTORS if vector["what"] == "payload")
        id = vector["key_id"]
        codec = SealingCodec(parse_keys(f"{id}:{base64.b64encode(bytes.fromhex(vector['key'])).decode()}"))
        metadata = {"encoding": b"binary/encrypted", "encryption-key-id": id.encode()}
        from_page = Payload(metadata=metadata, data=base64.b64decode(vector["sealed"]))
        wanted = Payload(
            metadata={name: value.encode() for name, value in vector["payload"]["metadata"].items()},
            data=vector["payload"]["data"].encode(),
        )
        ours = await codec.encode([wanted])
        self.assertEqual(await codec.decode([from_page, *ours]), [wanted, wanted])

    async def test_refuses_payloads_in_the_clear_unless_they_are_allowed(self) -> None:
        clear = Payload(metadata={"encoding": b"json/plain"}, data=b"1")
        with self.assertRaises(SealingError):
            await SealingCodec(parse_keys(GOOD)).decode([clear])
        self.assertEqual(await SealingCodec(parse_keys(GOOD), allow_plain=True).decode([clear]), [clear])


class Keys(unittest.TestCase):
    def test_refuses_bad_keys_without_quoting_them(self) -> None:
        for bad in ["", " ", "secret", "k1:secret", "k 1" + GOOD[2:], GOOD[:40], f"{GOOD},{GOOD}", f"{GOOD},"]:
            with self.subTest(bad), self.assertRaisesRegex(SealingError, "^(?!.*secret)POLICY_SYNC_KEYS"):
                parse_keys(bad)


if __name__ == "__main__":
    unittest.main()
