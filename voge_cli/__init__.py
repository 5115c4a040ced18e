"""The command line of VoGE: parses, loads, calls `voge`, reports. Heavy imports wait inside the commands."""
