"""The house keeps its order: one name for one thing, one reader of the log, no file that nobody reads to its end."""

from bench import house, report


def here() -> dict[str, str]:
    """The sources of what runs, without asking git."""
    paths = (path for room in house.ROOMS for path in (report.ROOT / room).rglob("*.py") if path.is_file())
    named = {str(path.relative_to(report.ROOT)): path for path in paths if "node_modules" not in path.parts}
    return {name: path.read_text() for name, path in named.items()}


def test_oneName_isOneThing() -> None:
    """Protects readers: a class name that stands for two things is looked up twice."""
    assert house.duplicated_classes(here()) == {}


def test_oneModule_readsTheLog() -> None:
    """Protects the public record: a second reader would disagree with the first one day."""
    assert house.log_readers(here()) == ["contracts/record/log_book.py"]


def test_noFile_isTooLong() -> None:
    """Protects readers: a file is read from its start to its end."""
    name, lines = house.longest_file(here())
    assert lines <= house.LONGEST, name


def test_theCounts_seeWhatIsPlanted() -> None:
    """Protects the counts above and those of bench/results/house.json from saying yes to everything."""
    planted = {
        "backend/a.py": "class Twice:\n    pass\n",
        "verifier/b.py": "class Twice:\n    pass\n\n\nparse_line(b'')\n",
        "contracts/model/c.py": "class Twice:\n    pass\n" + "\n" * 1000,
        "tests/d.py": "class Twice:\n    pass\n",
        "deploy/localnet/e.py": "\n" * 500,
    }
    assert house.duplicated_classes(planted) == {"Twice": ["backend/a.py", "verifier/b.py"]}
    assert house.log_readers(planted) == ["verifier/b.py"]
    assert house.longest_file(planted) == ("deploy/localnet/e.py", 500)
    assert house.lines(planted) == {"product": 7, "model and tools": 1002, "tests": 2, "demo and up": 500}
