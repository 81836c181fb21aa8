"""The machine: whole files, locks, a journal, isolated workers, memory, signals, progress."""
