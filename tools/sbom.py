#!/usr/bin/env python3
"""Writes what is linked into the function: a CycloneDX 1.6 document (JSON) on standard output.

Listed are the packages that cargo resolves for the binary rulekeeper-function alone, with its own features and for one target,
without those that only run while building (build scripts' and macros'), and Rust's standard library. Versions, features and
licences are cargo's; hashes are those of the crates, from Cargo.lock. Not listed: the C library, which the binary takes from
Lambda's runtime, and what a crate carries in itself, such as the C and assembly of ring.

Why not a ready tool: those for cargo start from ``cargo metadata``, which joins the features of the whole workspace and would
list what only the command line needs.

The same commit, target and Rust give the same bytes: there is no time in it, and its serial number is made of its content.

With ``--binary FILE`` it also gives that file's hash, and refuses a file that names a crate which is not in the list (panics
name source files, so most crates show). ``--validate`` checks the document against CycloneDX's schema, without a network; that
takes the packages in tools/requirements/sbom.txt. ``--self-test`` checks this program.
"""

import argparse
import hashlib
import json
import pathlib
import re
import subprocess
import sys
import tomllib
import unittest
import uuid

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE, BINARY = "rulekeeper", "rulekeeper-function"
TARGETS = {"arm64": "aarch64-unknown-linux-gnu", "x86-64": "x86_64-unknown-linux-gnu"}


class Mismatch(Exception):
    """What cargo resolves, Cargo.lock and the binary do not agree."""


def output(*command):
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"error: {' '.join(command)} failed with exit status {done.returncode}")
    return done.stdout


def tree(target):
    """cargo's own answer to what is linked: a line for each package, its depth before it, each subtree once."""
    # fmt: off
    return output(
        "cargo", "tree", "--locked", "--package", PACKAGE, "--edges", "normal,no-proc-macro", "--target", target,
        "--prefix", "depth", "--format", "|{p}|{l}|{f}|",
    )
    # fmt: on


def parse(lines):
    """(packages, edges) of a `tree`: "name version" -> its facts, and "name version" -> those that it needs."""
    packages, edges, above = {}, {}, []
    for line in lines.splitlines():
        depth, package, licence, features, _ = line.split("|")
        crate, version = package.split()[:2]
        key = f"{crate} {version.removeprefix('v')}"
        # Before it took SPDX expressions, cargo let a slash stand for OR, and old packages still say so.
        expression = re.sub(r"\s*/\s*", " OR ", licence)
        packages[key] = {"own": "(/" in package, "licence": expression, "features": [f for f in features.split(",") if f]}
        del above[int(depth) :]
        if above:
            edges.setdefault(above[-1], set()).add(key)
        above.append(key)
    return packages, edges


def checksums(lock):
    """ "name version" -> checksum, None for our own packages."""
    return {f"{entry['name']} {entry['version']}": entry.get("checksum") for entry in tomllib.loads(lock)["package"]}


def components(packages, locked):
    """One component for each package. Raises Mismatch for one that Cargo.lock does not hold as it should."""
    for key, facts in sorted(packages.items()):
        crate, version = key.split()
        if key not in locked:
            raise Mismatch(f"{key} is not in Cargo.lock")
        if facts["own"] != (locked[key] is None):
            raise Mismatch(f"{key} needs a checksum in Cargo.lock exactly if it comes from a registry")
        if not facts["licence"]:
            raise Mismatch(f"{key} states no licence expression")
        component = {
            "type": "library",
            "bom-ref": key,
            "name": crate,
            "version": version,
            "licenses": [{"expression": facts["licence"]}],
            "properties": [{"name": "cargo:feature", "value": feature} for feature in facts["features"]],
        }
        if not facts["own"]:
            component["hashes"] = [{"alg": "SHA-256", "content": locked[key]}]
            component["purl"] = f"pkg:cargo/{crate}@{version}"
        yield component


def named_in(binary):
    """The "name version" of each crate whose source files the binary names."""
    found = re.findall(rb"/registry/src/[^/]+/([A-Za-z0-9_-]+?)-(\d+\.\d+\.\d+[^/\0]*)/", binary)
    return {f"{crate.decode()} {version.decode()}" for crate, version in found}


