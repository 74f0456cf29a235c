"""`parley customers`, as people type it, on a SQLite file."""

import json
from functools import partial
from pathlib import Path

import pytest

from crm.errors import BadCustomerFile, UnknownCustomer
from personas.errors import BadNumber
from tests.agent.commands.conftest import Parley


@pytest.fixture
def parley(parley: Parley) -> Parley:
    """Run a command of `parley customers`."""
    return partial(parley, "customers")


def test_customers_go_in_out_and_away(parley: Parley, tmp_path: Path) -> None:
    assert "no customers yet" in parley("list").stderr
    good, bad, out = tmp_path / "good.csv", tmp_path / "bad.csv", tmp_path / "out.csv"
    good.write_text('numbers;name;profile;city\n"+49 30 123456;0049170123456";Ada Müller;=1+1;Ulm\n+4930999999;Bob;;\n')
    dry = parley("import", str(good), "--dry-run")
    assert "2 would be new" in dry.stdout
    assert "left out: city" in dry.stderr
    assert "2 new, 0 changed, 0 unchanged" in parley("import", str(good)).stdout
    bad.write_text("numbers,name\n030,Cyd\n+4930111111,Dan\n")
    refused = parley("import", str(bad), code=1)
    assert "line 2: numbers: " in refused.stderr
    assert "so nothing was written" in refused.stderr
    report = json.loads(parley("import", str(bad), "--skip-bad", "--json").stdout)
    assert (report["counts"]["new"], report["bad"][0]["line"]) == (1, 2)

    assert parley("list", "--name", "muller").stdout == "+4930123456, +49170123456  Ada Müller\n"
    assert "and more; 3 customers in all" in parley("list", "--limit", "1").stderr
    assert "None of the 3 customers" in parley("list", "--name", "zzz").stderr
    assert json.loads(parley("show", "0049 30 123456", "--json").stdout)["profile"] == "=1+1"
    for _ in range(2):  # the second time over the first
        parley("export", str(out), "--semicolons")
    assert out.stat().st_mode & 0o077 == 0
    assert out.read_bytes().startswith(b"\xef\xbb\xbfnumbers;name;profile")
    assert "0 new, 0 changed, 3 unchanged" in parley("import", str(out)).stdout
    assert parley("export", "-").stdout.count("\n") == 4
    parley("remove", "+49170123456")
    with pytest.raises(UnknownCustomer):
        parley("show", "+4930123456")
    with pytest.raises(BadNumber):
        parley("remove", "030 123456")
    with pytest.raises(BadCustomerFile, match="can't be written"):
        parley("export", str(tmp_path / "nowhere" / "out.csv"))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["bad.csv", "data", "good.csv", "out.csv"]
