"""Refreshes the vendored browser assets: ``python -m personas.admin.vendoring`` (needs npm; run from a checkout).

npm registry ──npm pack──▶ a package's archive ──the files named here──▶ static/vendor/NAME, VENDORED.md
"""

import json
import re
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

VENDOR = Path(__file__).parent / "static" / "vendor"
ICONS = [
    "address-book",
    "alert-triangle",
    "alert-circle",
    "arrow-left",
    "bolt",
    "chevron-left",
    "chevron-right",
    "circle-check",
    "circle-minus",
    "circle-x",
    "clock",
    "download",
    "filter",
    "hash",
    "help-circle",
    "history",
    "info-circle",
    "logout",
    "moon",
    "phone",
    "phone-incoming",
    "phone-off",
    "player-pause",
    "player-play",
    "quote",
    "rewind-backward-5",
    "rewind-forward-5",
    "search",
    "shield-check",
    "sun",
    "upload",
    "user",
    "user-circle",
    "user-cog",
    "users",
    "volume",
]


@dataclass(frozen=True, slots=True)
class Package:
    """One npm package at one version and which of its files are kept; ``licence`` is empty where it brings none."""

    name: str
    version: str
    folder: str
    files: tuple[str, ...]
    licence: str = "LICENSE"


PACKAGES = (
    Package(
        "@tabler/core",
        "1.6.1",
        "tabler",
        ("dist/css/tabler.min.css", "dist/js/tabler.min.js", "dist/js/tabler-theme.min.js"),
        licence="",
    ),
    Package("@tabler/icons", "3.51.0", "tabler-icons", tuple(f"icons/outline/{name}.svg" for name in ICONS)),
    Package("htmx.org", "4.0.1", "htmx", ("dist/htmx.min.js",)),
    Package("wavesurfer.js", "8.0.1", "wavesurfer", ("dist/wavesurfer.esm.js",)),
    Package(
        "@fontsource-variable/inter",
        "5.3.0",
        "inter",
        ("files/inter-latin-wght-normal.woff2", "files/inter-latin-ext-wght-normal.woff2"),
    ),
)
HEAD = """# Vendored assets

Made by `python -m personas.admin.vendoring`; files are as published, except that the icons are gathered in one SVG.
Nothing is loaded from a network at run time. A package whose archive holds no licence file has it added by hand.

| package | version | licence | files |
|---|---|---|---|
"""


def refresh() -> None:
    """Fetch every package and replace its files; the licence of each lies beside them."""
    rows = []
    for package in PACKAGES:
        with tempfile.TemporaryDirectory() as scratch:
            source = _unpacked(package, Path(scratch))
            target = VENDOR / package.folder
            target.mkdir(parents=True, exist_ok=True)
            kept = _keep_icons(package, source, target) if package.folder == "tabler-icons" else None
            kept = kept or [_copy(source / name, target / Path(name).name) for name in package.files]
            if package.licence:
                kept.append(_copy(source / package.licence, target / "LICENSE"))
            about = json.loads((source / "package.json").read_text())
        rows.append(f"| {package.name} | {package.version} | {about['license']} | {', '.join(kept)} |\n")
    (VENDOR / "VENDORED.md").write_text(HEAD + "".join(rows))


def _unpacked(package: Package, scratch: Path) -> Path:
    command = ["npm", "pack", "--silent", f"{package.name}@{package.version}"]
    subprocess.run(command, cwd=scratch, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 fixed words only
    with tarfile.open(next(scratch.glob("*.tgz"))) as archive:
        archive.extractall(scratch, filter="data")
    return scratch / "package"


def _copy(source: Path, target: Path) -> str:
    target.write_bytes(source.read_bytes())
    return f"{target.parent.name}/{target.name}"


def _keep_icons(package: Package, source: Path, target: Path) -> list[str]:
    """Write one SVG with a symbol an icon, drawn in the text's colour."""
    symbols = []
    for name in package.files:
        body = re.search(r"<svg[^>]*>(.*)</svg>", (source / name).read_text(), re.DOTALL)
        if body is None:
            raise ValueError(f"{name} holds no <svg>")
        shape = re.sub(r"\s+", " ", body[1].replace('<path stroke="none" d="M0 0h24v24H0z" fill="none" />', "")).strip()
        symbols.append(
            f'<symbol id="{Path(name).stem}" viewBox="0 0 24 24" fill="none" stroke="currentColor" '
            f'stroke-linecap="round" stroke-linejoin="round">{shape}</symbol>\n'
        )
    head = f'<svg xmlns="http://www.w3.org/2000/svg">\n<!-- {package.name} {package.version}, MIT; see LICENSE -->\n'
    (target / "icons.svg").write_text(head + "".join(symbols) + "</svg>\n")
    return [f"{target.name}/icons.svg"]


if __name__ == "__main__":
    refresh()
