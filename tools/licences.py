#!/usr/bin/env python3
"""Writes the licence texts of what is linked into the released programs: the function and the command line.

Most licences ask that their text goes along with a program. Listed are the packages that cargo resolves for both programs and
one target, without those that only run while building, and Rust's standard library; then each text once, with those it is of.
A crate that brings no text is named with its licence's SPDX expression, and its source.

    tools/licences.py [--arch arm64|x86-64]

Needs Python 3.11, and the crates' sources, which cargo fetches. --self-test checks this program.
"""

import argparse
import json
import pathlib
import re
import sys
import tempfile
import unittest

import sbom

PROGRAMS = ("rulekeeper", "rulekeeper-cli")
NAMES = re.compile(r"(?i)(licen[sc]es?|copying|copyright|notice|unlicense)([-._].*)?$")


def linked(target):
    """The "name version" of each package."""
    # fmt: off
    lines = sbom.output(
        "cargo", "tree", "--locked", *(word for program in PROGRAMS for word in ("--package", program)),
        "--edges", "normal,no-proc-macro", "--target", target, "--prefix", "none", "--no-dedupe", "--format", "{p}",
    )
    # fmt: on
    return {" ".join(line.split()[:2]).replace(" v", " ") for line in lines.splitlines() if line.strip()}


def texts(folder):
    """The licence files of a crate, at its top or in a folder for them."""
    found = [path for path in folder.iterdir() if NAMES.fullmatch(path.name) and path.suffix != ".rs"]
    files = [path for path in found if path.is_file()]
    files += [path for inside in found if inside.is_dir() for path in inside.iterdir() if path.is_file()]
    return sorted(files)


def document(packages, target):
    """The whole text; `packages` are cargo's, each with name, version, licence, repository and folder."""
    by_text, without = {}, []
    for package in sorted(packages, key=lambda package: (package["name"], package["version"])):
        title = f"{package['name']} {package['version']} ({package['licence']})"
        files = texts(package["folder"])
        for file in files:
            # Ends of lines and spaces at them differ between copies of one text.
            text = "\n".join(line.rstrip() for line in file.read_text(errors="replace").strip().splitlines())
            names = by_text.setdefault(text, [])
            if title not in names:
                names.append(title)
        if not files:
            without.append(f"{title}, {package['repository'] or 'https://crates.io/crates/' + package['name']}")
    line = "=" * 80 + "\n"
    out = f"What is linked into rulekeeper's programs for {target}, and on which terms.\n"
    out += "Rust's standard library is under MIT OR Apache-2.0 too: https://github.com/rust-lang/rust\n"
    if without:
        out += "\nWithout a text of their own:\n" + "".join(f"- {name}\n" for name in without)
    for text, names in by_text.items():
        out += "\n" + line + "".join(f"{name}\n" for name in names) + line + text + "\n"
    return out


def of_workspace(target):
    """cargo's packages that are linked in, without our own."""
    metadata = json.loads(sbom.output("cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target))
    wanted = linked(target)
    found = []
    for package in metadata["packages"]:
        name = f"{package['name']} {package['version']}"
        if name in wanted:
            wanted.discard(name)
            if package["source"] is not None:
                found.append(
                    {
                        "name": package["name"],
                        "version": package["version"],
                        "licence": package["license"] or "see its text",
                        "repository": package["repository"],
                        "folder": pathlib.Path(package["manifest_path"]).parent,
                    }
                )
    if wanted:
        sys.exit(f"error: cargo does not say where {', '.join(sorted(wanted))} is")
    return found


class Tests(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.root = pathlib.Path(scratch.name)

    def crate(self, name, **files):
        folder = self.root / name
        (folder / "src").mkdir(parents=True)
        for file, text in {**files, "license.rs": "no text", "src/LICENSE": "of a source"}.items():
            path = folder / file.replace("__", "/")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return {"name": name, "version": "1.0.0", "licence": "MIT", "repository": None, "folder": folder}

    def test_each_text_is_there_once_and_names_all_whom_it_is_of(self):
        crates = [
            self.crate("a", **{"LICENSE-MIT": "Copyright A\r\n\r\nterms\n", "NOTICE": "a notice"}),
            self.crate("b", **{"LICENSE": "Copyright A \n\nterms"}),
            self.crate("c", **{"LICENSES__MIT.txt": "Copyright C"}),
            self.crate("d"),
        ]
        text = document(crates, "a target")
        self.assertEqual(text.count("Copyright A"), 1)
        self.assertIn("a 1.0.0 (MIT)\nb 1.0.0 (MIT)\n" + "=" * 80 + "\nCopyright A\n\nterms\n", text)
        self.assertIn("a notice", text)
        self.assertIn("Copyright C", text)
        self.assertIn("- d 1.0.0 (MIT), https://crates.io/crates/d\n", text)
        self.assertNotIn("of a source", text)
        self.assertNotIn("no text", text)

    def test_what_is_linked_in_is_found(self):
        packages = {package["name"] for package in of_workspace(sbom.TARGETS["x86-64"])}
        self.assertLess({"aws-sdk-ec2", "clap", "ring", "tokio"}, packages)
        # Our own, what only builds, and what only tests use.
        self.assertFalse({"rulekeeper-core", "serde_derive", "proptest"} & packages)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", choices=sorted(sbom.TARGETS), default="arm64", help="[default: arm64]")
    parser.add_argument("--self-test", action="store_true", help="check this program")
    given = parser.parse_args()
    if given.self_test:
        unittest.main(argv=[sys.argv[0]])
    target = sbom.TARGETS[given.arch]
    sys.stdout.write(document(of_workspace(target), target))


if __name__ == "__main__":
    main()
