"""What is offered can be counted: no workload without its tokenizer, no input longer than the backend keeps."""

import pytest

from backend.errors import Misconfigured
from backend.services.offering import all_offers, offer_workload, require_tokenizers
from backend.store.home import open_tokenizers
from contracts.protocol.errors import WrongTokenizer
from contracts.protocol.manifest import Manifest
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
