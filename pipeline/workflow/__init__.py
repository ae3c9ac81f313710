"""The commands that work on a whole run: run, plan, status, verify, pretrain, doctor."""
