"""What is offered can be counted: no workload without its tokenizer, no input longer than the backend keeps."""

import hashlib
import string
from typing import get_args

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from backend.errors import Misconfigured
from backend.services.offering import all_offers, offer_workload, require_tokenizers
from backend.store.home import open_tokenizers
from contracts.protocol.errors import WrongTokenizer
from contracts.protocol.manifest import Manifest, TokenizerFamily
from tests.unit.backend.world import MANIFEST, World
from tests.world.node_fakes import BYTE_TOKENIZER, BYTE_TOKENIZER_SHA256

PRICES = {"fixed_price": 1, "unit_price": 1, "max_units": 10}


def changed(**changes: object) -> Manifest:
    return MANIFEST.model_copy(update={"model": "another", **changes})


def offered(world: World) -> int:
    with world.database.read() as session:
        return len(all_offers(session))


def test_the_tokenizer_is_the_manifests(world: World) -> None:
    """Protects requesters: with another tokenizer the backend would accept what every node refuses."""
    tokenizers = open_tokenizers(world.folder)
    with pytest.raises(WrongTokenizer, match=BYTE_TOKENIZER_SHA256):
        offer_workload(world.database, tokenizers, changed(), BYTE_TOKENIZER[:-1] + b" }", **PRICES)
    assert offered(world) == 1
    offer_workload(world.database, tokenizers, changed(), BYTE_TOKENIZER, **PRICES)
    assert offered(world) == 2


def of_a_family(model: models.Model, decoder: decoders.Decoder, **parts: object) -> bytes:
    """A tokenizer.json made of these parts."""
    tokenizer = Tokenizer(model)
    tokenizer.decoder = decoder
    for name, part in parts.items():
        setattr(tokenizer, name, part)
    data: bytes = tokenizer.to_str().encode()
    return data


BYTES = models.BPE({letter: index for index, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, [])
SIGNS = [*"()[].,", *string.ascii_lowercase, *string.digits]
PIECES = models.WordPiece(
    {piece: index for index, piece in enumerate(["[UNK]", *SIGNS, *(f"##{sign}" for sign in SIGNS)])}, unk_token="[UNK]"
)
LEVEL, SPACED = pre_tokenizers.ByteLevel(add_prefix_space=False), pre_tokenizers.ByteLevel(add_prefix_space=True)
WORDS = pre_tokenizers.BertPreTokenizer()
FAMILIES = {
    "byte_bpe": of_a_family(BYTES, decoders.ByteLevel(), pre_tokenizer=LEVEL),
    "wordpiece": of_a_family(
        PIECES, decoders.WordPiece(), normalizer=normalizers.BertNormalizer(), pre_tokenizer=WORDS
    ),
}
STRANGE = {
    "BPE that composes characters": of_a_family(
        BYTES, decoders.ByteLevel(), pre_tokenizer=LEVEL, normalizer=normalizers.NFC()
    ),
    "Unigram with the decoder Metaspace": of_a_family(models.Unigram([("a", 0.0)], 0), decoders.Metaspace()),
    "BPE with the decoder Metaspace": of_a_family(BYTES, decoders.Metaspace()),
    "BPE with the decoder ByteLevel": of_a_family(BYTES, decoders.ByteLevel(), pre_tokenizer=SPACED),
    "WordPiece with the decoder WordPiece": of_a_family(
        PIECES, decoders.WordPiece(), normalizer=normalizers.BertNormalizer(lowercase=False), pre_tokenizer=WORDS
    ),
}


@pytest.mark.parametrize("family", get_args(TokenizerFamily))
@pytest.mark.parametrize("kind", [*FAMILIES, *STRANGE])
def test_tokenizers_of_no_supported_family_are_not_offered(world: World, family: str, kind: str) -> None:
    """Protects requesters: their clients check ids against texts by the family that the manifest names. A cased
    WordPiece, SentencePiece, and a BPE that puts a space before texts, or composes their characters, would have them
    refuse to order."""
    data, before = (FAMILIES | STRANGE)[kind], offered(world)
    manifest = changed(tokenizer=family, tokenizer_sha256=hashlib.sha256(data).hexdigest())
    if kind.startswith(family):
        offer_workload(world.database, open_tokenizers(world.folder), manifest, data, **PRICES)
        assert offered(world) == before + 1
        return
    told = (
        "has no vocabulary" if kind.startswith("Unigram") else rf"{family}, .*do not spell it; supported are byte_bpe"
    )
    with pytest.raises((Misconfigured, WrongTokenizer), match=told):
        offer_workload(world.database, open_tokenizers(world.folder), manifest, data, **PRICES)
    assert offered(world) == before


def test_what_cannot_be_kept_is_not_offered(world: World) -> None:
    """Protects requesters: an input within the manifest's limits is never too large for the store."""
    limits = MANIFEST.input.model_copy(update={"max_texts": 1000})
    with pytest.raises(Misconfigured, match=f"{limits.most_bytes} bytes"):
        offer_workload(world.database, open_tokenizers(world.folder), changed(input=limits), BYTE_TOKENIZER, **PRICES)
    for wrong in ({"fixed_price": -1}, {"unit_price": -1}, {"max_units": 0}):
        with pytest.raises(Misconfigured, match=str(next(iter(wrong.values())))):
            offer_workload(world.database, open_tokenizers(world.folder), changed(), BYTE_TOKENIZER, **(PRICES | wrong))
    assert offered(world) == 1


def test_native_work_is_offered_in_pieces_that_can_be_looked_at(world: World) -> None:
    """Protects verifiers: what they saw of the longest job can be kept."""
    native, tokenizers = changed(comparator="native"), open_tokenizers(world.folder)
    with pytest.raises(Misconfigured, match="16001"):
        offer_workload(world.database, tokenizers, native, BYTE_TOKENIZER, **(PRICES | {"max_units": 16_001}))
    assert offered(world) == 1
    offer_workload(world.database, tokenizers, native, BYTE_TOKENIZER, **PRICES)
    assert offered(world) == 2


def test_a_backend_does_not_start_without_a_tokenizer(world: World) -> None:
    """Protects nodes: a file that was lost or changed is found at the start, with the way to mend it."""
    require_tokenizers(world.database, open_tokenizers(world.folder))
    (file,) = (world.folder / "tokenizers").iterdir()
    file.write_bytes(BYTE_TOKENIZER + b" ")
    with pytest.raises(WrongTokenizer, match="hashes to"):
        require_tokenizers(world.database, open_tokenizers(world.folder))
    file.unlink()
    with pytest.raises(Misconfigured, match="workloads offer --tokenizer"):
        require_tokenizers(world.database, open_tokenizers(world.folder))
