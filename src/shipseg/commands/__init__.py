"""The commands, by topic. Each imports the library when it runs, so that `shipseg --help` is fast."""
