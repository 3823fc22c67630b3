"""One module a command, imported when the command is run. Each has ``command``."""
