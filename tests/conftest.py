"""What every test may use: fresh databases on SQLite and PostgreSQL, and the rule on skipping.

A test that needs a system package skips with the reason "WHAT is missing; Debian: apt-get install
PACKAGE"; the last line of the run then says so. With PARLEY_TEST_STRICT=1 only tests marked gpu may skip,
those that want recordings of real speech, which are not part of the project, and those that want IPv6.
"""

import asyncio
import logging
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
import structlog
import uvicorn.server

from personas.db import Database
from personas.migrate import upgrade

# NumPy reads this when it is loaded, and no test may have it slower than `parley serve`, which sets it too: beside
# other processes, several threads wait for each other in its small products, and an answer takes ten seconds.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

RECORDINGS = "the recordings of ../shared/audio"
NO_IPV6 = "this machine has no IPv6"
STRICT = os.environ.get("PARLEY_TEST_STRICT") == "1"
MISSING = re.compile(r"(?P<what>[^()]+?) (?:is|are) missing; Debian: apt-get install (?P<package>[\w\-. ]+)")


# Databases


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a migrated database of this test's own; each test that uses it runs on both kinds.

    One kind only: ``@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)``.
    """
    if request.param == "sqlite":
        copy = tmp_path / "parley.db"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), copy)
        yield f"sqlite+aiosqlite:///{copy}"
    else:
        with request.getfixturevalue("postgres").new_database("template") as url:
            yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a database without tables, on both kinds."""
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / 'empty.db'}"
    else:
        with request.getfixturevalue("postgres").new_database("template0") as url:
            yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A migrated, empty Database of this test's own, on both kinds."""
    database = Database(database_url)
    yield database
    await database.close()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file that tests copy."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    upgrade(f"sqlite+aiosqlite:///{path}")
    return path


@dataclass(frozen=True, slots=True)
class PostgresCluster:
    """A running PostgreSQL that listens on a Unix socket in ``folder`` and nowhere else."""

    folder: Path
    names: Iterator[int]

    def url(self, name: str) -> str:
        return f"postgresql+psycopg://postgres@/{name}?host={self.folder}"

    @contextmanager
    def new_database(self, template: str) -> Iterator[str]:
        """Copy the database ``template``, for the length of the block, and yield the copy's URL."""
        name = f"test_{next(self.names)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield self.url(name)
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def execute(self, command: str) -> None:
        """Run one command outside a transaction."""
        import psycopg

        with psycopg.connect(f"host={self.folder} user=postgres dbname=postgres", autocommit=True) as connection:
            connection.execute(command.encode())


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresCluster]:
    """A temporary PostgreSQL cluster whose database ``template`` is migrated; skips without PostgreSQL."""
    programs = _postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL's programs are missing; Debian: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="parley-pg-"))
    user = _unprivileged(folder)
    data = str(folder / "data")
    speed = "-F -c full_page_writes=off -c synchronous_commit=off"
    options = f"{speed} -c listen_addresses='' -c unix_socket_directories={folder}"

    def run(program: str, *arguments: str) -> None:
        command = [str(programs / program), "-D", data, *arguments]
        log = folder / "log"
        with log.open("ab") as output:  # not a pipe: the server would keep it open
            done = subprocess.run(
                command, stdout=output, stderr=output, cwd=folder, user=user, extra_groups=[] if user else None
            )
        assert done.returncode == 0, f"{program} failed:\n{log.read_text()}"

    try:
        run("initdb", "-U", "postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", "--no-locale")
        run("pg_ctl", "-w", "-o", options, "start")
        try:
            cluster = PostgresCluster(folder, count())
            cluster.execute("CREATE DATABASE template TEMPLATE template0")
            upgrade(cluster.url("template"))
            yield cluster
        finally:
            run("pg_ctl", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _postgres_programs() -> Path | None:
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "initdb").exists() and (folder / "pg_ctl").exists()), None)


def _unprivileged(folder: Path) -> str | None:
    """PostgreSQL refuses to run as root: give ``folder`` to another user and return its name."""
    if os.geteuid() != 0:
        return None
    name = "postgres" if "postgres" in {user.pw_name for user in pwd.getpwall()} else "nobody"
    shutil.chown(folder, name)
    return name


# Servers


@pytest.fixture(scope="session", autouse=True)
def prompt_servers() -> Iterator[None]:
    """Have uvicorn look ten times as often whether it should stop: its 0.2 s come after hundreds of tests."""
    hasty = SimpleNamespace(**(vars(asyncio) | {"sleep": lambda seconds: asyncio.sleep(seconds / 10)}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uvicorn.server, "asyncio", hasty)
        yield


# Logging


def _log_to_pytest() -> None:
    """Hand lines to the standard loggers, which pytest shows where a test fails: structlog's own way is to print.

    A server of several tests also logs between them, when nothing captures what is printed.
    """
    structlog.reset_defaults()
    structlog.configure(logger_factory=structlog.stdlib.LoggerFactory())


_log_to_pytest()
os.environ.setdefault("LOGURU_LEVEL", "WARNING")  # pipecat greets whoever imports it


@pytest.fixture(autouse=True)
def unconfigured_logging() -> Iterator[None]:
    """Undo what a command run in this process did to the loggers, so that the next test sees them as they come."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    _log_to_pytest()
    root.handlers[:] = handlers
    root.setLevel(level)


# Skipping


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests marked ray, which start a cluster, unless they are asked for: -m ray."""
    if "ray" not in config.option.markexpr:
        left_out = [item for item in items if item.get_closest_marker("ray")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    report = yield
    may_skip = item.get_closest_marker("gpu") or any(each in _reason(report) for each in (RECORDINGS, NO_IPV6))
    if STRICT and report.skipped and not hasattr(report, "wasxfail") and not may_skip:
        report.outcome, report.longrepr = "failed", f"PARLEY_TEST_STRICT=1 allows no skip: {_reason(report)}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    report = yield
    if STRICT and report.skipped:
        report.outcome, report.longrepr = "failed", f"PARLEY_TEST_STRICT=1 allows no skip: {_reason(report)}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    wants: Counter[str] = Counter()
    packages: set[str] = set()
    for report in terminalreporter.stats.get("skipped", []):
        if found := MISSING.search(_reason(report)):
            wants[found["what"].strip()] += 1
            packages.update(found["package"].split())
    if wants:
        what = ", ".join(f"{name} ({number})" for name, number in sorted(wants.items()))
        how = " ".join(sorted(packages))
        terminalreporter.write_line(f"Skipped for want of system packages: {what}. Debian: apt-get install {how}")


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")
