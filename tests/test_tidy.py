"""The house rules that a machine can hold: layers, sizes, names, and what may stand where."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "steersman"

# package -> packages of ours it may import (architecture: the table of folders)
LAYERS = {
    "model": set(),
    "wire": {"model"},
    "world": set(),
    "cel": {"model"},
    "store": {"model.errors", "world"},
    "client": {"model", "wire", "world"},
    "listen": {"model", "wire", "world", "client.channel", "client.http2"},
    "images": {"model", "wire", "world", "client"},
    "runtime": set(),
    "api": {"model", "cel", "wire", "world", "store", "client"},
    "reconcile": {"model", "client", "world"},
    # of the wire only what CSI drivers are asked with
    "controllers": {"model", "client", "reconcile", "world", "wire.rpc", "wire.http2"},
    "scheduler": {"model", "cel", "client", "reconcile", "world"},
    # the agent talks to the runtime's processes through runtime.engine
    "node": {"model", "client", "reconcile", "world", "images", "wire", "runtime", "listen"},
    "cri": {"model", "world", "images", "wire", "runtime", "listen", "node", "client"},
    "network": {"model", "client", "reconcile", "world", "wire"},
    "explain": {"model", "wire", "client", "scheduler"},
}
FREE = {"cli", "testing", "cluster", "__main__"}

# files that are tables, where length is no tangle; each with its reason
LONG_TABLES = {
    "model/builtin.py": "one entry for each kind",
    "model/defaults.py": "one entry for each definition",
}
LONGEST_FILE = 600
LONGEST_FUNCTION = 70
DEEPEST_NESTING = 4
MOST_FILES = 20
FAMILIES = {"model/kinds", "model/types", "controllers", "model", "scheduler/filters"}
BAD_NAME = re.compile(r"(^|_)(utils?|common|core|helpers?|base|manager|2|more|extra|misc|part)$")
BAD_WORDS = re.compile(
    r"\b(simply|just|easy|easily|obviously|robust|powerful|comprehensive)\b", re.I
)

# where everything may be caught, and why
CATCH_ALL = {
    "listen/connection.py": "the HTTP edge",
    "listen/grpc.py": "the edge of gRPC",
    "api/watch.py": "one watch's trouble must not end the server",
    "reconcile/loop.py": "the reconcile loop",
    "cli/main.py": "the command line's edge",
    "node/worker.py": "one pod's trouble must not end the node",
    "runtime/command/verbs.py": "the edge of the runtime's own command line",
    "runtime/container.py": "a forked child must never return into its parent's code",
    "runtime/entry/reaper.py": "the same",
    "runtime/entry/users.py": "the same",
    "runtime/execution.py": "a forked child must never return into its parent's code",
}
PURE = re.compile(r"^(plan|render|check|decide)(_|$)")
CLOCKS = {"time", "random", "uuid", "secrets"}
# the runtime is a process of its own with the standard library alone; the CLI is a person's
CLOCK_FREE = {"world/real.py", "world/simulated.py"}
LOOP_TIME = re.compile(r"asyncio\.(sleep|timeout|wait_for)\b|\.call_later\(|loop\.time\(")
TRANSPORTS = {"listen/serve.py", "listen/connection.py", "client/http.py", "images/http.py"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def package_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "", node.lineno


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def report(found: list[str]) -> None:
    assert not found, "\n" + "\n".join(found)


def may_import(importer: str, imported: str) -> bool:
    allowed = LAYERS[importer]
    return imported.split(".")[0] in {importer, *allowed} or any(
        imported == name or imported.startswith(name + ".") for name in allowed
    )


def test_packages_import_only_what_stands_below_them() -> None:
    found = []
    for path in modules():
        package = package_of(path)
        if package in FREE or package == "__init__":
            continue
        assert package in LAYERS, f"{package}: no layer is declared for it"
        for imported, line in imports(tree_of(path)):
            inner = imported.removeprefix("steersman").lstrip(".")
            if not imported.startswith("steersman") or not inner:
                continue
            if not may_import(package, inner):
                found.append(f"{name_of(path)}:{line} imports {imported}")
    report(found)


def test_functions_and_files_stay_short_and_flat() -> None:
    found = []
    for path in modules():
        lines = path.read_text().count("\n")
        if lines > LONGEST_FILE and name_of(path) not in LONG_TABLES:
            found.append(f"{name_of(path)}: {lines} lines")
        for function in functions(tree_of(path)):
            length = (function.end_lineno or 0) - function.lineno + 1
            if length > LONGEST_FUNCTION:
                found.append(f"{name_of(path)}:{function.lineno} {function.name}: {length} lines")
            if (depth := nesting(function)) > DEEPEST_NESTING:
                found.append(f"{name_of(path)}:{function.lineno} {function.name}: nests {depth}")
    report(found)


def nesting(node: ast.AST, depth: int = 0) -> int:
    deepest = depth
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        blocks = ast.If | ast.For | ast.AsyncFor | ast.While | ast.With | ast.AsyncWith | ast.Try
        inner = depth + isinstance(child, blocks | ast.Match)
        if isinstance(node, ast.If) and isinstance(child, ast.If) and child in node.orelse:
            inner = depth  # an elif is no deeper than its if
        deepest = max(deepest, nesting(child, inner))
    return deepest


def test_every_module_opens_with_what_it_is() -> None:
    found = []
    for path in modules():
        text = ast.get_docstring(tree_of(path)) or ""
        if not 1 <= len(text.strip().splitlines()) <= 8 or not text:
            found.append(f"{name_of(path)}: its docstring has not one to eight lines")
        if path.name == "__init__.py" and len(tree_of(path).body) > 1:
            found.append(f"{name_of(path)}: holds more than its docstring")
    report(found)


def test_names_say_what_is_in_the_file() -> None:
    found = [name_of(path) for path in modules() if BAD_NAME.search(path.stem)]
    tests = sorted((ROOT / "tests").rglob("*.py"))
    found += [path.name for path in tests if BAD_NAME.search(path.stem)]
    # pytest imports a test by its file's name alone: two of one name cannot run together
    names = Counter(path.name for path in tests if path.name.startswith("test_"))
    found += [f"{name}: {count} test files have it" for name, count in names.items() if count > 1]
    report(found)


def test_packages_stay_small_enough_to_survey() -> None:
    found = []
    for folder in {path.parent for path in modules()}:
        count = sum(1 for path in folder.glob("*.py") if path.name != "__init__.py")
        if count > MOST_FILES and folder.relative_to(PACKAGE).as_posix() not in FAMILIES:
            found.append(f"{folder.relative_to(PACKAGE)}: {count} files")
    report(found)


def test_only_the_edges_catch_everything() -> None:
    found = []
    for path in modules():
        for node in ast.walk(tree_of(path)):
            if not isinstance(node, ast.ExceptHandler):
                continue
            caught = ast.unparse(node.type) if node.type else "everything"
            broad = caught in ("Exception", "BaseException", "everything")
            if broad and name_of(path) not in CATCH_ALL and not reraises(node):
                found.append(f"{name_of(path)}:{node.lineno} catches {caught}")
    report(found)


def reraises(handler: ast.ExceptHandler) -> bool:
    return any(isinstance(node, ast.Raise) and node.exc is None for node in ast.walk(handler))


def test_time_and_chance_come_through_the_world() -> None:
    found = []
    for path in modules():
        if package_of(path) in ("runtime", "cli") or name_of(path) in CLOCK_FREE:
            continue
        for imported, line in imports(tree_of(path)):
            if imported in CLOCKS:
                found.append(f"{name_of(path)}:{line} imports {imported}")
        if package_of(path) == "world" or name_of(path) in TRANSPORTS:
            continue
        for number, text in enumerate(path.read_text().splitlines(), 1):
            if LOOP_TIME.search(text):
                found.append(f"{name_of(path)}:{number} {text.strip()}")
    report(found)


def test_only_the_store_knows_sqlite() -> None:
    found = []
    for path in modules():
        for imported, line in imports(tree_of(path)):
            if imported == "sqlite3" and package_of(path) != "store":
                found.append(f"{name_of(path)}:{line}")
    report(found)


def test_functions_that_decide_never_wait() -> None:
    found = []
    for path in modules():
        for function in functions(tree_of(path)):
            if isinstance(function, ast.AsyncFunctionDef) and PURE.match(function.name):
                found.append(f"{name_of(path)}:{function.lineno} async {function.name}")
    report(found)


def test_prose_does_without_empty_words() -> None:
    found = []
    for path in [*modules(), *sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("*.md"))]:
        text = path.read_text()
        if path.suffix == ".py":
            text = "\n".join(filter(None, docstrings(tree_of(path))))
        for match in BAD_WORDS.finditer(text):
            found.append(f"{path.relative_to(ROOT)}: {match.group()}")
    report(found)


def docstrings(tree: ast.Module) -> Iterator[str | None]:
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    return (ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, kinds))
