"""The configuration of voge match."""
