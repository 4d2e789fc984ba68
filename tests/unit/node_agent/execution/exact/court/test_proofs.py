"""What a proof may be made of: nothing that a stranger hands in convicts an honest node."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from contracts.court.arrays import layout
from contracts.court.layout import CourtConfig, Home
from contracts.model.court.checker import CourtCheck, Step, judge
from contracts.model.court.operations.base import Spot
from contracts.model.court.reading import Unproven
from contracts.model.court.trees import Key, TreeOpening, leaf, list_root, shown_root
from contracts.protocol import trace_tree
from contracts.protocol.hashing import keccak
from contracts.protocol.packed import pack, packed_root
from contracts.protocol.trace import trace_hash_of
from node_agent.execution.exact.container import Matrix
from node_agent.execution.exact.encoder.model_file import EncoderParameters
from node_agent.execution.exact.llama.model_file import Parameters
from node_agent.execution.exact.trace import TextTrace, encode
from tests.unit.node_agent.execution.exact.conftest import MakeModel
from tests.unit.node_agent.execution.exact.court.cases import Case, decoder_case, encoder_case
from tests.unit.node_agent.execution.exact.court.tracing import model_shelf
from tests.world.soak import short_or_long

FORGERIES = short_or_long(200, 20_000)
STEP = Step("residual", Spot((1,), 2, 3))


@pytest.fixture(scope="module")
def model(make_model: MakeModel) -> Parameters:
    return make_model()


@pytest.fixture(scope="module")
def case(model: Parameters) -> Case:
    """An honest answer to the second of two prompts."""
    return decoder_case(model, [[3, 5], [7, 1, 2]], text=1)


def openings(case: Case, step: Step) -> dict[Key, TreeOpening]:
    """What a step reads."""
    job = case.job
    source = job.source(case.text)
    CourtCheck(job.claims(case.text), source).ruling(step)
    return source.read


def forged(random: Random, honest: dict[Key, TreeOpening]) -> dict[Key, TreeOpening]:
    """One thing changed: a bit of the bytes, a digest of a path, their number, or whose opening it is."""
    changed, key = dict(honest), random.choice([*honest])
    data, path = bytearray(honest[key].data), [*honest[key].path]
    way = random.choice(["bit", "bytes", "digest", "shorter", "longer", "exchanged"])
    if way == "bit":
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    elif way == "bytes":
        data = bytearray(random.randbytes(random.choice([0, len(data), len(data) + 1])))
    elif way == "digest" and path:
        path[random.randrange(len(path))] = random.randbytes(32)
    elif way == "shorter" and path:
        del path[random.randrange(len(path))]
    elif way == "exchanged":
        return changed | {key: honest[random.choice([*honest])]}
    else:
        path.insert(random.randrange(len(path) + 1), random.randbytes(32))
    return changed | {key: TreeOpening(bytes(data), tuple(path))}


def test_the_roots_are_those_of_order_commitment_and_engine(case: Case, tiny_encoder: EncoderParameters) -> None:
    """The court opens what was signed: the packed ids' roots, and the trace hash of whoever computes the same rows."""
    for each, name in ((case, "logits"), (encoder_case(tiny_encoder, [[3, 5], [7, 1, 2]]), "state")):
        words = {home: [] for home in (Home.PROMPT, Home.OUTPUT)}
        traces = []
        for shelf in each.shelves:
            for home, lists in words.items():
                (array,) = shelf.layout.at_home(home)
                lists.append(array.kind.decode(b"".join(shelf.data(array, (0,), 0)), array.shape((0,))[1]))
            traces.append(TextTrace())
            array = shelf.layout.arrays[name]
            for row in range(array.shape((0,))[0]):
                traces[-1].update(np.frombuffer(b"".join(shelf.data(array, (0,), row)), "<i4"))
        assert each.claims.roots[Home.LOGGED] == trace_hash_of(encode(traces))
        assert {home: packed_root(pack(lists)) for home, lists in words.items()}.items() <= each.claims.roots.items()


def test_no_forged_opening_convicts_an_honest_node(case: Case) -> None:
    """Whatever is changed in an honest step's openings, they prove nothing; exchanged for equal ones they are right."""
    random, court = Random(1), case.court()
    steps = [Step(name, next(iter(one.spots(case.layout)))) for name, one in court.operations.items()]
    proofs = [(step, read) for step in steps if (read := openings(case, step))]  # a choice not sampled reads nothing
    claims, refused = case.claims, 0
    for _ in range(FORGERIES):
        step, honest = random.choice(proofs)
        try:
            assert not judge(claims, step, forged(random, honest)).convicted
        except Unproven:
            refused += 1
    assert refused > FORGERIES / 2


def test_a_step_reads_its_own_openings_and_no_others(case: Case) -> None:
    """One missing or one too many proves nothing: a step's size is known beforehand."""
    honest, claims = openings(case, STEP), case.claims
    assert not judge(claims, STEP, honest).convicted
    for key in honest:
        with pytest.raises(Unproven, match="was not opened"):
            judge(claims, STEP, {other: opening for other, opening in honest.items() if other != key})
    more = openings(case, Step("logits", Spot((0,), 0, 0)))
    with pytest.raises(Unproven, match="are not of this step"):
        judge(claims, STEP, honest | more)


