#!/usr/bin/env python3
"""Joins what has been built to a bundle that is deployed without a compiler: a folder, and a .tar.gz of it.

What has been built is in a folder for each architecture, arm64 and x86_64 (tools/release makes them):

    BUILT/ARCHITECTURE/bootstrap.zip, bootstrap.cdx.json    the function's package and SBOM (tools/package)
    BUILT/ARCHITECTURE/rulekeeper                           the command line, if it was built
    BUILT/ARCHITECTURE/licences.txt                         the licences of what is linked into both (tools/licences.py)

An architecture without a package is left out, and that is said; --require NAME makes it an error. The bundle has a template
for each architecture that points at its package. Apart from that, the templates are those of the checkout.

The same input gives the same bytes: files are sorted, and dated 1980 (of the archive, also with the same zlib). --self-test checks this program, with stand-ins for
what is built.
"""

import argparse
import difflib
import gzip
import hashlib
import io
import json
import pathlib
import re
import shutil
import struct
import sys
import tarfile
import tempfile
import tomllib
import unittest
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
# As the template calls them, with the machine that an ELF file names (ELF gABI, "e_machine").
ARCHITECTURES = {"arm64": 183, "x86_64": 62}
# 1 January 1980, UTC: the earliest date that a zip can hold, too.
DATE = 315532800
SUMS = "SHA256SUMS"


class Unfit(Exception):
    """What cannot be made into a bundle."""


def version():
    return tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]


# ---- What has been built ---------------------------------------------------------------------------------------------


def machine(binary):
    """The machine that an ELF file of 64 bits is for."""
    if binary[:5] != b"\x7fELF\x02" or len(binary) < 20:
        return None
    return struct.unpack("<H", binary[18:20])[0]


def package(folder, architecture):
    """The function's zip and its SBOM, after a look whether they are what they are taken for."""
    content, sbom = (folder / "bootstrap.zip").read_bytes(), (folder / "bootstrap.cdx.json").read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        if names != ["bootstrap"]:
            raise Unfit(f"{folder}/bootstrap.zip holds {names}, and not bootstrap alone")
        if not (archive.getinfo("bootstrap").external_attr >> 16) & 0o111:
            raise Unfit(f"bootstrap in {folder}/bootstrap.zip may not be executed")
        binary = archive.read("bootstrap")
    if machine(binary) != ARCHITECTURES[architecture]:
        raise Unfit(f"{folder}/bootstrap.zip is not for {architecture}")
    hashes = json.loads(sbom)["metadata"]["component"].get("hashes", [])
    if hashes != [{"alg": "SHA-256", "content": hashlib.sha256(binary).hexdigest()}]:
        raise Unfit(f"{folder}/bootstrap.cdx.json is the SBOM of another binary")
    return content, sbom


# ---- The templates ---------------------------------------------------------------------------------------------------


def pointed_at(template, architecture, code):
    """The template with its functions' code in a file, for one architecture only."""

    def replaced(old, new, count):
        nonlocal template
        if template.count(old) != count:
            raise Unfit(f"template.yaml has {template.count(old)} times, and not {count} times: {old!r}")
        template = template.replace(old, new)

    replaced("      CodeUri: .\n", f"      CodeUri: {code}\n", 2)
    # sam would build what says how.
    build = "      BuildMethod: rust-cargolambda\n      BuildProperties:\n        Binary: rulekeeper-function\n"
    replaced(build, "", 2)
    # Another one would be given code that it cannot run.
    default = "    Default: arm64\n    AllowedValues: [arm64, x86_64]\n    Description: Processor to build for and run on.\n"
    only = f"    Default: {architecture}\n    AllowedValues: [{architecture}]\n    Description: Processor that this template's package is for.\n"
    replaced(default, only, 1)
    return template


# ---- The bundle ------------------------------------------------------------------------------------------------------

