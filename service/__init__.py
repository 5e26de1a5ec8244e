"""The running thing: command line, HTTP, streams, settings, wiring."""