@pytest.mark.parametrize("spot", [
    Spot((1,), 99, 3), Spot((9,), 2, 3), Spot((-1,), 2, 3), Spot((1,), 2, 24), Spot((1, 1), 2, 3), Spot((1,), 2, 3, 1),
    Spot((1,), -1, 3),
])  # fmt: skip
def test_a_step_outside_the_text_convicts_nobody(case: Case, spot: Spot) -> None:
    """A place that the text has not got leads nowhere, and must not pass for a trace that does."""
    with pytest.raises(Unproven, match="no step"):
        judge(case.claims, Step("residual", spot), {})
    with pytest.raises(Unproven, match="no step"):
        judge(case.claims, Step("unknown", STEP.spot), {})


@pytest.mark.parametrize("home", [home for home in Home if home is not Home.UNIT])
def test_openings_under_another_root_prove_nothing(case: Case, home: Home) -> None:
    """Roots of another model, prompt, answer or trace: no step of this case reads under them."""
    roots = {**case.claims.roots, home: bytes(32)}
    steps = [Step("token", Spot((0,), 0, 0)), Step("token", Spot((0,), 0, 4)), Step("logits", Spot((0,), 0, 0)), STEP]
    claims, refused = replace(case.claims, roots=roots), 0
    for step in steps:
        try:
            judge(claims, step, openings(case, step))
        except Unproven:
            refused += 1
    assert refused


def test_a_text_longer_than_the_models_positions_convicts(case: Case) -> None:
    """A node that reads past the last position has no row of the tables to turn by, whatever it puts there."""
    text, step = case.layout.text, Step("heads.turned", Spot((0, 4)))
    shorter = layout(replace(text, config=replace(text.config, positions=4)))
    read = openings(case, step)
    assert not judge(case.claims, step, read).convicted
    own = {key: opening for key, opening in read.items() if key.array.startswith("heads")}
    ruling = judge(replace(case.claims, layout=shorter), step, own)
    assert ruling.convicted
    assert "cos" in ruling.why


def test_what_was_not_shown_proves_nothing(case: Case) -> None:
    """Inside an operation nothing is known before its unit is shown; after that, only what was shown."""
    for shown in (lambda unit, place: None, lambda unit, place: bytes(32)):
        with pytest.raises(Unproven, match="does not lead to its root"):
            judge(replace(case.claims, shown=shown), STEP, openings(case, STEP))


def test_every_number_of_a_model_changes_its_root(model: Parameters) -> None:
    """A71: the root that a node derives is its file's alone: each weight, scale, gain, table and size is in it."""
    root = model_shelf(model).root
    others = []
    for name in ("exp2", "sigmoid", "cos", "sin", "final_norm"):
        values = getattr(model, name).copy()
        values.flat[-1] ^= 1
        others.append(replace(model, **{name: values}))
    weight, multiplier = model.embedding.weight.copy(), model.embedding.multiplier.copy()
    weight[0, 0] ^= 1
    multiplier[-1] ^= 1
    for matrix in (
        replace(model.embedding, weight=weight),
        replace(model.embedding, multiplier=multiplier),
        replace(model.embedding, exponent=model.embedding.exponent + 1),
    ):
        others.append(replace(model, embedding=matrix))
    others.append(replace(model, config=replace(model.config, epsilon=model.config.epsilon + 1)))
    roots = [model_shelf(other).root for other in others]
    assert len({root, *roots}) == 1 + len(others)


def test_a_model_root_that_is_not_the_files_convicts_the_honest(model: Parameters, case: Case) -> None:
    """A71: the harm, and so why nodes derive the root before they serve: who named another model's root opens weights
    that the node never had."""
    weight = model.layers[0].qkv.weight.copy()
    weight[0, 0] += 1 if weight[0, 0] < 127 else -1
    qkv: Matrix = replace(model.layers[0].qkv, weight=weight)
    other = replace(model, layers=(replace(model.layers[0], qkv=qkv), *model.layers[1:]))
    assert model_shelf(other).root != model_shelf(model).root
    step = Step("qkv_sums.sum.0", Spot((0, 0, 0)))
    assert not case.proof(step).convicted
    assert replace(case, model=model_shelf(other)).proof(step).convicted


def test_the_configuration_is_the_first_leaf_of_a_model() -> None:
    """Thirteen words of 32 bytes, big-endian, in the order of COURT.md; two more with a window or norms of heads."""
    config = CourtConfig(0, 2, 24, 40, 4, 2, 8, 61, 96, 1, 5, 10, 10)
    words = (0, 2, 24, 40, 4, 2, 8, 61, 96, 1, 5, 10, 10)
    assert config.packed() == b"".join(n.to_bytes(32, "big") for n in words)
    for more in ({"window": 7}, {"head_epsilon": 9}):
        added = (more.get("window", 0), more.get("head_epsilon", 0))
        assert replace(config, **more).packed() == b"".join(n.to_bytes(32, "big") for n in words + added)


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 130, 4097])
def test_what_a_demand_shows_is_six_levels_of_the_tree(count: int) -> None:
    """64-ary when shown, pairs when proven: the same list has one root either way."""
    level = [leaf(bytes([index % 251])) for index in range(count)]
    tree = trace_tree.Tree(level, keccak)
    root, path = list_root(level), tree.path(count - 1)
    assert tree.root == root == trace_tree.climb(level[-1], count - 1, count, path, keccak)
    while len(level) > 1:
        level = [shown_root(level[start : start + 64]) for start in range(0, len(level), 64)]
    assert keccak(b"\2" + count.to_bytes(4, "big") + level[0]) == root
