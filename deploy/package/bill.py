"""What is in the binary: a bill of materials (CycloneDX), and the licences of everything that is compiled into it.

    bill.py TARGET BOM NOTICES
"""

import collections
import json
import pathlib
import re
import subprocess
import sys
import uuid

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation import make_schemabased_validator
from packageurl import PackageURL

NAMES = re.compile(r"^(licen[cs]e|copying|copyright|notice|unlicense)([-._].*)?$", re.IGNORECASE)
HEADING = """What shardstream {version} is built from, and under which licences.

shardstream itself is under MIT or Apache-2.0, as you like. Each text below stands for the packages above it; a package with
several texts may offer a choice, or ask for all of them, as its licence expression says.
"""
# What is said of a package whose archive has no text: the licence is known by its name alone.
NO_TEXT = "Their archives hold no text of a licence; the names of their licences stand beside them."


def closure(metadata: dict) -> tuple[dict, list[dict], dict[str, set[str]]]:
    """The root, the packages that it is built from (not those of tests), and who names whom. Macros and build scripts
    run on the builder's machine; they are on the bill, for what they write is in the binary."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    packages = {package["id"]: package for package in metadata["packages"]}
    (root,) = [package for package in metadata["packages"] if package["name"] == "shardstream"]
    seen: dict[str, set[str]] = {}
    waiting = [root["id"]]
    while waiting:
        this = waiting.pop()
        if this in seen:
            continue
        named = [dep for dep in nodes[this]["deps"] if any(kind["kind"] != "dev" for kind in dep["dep_kinds"])]
        seen[this] = {dep["pkg"] for dep in named}
        waiting.extend(seen[this])
    return root, sorted((packages[this] for this in seen if this != root["id"]), key=lambda p: (p["name"], p["version"])), seen


def checksums() -> dict[tuple[str, str], str]:
    """Of the archives, as Cargo.lock has them."""
    lock = pathlib.Path("Cargo.lock").read_text()
    found = re.findall(r'name = "(.*)"\nversion = "(.*)"\nsource = .*\nchecksum = "(.*)"', lock)
    return {(name, version): checksum for name, version, checksum in found}


def component(package: dict, kind: ComponentType, checksum: str | None) -> Component:
    name, version = package["name"], package["version"]
    licence = (package["license"] or "").replace("/", " OR ")
    return Component(
        type=kind,
        name=name,
        version=version,
        description=package["description"],
        purl=PackageURL("cargo", name=name, version=version),
        bom_ref=f"pkg:cargo/{name}@{version}",
        licenses=[LicenseExpression(licence)] if licence else [],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=checksum)] if checksum else [],
    )


def bill(root: dict, packages: list[dict], names: dict[str, set[str]], target: str) -> str:
    sums = checksums()
    # The same content has the same number, so that two builds give the same bill.
    number = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps([target, sorted(sums.items())]))
    bom = Bom(serial_number=number)
    made = {root["id"]: component(root, ComponentType.APPLICATION, None)}
    bom.metadata.component = made[root["id"]]
    bom.metadata.properties.add(Property(name="cargo:target", value=target))
    for package in packages:
        checksum = sums.get((package["name"], package["version"]))
        if package["source"] and not checksum:
            raise SystemExit(f"{package['name']} has no checksum in Cargo.lock")
        made[package["id"]] = component(package, ComponentType.LIBRARY, checksum)
        bom.components.add(made[package["id"]])
    for this, named in names.items():
        bom.register_dependency(made[this], [made[that] for that in named])
    text = json.loads(make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string())
    # When it was written says nothing of what is in it.
    del text["metadata"]["timestamp"]
    return json.dumps(text, indent=1, sort_keys=True) + "\n"


def notices(root: dict, packages: list[dict]) -> str:
    by_text: dict[str, list[str]] = collections.defaultdict(list)
    without = []
    for package in packages:
        folder = pathlib.Path(package["manifest_path"]).parent
        label = f"{package['name']} {package['version']} ({package['license'] or 'see the text'})"
        files = sorted(file for file in folder.iterdir() if file.is_file() and NAMES.match(file.name))
        if package["license_file"]:
            files.append(folder / package["license_file"])
        texts = {re.sub(r"[ \t\r]+\n", "\n", file.read_text(errors="replace")).strip() for file in files}
        for text in sorted(texts):
            by_text[text].append(label)
        if not texts:
            if not package["license"]:
                raise SystemExit(f"{label} names no licence and holds none")
            without.append(label)
    parts = [HEADING.format(version=root["version"])]
    parts += ["\n".join(names) + "\n\n" + text + "\n" for text, names in sorted(by_text.items(), key=lambda item: item[1])]
    if without:
        parts.append("\n".join(without) + "\n\n" + NO_TEXT + "\n")
    return f"\n{'-' * 100}\n\n".join(parts)


def main() -> None:
    target, bom, listing = sys.argv[1:]
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target]
    metadata = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    root, packages, names = closure(metadata)
    text = bill(root, packages, names, target)
    wrong = make_schemabased_validator(OutputFormat.JSON, SchemaVersion.V1_6).validate_str(text)
    if wrong:
        raise SystemExit(f"the bill is no CycloneDX: {wrong}")
    pathlib.Path(bom).write_text(text)
    pathlib.Path(listing).write_text(notices(root, packages))
    print(f"{len(packages)} packages on the bill")


main()
