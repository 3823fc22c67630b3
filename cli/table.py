"""What ``ledger --help`` says of each command, so that it need not import one."""

from typing import Final

SECTIONS: Final[dict[str, dict[str, str]]] = {
    "Record": {
        "init": "Make a ledger, and a key if you have none.",
        "append": "Append one event, or a stream of them.",
        "run": "Train under a gate, and record the story.",
        "observe": "Record a loop in any language, from NDJSON.",
        "key": "Make keys, and say who may sign what.",
    },
    "Read": {
        "log": "List entries, and follow new ones.",
        "show": "Show one entry: what it says, who signed it.",
        "project": "Rebuild a report or a table from the events.",
        "export": "Copy a ledger to JSONL, or a run to one file.",
        "import": "Copy a ledger into another store.",
    },
    "Check": {
        "verify": "Check everything that can be checked offline.",
        "checkpoint": "Sign how long the ledger is and what it holds.",
        "prove": "Prove that one entry is in the ledger.",
        "check-proof": "Check such a proof, without the ledger.",
        "attack": "Tamper with copies, and see what is caught.",
    },
    "Capsules": {
        "validate": "Check a capsule's files against the run contract.",
        "report": "Print a capsule's report, or compare several.",
        "inspect": "Validate a capsule, and print its report.",
        "diff": "Compare two capsules, metric by metric.",
        "calibrate": "Measure false alarms and delay of a gate.",
        "override": "Judge a run yourself, over its gate.",
    },
    "Begin": {
        "demo": "The whole story in three minutes.",
        "completion": "Print a script that completes commands.",
    },
}

COMMANDS: Final[dict[str, str]] = {
    name: text for section in SECTIONS.values() for name, text in section.items()
}


def module_of(name: str) -> str:
    """Return the name of the module that holds a command."""
    return "cli.commands." + ("import_" if name == "import" else name.replace("-", "_"))
