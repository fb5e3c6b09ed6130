#!/usr/bin/env python3
"""Checks src/ against the picture of the layout in docs/DESIGN.md. It fails if

- files import each other in a circle,
- a file imports one that comes before it in the picture, read line by line and from left to right,
- a file is not in the picture, or the picture names a file that does not exist,
- a file is longer than MOST_LINES,
- a file takes 64-bit atomics from the standard library, which has none on some processors, and not from `sync`.

A name in the picture stands for a file and its folder, except for files of the folder that the picture names
themselves. An import counts for the file that defines the name, not for a file that only re-exports it. Tests, models
and files that only declare modules are left out. `--list` prints the imports of each file.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MOST_LINES = 450
LEFT_OUT = re.compile(r"(^|/)(tests|models)(/|\.rs$)|^(lib|queue)\.rs$|^queue/deque\.rs$")
USE = re.compile(r"^( *)(pub(?:\([^)]*\))? )?use ([^;]+);", re.M)


def expand(tree):
    """`a::{b, c as d}` becomes [(["a", "b"], "b"), (["a", "c"], "d")]."""
    head, brace, rest = tree.partition("{")
    if not brace:
        path, _, alias = (part.strip() for part in tree.partition(" as "))
        names = path.split("::")
        names = names[:-1] if len(names) > 1 and names[-1] == "self" else names
        return [(names, alias or names[-1])]
    parts, depth = [""], 0
    for sign in rest[: rest.rindex("}")]:
        depth += (sign == "{") - (sign == "}")
        parts = parts + [""] if sign == "," and depth == 0 else parts[:-1] + [parts[-1] + sign]
    prefix = [name for name in head.strip().split("::") if name]
    return [(prefix + names, name) for part in parts if part.strip() for names, name in expand(part)]


class File:
    def __init__(self, path, modules):
        self.name = path.relative_to(ROOT / "src").as_posix()[:-3]
        self.module = () if self.name == "lib" else tuple(self.name.split("/"))
        text = path.read_text()
        self.lines = text.count("\n")
        text = re.sub(r"//[^\n]*", "", text).split("#[cfg(test)]\nmod tests {")[0]
        code = USE.sub("", text)
        self.exports, self.paths, self.atomics = {}, [], []
        for indent, public, tree in USE.findall(text):
            for names, name in expand(tree):
                if names[0] in ("core", "std") and names[-1] in ("AtomicI64", "AtomicU64") and self.name != "sync":
                    self.atomics.append("::".join(names))
                # In a module within the file, `super` is the file.
                names = ["self"] + names[1:] if indent and names[0] == "super" else names
                if names[0] in ("crate", "self", "super"):
                    self.exports.update({name: names} if public else {})
                    if not public or re.search(rf"\b{name}\b", code):
                        self.paths.append(names)
        children = [module[-1] for module in modules if module and module[:-1] == self.module]
        for path in re.findall(rf"\b(?:{'|'.join(['crate', 'super'] + children)})(?:::\w+)+", code):
            names = path.split("::")
            self.paths.append(names if names[0] in ("crate", "super") else ["self"] + names)


def resolve(files, module, names):
    """The file that defines what a path leads to, as seen from a module."""
    while names and names[0] in ("crate", "self", "super"):
        module = {"crate": (), "self": module, "super": module[:-1]}[names[0]]
        names = names[1:]
    if names and (*module, names[0]) in files:
        return resolve(files, (*module, names[0]), names[1:])
    path = files[module].exports.get(names[0]) if names else None
    if path and path != ["self", names[0]]:
        return resolve(files, module, path + names[1:])
    return files[module].name


def circle(imports, start):
    """The shortest way from a file back to itself."""
    ways, seen = [[start]], set()
    for way in ways:
        for name in sorted(imports.get(way[-1], set()) - seen):
            if name == start:
                return way + [start]
            seen.add(name)
            ways.append(way + [name])
    return None


def picture():
    """The names in the picture, in order."""
    text = (ROOT / "docs/DESIGN.md").read_text()
    lines = re.search(r"```text\n(.*?)```", text, re.S)[1].splitlines()
    return [name for line in lines for name in re.findall(r"[a-z_/]+", line.split("·")[0])]


def main():
    paths = sorted((ROOT / "src").rglob("*.rs"))
    modules = {tuple(path.relative_to(ROOT / "src").as_posix()[:-3].split("/")) for path in paths}
    files = {file.module: file for file in (File(path, modules) for path in paths)}
    kept = {file.name: file for file in files.values() if not LEFT_OUT.search(file.name + ".rs")}
    imports = {
        name: {resolve(files, file.module, names) for names in file.paths} & kept.keys() - {name}
        for name, file in kept.items()
    }
    if "--list" in sys.argv:
        for name in kept:
            print(f"{name}: {' '.join(sorted(imports[name]))}")
    layers, faults = picture(), []
    faults += [f"the picture names {name}, which does not exist" for name in layers if name not in kept]
    places = {}
    for name in kept:
        units = [unit for unit in layers if name == unit or name.startswith(unit + "/")]
        if units:
            places[name] = layers.index(max(units, key=len))
        else:
            faults.append(f"{name} is not in the picture")
    for name, others in imports.items():
        for other in sorted(others):
            if name in places and other in places and places[other] < places[name]:
                faults.append(f"{name} imports {other}, which comes before it in the picture")
    found = {frozenset(way): way for way in (circle(imports, name) for name in sorted(kept)) if way}
    faults += [f"a circle: {' -> '.join(way)}" for way in found.values()]
    faults += [f"{file.name} has {file.lines} lines" for file in kept.values() if file.lines > MOST_LINES]
    faults += [f"{file.name} imports {path} and not sync's" for file in kept.values() for path in file.atomics]
    for fault in faults:
        print(fault)
    return 1 if faults else 0


sys.exit(main())
