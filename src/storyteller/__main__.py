"""`python -m storyteller`: the command, for whoever has the interpreter but not its scripts on the path."""

from storyteller.cli import main

main()
