#!/usr/bin/env python3
"""Checks what cargo-deny cannot tell without github.com, and what only we know.

- Yanked versions, as of the last time cargo looked at the registry's index (``--refresh`` has it look now). cargo-deny looks
  too, but only together with the advisories, whose database it fetches from github.com. A yanked version is a hint of an
  advisory at best, and most advisories yank nothing.
- The table of direct dependencies in docs/dependencies.md: it names those of the function's two packages and no others, with
  the features that Cargo.toml asks for and the number of packages that each brings.

Needs Python 3.11. ``--self-test`` checks this file itself.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import unittest

import sbom

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCUMENT = "docs/dependencies.md"
OURS = ("rulekeeper", "rulekeeper-core")


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


# ---- The table of direct dependencies --------------------------------------------------------------------------------


def declared(packages):
    """Crate -> features that the manifests of our packages ask for, of normal dependencies."""
    asked = {}
    for package in packages:
        if package["source"] is None and package["name"] in OURS:
            for dependency in package["dependencies"]:
                if dependency["kind"] is None and dependency["name"] not in OURS:
                    features = asked.setdefault(dependency["name"], set())
                    features.update(dependency["features"], ["default"] * dependency["uses_default_features"])
    return asked


def brought(edges, crate):
    """How many packages would be linked no longer if none of ours asked for `crate`. It counts itself."""

    def reached(without):
        seen, todo = set(), [key for key in edges if key.split()[0] == OURS[0]]
        while todo:
            key = todo.pop()
            if key not in seen:
                seen.add(key)
                ours = key.split()[0] in OURS
                todo += [below for below in edges.get(key, ()) if not (ours and below.split()[0] == without)]
        return seen

    return len(reached(None) - reached(crate))


def check_table(text, asked, edges):
    """One line for each row of the table that is missing, superfluous or untrue."""
    rows = {}
    for line in text.splitlines():
        if match := re.match(r"\| `([^`]+)` \| ([^|]*) \| (\d+) \| ([^|]+) \| ([^|]+) \|$", line):
            rows[match[1]] = (match[2], int(match[3]))
    for crate in sorted(asked.keys() | rows.keys()):
        if crate not in asked:
            yield f"{DOCUMENT} has a row for {crate}, which is no direct dependency of {' or '.join(OURS)}"
            continue
        row = (", ".join(f"`{feature}`" for feature in sorted(asked[crate])) or "none", brought(edges, crate))
        if crate not in rows:
            yield f"{DOCUMENT} has no row for {crate}: | `{crate}` | {row[0]} | {row[1]} | what for | why not less |"
        elif rows[crate] != row:
            yield f"{DOCUMENT}: the row of {crate} should begin with | `{crate}` | {row[0]} | {row[1]} |"


# ---- The program -----------------------------------------------------------------------------------------------------


def name(package):
    return f"{package['name']} {package['version']}"


def cargo(*arguments):
    done = subprocess.run(["cargo", *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"error: cargo {' '.join(arguments)} failed with exit status {done.returncode}")
    return done.stdout


def main():
    parser = argparse.ArgumentParser(description="Checks yanked versions, and the table of direct dependencies.")
    parser.add_argument("--refresh", action="store_true", help="have cargo look at the registry's index first (needs a network)")
    parser.add_argument("--self-test", action="store_true", help="check this program instead")
    arguments = parser.parse_args()
    if arguments.self_test:
        unittest.main(argv=[sys.argv[0]])

    if arguments.refresh:
        # Looks at every crate's newest versions, and changes no file of ours.
        cargo("update", "--dry-run", "--quiet")
    packages = json.loads(cargo("metadata", "--locked", "--offline", "--format-version", "1"))["packages"]
    home = pathlib.Path(os.environ.get("CARGO_HOME") or pathlib.Path.home() / ".cargo")
    caches = sorted((home / "registry" / "index").glob("*/.cache"))
    _, edges = sbom.parse(sbom.tree(sbom.TARGETS["arm64"]))

    findings = [
        *check_yanked(packages, lambda crate: read_index(crate, caches)),
        *check_table((ROOT / DOCUMENT).read_text(), declared(packages), edges),
    ]
    for finding in findings:
        print(f"error: {finding}", file=sys.stderr)
    print(f"{len(packages)} packages: yanked versions and the table of direct dependencies checked, {len(findings)} findings")
    sys.exit(1 if findings else 0)


# ---- Its own tests ---------------------------------------------------------------------------------------------------


def package(version="1.0.0", source="registry", dependencies=(), crate="some"):
    return {"name": crate, "version": version, "source": source, "dependencies": dependencies}


class Yanked(unittest.TestCase):
    CACHED = b'\x03\x02\0\0\0etag: "x"\x001.0.0\0{"name":"some","vers":"1.0.0","yanked":false}\x001.0.1\0{"name":"some","vers":"1.0.1","yanked":true}\0'

    def findings(self, version, cached=CACHED):
        return list(check_yanked([package(version)], lambda _: yanked_versions(cached)))

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


class Table(unittest.TestCase):
    TEXT = "| `some` | `a`, `default` | 2 | x | y |\n| `tiny` | none | 0 | x | y |\n"
    EDGES = {"rulekeeper 1": {"rulekeeper-core 1", "some 1"}, "rulekeeper-core 1": {"some 1", "tiny 1"}, "some 1": {"tiny 1", "leaf 1"}}

    def dependency(self, crate, features=(), default=False, kind=None):
        return {"name": crate, "kind": kind, "features": features, "uses_default_features": default}

    def asked(self):
        ours = [self.dependency("some", default=True), self.dependency("rulekeeper-core"), self.dependency("dev", kind="dev")]
        core = [self.dependency("some", features=["a"]), self.dependency("tiny")]
        other = [self.dependency("clap")]
        return declared(
            [
                package(source=None, dependencies=ours, crate="rulekeeper"),
                package(source=None, dependencies=core, crate="rulekeeper-core"),
                package(source=None, dependencies=other, crate="rulekeeper-cli"),
            ]
        )

    def findings(self, text=TEXT):
        return list(check_table(text, self.asked(), self.EDGES))

    def test_normal_dependencies_of_the_functions_packages_count(self):
        self.assertEqual(self.asked(), {"some": {"a", "default"}, "tiny": set()})

    def test_what_others_bring_too_is_not_counted(self):
        self.assertEqual([brought(self.EDGES, crate) for crate in ("some", "tiny", "rulekeeper-core")], [2, 0, 1])

    def test_a_true_table_is_fine(self):
        self.assertEqual(self.findings(), [])

    def test_missing_superfluous_and_untrue_rows_are_findings(self):
        for text in (
            self.TEXT.replace("`tiny`", "`gone`"),
            self.TEXT.replace("`a`, ", ""),
            self.TEXT.replace("| 2 |", "| 3 |"),
            self.TEXT.replace("| x | y |", "|  | y |", 1),
        ):
            self.assertTrue(self.findings(text), text)


if __name__ == "__main__":
    main()
