"""The packaged configurations: one primary file a command, groups in folders beside them."""
