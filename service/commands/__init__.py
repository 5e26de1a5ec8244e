"""One module for each group of commands. Nothing here decides anything: commands read arguments, call the rooms below, and print."""
