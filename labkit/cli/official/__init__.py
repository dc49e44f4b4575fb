"""labkit weights and labkit official: what others publish about OFA."""
