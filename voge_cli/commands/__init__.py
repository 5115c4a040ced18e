"""One file a command: what it is given, what it calls, what it shows and writes."""
