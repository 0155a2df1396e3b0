"""The command line `steer`: one file per group of commands; they decide nothing for the rest."""