SAMCONFIG = """\
# Defaults for the SAM CLI: `sam deploy --guided`, or without questions
#
#   sam deploy --parameter-overrides Mode=observe AlarmEmail=you@example.com
version = 0.1
"""
ENVIRONMENT = """
{comment}[{name}.global.parameters]
stack_name = "rulekeeper"
template_file = "template-{architecture}.yaml"

[{name}.validate.parameters]
lint = true

[{name}.deploy.parameters]
capabilities = "CAPABILITY_IAM"
confirm_changeset = true
fail_on_empty_changeset = false
resolve_s3 = true
s3_prefix = "rulekeeper"
"""
README = """\
# rulekeeper {version}

The function built, the command line, and templates that point at them: nothing here needs a compiler.

Check what you have, and deploy, to begin with observing only:

```sh
sha256sum --check --quiet SHA256SUMS
sam deploy --guided                          # choose Mode=observe{other}
```

or with the AWS CLI alone, and a bucket of the same Region:

```sh
aws cloudformation package --template-file template-{architecture}.yaml --s3-bucket BUCKET --output-template-file packaged.yaml
aws cloudformation deploy --template-file packaged.yaml --stack-name rulekeeper --s3-bucket BUCKET --capabilities CAPABILITY_IAM \\
    --parameter-overrides Mode=observe AlarmEmail=you@example.com NoticeEmail=you@example.com
```

Then, on your machine:

```sh
{install}
export RULEKEEPER_TABLE=$(aws cloudformation describe-stacks --stack-name rulekeeper \\
    --query "Stacks[0].Outputs[?OutputKey=='TableName'].OutputValue" --output text)
rulekeeper doctor
```

`docs/deploy.md` of the source goes on from there: pin, watch, enforce, see that it works (`bin/drill`), upgrade, remove.

| file | what it is |
| --- | --- |
{files}

{missing}"""


def contents(built, required=()):
    """Path in the bundle -> (content, mode)."""
    found, missing, tools = {}, [], []
    packages = {}
    for architecture in ARCHITECTURES:
        folder = built / architecture
        if (folder / "bootstrap.zip").exists():
            packages[architecture] = package(folder, architecture)
        elif architecture in required:
            raise Unfit(f"there is no package for {architecture}, and it is required")
        else:
            missing.append(architecture)
        if (folder / "rulekeeper").exists():
            program = (folder / "rulekeeper").read_bytes()
            if machine(program) != ARCHITECTURES[architecture]:
                raise Unfit(f"{folder}/rulekeeper is not for {architecture}")
            tools.append(f"bin/rulekeeper-linux-{architecture}")
            found[tools[-1]] = (program, 0o755)
        elif architecture in required:
            raise Unfit(f"there is no command line for {architecture}, and it is required")
    if not packages:
        raise Unfit(f"there is no package in {built}")

    template = (ROOT / "template.yaml").read_text()
    samconfig, rows = SAMCONFIG, []
    first = next(iter(packages))
    for architecture, (code, sbom) in packages.items():
        name = f"function/rulekeeper-function-{architecture}"
        found[f"{name}.zip"], found[f"{name}.cdx.json"] = (code, 0o644), (sbom, 0o644)
        found[f"template-{architecture}.yaml"] = (pointed_at(template, architecture, f"{name}.zip").encode(), 0o644)
        is_default = architecture == first
        comment = "" if is_default else f"# sam deploy --config-env {architecture}\n"
        samconfig += ENVIRONMENT.format(
            name="default" if is_default else architecture, architecture=architecture, comment=comment
        )
        rows.append((f"template-{architecture}.yaml", f"the stack, with the function for {architecture}"))
        rows.append((f"{name}.zip", f"the function for {architecture}"))
        rows.append((f"{name}.cdx.json", "what is linked into it (CycloneDX)"))
        licences = f"LICENSES-of-others-{architecture}.txt"
        found[licences] = ((built / architecture / "licences.txt").read_bytes(), 0o644)
        rows.append((licences, "the licences of what is linked into the programs for this processor"))
    found["samconfig.toml"] = (samconfig.encode(), 0o644)
    for path in ["template-member.yaml", "LICENSE-APACHE", "LICENSE-MIT"]:
        found[path] = ((ROOT / path).read_bytes(), 0o644)
    found["bin/drill"] = ((ROOT / "tools/drill").read_bytes(), 0o755)
    module = ROOT / "deploy/terraform"
    for path in sorted(module.rglob("*")):
        # What terraform leaves in a folder that it was run in is no part of it.
        if path.suffix in {".tf", ".md"} and not any(part.startswith(".") for part in path.relative_to(module).parts):
            content = links_to_source(path, module) if path.suffix == ".md" else path.read_text()
            found[f"terraform/{path.relative_to(module)}"] = (content.encode(), 0o644)

    rows.append(("template-member.yaml", "for other accounts, see `docs/configure.md`"))
    rows.extend((tool, f"the command line for Linux on {tool.rpartition('-')[2]}") for tool in tools)
    rows.append(("bin/drill", "drops a rule of a group of its own, and times its return; needs the AWS CLI and Python"))
    rows.append(("terraform/", "the same as a Terraform module, see its README"))
    rows.append((SUMS, "the hash of every other file"))
    others = [architecture for architecture in packages if architecture != first]
    said = [f"Not in this bundle: the function for {architecture}." for architecture in missing]
    if not tools:
        said.append("Not in this bundle: the command line.")
    said.append("For other systems, or an older C library: `cargo install --locked --path cli` in the source.")
    readme = README.format(
        version=version(),
        architecture=first,
        other="".join(f"; --config-env {other} for that processor" for other in others),
        install="sudo install " + tools[0] + " /usr/local/bin/rulekeeper" + "".join(f"     # or {tool}" for tool in tools[1:])
        if tools
        else "cargo install --locked --path cli        # in the source",
        files="\n".join(f"| `{name}` | {what} |" for name, what in rows),
        missing="\n".join(said) + "\n",
    )
    found["README.md"] = (readme.encode(), 0o644)
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {path}\n" for path, (content, _) in sorted(found.items()))
    found[SUMS] = (sums.encode(), 0o644)
    return dict(sorted(found.items())), missing


