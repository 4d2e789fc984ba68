"""Where commands find a running network: options before environment before file, and passwords only from shut files."""

from pathlib import Path

import pytest

from deploy.settings import ClientFile, SettingsError, fill_in

ESCROW, BUILD = "0x" + "11" * 20, "0x" + "22" * 32


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """The folder of a network, as `assay up` leaves it."""
    found = tmp_path / ".assay-net"
    for party in ("requester", "node"):
        (found / party).mkdir(parents=True)
        file = found / party / "password"
        file.write_text(f"secret of {party}\n")
        file.chmod(0o600)
    file = ClientFile(rpc="http://r:1", backend="http://b:2", beacon="http://c:3", escrow=ESCROW, build=BUILD)
    (found / "client.json").write_text(file.model_dump_json())
    return found


def test_in_the_folder_nothing_needs_to_be_given(network: Path) -> None:
    """`assay jobs submit` finds chain, backend, key folder and password where `assay up` runs."""
    environ: dict[str, str] = {}
    assert fill_in("jobs", ["jobs", "submit"], environ, network.parent) == network
    assert environ["ASSAY_RPC"] == "http://r:1"
    assert environ["ASSAY_LOG"] == "http://b:2/v1/log"
    assert environ["ASSAY_ESCROW"] == ESCROW
    assert environ["ASSAY_HOME"] == str(network / "requester")
    assert environ["ASSAY_PASSWORD"] == "secret of requester"


@pytest.mark.parametrize("arguments", [["--home", ".assay-net/node"], ["--home=.assay-net/node"]])
def test_a_home_option_is_enough(network: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of a party names its network, and its own password is taken, not another's."""
    monkeypatch.chdir(network.parent)
    environ: dict[str, str] = {}
    fill_in("node", ["node", "status", *arguments], environ, network.parent)
    assert environ["ASSAY_PASSWORD"] == "secret of node"
    assert environ["ASSAY_BACKEND"] == "http://b:2"


def test_elsewhere_a_variable_names_the_network(network: Path, tmp_path: Path) -> None:
    """ASSAY_NET is for other folders; without it nothing is found there."""
    away = tmp_path / "away"
    away.mkdir()
    environ: dict[str, str] = {}
    assert fill_in("jobs", ["jobs", "list"], environ, away) is None
    assert environ == {}
    environ = {"ASSAY_NET": str(network)}
    assert fill_in("jobs", ["jobs", "list"], environ, away) == network


def test_what_is_set_stays(network: Path) -> None:
    """The environment beats the file: nobody is moved to another network unasked."""
    environ = {"ASSAY_RPC": "http://mine", "ASSAY_PASSWORD": "mine"}
    fill_in("wallet", ["wallet", "lanes"], environ, network.parent)
    assert (environ["ASSAY_RPC"], environ["ASSAY_PASSWORD"]) == ("http://mine", "mine")


def test_commands_that_make_networks_take_none(network: Path) -> None:
    """`assay up` and `assay chain` in the folder of a network are not bent to it."""
    environ: dict[str, str] = {}
    assert fill_in("up", ["up"], environ, network.parent) is None
    assert environ == {}


def test_a_password_file_that_others_may_read_is_refused(network: Path) -> None:
    """The way out is in the message. Covers: A51"""
    file = network / "requester" / "password"
    file.chmod(0o644)
    with pytest.raises(SettingsError, match=r"mode 644.*chmod 600") as error:
        fill_in("jobs", ["jobs", "list"], {}, network.parent)
    assert "secret" not in str(error.value)


def test_a_named_password_file_is_taken_and_must_exist(network: Path) -> None:
    """ASSAY_PASSWORD_FILE and `assay --password-file`, before the one beside the keys."""
    other = network / "other"
    environ = {"ASSAY_PASSWORD_FILE": str(other)}
    with pytest.raises(SettingsError, match="is no file"):
        fill_in("jobs", [], environ, network.parent)
    other.write_text("named")
    other.chmod(0o600)
    fill_in("jobs", [], environ, network.parent)
    assert environ["ASSAY_PASSWORD"] == "named"


def test_a_damaged_client_file_is_named(network: Path) -> None:
    """Neither ignored nor a trace."""
    (network / "client.json").write_text('{"rpc": 1}')
    with pytest.raises(SettingsError, match=r"client\.json is no client file"):
        fill_in("jobs", [], {}, network.parent)


def test_an_address_file_is_enough_to_find_the_contracts(tmp_path: Path) -> None:
    """`assay deploy` leaves one; commands called in its folder take it, and nothing else is guessed."""
    (tmp_path / "deployment.json").write_text(f'{{"escrow": "{ESCROW}"}}')
    environ: dict[str, str] = {}
    assert fill_in("wallet", ["wallet", "lanes"], environ, tmp_path) is None
    assert environ == {"ASSAY_DEPLOYMENT": str(tmp_path / "deployment.json"), "ASSAY_ESCROW": ESCROW}
    environ = {}
    fill_in("deploy", ["deploy"], environ, tmp_path)
    assert environ == {}, "what deploys takes nothing that lies about"


def test_the_network_of_a_client_file_comes_first(network: Path) -> None:
    """An address file in the same folder does not hide the network that runs there."""
    (network.parent / "deployment.json").write_text('{"escrow": "0x"}')
    environ: dict[str, str] = {}
    fill_in("jobs", ["jobs", "list"], environ, network.parent)
    assert environ["ASSAY_ESCROW"] == ESCROW


@pytest.mark.parametrize("text", ["", "[]", "{}"])
def test_a_damaged_address_file_is_named(tmp_path: Path, text: str) -> None:
    """Neither ignored nor a trace."""
    (tmp_path / "deployment.json").write_text(text)
    with pytest.raises(SettingsError, match=r"deployment\.json is no address file"):
        fill_in("jobs", [], {}, tmp_path)