def document(target, binary=None):
    """The whole document. Raises Mismatch if its sources do not agree."""
    packages, edges = parse(tree(target))
    locked = checksums((ROOT / "Cargo.lock").read_text())
    listed = list(components(packages, locked))
    root = next(component for component in listed if component["name"] == PACKAGE)
    function = {**root, "type": "application", "name": BINARY}
    function["properties"] = [{"name": "cargo:target", "value": target}]
    if binary is not None:
        unlisted = named_in(binary) - packages.keys()
        if unlisted or not named_in(binary):
            raise Mismatch(f"the binary names {', '.join(sorted(unlisted)) or 'no crate at all'}, and the list does not")
        function["hashes"] = [{"alg": "SHA-256", "content": hashlib.sha256(binary).hexdigest()}]
    release = re.search(r"^release: (.+)$", output("rustc", "-vV"), re.MULTILINE)[1]
    standard = f"std {release}"
    licence = [{"expression": "MIT OR Apache-2.0"}]
    listed.append({"type": "library", "bom-ref": standard, "name": "std", "version": release, "licenses": licence})
    whole = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": function},
        "components": [component for component in listed if component is not root],
        "dependencies": [{"ref": key, "dependsOn": [*sorted(edges.get(key, ())), standard]} for key in sorted(packages)],
    }
    return {**whole, "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(whole, sort_keys=True))}"}


def validate(text):
    """What CycloneDX's schema has against a document, or None."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    return JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)


def main():
    parser = argparse.ArgumentParser(description="Writes what is linked into the function, as CycloneDX.")
    parser.add_argument("--arch", choices=TARGETS, default="arm64")
    parser.add_argument("--binary", type=pathlib.Path, help="the built function, to name its hash and check the list against it")
    parser.add_argument("--validate", action="store_true", help="check the document against CycloneDX's schema too")
    parser.add_argument("--self-test", action="store_true", help="check this program instead")
    arguments = parser.parse_args()
    if arguments.self_test:
        unittest.main(argv=[sys.argv[0]])
    try:
        whole = document(TARGETS[arguments.arch], arguments.binary and arguments.binary.read_bytes())
    except (Mismatch, OSError) as error:
        sys.exit(f"error: {error}")
    text = json.dumps(whole, indent=2, sort_keys=True) + "\n"
    problem = validate(text) if arguments.validate else None
    if problem:
        sys.exit(f"error: CycloneDX's schema refuses the document: {problem}")
    sys.stdout.write(text)
    print(f"{len(whole['components'])} components for {TARGETS[arguments.arch]}", file=sys.stderr)


class SelfTest(unittest.TestCase):
    TREE = "0|ours v0.1.0 (/here)|MIT||\n1|some v1.0.0|MIT/ISC|std,a|\n2|other v2.0.0|ISC||\n1|other v2.0.0|ISC||(*)\n"
    LOCK = (
        '[[package]]\nname = "ours"\nversion = "0.1.0"\n'
        '[[package]]\nname = "some"\nversion = "1.0.0"\nchecksum = "00"\n'
        '[[package]]\nname = "other"\nversion = "2.0.0"\nchecksum = "01"\n'
    )

    def components(self, tree=TREE, lock=LOCK):
        return {component["name"]: component for component in components(parse(tree)[0], checksums(lock))}

    def test_the_tree_gives_packages_and_who_needs_whom(self):
        packages, edges = parse(self.TREE)
        self.assertEqual(packages["some 1.0.0"], {"own": False, "licence": "MIT OR ISC", "features": ["std", "a"]})
        self.assertEqual(edges, {"ours 0.1.0": {"some 1.0.0", "other 2.0.0"}, "some 1.0.0": {"other 2.0.0"}})

    def test_a_registry_package_has_the_locks_hash_and_ours_has_none(self):
        found = self.components()
        self.assertEqual(found["some"]["hashes"], [{"alg": "SHA-256", "content": "00"}])
        self.assertEqual(found["some"]["purl"], "pkg:cargo/some@1.0.0")
        self.assertNotIn("purl", found["ours"])

    def test_a_lock_that_does_not_hold_what_cargo_resolves_is_refused(self):
        for lock in (
            self.LOCK.replace('version = "2.0.0"', 'version = "2.0.1"'),
            self.LOCK.replace('checksum = "01"', ""),
            self.LOCK.replace('version = "0.1.0"\n', 'version = "0.1.0"\nchecksum = "02"\n'),
        ):
            self.assertRaises(Mismatch, self.components, lock=lock)

    def test_a_package_without_a_licence_is_refused(self):
        self.assertRaises(Mismatch, self.components, tree=self.TREE.replace("MIT/ISC", ""))

    def test_the_crates_that_a_binary_names_are_found(self):
        binary = b"\0/cargo/registry/src/index-1/aws-sdk-ec2-1.274.0/src/a.rs\0/x/registry/src/i/a_b-0.1.2-rc.1+c/src/lib.rs"
        self.assertEqual(named_in(binary), {"aws-sdk-ec2 1.274.0", "a_b 0.1.2-rc.1+c"})


if __name__ == "__main__":
    main()