def links_to_source(path, module):
    """A guide of the module's. Its links to files outside of the module become their names."""

    def name(link):
        label, target = link.group(1).strip("`"), (path.parent / link.group(2)).resolve()
        if target.is_relative_to(module):
            return link.group(0)
        source = f"`{target.relative_to(ROOT)}` of the source"
        return source if label == target.name else f"{label} ({source})"

    return re.sub(r"\[([^\]]+)\]\((?!https:)([^)#]+)[^)]*\)", name, path.read_text())


def write(found, output):
    """The folder and its archive."""
    name = f"rulekeeper-{version()}"
    folder = output / name
    if folder.exists():
        shutil.rmtree(folder)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, (content, mode) in found.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            file.chmod(mode)
            entry = tarfile.TarInfo(f"{name}/{path}")
            entry.size, entry.mode, entry.mtime = len(content), mode, DATE
            archive.addfile(entry, io.BytesIO(content))
    archive = output / f"{name}.tar.gz"
    with open(archive, "wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as stream:
        stream.write(packed.getvalue())
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    archive.with_name(f"{archive.name}.sha256").write_text(f"{digest}  {archive.name}\n")
    return archive


# ---- This program's own tests ----------------------------------------------------------------------------------------


def stand_in(built, architecture, program=True):
    """What tools/release would have built."""
    folder = built / architecture
    folder.mkdir(parents=True)
    binary = b"\x7fELF\x02\x01\x01" + bytes(11) + struct.pack("<H", ARCHITECTURES[architecture]) + b"the function"
    entry = zipfile.ZipInfo("bootstrap")
    entry.external_attr = 0o100755 << 16
    with zipfile.ZipFile(folder / "bootstrap.zip", "w") as archive:
        archive.writestr(entry, binary)
    hashes = [{"alg": "SHA-256", "content": hashlib.sha256(binary).hexdigest()}]
    (folder / "bootstrap.cdx.json").write_text(json.dumps({"metadata": {"component": {"hashes": hashes}}}))
    (folder / "licences.txt").write_text(f"licences of what is linked in for {architecture}\n")
    if program:
        (folder / "rulekeeper").write_bytes(binary)
    return folder


class Tests(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.scratch = pathlib.Path(scratch.name)
        self.built = self.scratch / "built"
        for architecture in ARCHITECTURES:
            stand_in(self.built, architecture)

    def text(self, path, found=None):
        return (found or contents(self.built)[0])[path][0].decode()

    def test_the_same_input_gives_the_same_bytes_and_another_does_not(self):
        found, _ = contents(self.built)
        one, two = (write(found, self.scratch / name).read_bytes() for name in ("one", "two"))
        self.assertEqual(one, two)
        with tarfile.open(fileobj=io.BytesIO(one)) as archive:
            entries = archive.getmembers()
        self.assertEqual([entry.name for entry in entries], sorted(entry.name for entry in entries))
        self.assertEqual({(entry.mtime, entry.uid, entry.uname) for entry in entries}, {(DATE, 0, "")})
        executable = {entry.name.split("/", 1)[1] for entry in entries if entry.mode & 0o111}
        self.assertEqual(executable, {"bin/drill", "bin/rulekeeper-linux-arm64", "bin/rulekeeper-linux-x86_64"})
        (self.built / "arm64/rulekeeper").write_bytes((self.built / "arm64/rulekeeper").read_bytes() + b"x")
        self.assertNotEqual(write(contents(self.built)[0], self.scratch / "one").read_bytes(), one)

    def test_every_file_is_summed_and_every_sum_is_right(self):
        folder = write(contents(self.built)[0], self.scratch).parent / f"rulekeeper-{version()}"
        lines = (folder / SUMS).read_text().splitlines()
        listed = {path: digest for digest, path in (line.split("  ") for line in lines)}
        files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        self.assertEqual(set(listed), files - {SUMS})
        for path, digest in listed.items():
            self.assertEqual(hashlib.sha256((folder / path).read_bytes()).hexdigest(), digest)

    def test_templates_differ_from_the_source_in_the_lines_meant(self):
        source = (ROOT / "template.yaml").read_text().splitlines()
        found, _ = contents(self.built)
        for architecture in ARCHITECTURES:
            changed = self.text(f"template-{architecture}.yaml", found).splitlines()
            lines = list(difflib.unified_diff(source, changed, n=0))[2:]
            taken = [line[1:].strip() for line in lines if line.startswith("-")]
            added = [line[1:].strip() for line in lines if line.startswith("+")]
            build = ["BuildMethod: rust-cargolambda", "BuildProperties:", "Binary: rulekeeper-function"]
            code = f"function/rulekeeper-function-{architecture}.zip"
            parameter = ["AllowedValues: [arm64, x86_64]", "Description: Processor to build for and run on."]
            narrowed = [f"AllowedValues: [{architecture}]", "Description: Processor that this template's package is for."]
            if architecture != "arm64":
                parameter, narrowed = ["Default: arm64", *parameter], [f"Default: {architecture}", *narrowed]
            self.assertEqual(taken, [*parameter, *build, "CodeUri: .", *build, "CodeUri: ."])
            self.assertEqual(added, [*narrowed, f"CodeUri: {code}", f"CodeUri: {code}"])
            # Both functions, and the file is there and for this architecture.
            with zipfile.ZipFile(io.BytesIO(found[code][0])) as archive:
                self.assertEqual(machine(archive.read("bootstrap")), ARCHITECTURES[architecture])
        self.assertEqual(self.text("template-member.yaml", found), (ROOT / "template-member.yaml").read_text())

    def test_a_template_that_has_moved_on_is_refused(self):
        source = (ROOT / "template.yaml").read_text()
        for old in ["CodeUri: .", "AllowedValues: [arm64, x86_64]", "        Binary: rulekeeper-function"]:
            with self.assertRaises(Unfit):
                pointed_at(source.replace(old, "Else: x", 1), "arm64", "a.zip")

    def test_samconfig_names_templates_that_are_there(self):
        for left_out in [None, *ARCHITECTURES]:
            if left_out:
                shutil.rmtree(self.built / left_out)
            found, missing = contents(self.built)
            self.assertEqual(missing, [left_out] if left_out else [])
            environments = tomllib.loads(self.text("samconfig.toml", found))
            environments.pop("version")
            named = {one["global"]["parameters"]["template_file"] for one in environments.values()}
            self.assertIn("default", environments)
            self.assertEqual(named, {path for path in found if re.fullmatch(r"template-(arm64|x86_64)\.yaml", path)})
            readme = self.text("README.md", found)
            for path in re.findall(r"^\| `([^`]+)`", readme, re.M):
                self.assertTrue(any(name.startswith(path) for name in found), path)
            for template in re.findall(r"--template-file (template-\S+)", readme):
                self.assertIn(template, found)
            if left_out:
                self.assertIn(f"Not in this bundle: the function for {left_out}.", readme)
                stand_in(self.built, left_out)

    def test_what_is_required_must_be_there(self):
        contents(self.built, ["arm64", "x86_64"])
        (self.built / "arm64/rulekeeper").unlink()
        contents(self.built, ["x86_64"])
        with self.assertRaisesRegex(Unfit, "no command line for arm64"):
            contents(self.built, ["arm64"])
        (self.built / "arm64/licences.txt").unlink()
        with self.assertRaisesRegex(OSError, "licences.txt"):
            contents(self.built)
        shutil.rmtree(self.built / "arm64")
        with self.assertRaisesRegex(Unfit, "no package for arm64"):
            contents(self.built, ["arm64"])
        shutil.rmtree(self.built / "x86_64")
        with self.assertRaisesRegex(Unfit, "there is no package"):
            contents(self.built)

    def test_packages_that_are_not_what_they_are_taken_for_are_refused(self):
        arm64, x86_64 = self.built / "arm64", self.built / "x86_64"
        good = {path: path.read_bytes() for path in arm64.iterdir()}

        def refused(why):
            with self.assertRaisesRegex(Unfit, why):
                contents(self.built)
            for path, content in good.items():
                path.write_bytes(content)
            contents(self.built)

        shutil.copy(x86_64 / "bootstrap.zip", arm64)
        refused("is not for arm64")
        shutil.copy(x86_64 / "bootstrap.cdx.json", arm64)
        refused("SBOM of another binary")
        shutil.copy(x86_64 / "rulekeeper", arm64)
        refused("rulekeeper is not for arm64")
        with zipfile.ZipFile(arm64 / "bootstrap.zip", "w") as archive:
            archive.writestr("function", b"")
        refused("not bootstrap alone")
        with zipfile.ZipFile(arm64 / "bootstrap.zip", "w") as archive:
            archive.writestr("bootstrap", b"")
        refused("may not be executed")

    def test_guides_in_the_bundle_have_no_link_out_of_it(self):
        found, _ = contents(self.built)
        guides = [path for path in found if path.endswith(".md")]
        self.assertGreater(len(guides), 2)
        for guide in guides:
            for target in re.findall(r"\]\(([^)#]+)", self.text(guide, found)):
                if not target.startswith("https://"):
                    folder = self.scratch / "bundle" / guide
                    path = (folder.parent / target).resolve().relative_to((self.scratch / "bundle").resolve())
                    self.assertTrue(any(name == str(path) or name.startswith(f"{path}/") for name in found), (guide, target))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--built", type=pathlib.Path, default=ROOT / "target/built", help="what has been built [default: target/built]")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "target/bundle", help="[default: target/bundle]")
    parser.add_argument("--require", action="append", default=[], choices=ARCHITECTURES, help="fail without this architecture")
    parser.add_argument("--version", action="store_true", help="only print the bundle's version")
    parser.add_argument("--self-test", action="store_true", help="check this program")
    given = parser.parse_args()
    if given.self_test:
        unittest.main(argv=[sys.argv[0]])
    if given.version:
        print(version())
        return
    try:
        found, missing = contents(given.built, given.require)
    except (Unfit, OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        sys.exit(f"error: {error}")
    given.output.mkdir(parents=True, exist_ok=True)
    archive = write(found, given.output)
    for architecture in missing:
        print(f"left out: the function for {architecture}")
    print(f"{archive}: {len(found)} files, {archive.stat().st_size} bytes")


if __name__ == "__main__":
    main()
