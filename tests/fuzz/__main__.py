"""``python -m tests.fuzz --seconds N [--jobs J] [TARGET...]``: see CONTRIBUTING.md, "Fuzzing"."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from tests.fuzz.runner import Plan, Result, all_targets, chosen, repeat, run, table


def _options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz elfsig with atheris.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="targets or areas (default: all)")
    parser.add_argument("--seconds", type=int, default=10, help="time for each target (default: 10)")
    parser.add_argument("--jobs", type=int, default=1, help="targets at once (default: 1)")
    parser.add_argument("--seed", type=int, default=1, help="of chance; 0: another one each time")
    parser.add_argument("--rounds", type=int, default=1, help="go through the targets this many times")
    parser.add_argument("--keep", type=Path, help="folder of the corpora, to go on from and add to")
    parser.add_argument("--findings", type=Path, help="folder for inputs with a finding (default: a new one)")
    parser.add_argument("--list", action="store_true", help="list the targets")
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="append the results to FILE as JSON lines"
    )
    parser.add_argument("--repeat", type=Path, metavar="INPUT", help="judge a saved input of TARGET again")
    return parser.parse_args(argv)


def _say(result: Result) -> None:
    print(f"{result.target}: {result.executions} executions, {result.edges} edges", flush=True)
    for path in result.findings:
        facts = path.with_suffix(".json")
        text = json.loads(facts.read_text())["text"] if facts.exists() else "(the interpreter ended)"
        print(f"  FINDING {path}\n{text}\n  again: python -m tests.fuzz {result.target} --repeat {path}")
    if result.trouble:
        print(f"  ended early:\n{result.trouble}")


def _record(file: Path, result: Result) -> None:
    facts = {**result._asdict(), "findings": [str(path) for path in result.findings]}
    with file.open("a") as stream:
        stream.write(json.dumps(facts) + "\n")


def main(argv: list[str]) -> int:
    """The exit status: 1 if anything was found, 2 for a target that does not exist."""
    options = _options(argv)
    if options.list:
        for target in all_targets():
            print(f"{target.name:40} {target.about}")
        return 0
    try:
        names = chosen(options.targets)
    except LookupError as reason:
        print(reason, file=sys.stderr)
        return 2
    if options.repeat:
        found = repeat(names[0], options.repeat)
        print(f"{found.kind} {found.where}\n{found.text}" if found else "nothing wrong")
        return 1 if found else 0
    findings = options.findings or Path(tempfile.mkdtemp(prefix="elfsig-fuzz-"))
    results: list[Result] = []

    def done(result: Result) -> None:
        _say(result)
        if options.report:
            _record(options.report, result)

    for number in range(options.rounds):
        seed = options.seed + number if options.seed else 0
        plan = Plan(options.seconds, findings, options.keep, seed, options.jobs)
        results += run(names, plan, done)
    print("\n".join(table(results)))
    return 1 if any(each.findings or each.trouble for each in results) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
